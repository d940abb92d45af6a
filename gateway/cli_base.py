"""What all commands share: finding the configuration, asking the running gateway, ending with the right status.

Exit status: 0 ok, 1 found trouble, 2 usage, 3 gateway unreachable, 4 refused, 5 time-out, 78 configuration.
"""

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import click

from gateway.config_place import api_socket

if TYPE_CHECKING:
    import httpx
    from rich.console import Console

    from gateway.config import Config

WIDE = 200
OTHER_USER = "Remedy: run this as the gateway's user, or as root."
TROUBLE, UNREACHABLE, REFUSED, TIMEOUT, CONFIG = 1, 3, 4, 5, 78
PLACES = (Path("config.toml"), Path("/etc/ocpp-gateway/config.toml"))

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, readable=False),
    help="The configuration file. Default: ./config.toml, else /etc/ocpp-gateway/config.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def segment(name: str) -> str:
    """A name as one part of a route: a station's may hold spaces, "?" and "#"."""
    return quote(name, safe="")


def console(*, markup: bool = False) -> "Console":
    """A file gets lines that are not cut to a terminal's width. Without markup, brackets in names are just that."""
    from rich.console import Console

    found = Console(highlight=False, markup=markup)
    return found if found.is_terminal else Console(width=WIDE, highlight=False, markup=markup)


class Unreachable(Exception):
    """No gateway answers on the socket."""


def find(path: Path | None) -> Path:
    if path is not None:
        return path
    found = next((place for place in PLACES if place.exists()), None)
    if found is None:
        fail(CONFIG, f"no configuration: neither {PLACES[0]} nor {PLACES[1]} is there. Remedy: give --config FILE.")
    return found


def load_config(path: Path | None, *, as_json: bool = False) -> "Config":
    from gateway.config import ConfigError, load

    try:
        return load(find(path))
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
    """Ask the running gateway over its socket. A parameter that is None is left out."""
    try:
        return request(socket_of(path), method, route, params=params, body=body)
    except Unreachable as error:
        fail(UNREACHABLE, str(error))


def lines(path: Path | None, route: str, *, params: Mapping[str, Any] | None = None) -> Iterator[str]:
    """A list that may be long, line by line."""
    try:
        with _client(socket_of(path)) as client, client.stream("GET", route, params=_given(params)) as answer:
            if answer.is_error:
                answer.read()
            _check(answer)
            yield from answer.iter_lines()
    except Unreachable as error:
        fail(UNREACHABLE, str(error))


def socket_of(path: Path | None) -> Path:
    """Where the running gateway answers. A file that does not say it clearly is read whole, with all its mistakes."""
    return api_socket(find(path)) or load_config(path).site.api_socket


def request(
    socket: Path,
    method: str,
    route: str,
    *,
    params: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
) -> Any:
    """Raises Unreachable. Anything else that goes wrong ends the command."""
    with _client(socket) as client:
        answer = client.request(method, route, params=_given(params), json=body)
    _check(answer)
    return answer.json()


@contextmanager
def _client(socket: Path) -> "Iterator[httpx.Client]":
    import httpx

    remedy = "Remedy: is it running, with this configuration?"
    try:
        socket.stat()
        if not os.access(socket, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except PermissionError as error:
        fail(UNREACHABLE, f"{socket} is not yours ({error.strerror}). {OTHER_USER}")
    except OSError as error:
        raise Unreachable(f"no gateway answers on {socket} ({error.strerror}). {remedy}") from error
    try:
        transport = httpx.HTTPTransport(uds=str(socket))
        with httpx.Client(transport=transport, timeout=10, base_url="http://gateway") as client:
            yield client
    except httpx.TimeoutException:
        fail(TIMEOUT, f"the gateway did not answer in 10 s on {socket}")
    except httpx.TransportError as error:
        raise Unreachable(f"no gateway answers on {socket} ({error}). {remedy}") from error


def _given(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """None without any: an empty table would take away what the route itself asks."""
    return {name: value for name, value in params.items() if value is not None} if params else None


def _check(answer: "httpx.Response") -> None:
    if answer.is_error:
        try:
            detail = answer.json().get("detail", answer.text)
        except ValueError:
            detail = answer.text
        fail(REFUSED, f"refused: {detail}")


def fail(code: int, message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)
