"""A scripted station for the simulation: keeps its messages until they are answered, in order, across cuts."""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.demo.history import Acknowledged, Attempt, Created, Failed, HistoryLog, StationRecord
from tests.sim.network import SimSocket
from tests.sim.peer import NoAnswer, Wire

EPOCH = datetime(2026, 3, 1, 8, 0, 0, tzinfo=UTC)
SUBPROTOCOLS = {"1.6": "ocpp1.6", "2.0.1": "ocpp2.0.1", "2.1": "ocpp2.1"}
Dial = Callable[[str, str], Awaitable[SimSocket | None]]


@dataclass
class _Message:
    number: int
    kind: str
    action: str
    payload: dict[str, Any]
    session: "_Session"


@dataclass
class _Session:
    name: str
    token: str
    station_tx_id: Any = None
    is_gone: bool = False
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    status: str | None = None


class SimStation:
    """One EVSE, one transaction at a time. `history` gets all it does."""

    def __init__(self, identity: str, version: str, dial: Dial, source: random.Random) -> None:
        self.identity = identity
        self.version = version
        self.history: HistoryLog[StationRecord] = HistoryLog()
        self.commands: list[tuple[str, Any]] = []
        self.wire: Wire | None = None
        self.boot_answers: list[Any] = []
        self.clock_error_s = 0.0
        self._dial = dial
        self._source = source
        self._queue: list[_Message] = []
        self._changed = asyncio.Event()
        self._made = 0
        self._calls = 0
        self._sessions = 0
        self._running: _Session | None = None
        self._has_booted = False
        self.says: dict[str, str] = {}
        """At its boot, in 1.6."""
        self._may_send = asyncio.Event()
        self.serial = 1
        self.is_deaf: Callable[[], bool] = lambda: False
        """Whether the next answer gets lost on its way to it."""

    # -- life ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Stay connected; ends by cancellation."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver())
            while True:
                socket = await self._dial(self.identity, SUBPROTOCOLS[self.version])
                if socket is not None:
                    self.wire = Wire(socket, self._obey)
                    self.wire.is_deaf = self.is_deaf
                    reading = group.create_task(self.wire.run())
                    booting = group.create_task(self._boot(self.wire))
                    await reading
                    booting.cancel()
                    self._may_send.clear()
                    self.wire = None
                await asyncio.sleep(self._source.uniform(1, 5))

    def reboot(self) -> None:
        """Lose the connection and everything but the queue."""
        self._has_booted = False
        if self.wire:
            self.wire.socket.cut()

    def replace(self) -> None:
        """Another charger under the same identity: what the old one had not delivered is lost with it."""
        self.serial += 1
        self._queue.clear()
        if self._running:
            self._running.is_gone = True
            self._running.stopped.set()
        self._changed.set()
        self.reboot()

    async def _boot(self, wire: Wire) -> None:
        while not self._has_booted:
            serial = f"SN-{self.serial}"
            payload = (
                {"chargePointVendor": "Sim", "chargePointModel": "One", "chargePointSerialNumber": serial, **self.says}
                if self.version == "1.6"
                else {
                    "reason": "PowerUp",
                    "chargingStation": {"vendorName": "Sim", "model": "One", "serialNumber": serial},
                }
            )
            try:
                answer = await wire.call(self._id(), "BootNotification", payload)
            except NoAnswer:
                await asyncio.sleep(10)
                continue
            self.boot_answers.append(answer)
            self._has_booted = answer["status"] == "Accepted"
            if not self._has_booted:
                await asyncio.sleep(max(answer["interval"], 1))
        self._may_send.set()
        await self._tell_status(wire, "Charging" if self._running else "Available")

    async def tell_status(self, status: str) -> str:
        """Tell a status outside of any session; its timestamp."""
        assert self.wire
        return await self._tell_status(self.wire, status)

    async def _tell_status(self, wire: Wire, status: str) -> str:
        now = self._now()
        if self.version == "1.6":
            payload: dict[str, Any] = {"connectorId": 1, "errorCode": "NoError", "status": status, "timestamp": now}
        else:
            status = "Occupied" if status == "Charging" else status
            payload = {"evseId": 1, "connectorId": 1, "connectorStatus": status, "timestamp": now}
        with contextlib.suppress(NoAnswer):
            await wire.call(self._id(), "StatusNotification", payload)
        return now

    # -- sessions --------------------------------------------------------------------------------------------------

    async def session(self, token: str, values: int, interval_s: float) -> _Session:
        """Authorize and charge: Start, so many meter values, Stop. Ends early if the start is refused."""
        self._sessions += 1
        session = self._running = _Session(f"{self.identity}-{self._sessions}", token)
        await self.authorize(token)
        meter = 1000 * self._sessions
        self._start(session, meter)
        if self.wire and self._may_send.is_set():
            await self._tell_status(self.wire, "Charging")
        for index in range(values):
            try:
                async with asyncio.timeout(interval_s):
                    await session.stopped.wait()
                break
            except TimeoutError:
                self._update(session, meter + index + 1, index + 1)
        self._stop(session, meter + values + 1, values + 1, "Remote" if session.stopped.is_set() else "Local")
        if self._running is session:
            self._running = None
        return session

    async def authorize(self, token: str) -> str | None:
        """The status heard, None if there was no answer."""
        if self.wire is None or not self._may_send.is_set():
            return None
        payload = {"idTag": token} if self.version == "1.6" else {"idToken": {"idToken": token, "type": "ISO14443"}}
        try:
            answer = await self.wire.call(self._id(), "Authorize", payload)
        except NoAnswer:
            return None
        status: str = answer["idTagInfo" if self.version == "1.6" else "idTokenInfo"]["status"]
        return status

    async def ready(self) -> None:
        """Wait until it is connected and its boot is accepted."""
        await self._may_send.wait()

    async def drained(self) -> None:
        """Wait until every message is acknowledged."""
        while self._queue:
            self._changed.clear()
            await self._changed.wait()

    def _start(self, session: _Session, meter: int) -> None:
        now = self._now()
        if self.version == "1.6":
            payload = {"connectorId": 1, "idTag": session.token, "meterStart": meter, "timestamp": now}
            self._make(session, "Started", "StartTransaction", payload)
            return
        session.station_tx_id = session.name
        self._event(session, "Started", "Authorized", 0, meter, idToken={"idToken": session.token, "type": "ISO14443"})

    def _update(self, session: _Session, meter: int, seq_no: int) -> None:
        if self.version == "1.6":
            sampled = [{"timestamp": self._now(), "sampledValue": [{"value": f"{meter}.0"}]}]
            self._make(session, "Updated", "MeterValues", {"connectorId": 1, "meterValue": sampled})
        else:
            self._event(session, "Updated", "MeterValuePeriodic", seq_no, meter)

    def _stop(self, session: _Session, meter: int, seq_no: int, reason: str) -> None:
        if self.version == "1.6":
            payload = {"meterStop": meter, "timestamp": self._now(), "reason": reason, "idTag": session.token}
            self._make(session, "Ended", "StopTransaction", payload)
        else:
            self._event(session, "Ended", "StopAuthorized", seq_no, meter, reason=reason)

    def _event(  # noqa: PLR0917
        self,
        session: _Session,
        kind: str,
        trigger: str,
        seq_no: int,
        meter: int,
        reason: str | None = None,
        **more: Any,
    ) -> None:
        info: dict[str, Any] = {"transactionId": session.name, "chargingState": "Charging"}
        if reason:
            info["stoppedReason"] = reason
        sampled = [{"timestamp": self._now(), "sampledValue": [{"value": float(meter)}]}]
        payload = {
            "eventType": kind,
            "timestamp": self._now(),
            "triggerReason": trigger,
            "seqNo": seq_no,
            "transactionInfo": info,
            "evse": {"id": 1, "connectorId": 1},
            "meterValue": sampled,
            **more,
        }
        self._make(session, kind, "TransactionEvent", payload)

    def _make(self, session: _Session, kind: str, action: str, payload: dict[str, Any]) -> None:
        if session.is_gone:
            return
        self._made += 1
        message = _Message(self._made, kind, action, payload, session)
        self.history.append(
            Created(
                station=self.identity,
                number=self._made,
                transaction=session.name,
                version=self.version,
                kind=kind,
                action=action,
                payload=json.dumps(payload),
                at=self._time(),
            )
        )
        self._queue.append(message)
        self._changed.set()

    # -- delivery --------------------------------------------------------------------------------------------------

    async def _deliver(self) -> None:
        while True:
            while not self._queue:
                self._changed.clear()
                await self._changed.wait()
            await self._may_send.wait()
            if self.wire is None or not self._queue:  # it was replaced meanwhile
                await asyncio.sleep(0.1)
                continue
            await self._attempt(self.wire, self._queue[0])

    async def _attempt(self, wire: Wire, message: _Message) -> None:
        payload = dict(message.payload)
        if self.version == "1.6" and message.kind != "Started":
            payload["transactionId"] = message.session.station_tx_id
        message_id = self._id()
        self.history.append(Attempt(self.identity, message.number, message_id, self._time()))
        try:
            answer = await wire.call(message_id, message.action, payload)
        except NoAnswer as error:
            self.history.append(Failed(self.identity, message.number, message_id, str(error), self._time()))
            await asyncio.sleep(self._source.uniform(1, 3))
            return
        self.history.append(Acknowledged(self.identity, message.number, message_id, json.dumps(answer), self._time()))
        if message.kind == "Started":
            if self.version == "1.6":
                message.session.station_tx_id = answer["transactionId"]
            info = answer.get("idTagInfo") or answer.get("idTokenInfo") or {"status": "Accepted"}
            message.session.status = info["status"]
            if info["status"] != "Accepted":
                message.session.stopped.set()
        if self._queue and self._queue[0] is message:
            self._queue.pop(0)
        self._changed.set()

    async def _obey(self, message_id: str, action: str, payload: Any) -> Any:
        self.commands.append((action, payload))
        running = self._running
        if action in ("RemoteStopTransaction", "RequestStopTransaction"):
            is_mine = running is not None and payload["transactionId"] == running.station_tx_id
            if is_mine and running:
                running.stopped.set()
            return {"status": "Accepted" if is_mine else "Rejected"}
        return {"status": "Accepted"}

    def _id(self) -> str:
        self._calls += 1
        return f"{self.identity}-{self._calls}"

    def _time(self) -> float:
        return asyncio.get_running_loop().time()

    def _now(self) -> str:
        moment = EPOCH + timedelta(seconds=self._time() + self.clock_error_s)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
