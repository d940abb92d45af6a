"""One connected station: a reader that never waits for a flow, and a worker that takes its CALLs in order."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from gateway.dialects.base import Dialect
from gateway.downlink.mender import Mender, mender
from gateway.errors import StoreError, StoreNotReady
from gateway.flows import inbound
from gateway.flows.lane import Lane, Rest
from gateway.log import Throttle
from gateway.pump import Pump
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.frame import Call, Send
from gateway.rpc.session import Outcome, Priority, RefusedResult, Session
from gateway.site import Site
from gateway.station import Pending, Station
from gateway.transport import Socket
from gateway.wake import Wake

log = logging.getLogger(__name__)

MAX_OPEN_CALLS = 64
MAX_OPEN_BYTES = 512 * 1024
"""More are taken while all that wait are smaller than this: some stations say at once what they kept while they were
alone, and a CALLERROR may cost them the message."""
_CALL_BYTES = 512
"""What a CALL takes beside its payload."""
TIMEOUTS_TO_CLOSE = 3
"""A station that answers nothing, this often in a row, gets a new connection (it may still send heartbeats)."""

Answer = Callable[[Call, float], Awaitable[bytes]]


class StationConnection:
    """A station's socket as the flows see it (`ports.StationPort`). `run` returns when the socket is closed."""

    def __init__(
        self,
        site: Site,
        name: str,
        socket: Socket,
        dialect: Dialect,
        answer: Answer,
        *,
        mends: Mender | None = None,
        on_send: Callable[[Send], None] | None = None,
        on_refused_result: Callable[[RefusedResult], None] | None = None,
        complaints: Throttle | None = None,
    ) -> None:
        self._mends = mends
        self.name = name
        self._site = site
        self._socket = socket
        self._dialect = dialect
        self._answer = answer
        self._calls: list[tuple[Call, Rest]] = []
        self._open_bytes = 0
        self._is_working = False
        self.lane: Lane | None = None
        """A shorter way for messages that nothing speaks against; None for a station whose CALLs must be mended."""
        self._came = Wake()
        self._closing: asyncio.Task[None] | None = None
        self._pump = Pump(
            name,
            socket,
            Session(dialect.framing),
            site.clock,
            self._take,
            on_timeout=self._count_timeout,
            on_send=on_send,
            on_refused_result=on_refused_result,
            complaints=complaints,
        )

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    async def run(self) -> None:
        """Serve the station until it is gone."""
        worker = asyncio.create_task(self._work(), name=f"worker {self.name}")
        try:
            closed = await self._pump.run()
            log.info("%s: disconnected (%s)", self.name, closed)
        finally:
            if self.lane is not None:
                self.lane.close()
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def call(self, action: str, payload: bytes, *, send_by: float = float("inf")) -> Outcome:
        outcome = await self._pump.call(
            self._site.message_id(),
            action,
            payload,
            priority=Priority.COMMAND,
            timeout_s=self._site.options.call_timeout_s,
            send_by=send_by,
        )
        return self._mends.outcome(action, outcome) if self._mends else outcome

    def send(self, action: str, payload: bytes) -> None:
        self._pump.send(self._site.message_id(), action, payload)

    def refuse_result(self, refused: RefusedResult) -> None:
        self._pump.refuse_result(refused)

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            log.info("%s: closing its connection: %s", self.name, reason)
            self._closing = asyncio.create_task(self._socket.close(code, reason))

    async def is_alive(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._socket.ping()
        except Exception:  # any failure to answer means the same
            return False
        return True

    def _take(self, call: Call) -> None:
        if len(self._calls) >= MAX_OPEN_CALLS and self._open_bytes >= MAX_OPEN_BYTES:
            self._pump.session.refuse(call, ErrorCode.GENERIC_ERROR, "too many open calls")
            return
        received = self._site.clock.monotonic()
        lane = self.lane
        if lane is not None and not (self._is_working or self._calls or lane.is_taken) and lane.take(call, received):
            return
        self._calls.append((call, partial(self._answer, call, received)))
        self._open_bytes += _size(call)
        self._came.set()

    def answer(self, call: Call, payload: bytes) -> None:
        """The lane's answer: what came behind it is next."""
        self._pump.answer(call, payload)
        if self._calls:
            self._came.set()

    def walk(self, call: Call, rest: Rest) -> None:
        """The lane's message needs more: before all that came behind it."""
        self._calls.insert(0, (call, rest))
        self._open_bytes += _size(call)
        self._came.set()

    async def _work(self) -> None:
        while True:
            while not self._calls or (self.lane is not None and self.lane.is_taken):
                self._came.clear()
                await self._came.wait()
            call, rest = self._calls.pop(0)
            self._open_bytes -= _size(call)
            self._is_working = True
            await self._handle(call, rest)
            self._is_working = False

    async def _handle(self, call: Call, rest: Rest) -> None:
        """One CALL to its answer. Without a commit there is no answer: the station keeps the message and asks again."""
        try:
            payload = await rest()
        except CallError as error:
            self._pump.refuse(call, error.code, error.description, error.details)
        except StoreNotReady:
            self._pump.forget(call)
            log.warning("%s: %s stays unanswered, the store is not ready", self.name, call.action)
        except StoreError:
            self.close(1011, "the gateway could not write to its disk")
        except Exception:
            log.exception("%s: %s failed", self.name, call.action)
            self._pump.refuse(call, ErrorCode.INTERNAL_ERROR, "the gateway failed to handle this")
        else:
            self._pump.answer(call, payload)

    def _count_timeout(self) -> None:
        if self._pump.session.timeouts_in_a_row >= TIMEOUTS_TO_CLOSE:
            self.close(1011, "no answer to several calls")


def _size(call: Call) -> int:
    return _CALL_BYTES + len(call.payload)


async def serve(site: Site, station: Station, socket: Socket, dialect: Dialect) -> None:
    """Serve an admitted station's socket until it closes. A newer socket of the same identity ends an older one."""

    mends = mender(site, station, dialect)

    async def answer(call: Call, received: float) -> bytes:
        payload = await inbound.handle(site, station, dialect, mends.call(call) if mends else call, received)
        pause = received + station.options.min_answer_delay_s - site.clock.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        return payload

    connection = StationConnection(
        site,
        station.id,
        mends.socket(socket) if mends else socket,
        dialect,
        answer,
        mends=mends,
        on_send=partial(inbound.pass_send, site, station, dialect),
        on_refused_result=partial(inbound.pass_refused_result, site, station),
        complaints=station.complaints,
    )
    if mends is None and station.options.min_answer_delay_s == 0:
        connection.lane = Lane(site, station, dialect, connection.answer, connection.walk)
    site.attach(station, connection)
    try:
        await connection.run()
    finally:
        site.detach(station, connection)


async def serve_pending(site: Site, pending: Pending, socket: Socket, dialect: Dialect) -> None:
    """Keep an unknown station's socket until the operator has decided, or its time is over. Nothing goes upstream."""

    async def answer(call: Call, received: float) -> bytes:
        return inbound.handle_unapproved(site, dialect, call)

    connection = StationConnection(site, pending.id, socket, dialect, answer)
    pending.port = connection
    try:
        await connection.run()
    finally:
        if pending.port is connection:
            pending.port = None
