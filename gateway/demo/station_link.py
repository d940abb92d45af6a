"""A simulated station's connection: reconnects, boot, heartbeat, and the queue of what must be delivered."""

import asyncio
import contextlib
import logging
import uuid
from base64 import b64encode
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ocpp.exceptions import OCPPError, UnknownCallErrorCodeError, ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from gateway.demo.history import Acknowledged, Attempt, Created, Failed, monotonic
from gateway.demo.station_wire import QueuedMessage, to_json, wire_payload

if TYPE_CHECKING:
    from gateway.demo.station import SimulatedStation

log = logging.getLogger(__name__)

CALL_FAILURES = (TimeoutError, OCPPError, UnknownCallErrorCodeError, ValidationError, TypeError)
"""What the `ocpp` package raises instead of returning an answer."""


class StationLink:
    """`queue` outlives connections and `run()`: a message leaves it only when its CALLRESULT came."""

    def __init__(self, station: "SimulatedStation") -> None:
        self.station = station
        self.queue: deque[QueuedMessage] = deque()
        self.is_connected = False
        self.is_accepted = False
        self.heartbeat_s = 300.0
        self._socket: ClientConnection | None = None
        self._peer: Any = None
        self._queued = asyncio.Event()
        self._notices: asyncio.Queue[Any] = asyncio.Queue()
        self._status_due = asyncio.Event()
        self._wake_boot = asyncio.Event()
        self._boot_reason = "PowerUp"
        self._reported_itself = False
        self._number = 0
        self._closing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Connect, serve, and connect again: waits double from `reconnect_min_s`, with a random part."""
        options = self.station.options
        wait = options.reconnect_min_s
        while True:
            try:
                async with self._connect() as socket:
                    if socket.subprotocol == self.station.wire.subprotocol:
                        wait = options.reconnect_min_s
                        await self._serve(socket)
                    else:
                        log.warning("%s: the other side does not speak its OCPP version", self.station.identity)
            except (OSError, TimeoutError, WebSocketException) as error:
                log.info("%s: no connection: %s", self.station.identity, error)
            await asyncio.sleep(wait + self.station.random.uniform(0, options.reconnect_min_s))
            wait = min(2 * wait, options.reconnect_max_s)

    def enqueue(self, message: QueuedMessage) -> None:
        """Queue a transaction message; its number and content are fixed from here on."""
        station = self.station
        self._number += 1
        message.number = self._number
        station.history.append(
            Created(
                station.identity,
                message.number,
                message.transaction.name,
                station.version,
                message.kind,
                type(message.call).__name__,
                to_json(station.wire.content(message)),
                monotonic(),
            )
        )
        self.queue.append(message)
        self._queued.set()
        station.touch()

    async def call(self, call: Any, message_id: str | None = None) -> Any:
        """Send one CALL and wait for its answer. Raises one of CALL_FAILURES, or ConnectionError when offline."""
        if self._peer is None:
            raise ConnectionError("not connected")
        return await self._peer.call(
            call,
            suppress=False,
            unique_id=message_id or str(uuid.uuid4()),
            skip_schema_validation=not self.station.options.validate,
        )

    def notify(self, call: Any) -> None:
        """Send something that is not kept if it can't be sent."""
        if self.is_connected:
            self._notices.put_nowait(call)

    def touch(self) -> None:
        self._status_due.set()

    def boot_now(self) -> None:
        """Cut the wait after a Pending boot short."""
        self._wake_boot.set()

    def report_status_again(self, connector: int | None) -> None:
        """Tell the status of this connector (None or 0: of all) though it didn't change."""
        for conn in self.station.connectors.values():
            if connector in (None, 0, conn.number):
                conn.reported_status = None
        self._reported_itself = self._reported_itself and connector not in (None, 0)
        self._status_due.set()

    def cut(self) -> None:
        """Lose the socket without a word."""
        if self._socket is not None:
            self._socket.transport.abort()

    def reboot(self, reason: str) -> None:
        """Close the socket, and boot when connected again."""
        self.is_accepted = False
        self._boot_reason = reason
        if self._socket is not None:
            self._closing = asyncio.create_task(self._socket.close(1001))

    def _connect(self) -> connect:
        station = self.station
        headers = {}
        if station.password is not None:
            password = station.password.encode() if isinstance(station.password, str) else station.password
            headers["Authorization"] = "Basic " + b64encode(station.identity.encode() + b":" + password).decode()
        return connect(
            f"{station.url.rstrip('/')}/{quote(station.identity, safe='')}",
            subprotocols=[Subprotocol(station.wire.subprotocol)],
            additional_headers=headers,
            compression=None,
            proxy=None,
            open_timeout=station.options.call_timeout_s,
            close_timeout=1,
            max_size=None,
        )

    async def _serve(self, socket: ClientConnection) -> None:
        """Live on one connection until it ends."""
        self._socket, self._peer, self.is_connected = socket, self.station.wire.peer(socket), True
        self._notices = asyncio.Queue()
        self.station.touch()
        try:
            await _until_one_ends(self._peer.start(), self._work())
        except ConnectionClosed:
            log.info("%s: connection lost", self.station.identity)
        except asyncio.CancelledError:
            await socket.close(1001)
            raise
        finally:
            self._socket, self._peer, self.is_connected = None, None, False
            self.station.answered()
            self.station.touch()

    async def _work(self) -> None:
        """Boot if that is due, then everything at once; the `ocpp` package lets one CALL out at a time."""
        while not self.is_accepted:
            self._wake_boot.clear()
            wait_s = await self._boot()
            if not self.is_accepted:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake_boot.wait()
        await _until_one_ends(self._send_queue(), self._send_notices(), self._send_statuses(), self._send_heartbeats())

    async def _boot(self) -> float:
        """One BootNotification; returns the seconds to wait before the next."""
        options = self.station.options
        try:
            answer = await self._ask(self.station.wire.boot(self._boot_reason))
        except CALL_FAILURES as error:
            log.info("%s: boot failed: %s", self.station.identity, error)
            return options.retry_wait_s
        interval_s = float(answer.interval) or options.retry_wait_s
        if options.longest_wait_s is not None:
            interval_s = min(interval_s, options.longest_wait_s)
        if answer.status == "Accepted":
            self.is_accepted = True
            self.heartbeat_s = interval_s
            self.report_status_again(None)
            self.station.touch()
        return interval_s

    async def _send_queue(self) -> None:
        """The oldest message until it is acknowledged, then the next."""
        while True:
            if not self.queue:
                self._queued.clear()
                await self._queued.wait()
            elif await self._deliver(self.queue[0]):
                self.queue.popleft()
                self.station.touch()
            else:
                await asyncio.sleep(self.station.options.retry_wait_s)

    async def _deliver(self, message: QueuedMessage) -> bool:
        station, message_id = self.station, str(uuid.uuid4())
        station.history.append(Attempt(station.identity, message.number, message_id, monotonic()))
        try:
            answer = await self._ask(station.wire.to_send(message), message_id)
        except CALL_FAILURES as error:
            reason = "timeout" if isinstance(error, TimeoutError) else str(getattr(error, "code", error))
            station.history.append(Failed(station.identity, message.number, message_id, reason, monotonic()))
            return False
        answer_text = to_json(wire_payload(answer))
        station.history.append(Acknowledged(station.identity, message.number, message_id, answer_text, monotonic()))
        if station.wire.take_answer(message, answer) not in (None, "Accepted"):
            station.refused(message.transaction)
        return True

    async def _send_notices(self) -> None:
        while True:
            await self._try(await self._notices.get())

    async def _send_statuses(self) -> None:
        """The present status of every connector where it differs from what was last told."""
        wire = self.station.wire
        while True:
            self._status_due.clear()
            if not self._reported_itself and wire.has_station_status:
                await self._try(wire.status(0, "Available"))
            self._reported_itself = True
            for conn in self.station.connectors.values():
                status = wire.connector_status(conn)
                if status != conn.reported_status:
                    await self._try(wire.status(conn.number, status))
                    conn.reported_status = status
            await self._status_due.wait()

    async def _send_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self.heartbeat_s)
            await self._try(self.station.wire.heartbeat())

    async def _try(self, call: Any) -> None:
        try:
            await self._ask(call)
        except CALL_FAILURES as error:
            log.info("%s: %s failed: %s", self.station.identity, type(call).__name__, error)

    async def _ask(self, call: Any, message_id: str | None = None) -> Any:
        """`call()` for this link's own tasks."""
        try:
            return await self.call(call, message_id)
        finally:
            # The `ocpp` package uses `wait_for`, which in Python 3.11 swallows a cancellation that meets a result.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError


async def _until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Run all; when one ends, cancel the others, then raise what went wrong (a lost connection last).

    No TaskGroup: in Python 3.11 that may lose a cancellation from outside when a child fails at the same moment.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [result for result in results if isinstance(result, Exception)]
    for error in sorted(errors, key=lambda error: isinstance(error, ConnectionClosed)):
        raise error
