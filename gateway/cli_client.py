"""What the commands share: finding the configuration, and asking the running gateway over its socket."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click
import httpx

from gateway import app
from gateway.config import Config, load
from gateway.config_mistakes import ConfigError

TROUBLE, UNREACHABLE, REFUSED, TIMEOUT, CONFIG = 1, 3, 4, 5, 78
_PLACES = (Path("config.toml"), Path("/etc/ocpp-gateway/config.toml"))
_TIMEOUT_S = 10

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file. Default: ./config.toml, else /etc/ocpp-gateway/config.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def find_config(path: Path | None) -> Path:
    """The file that is given, else the one in a known place; without one the command ends."""
    if path is not None:
        return path
    found = next((place for place in _PLACES if place.exists()), None)
    if found is None:
        fail(CONFIG, f"no configuration: neither {_PLACES[0]} nor {_PLACES[1]} is there. Remedy: give --config FILE.")
    return found


def load_config(path: Path | None, *, as_json: bool = False) -> Config:
    """The configuration; with a mistake in it the command ends."""
    try:
        return load(find_config(path))
    except ConfigError as error:
        if as_json:
            mistakes = [{"path": m.path, "problem": m.problem, "remedy": m.remedy} for m in error.mistakes]
            click.echo(json.dumps({"ok": False, "mistakes": mistakes}))
        else:
            click.echo(str(error), err=True)
        sys.exit(CONFIG)


def ask(
    path: Path | None,
    method: str,
    route: str,
    *,
    params: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
) -> Any:
    """Ask the running gateway; without an answer, or with a refusal, the command ends. None leaves a parameter out."""
    with _client(path) as client:
        answer = client.request(method, route, params=_given(params), json=body)
    _check(answer)
    return answer.json()


def lines(path: Path | None, route: str, *, params: Mapping[str, Any] | None = None) -> Iterator[str]:
    """A list that may be long, line by line."""
    with _client(path) as client, client.stream("GET", route, params=_given(params)) as answer:
        if answer.is_error:
            answer.read()
        _check(answer)
        yield from answer.iter_lines()


def fail(code: int, message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


@contextmanager
def _client(path: Path | None) -> Iterator[httpx.Client]:
    socket = load_config(path).site.state_dir / app.API_SOCKET
    try:
        transport = httpx.HTTPTransport(uds=str(socket))
        with httpx.Client(transport=transport, timeout=_TIMEOUT_S, base_url="http://gateway") as client:
            yield client
    except httpx.TimeoutException:
        fail(TIMEOUT, f"the gateway did not answer in {_TIMEOUT_S} s on {socket}")
    except httpx.TransportError as error:
        remedy = "Remedy: is it running, with this configuration?"
        fail(UNREACHABLE, f"no gateway answers on {socket} ({error}). {remedy}")


def _given(params: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def _check(answer: httpx.Response) -> None:
    if answer.is_error:
        try:
            detail = answer.json().get("detail", answer.text)
        except ValueError:
            detail = answer.text
        fail(REFUSED, f"refused: {detail}")
