"""What all commands share: finding the configuration, asking the running gateway, ending with the right status.

Exit status: 0 ok, 1 found trouble, 2 usage, 3 gateway unreachable, 4 refused, 5 time-out, 78 configuration.
"""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
import httpx

from gateway import app
from gateway.config import Config, load
from gateway.config_mistakes import ConfigError

TROUBLE, UNREACHABLE, REFUSED, TIMEOUT, CONFIG = 1, 3, 4, 5, 78
PLACES = (Path("config.toml"), Path("/etc/ocpp-gateway/config.toml"))

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file. Default: ./config.toml, else /etc/ocpp-gateway/config.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


class Unreachable(Exception):
    """No gateway answers on the socket."""


def find(path: Path | None) -> Path:
    if path is not None:
        return path
    found = next((place for place in PLACES if place.exists()), None)
    if found is None:
        fail(CONFIG, f"no configuration: neither {PLACES[0]} nor {PLACES[1]} is there. Remedy: give --config FILE.")
    return found


def load_config(path: Path | None, *, as_json: bool = False) -> Config:
    try:
        return load(find(path))
    except ConfigError as error:
        if as_json:
            mistakes = [{"path": m.path, "problem": m.problem, "remedy": m.remedy} for m in error.mistakes]
            click.echo(json.dumps({"ok": False, "mistakes": mistakes}))
        else:
            click.echo(str(error), err=True)
        sys.exit(CONFIG)


def ask(path: Path | None, method: str, route: str) -> Any:
    """Ask the running gateway over its socket."""
    try:
        return request(load_config(path), method, route)
    except Unreachable as error:
        fail(UNREACHABLE, str(error))


def request(config: Config, method: str, route: str) -> Any:
    """Raises Unreachable. Anything else that goes wrong ends the command."""
    socket = config.site.state_dir / app.API_SOCKET
    remedy = "Remedy: is it running, with this configuration?"
    try:
        socket.stat()
    except OSError as error:
        raise Unreachable(f"no gateway answers on {socket} ({error.strerror}). {remedy}") from error
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=10) as client:
            answer = client.request(method, f"http://gateway{route}")
    except httpx.TimeoutException:
        fail(TIMEOUT, f"the gateway did not answer in 10 s on {socket}")
    except httpx.TransportError as error:
        raise Unreachable(f"no gateway answers on {socket} ({error}). {remedy}") from error
    if answer.is_error:
        fail(REFUSED, f"refused: {answer.json().get('detail', answer.text)}")
    return answer.json()


def fail(code: int, message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)
