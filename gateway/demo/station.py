"""A simulated charging station: it holds on to what it must deliver, as a real one has to."""

import asyncio
import random
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self

from websockets.exceptions import ConnectionClosed

from gateway.demo.history import Changes, HistoryLog, StationRecord, iso, monotonic, utc_now
from gateway.demo.physics import Car, Connector, Transaction
from gateway.demo.profiles import ProfileStore
from gateway.demo.station_link import CALL_FAILURES, StationLink
from gateway.demo.station_v16 import Wire16
from gateway.demo.station_v201 import Wire201
from gateway.demo.station_wire import QueuedMessage, Wire

WIRES: dict[str, type[Wire]] = {"1.6": Wire16, "2.0.1": Wire201}


@dataclass(frozen=True, slots=True)
class StationOptions:
    """Cadence and habits. `call_timeout_s` as real stations have it; storms use about 3.

    `react_s`: between answering a command and acting on it. `authorize`: ask before a start.
    `longest_wait_s` caps the waits that a boot's answer asks for (None: obeyed as they are).
    `validate`: the `ocpp` package checks every payload against its schema, both ways.
    """

    meter_interval_s: float = 60.0
    call_timeout_s: float = 30.0
    retry_wait_s: float = 5.0
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 30.0
    tick_s: float = 1.0
    react_s: float = 0.2
    longest_wait_s: float | None = None
    phases: int = 3
    max_a: float = 16.0
    ramp_w_per_s: float = 2_000.0
    authorize: bool = True
    validate: bool = True


