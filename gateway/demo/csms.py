"""A simulated CSMS on the third-party `ocpp` package. It can be told to misbehave, and logs what it holds.

It does not de-duplicate: every StartTransaction makes a new transaction, every message a new entry.
"""

import itertools
import random
from base64 import b64decode
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from gateway.demo.csms_answers import Books
from gateway.demo.csms_connection import CsmsConnection, Effect, Rule
from gateway.demo.history import Arrival, Changes, Closed, CsmsRecord, HistoryLog, Killed, monotonic


class SimulatedCsms:
    """A WebSocket server; the last segment of the URL's path is the station's identity.

    `passwords`: identity to password; None asks for none. `latency_s`: a wait before each answer, drawn from this
    range. `port` 0 picks a free one; after `start()` it is the real one, so a stopped CSMS comes back where it was.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        versions: Sequence[str] = ("2.0.1", "1.6"),
        *,
        passwords: dict[str, str] | None = None,
        latency_s: tuple[float, float] = (0.0, 0.0),
        seed: int = 0,
        validate: bool = True,
        call_timeout_s: float = 30.0,
        books: Books | None = None,
        history: HistoryLog[CsmsRecord] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.versions = tuple(versions)
        self.passwords = passwords
        self.latency_s = latency_s
        self.validate = validate
        self.call_timeout_s = call_timeout_s
        self.books = books or Books()
        self.history: HistoryLog[CsmsRecord] = history or HistoryLog()
        self.rules: list[Rule] = []
        self.changes = Changes()
        self.calls: list[tuple[str, str]] = []
        self._random = random.Random(seed)
        self._server: Server | None = None
        self._peers: dict[str, CsmsConnection] = {}
        self._open: set[CsmsConnection] = set()
        self._orders = itertools.count(1)
        self._connection_numbers = itertools.count(1)
        self._is_cut = False

    # Life

    @property
    def url(self) -> str:
        """What stations, or the gateway, are given; they append their identity."""
        return f"ws://{self.host}:{self.port}/ocpp"

    async def start(self) -> None:
        self._server = await serve(
            self._serve,
            self.host,
            self.port,
            subprotocols=[Subprotocol(f"ocpp{version}") for version in self.versions],
            process_request=self._admit,
            compression=None,
            max_size=None,
            close_timeout=1,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def close(self) -> None:
        """Stop listening and close all sockets in good order."""
        if self._server:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # What a script may look at and do

    @property
    def connected(self) -> set[str]:
        return set(self._peers)

    @property
    def is_cut(self) -> bool:
        return self._is_cut

    @property
    def arrivals(self) -> list[Arrival]:
        return [record for record in self.history.records if isinstance(record, Arrival)]

    def received(self, identity: str, action: str) -> int:
        """How many CALLs of this action a station has sent, of any kind."""
        return self.calls.count((identity, action))

    def script(self, effect: Effect, **when: Any) -> Rule:
        """Add a rule (see Rule for `when`); take it away again by removing it from `rules`."""
        rule = Rule(effect, **when)
        self.rules.append(rule)
        return rule

    def cut(self) -> None:
        """Cut all sockets without a word and turn new ones away (HTTP 503) until `restore()`."""
        self._is_cut = True
        self.abort()

    def restore(self) -> None:
        self._is_cut = False
        self.changes.notify()

    def abort(self, identity: str | None = None) -> None:
        """Cut the socket of one station, or all, without a closing handshake."""
        for connection in list(self._open):
            if identity in (None, connection.identity):
                connection.abort()

    def mark_kill(self, at: float) -> None:
        """The gateway was killed at this `time.monotonic()`: answers written just before may not have been read."""
        self.history.append(Killed(at))

    async def call(self, identity: str, payload: Any) -> Any:
        """Send a command (a payload dataclass of `ocpp.v16.call` or `ocpp.v201.call`), return the answer's dataclass.

        Raises LookupError if the station isn't connected, ConnectionError if that ends before the answer, TimeoutError,
        and ocpp.exceptions.OCPPError for a CALLERROR.
        """
        connection = self._peers.get(identity)
        if connection is None:
            raise LookupError(f"{identity} is not connected")
        return await connection.call(payload)

    # Machinery

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if self._is_cut:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "cut\n")
        if self.passwords is None:
            return None
        identity = _identity(request)
        expected = self.passwords.get(identity)
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if expected is not None and scheme == "Basic":
            given = b64decode(credentials)
            if given == f"{identity}:{expected}".encode():
                return None
        return connection.respond(HTTPStatus.UNAUTHORIZED, "who are you?\n")

    async def _serve(self, socket: ServerConnection) -> None:
        if self._is_cut or socket.subprotocol is None or socket.request is None:
            await socket.close(1002, "no OCPP version in common")
            return
        identity = _identity(socket.request)
        connection = CsmsConnection(self, next(self._connection_numbers), identity, socket)
        self._open.add(connection)
        self._peers[identity] = connection
        self.changes.notify()
        cut = True
        try:
            await connection.peer.start()
        except ConnectionClosed as closed:
            cut = connection.is_aborted or closed.rcvd is None
        finally:
            self._open.discard(connection)
            if self._peers.get(identity) is connection:
                del self._peers[identity]
            self.history.append(Closed(connection.number, cut, monotonic()))
            self.changes.notify()

    def effect_for(self, identity: str, action: str) -> Rule | None:
        for rule in self.rules:
            if rule.action not in (None, action) or rule.station not in (None, identity) or rule.times == 0:
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if self._random.random() < rule.chance:
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    def latency(self) -> float:
        return self._random.uniform(*self.latency_s)

    def next_order(self) -> int:
        return next(self._orders)


def _identity(request: Request) -> str:
    return unquote(urlsplit(request.path).path.rstrip("/").rsplit("/", 1)[-1])
