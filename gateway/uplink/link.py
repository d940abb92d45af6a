"""One WebSocket to the CSMS, for one station, and how it is opened."""

import asyncio
import base64
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, NegotiationError, WebSocketException
from websockets.typing import Subprotocol

from gateway.clock import Clock
from gateway.dialects.base import Dialect
from gateway.errors import ConnectError, LeftUnanswered
from gateway.pump import Pump
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.frame import Call, Send
from gateway.rpc.session import RefusedResult, Request, Session
from gateway.transport import PushingClient, Socket, WebSocket

log = logging.getLogger(__name__)

Answer = Callable[[Call, float], Awaitable[bytes]]
MAX_COMMANDS = 64
QUIET_STEP_S = 0.2


class Connector(Protocol):
    """Opens sockets to the CSMS; a scripted one takes its place in simulations."""

    async def connect(self, identity: str, subprotocols: Sequence[str], password: bytes | None) -> Socket:
        """Raises ConnectError. The socket's subprotocol is None if the CSMS speaks none of those offered."""


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """Where the CSMS is. `ca_file`: a private CA, used instead of the system's. Times in seconds, 0 = off."""

    url: str
    ca_file: Path | None = None
    ping_interval_s: float = 20.0
    open_timeout_s: float = 15.0
    max_message_bytes: int = 4 * 1024 * 1024


class WebSocketConnector:
    """Real connections. A wss server is always verified, host name included; there is no switch to turn that off."""

    def __init__(self, options: LinkOptions) -> None:
        self._options = options
        self._ssl = _client_context(options.ca_file) if options.url.startswith("wss:") else None
        self.ping_interval_of: Callable[[str], float | None] = lambda _: None
        """What the CSMS has set for a station's link, in seconds, 0 = off; None: the options count."""

    async def connect(self, identity: str, subprotocols: Sequence[str], password: bytes | None) -> Socket:
        options = self._options
        headers = {} if password is None else {"Authorization": basic_auth(identity, password)}
        own = self.ping_interval_of(identity)
        interval = (options.ping_interval_s if own is None else own) or None
        try:
            connection = await connect(
                f"{options.url.rstrip('/')}/{quote(identity, safe='')}",
                subprotocols=[Subprotocol(name) for name in subprotocols],
                additional_headers=headers,
                compression=None,
                proxy=None,
                ssl=self._ssl,
                open_timeout=options.open_timeout_s,
                ping_interval=interval,
                ping_timeout=interval,
                max_size=options.max_message_bytes,
                create_connection=PushingClient,
                user_agent_header="ocpp-gateway",
            )
        except InvalidStatus as error:
            raise ConnectError(_explained(error.response.status_code), error.response.status_code) from error
        except NegotiationError as error:
            raise ConnectError(f"the CSMS speaks none of {', '.join(subprotocols)}: {error}", 400) from error
        except (OSError, WebSocketException, TimeoutError, ssl.SSLError) as error:
            raise ConnectError(f"{type(error).__name__}: {error}") from error
        assert isinstance(connection, PushingClient)
        return WebSocket(connection)


def basic_auth(identity: str, password: bytes) -> str:
    """The Authorization header: the password's bytes as they are (OCPP-J 1.6, 6.2.2)."""
    return "Basic " + base64.b64encode(identity.encode() + b":" + password).decode()


def _client_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _explained(status: int) -> str:
    hints = {
        401: "the CSMS refuses this station's credentials: check uplink_password_file",
        403: "the CSMS forbids this station",
        404: "the CSMS does not know this station: register its identity there",
    }
    return hints.get(status, f"the CSMS answered the handshake with HTTP {status}")


class Link:
    """An open link: the station's CALLs go up through it, the CSMS's commands come down in tasks of their own."""

    def __init__(
        self,
        name: str,
        socket: Socket,
        dialect: Dialect,
        *,
        clock: Clock,
        answer: Answer,
        call_timeout_s: float,
        on_send: Callable[[Send], None] | None = None,
        on_refused_result: Callable[[RefusedResult], None] | None = None,
    ) -> None:
        self.name = name
        self.dialect = dialect
        self.is_suspect = False
        self._socket = socket
        self._clock = clock
        self._answer = answer
        self._commands: set[asyncio.Task[None]] = set()
        self._call_timeout_s = call_timeout_s
        self.pump = Pump(
            f"{name} uplink",
            socket,
            Session(dialect.framing),
            clock,
            self._take,
            on_activity=self._heard,
            on_timeout=self._cycle,
            on_send=on_send,
            on_refused_result=on_refused_result,
        )

    @property
    def versions(self) -> str:
        """What is spoken over it, for the log."""
        return self.dialect.name

    async def run(self) -> str:
        """Pump until the link is down; returns why."""
        try:
            return str(await self.pump.run())
        finally:
            for command in self._commands:
                command.cancel()
            await asyncio.gather(*self._commands, return_exceptions=True)

    def unfinished(self) -> Iterable[asyncio.Task[None]]:
        """After `run`, when nobody posts any more: what still has to find its outcome."""
        return ()

    def post(self, request: Request) -> None:
        """Ask the CSMS. The request's `on_done` hears of the outcome."""
        self.pump.post(request)

    def send(self, message_id: str, action: str, payload: bytes) -> None:
        """Tell the CSMS something it does not answer."""
        self.pump.send(message_id, action, payload)

    @property
    def is_idle(self) -> bool:
        return not self._commands and self.pump.session.is_idle

    async def quiet(self, seconds: float) -> None:
        """Return when no CALL is under way in either direction, or after that time."""
        for _ in range(round(seconds / QUIET_STEP_S)):
            if self.is_idle:
                return
            await asyncio.sleep(QUIET_STEP_S)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)

    def _heard(self) -> None:
        self.is_suspect = False

    def _cycle(self) -> None:
        """A CALL was never answered: whatever state the other end is in, a new socket is a clean start."""
        log.warning("%s: no answer from the CSMS in %.0f s, reconnecting", self.name, self._call_timeout_s)
        self._socket.abort()

    def _take(self, call: Call) -> None:
        if len(self._commands) >= MAX_COMMANDS:
            self.pump.session.refuse(call, ErrorCode.GENERIC_ERROR, "too many open commands")
            return
        task = asyncio.create_task(self._handle(call, self._clock.monotonic()), name=f"{call.action} for {self.name}")
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    async def _handle(self, call: Call, received: float) -> None:
        try:
            payload = await self._answer(call, received)
        except CallError as error:
            self.pump.refuse(call, error.code, error.description, error.details)
        except LeftUnanswered:
            self.pump.forget(call)
        except Exception:
            log.exception("%s: %s of the CSMS failed", self.name, call.action)
            self.pump.refuse(call, ErrorCode.INTERNAL_ERROR, "the gateway failed to handle this")
        else:
            self.pump.answer(call, payload)