class SimulatedStation:
    """One station with `connectors` connectors (1.6) or EVSEs (2.x).

    `run()` is its life and may be run again after `close()`: what was not acknowledged is still queued.
    Everything it did with transaction messages is in `history`; keep one station object per history.
    """

    def __init__(
        self,
        identity: str,
        url: str,
        version: str = "1.6",
        *,
        password: str | bytes | None = None,
        connectors: int = 1,
        seed: int = 0,
        options: StationOptions | None = None,
        history: HistoryLog[StationRecord] | None = None,
    ) -> None:
        self.identity = identity
        self.url = url
        self.version = version
        self.password = password
        self.options = options or StationOptions()
        self.history: HistoryLog[StationRecord] = history or HistoryLog()
        self.random = random.Random(f"{seed}/{identity}")
        self.profiles = ProfileStore()
        self.changes = Changes()
        self.meter_interval_s = self.options.meter_interval_s
        opts = self.options
        self.connectors = {
            number: Connector(number, opts.phases, opts.max_a, opts.ramp_w_per_s) for number in range(1, connectors + 1)
        }
        self.reset_when_idle = False
        self.wire = WIRES[version](self)
        self.link = StationLink(self)
        self._last_timestamp: datetime | None = None
        self._task: asyncio.Task[None] | None = None
        self._pending: list[Callable[[], object]] = []
        self._later: set[asyncio.Task[None]] = set()

    # Its life

    async def run(self) -> None:
        """Be a station until cancelled or closed. Raises RuntimeError if it runs already."""
        if self._task not in (None, asyncio.current_task()):
            raise RuntimeError(f"{self.identity} runs already")
        self._task = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._live())
                group.create_task(self.link.run())
        finally:
            self._task = None
            for task in self._later:
                task.cancel()

    async def close(self) -> None:
        """Stop `run()`. The queue is kept."""
        task = self._task
        if task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._task = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _live(self) -> None:
        """Power, meter, battery and samples go on with or without a connection."""
        before = monotonic()
        while True:
            await asyncio.sleep(self.options.tick_s)
            now = monotonic()
            for conn in self.connectors.values():
                self._advance(conn, now, now - before)
            before = now
            self.touch()

    def _advance(self, conn: Connector, now: float, seconds: float) -> None:
        transaction = conn.transaction
        limit_w = self.profiles.limit_w(conn.number, utc_now(), transaction.started if transaction else None)
        conn.advance(seconds, limit_w)
        if transaction is None:
            return
        state = conn.charging_state(limit_w)
        if state != transaction.charging_state:
            transaction.charging_state = state
            self._enqueue("Updated", transaction, self.wire.state_changed(conn, transaction))
        if now >= transaction.next_meter_at:
            transaction.next_meter_at = now + self.meter_interval_s
            self.sample(conn.number, "Sample.Periodic")

    # What a script may look at and do

    @property
    def is_connected(self) -> bool:
        return self.link.is_connected

    @property
    def is_accepted(self) -> bool:
        return self.link.is_accepted

    @property
    def queue_length(self) -> int:
        return len(self.link.queue)

    @property
    def running(self) -> list[Transaction]:
        return [c.transaction for c in self.connectors.values() if c.transaction]

    @property
    def power_w(self) -> float:
        return sum(c.power_w for c in self.connectors.values())

    def status(self, connector: int = 1) -> str:
        """Connector status in the words of its version."""
        return self.wire.connector_status(self.connectors[connector])

    def plug(self, connector: int = 1, car: Car | None = None) -> None:
        self.connectors[connector].car = car or Car(self.options.max_a, self.options.phases)
        self.touch()

    def unplug(self, connector: int = 1) -> None:
        """Take the cable out; a running transaction ends with EVDisconnected."""
        self.end(connector, "EVDisconnected")
        self.connectors[connector].car = None
        self.connectors[connector].is_finished = False
        self.touch()

    async def authorize(self, token: str) -> str | None:
        """The status the other side gave, or None if it didn't say (not connected, CALLERROR, timeout)."""
        if not (self.is_connected and self.is_accepted):
            return None
        try:
            answer = await self.link.call(self.wire.authorize(token))
        except (*CALL_FAILURES, ConnectionError, ConnectionClosed):
            return None
        return self.wire.authorization_status(answer)

    async def start(self, connector: int, token: str) -> bool:
        """A driver plugs in and presents a token. True if a transaction began; without an answer it begins too."""
        if self.connectors[connector].car is None:
            self.plug(connector)
        if self.options.authorize and await self.authorize(token) not in (None, "Accepted"):
            return False
        return self.begin(connector, token)

    async def stop(self, connector: int = 1, reason: str = "Local", *, unplug: bool = True) -> bool:
        """The driver ends the transaction. False if none runs."""
        if not self.end(connector, reason):
            return False
        if unplug:
            self.unplug(connector)
        return True

    async def drain(self, timeout_s: float = 60.0) -> None:
        """Wait until every transaction message is acknowledged. Raises TimeoutError."""
        await self.changes.until(lambda: not self.link.queue, timeout_s)

    # What commands from the CSMS do

    def begin(self, connector: int, token: str, remote_start_id: int | None = None) -> bool:
        """Start a transaction without asking. False if the connector is taken, reserved for another, or out of use."""
        conn = self.connectors[connector]
        if conn.transaction or conn.is_inoperative or (conn.reservation and conn.reservation[1] != token):
            return False
        if conn.car is None:
            self.plug(connector)
        transaction = Transaction(str(uuid.uuid4()), token, utc_now(), round(conn.energy_wh))
        transaction.remote_start_id = remote_start_id
        transaction.next_meter_at = monotonic() + self.meter_interval_s
        if conn.reservation:
            transaction.reservation_id, conn.reservation = conn.reservation[0], None
        conn.is_finished = False
        conn.transaction = transaction
        self._enqueue("Started", transaction, self.wire.started(conn, transaction))
        return True

    def end(self, connector: int, reason: str) -> bool:
        """End the running transaction, if there is one."""
        conn = self.connectors[connector]
        transaction = conn.transaction
        if transaction is None:
            return False
        self._enqueue("Ended", transaction, self.wire.ended(conn, transaction, reason))
        conn.transaction = None
        conn.power_w = 0.0
        conn.is_finished = True
        self.profiles.end_transaction(connector)
        if conn.inoperative_after_transaction:
            conn.is_inoperative, conn.inoperative_after_transaction = True, False
        if self.reset_when_idle and not self.running:
            self.reset_when_idle = False
            self._soon(lambda: self.reset("ImmediateReset", "ScheduledReset"))
        self.touch()
        return True

    def refused(self, transaction: Transaction) -> None:
        """The answer to one of its messages refused the token."""
        for conn in self.connectors.values():
            if conn.transaction is transaction:
                if self.wire.stops_on_invalid_id:
                    self.end(conn.number, "DeAuthorized")
                else:
                    transaction.energy_stopped = True

    def sample(self, connector: int, context: str) -> bool:
        """Queue a meter value of the running transaction. False if none runs."""
        conn = self.connectors[connector]
        if conn.transaction is None:
            return False
        self._enqueue("Updated", conn.transaction, self.wire.sampled(conn, conn.transaction, context))
        return True

    def set_availability(self, connectors: Iterable[Connector], is_operative: bool) -> str:
        """Accepted, or Scheduled where a transaction has to end first."""
        answer = "Accepted"
        for conn in connectors:
            conn.inoperative_after_transaction = not is_operative and conn.transaction is not None
            conn.is_inoperative = not is_operative and conn.transaction is None
            answer = "Scheduled" if conn.inoperative_after_transaction else answer
        self.touch()
        return answer

    def cancel_reservation(self, reservation_id: int) -> bool:
        for conn in self.connectors.values():
            if conn.reservation and conn.reservation[0] == reservation_id:
                conn.reservation = None
                self.touch()
                return True
        return False

    def reset(self, reason: str, boot_reason: str) -> None:
        """End all transactions, close the socket, boot."""
        for number in self.connectors:
            self.end(number, reason)
        self.link.reboot(boot_reason)

    def notify(self, call: Any) -> None:
        """Send something that is not kept if it can't be sent."""
        self.link.notify(call)

    def notify_in_turn(self, calls: Iterable[Any]) -> None:
        """The same for several, once the answer to a command has left."""
        for call in calls:
            self.later(partial(self.link.notify, call))

    def later(self, act: Callable[[], object]) -> None:
        """Act on a command once its answer has left, and `react_s` more."""
        self._pending.append(act)

    def answered(self) -> None:
        """The answer to a command has left."""
        acts, self._pending = self._pending, []
        for act in acts:
            self._soon(act)

    def _soon(self, act: Callable[[], object]) -> None:
        async def wait() -> None:
            await asyncio.sleep(self.options.react_s)
            act()

        task = asyncio.create_task(wait())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def touch(self) -> None:
        """Something visible changed."""
        self.link.touch()
        self.changes.notify()

    def timestamp(self) -> str:
        """Now, later than any timestamp given before: equal content must mean equal event."""
        now = utc_now()
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        if self._last_timestamp and now <= self._last_timestamp:
            now = self._last_timestamp + timedelta(milliseconds=1)
        self._last_timestamp = now
        return iso(now)

    def _enqueue(self, kind: str, transaction: Transaction, call: Any) -> None:
        if call is not None:
            self.link.enqueue(QueuedMessage(0, transaction, kind, call))
