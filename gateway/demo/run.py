"""The demo: a real gateway between a simulated CSMS and six simulated stations, an outage, and the verdict."""

import asyncio
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocpp.v16 import call as v16
from rich.console import Console

from gateway.demo.checker import Report, check, read_ledger
from gateway.demo.csms import SimulatedCsms
from gateway.demo.gateway_process import DemoError, GatewayProcess
from gateway.demo.history import Acknowledged, Closed, Created, StationRecord, monotonic
from gateway.demo.physics import Car
from gateway.demo.show import LineScreen, LiveScreen, NoScreen, Screen, View, view_station
from gateway.demo.station import SimulatedStation, StationOptions

OUTAGE_S = 20.0
SHORTEST_WITH_FULL_OUTAGE_S = 45.0
READY_S = 30.0
DRAIN_S = 60.0
VERSIONS = {"CP-01": "1.6", "CP-02": "1.6", "CP-03": "1.6", "CP-04": "1.6", "CP-05": "2.0.1", "CP-06": "2.0.1"}
CADENCE = StationOptions(meter_interval_s=2.0, tick_s=0.5, retry_wait_s=2.0, reconnect_max_s=4.0, ramp_w_per_s=1_500.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """When things happen, in seconds from the moment all stations are in service."""

    cut_at: float
    restore_at: float
    stop_at: float

    @property
    def outage_s(self) -> float:
        return self.restore_at - self.cut_at

    @classmethod
    def over(cls, seconds: float) -> "Plan":
        """The outage lasts 20 s, or its share of a shorter demo."""
        outage_s = OUTAGE_S * min(1.0, seconds / SHORTEST_WITH_FULL_OUTAGE_S)
        cut_at = 0.3 * seconds
        return cls(cut_at, cut_at + outage_s, 0.9 * seconds)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`started`, `stopped`, `acknowledged`: what the stations were granted while the uplink was cut."""

    report: Report
    outage_s: float
    started: int
    stopped: int
    acknowledged: int
    exit_status: int | None

    @property
    def is_good(self) -> bool:
        return self.report.is_clean and self.started > 0 and self.stopped > 0 and self.exit_status == 0

    def as_json(self) -> dict[str, Any]:
        counts = asdict(self.report)
        findings = counts.pop("findings")
        names = ("lost", "duplicated", "out_of_order", "repeated", "lost_answers")
        return {
            "verdict": {name: counts.pop(name) for name in names},
            "counts": counts,
            "outage": {
                "seconds": round(self.outage_s, 1),
                "sessions_started": self.started,
                "sessions_stopped": self.stopped,
                "messages_acknowledged": self.acknowledged,
            },
            "findings": findings,
            "gateway_exit_status": self.exit_status,
            "ok": self.is_good,
        }

    def in_words(self) -> list[str]:
        report = self.report
        if report.is_clean:
            lines = ["Nothing was lost, nothing was doubled, everything came in order."]
        else:
            lines = [
                f"NOT GOOD: {report.lost} lost, {report.duplicated} doubled, {report.out_of_order} out of order.",
                *(f"  - {finding}" for finding in report.findings[:20]),
            ]
        lines += [
            f"{report.transactions} sessions, {report.messages} transaction messages: {report.acknowledged} were "
            f"acknowledged to the stations, {report.arrivals} arrived at the CSMS, {report.repeated} of them repeats.",
            f"While the uplink was cut for {self.outage_s:.0f} s: {self.started} sessions began, {self.stopped} ended, "
            f"{self.acknowledged} messages were acknowledged.",
            f"Answers of the CSMS that may not have been read (sent just before the cut): {report.lost_answers}; "
            "each may cost one repeat.",
        ]
        if not (self.started and self.stopped):
            lines.append("NOT GOOD: no session began and ended during the outage, so the demo proves nothing.")
        if self.exit_status != 0:
            lines.append(f"NOT GOOD: the gateway did not stop in order (exit status {self.exit_status}).")
        return lines


def granted(records: Iterable[StationRecord], since: float, until: float) -> tuple[int, int, int]:
    """Sessions begun, sessions ended, messages acknowledged: created and acknowledged in this span of time."""
    held = list(records)
    created = {(r.station, r.number): r for r in held if isinstance(r, Created) and since <= r.at <= until}
    acknowledged = [
        created[r.station, r.number]
        for r in held
        if isinstance(r, Acknowledged) and r.at <= until and (r.station, r.number) in created
    ]
    kinds = [message.kind for message in acknowledged]
    return kinds.count("Started"), kinds.count("Ended"), len(kinds)


class Demo:
    """One run in `directory`. What is seen goes to `screen`."""

    def __init__(self, seconds: float, directory: Path, screen: Screen) -> None:
        self.plan = Plan.over(seconds)
        self.csms = SimulatedCsms(validate=False, seed=1)
        self.stations: dict[str, SimulatedStation] = {}
        self.gateway: GatewayProcess | None = None
        self._directory = directory
        self._screen = screen
        self._began = monotonic()
        self._phase = "starting"
        self._cut_at: float | None = None
        self._restored_at: float | None = None
        self._status: dict[str, Any] | None = None

    async def run(self) -> Outcome:
        """Raises DemoError if the gateway fails or the script can't be played to its end."""
        async with self.csms:
            self.gateway = gateway = GatewayProcess(self._directory, self.csms.url)
            try:
                await gateway.start(READY_S)
                self._screen.say(
                    "The gateway runs with authorization offline = allow-unknown: in the outage it accepts any token."
                )
                await self._play(gateway)
            except BaseException:
                await gateway.stop()
                raise
            drained = len(self.csms.history.records)
            exit_status = await gateway.stop()
        # Everything was delivered before: that the gateway then left cost no answer.
        csms = [r for i, r in enumerate(self.csms.history.records) if i < drained or not isinstance(r, Closed)]
        records = [record for station in self.stations.values() for record in station.history.records]
        report = check(records, read_ledger(gateway.database), csms)
        assert self._cut_at is not None
        assert self._restored_at is not None
        started, stopped, acknowledged = granted(records, self._cut_at, self._restored_at)
        return Outcome(report, self.plan.outage_s, started, stopped, acknowledged, exit_status)

    async def _play(self, gateway: GatewayProcess) -> None:
        """The stations' life, the script, and somebody who watches."""
        self.stations = {
            identity: SimulatedStation(identity, gateway.url, version, seed=1, options=CADENCE)
            for identity, version in VERSIONS.items()
        }
        async with AsyncExitStack() as stack:
            for station in self.stations.values():
                await stack.enter_async_context(station)
            tasks = [asyncio.create_task(self._script()), asyncio.create_task(self._watch(gateway))]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()
            self._phase = "done"
            await self._look(gateway)

    async def _watch(self, gateway: GatewayProcess) -> None:
        """Show the state until cancelled. Raises DemoError if the gateway ends."""
        while True:
            gateway.check()
            await self._look(gateway)
            await asyncio.sleep(0.5)

    async def _look(self, gateway: GatewayProcess) -> None:
        self._status = await gateway.status()
        of_gateway = {one["id"]: one for one in self._status["stations"]} if self._status else {}
        rows = tuple(view_station(one, of_gateway.get(one.identity)) for one in self.stations.values())
        queue = self._status["queue"]["rows"] if self._status else None
        self._screen.show(View(monotonic() - self._began, self._phase_now(), rows, queue))

    def _phase_now(self) -> str:
        if self._cut_at is not None and self._restored_at is None:
            return f"uplink is cut: {monotonic() - self._cut_at:.0f} s of {self.plan.outage_s:.0f} s"
        return self._phase

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._screen.say(f"{monotonic() - self._began:5.0f} s  -- {phase}")

    async def _at(self, begin: float, second: float) -> None:
        await asyncio.sleep(max(0.0, begin + second - monotonic()))

    async def _script(self) -> None:
        plan, station = self.plan, self.stations
        self._enter("six stations boot")
        await self._all_in_service()
        begin = monotonic()
        self._enter("cars plug in; CP-03 is started by the CSMS")
        for identity, second in (("CP-01", 0.0), ("CP-02", 0.5), ("CP-05", 1.0)):
            await self._at(begin, second)
            await self._start(identity)
        answer = await self.csms.call("CP-03", v16.RemoteStartTransaction(id_tag="APP-03", connector_id=1))
        if answer.status != "Accepted":
            raise DemoError(f"the remote start of CP-03 was answered {answer.status}")

        await self._at(begin, plan.cut_at)
        self._cut_at = monotonic()
        self.csms.cut()
        self._enter(f"uplink is cut for {plan.outage_s:.0f} s")
        for share, act in ((0.25, self._start("CP-04")), (0.4, self._start("CP-06"))):
            await self._at(begin, plan.cut_at + share * plan.outage_s)
            await act
        for share, identity in ((0.6, "CP-01"), (0.75, "CP-05")):
            await self._at(begin, plan.cut_at + share * plan.outage_s)
            await station[identity].stop()
            self._screen.say(f"{monotonic() - self._began:5.0f} s  {identity} is stopped by its driver")

        await self._at(begin, plan.restore_at)
        self._restored_at = monotonic()
        self.csms.restore()
        self._enter("uplink is back; the gateway delivers what it kept")
        await self._at(begin, plan.stop_at)
        self._enter("all sessions stop")
        for one in station.values():
            await one.stop()
        await self._drain()

    async def _all_in_service(self) -> None:
        for one in self.stations.values():
            try:
                await one.changes.until(lambda one=one: one.is_accepted, READY_S)  # type: ignore[misc]
            except TimeoutError:
                raise DemoError(f"{one.identity} was not accepted within {READY_S:.0f} s") from None
        try:
            await self.csms.changes.until(lambda: self.csms.connected >= set(self.stations), READY_S)
        except TimeoutError:
            missing = ", ".join(sorted(set(self.stations) - self.csms.connected))
            raise DemoError(f"the gateway did not connect to the CSMS for {missing}") from None

    async def _start(self, identity: str) -> None:
        one = self.stations[identity]
        one.plug(1, Car(max_a=16 if one.version == "1.6" else 12, soc=40.0))
        if not await one.start(1, f"TAG-{identity[-2:]}"):
            raise DemoError(f"{identity} could not start a session")
        self._screen.say(f"{monotonic() - self._began:5.0f} s  {identity} is started by its driver")

    async def _drain(self) -> None:
        for one in self.stations.values():
            try:
                await one.drain(DRAIN_S)
            except TimeoutError:
                raise DemoError(f"{one.identity} still holds {one.queue_length} unacknowledged messages") from None
        self._enter("waiting until the gateway has delivered everything")
        deadline = monotonic() + DRAIN_S
        while self._status is None or self._status["queue"]["rows"]:
            if monotonic() > deadline:
                raise DemoError(f"the gateway has not delivered everything within {DRAIN_S:.0f} s")
            await asyncio.sleep(0.5)


async def run_demo(seconds: float, *, as_json: bool) -> int:
    """Play the demo, print its verdict, return the exit status. The directory is kept only if something failed."""
    logging.getLogger("ocpp").setLevel(logging.CRITICAL)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    console = Console()
    screen: Screen = NoScreen() if as_json else LiveScreen(console) if console.is_terminal else LineScreen(console)
    directory = Path(tempfile.mkdtemp(prefix="ocpp-demo-"))
    log_path = directory / "gateway.log"
    is_good = True
    try:
        demo = Demo(seconds, directory, screen)
        if seconds < SHORTEST_WITH_FULL_OUTAGE_S:
            screen.say(
                f"With {seconds:.0f} s in all the outage lasts {demo.plan.outage_s:.0f} s instead of {OUTAGE_S:.0f} s."
            )
        outcome = await demo.run()
        is_good = outcome.is_good
        result, lines = outcome.as_json(), outcome.in_words()
    except DemoError as error:
        is_good = False
        result, lines = {"verdict": None, "ok": False, "error": str(error)}, [f"FAILED: {error}"]
    finally:
        screen.close()
        if is_good:
            shutil.rmtree(directory, ignore_errors=True)
    if not is_good:
        result["gateway_log"] = str(log_path)
        lines.append(f"The gateway's log: {log_path}")
    sys.stdout.write((json.dumps(result) if as_json else "\n" + "\n".join(lines)) + "\n")
    return 0 if is_good else 1
