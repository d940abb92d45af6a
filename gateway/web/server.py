"""Serves the local API on a Unix socket, in the gateway's own event loop."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from gateway.errors import GatewayError

_LONGEST_PATH = 107


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the gateway decides when it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class LocalApi:
    """The API's socket, for its owner only (mode 0600); a stale file of an earlier run is removed."""

    def __init__(self, api: FastAPI, path: Path) -> None:
        self._path = path
        self._listening: socket.socket | None = None
        config = uvicorn.Config(api, log_config=None, access_log=False, lifespan="off", ws="none", loop="none")
        self._server = _Server(config)

    def open(self) -> None:
        """Make the socket. Raises GatewayError."""
        self._listening = bind(self._path)

    async def run(self) -> None:
        """Serve until `close`."""
        assert self._listening
        try:
            await self._server.serve(sockets=[self._listening])
        finally:
            self._listening.close()
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        self._server.should_exit = True


def bind(path: Path) -> socket.socket:
    """A listening Unix socket at `path`. Raises GatewayError."""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise GatewayError(f"{path}: too long for a Unix socket ({_LONGEST_PATH} bytes): choose a shorter state_dir")
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(str(path))
        listening.listen(64)
    except OSError as error:
        listening.close()
        raise GatewayError(f"{path}: {error.strerror}") from error
    finally:
        os.umask(before)
    listening.setblocking(False)
    return listening
