"""Walk 3: a reading, a plug, an answer, a profile or a timer; a decision; at most one profile a station.

All of them take the same path. What is decided is in `smartcharging`; here it is told what is, and done what it says.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.dialects import quirks
from gateway.flows import profile_writes, site_facts
from gateway.flows.profile_limits import limits_of
from gateway.model.balance import Alarm, AlarmKind, CircuitReading, Remedy, Rung
from gateway.model.ids import StationId, TransactionKey
from gateway.model.reasons import AlarmKind as SiteAlarm
from gateway.model.records import Approval, BackgroundRow, Change, Put
from gateway.model.site_tree import ConnectorKey
from gateway.ports import StationPort
from gateway.site import Site
from gateway.smartcharging import profiles, session_log
from gateway.smartcharging.day import Told
from gateway.smartcharging.decide import Decision, State, decide
from gateway.smartcharging.families import of_boot
from gateway.smartcharging.history import Rises, Steps
from gateway.station import Station

log = logging.getLogger(__name__)

LONGEST_S = 1.0
"""A decision is never older than this."""
LEAST_S = 0.02
"""What happens at once shares one decision."""
METERS_COME_S = 15.0
"""After a start, a meter may need so long to say something."""
REST = 4.0
"""At a large site a decision takes its time: the gateway has this many times as much for everything else."""
PRESSED_EVERY_S, PRESSED_TIMES, PRESSED_LATER_S = 5.0, 12, 60.0
"""A station that does not obey is asked so often what it draws, and stopped again: for a minute, then once a minute."""
SAVED_EVERY_S = 3600.0
"""How the background moves is kept this often."""
WORDS = {
    AlarmKind.METER_BLIND: "its meter says nothing that counts: the chargers have their safe minimum",
    AlarmKind.METER_DOUBTED: "its meter sees less than the chargers draw: reversed, on other phases, or a generator",
    AlarmKind.DISOBEDIENT: "it draws more than it was told",
    AlarmKind.OVERLOAD: "over its limit in spite of everything",
    AlarmKind.BACKGROUND: "the other loads draw more than background_a says",
    AlarmKind.SLEEPY: "its car does not wake up after a pause",
}


async def run(site: Site) -> None:
    """Decide again and again; ends by cancellation. Without a tree there is nothing to do."""
    balancer = site.balancer
    if balancer.tree is None:
        return
    balancer.state = State(started=site.clock.monotonic())
    _lodge_known(site)
    rows = {key: site.charging.connector(key) for key in balancer.tree.specs}
    balancer.noted = {key: row.ceiling_a for key, row in rows.items() if row.ceiling_a is not None}
    for name in balancer.stations:  # whose end the last life had no time to write down
        site.note(site.charging.over(name, {own.key for own in site.ledger.running(name)}))
    _load_history(site)
    meters = asyncio.create_task(_hear_meters(site), name="meters of the balancer")
    writing: set[asyncio.Task[None]] = set()
    loop = _Loop(site, writing)
    try:
        while True:
            balancer.woken.clear()
            began = site.clock.monotonic()
            try:
                loop.turn()
            except Exception:  # a defect here must not end the balancing for good
                log.exception("the balancer failed to decide")
            took_s = site.clock.monotonic() - began
            await asyncio.sleep(min(max(LEAST_S, REST * took_s), LONGEST_S / 4))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(LEAST_S, loop.wake_at - site.clock.monotonic())):
                    await balancer.woken.wait()
    finally:
        meters.cancel()
        for task in writing:
            task.cancel()
        await asyncio.gather(meters, *writing, return_exceptions=True)


def _lodge_known(site: Site) -> None:
    """Stations in no circuit count before they are back; where listeners have different circuits, when they come."""
    balancer = site.balancer
    lodgings = balancer.plan.lodgings if balancer.plan else ()
    if len({lodging.circuit for lodging in lodgings}) != 1:
        return
    for station in site.stations.values():
        if station.record.approval not in (Approval.UNKNOWN, Approval.REJECTED):
            refused = balancer.lodge(station.id, max(lodgings, key=lambda one: one.rating_a))
            if refused is not None:
                log.warning("%s: is not served when it comes: %s", station.id, refused)


async def _hear_meters(site: Site) -> None:
    revision = site.meters.revision
    while True:
        revision = await site.meters.changed(revision)
        site.balancer.poke()


class _Loop:
    """One decision after another."""

    def __init__(self, site: Site, writing: set[asyncio.Task[None]]) -> None:
        self._site = site
        self._writing = writing
        self._alarms: frozenset[Alarm] = frozenset()
        self._running: dict[ConnectorKey, TransactionKey] = {}
        self._read_at: dict[str, float] = {}
        self._pressed: dict[str, tuple[int, float]] = {}
        self._saved_at = site.clock.monotonic()
        self._boots: dict[StationId, bytes | None] = {}
        self.wake_at = 0.0

    def turn(self) -> None:
        """Facts, decision, and what follows from it."""
        site, balancer = self._site, self._site.balancer
        assert balancer.tree is not None
        assert balancer.plan is not None
        assert balancer.state is not None
        self._follow_boots()
        self._follow_links()
        balancer.count(site_facts.strangers(site))
        self._follow_transactions()
        now = site.clock.monotonic()
        told = site_facts.gather(site)
        balancer.facts = told.facts
        decision = decide(balancer.tree, told.facts, balancer.state, balancer.plan.policy, now)
        balancer.state, balancer.decision = decision.state, decision
        self.wake_at = min(now + LONGEST_S, decision.wake_at, told.again_at)
        for made in decision.writes:
            self._start(profile_writes.write(site, made, self._running.get(made.key)))
        self._log_sessions(decision, now)
        self._lower_ceilings(decision)
        self._alarm(decision)
        self._learn(decision, told.facts.readings)
        self._keep(now)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    def _follow_boots(self) -> None:
        """A station is of the family that its boot speaks for."""
        site = self._site
        for name in site.balancer.stations:
            station = site.stations.get(name)
            boot = station.record.boot if station else None
            if boot is None or boot is self._boots.get(name):
                continue
            self._boots[name] = boot
            vendor, model = quirks.model_of(boot) or ("", "")
            site.balancer.sort(name, of_boot(vendor, model, quirks.firmware_of(boot)))

    # -- what the CSMS's profiles follow -----------------------------------------------------------------------------

    def _follow_links(self) -> None:
        site, balancer = self._site, self._site.balancer
        for name in balancer.stations:
            station = site.stations.get(name)
            if station is None:
                continue
            if site.is_linked(station):
                since = balancer.offline_since.pop(name, None)
                if since is not None:
                    outcome = profiles.expire(site.charging.profiles(name), site.clock.now(), _moment(site, since))
                    site.note(site.charging.changes(name, outcome.changes))
            else:
                balancer.offline_since.setdefault(name, site.clock.monotonic())

    def _follow_transactions(self) -> None:
        """A transaction that begins takes over its remote start's profile; one that ends takes its own along."""
        site, balancer = self._site, self._site.balancer
        assert balancer.tree is not None
        for key in {**balancer.tree.specs, **self._running}:
            transaction = site_facts.running_at(site, key)
            before, after = self._running.get(key), transaction.key if transaction else None
            if after not in (None, before) and site.stations[key.station].uncommitted:
                transaction = after = None  # what can't be written never began
            if before == after:
                continue
            known = site.charging.profiles(key.station)
            if before is not None:
                balancer.sessions.pop(key, None)
                site.note(site.charging.changes(key.station, profiles.ended(known, before).changes))
            if transaction is None:
                del self._running[key]
                continue
            self._running[key] = transaction.key
            station = site.stations[key.station]
            if any(held.waits_until is not None for held in known.held) and station.port is not None:
                started = profiles.started(
                    site.charging.profiles(key.station),
                    key.evse,
                    site_facts.running_of(site, station, transaction),
                    limits_of(balancer, station.id, by_id=not station.port.dialect.csms_gives_tx_ids),
                    site.clock.now(),
                    token=transaction.token.casefold() if transaction.token else None,
                )
                site.note(site.charging.changes(key.station, started.changes))

    # -- what follows from a decision --------------------------------------------------------------------------------

    def _log_sessions(self, decision: Decision, now: float) -> None:
        """What each session was told, and why not more: a line for each change."""
        logs = self._site.balancer.sessions
        before = {key: kept[-1] for key, kept in logs.items() if kept}
        running = frozenset(key for key in self._running if self._site.balancer.is_member(key.station))
        for line in session_log.lines(before, decision.shares, running, now):
            logs.setdefault(line.key, deque(maxlen=session_log.KEPT)).append(line)
            at, number = int(self._site.clock.now().timestamp()), self._running[line.key]
            told = Told(at, line.key.station, line.key.evse, number, line.set_a, round(line.target_a, 1), line.why)
            self._site.balancer.unrecorded.append(told)
            log.info("%s: transaction %d is told %g A of %g A planned (%s)",
                     line.key, self._running[line.key], line.set_a, line.target_a, line.why)  # fmt: skip

    def _lower_ceilings(self, decision: Decision) -> None:
        charging = self._site.charging
        changes: list[Change] = []
        for key, amps in decision.ceilings.items():
            row = charging.connector(key)
            if row.ceiling_a != amps:
                changes.append(Put(replace(row, ceiling_a=amps)))
                self._site.balancer.noted[key] = amps
        self._site.note(changes)

    def _alarm(self, decision: Decision) -> None:
        """Alarms stand as long as decisions carry them; each is logged once, and its remedy tried once."""
        site, standing = self._site, frozenset(decision.alarms)
        if site.clock.monotonic() - decision.state.started < METERS_COME_S:
            standing = frozenset(one for one in standing if one.kind is not AlarmKind.METER_BLIND)
        for alarm in standing - self._alarms:
            log.error("alarm %s: %s: %s", alarm.kind.value, alarm.subject, WORDS[alarm.kind])
            if alarm.kind is AlarmKind.DISOBEDIENT:
                self._start(_remedy(site, alarm))
        for alarm in self._alarms - standing:
            if not any((one.kind, one.subject) == (alarm.kind, alarm.subject) for one in standing):
                log.warning("alarm %s is over: %s", alarm.kind.value, alarm.subject)
        self._press(standing)
        self._alarms = standing
        said = sorted({f"{one.subject}: {WORDS[one.kind]}" for one in standing} | set(site.balancer.problems()))
        if said:
            site.upkeep.raise_alarm(SiteAlarm.BALANCING, "; ".join(said), site.clock.now())
        else:
            site.upkeep.clear_alarm(SiteAlarm.BALANCING)

    def _press(self, standing: frozenset[Alarm]) -> None:
        """Its next reading may be a minute away, or the call to stop it lost: it is asked, and stopped again."""
        now = self._site.clock.monotonic()
        disobedient = {alarm.subject: alarm for alarm in standing if alarm.kind is AlarmKind.DISOBEDIENT}
        self._pressed = {subject: pressed for subject, pressed in self._pressed.items() if subject in disobedient}
        for subject, alarm in disobedient.items():
            times, due_at = self._pressed.get(subject, (0, now))
            is_stopped = alarm.remedy is Remedy.STOP and alarm not in self._alarms
            if now < due_at and not is_stopped:
                continue
            self._pressed[subject] = times + 1, now + (PRESSED_EVERY_S if times < PRESSED_TIMES else PRESSED_LATER_S)
            if alarm.remedy is Remedy.STOP and not is_stopped:
                self._start(_remedy(self._site, alarm))
            self._start(_ask(self._site, subject))

    def _learn(self, decision: Decision, readings: Mapping[str, CircuitReading]) -> None:
        """How the background moves from reading to reading, as long as it is measured."""
        balancer = self._site.balancer
        assert balancer.tree is not None
        for node, background in zip(balancer.tree.circuits, decision.backgrounds, strict=True):
            reading = readings.get(node.id)
            if reading is None or background.rung is not Rung.NORMAL or reading.at == self._read_at.get(node.id):
                continue
            self._read_at[node.id] = reading.at
            balancer.rises[node.id] = balancer.rises.get(node.id, Rises()).observe(background.now, reading.at)
            balancer.steps[node.id] = balancer.steps.get(node.id, Steps()).observe(background.now, reading.at)

    def _keep(self, now: float) -> None:
        """Now and then: what was learned is written down, and profiles that can never hold again are forgotten."""
        balancer, site = self._site.balancer, self._site
        if now - self._saved_at >= SAVED_EVERY_S:
            self._saved_at = now
            site.note([Put(_history_row(site, name)) for name in balancer.rises])
            for name in (*balancer.stations, *(() if site.columns.whole is None else (site.columns.whole,))):
                over = profiles.expire(site.charging.profiles(name), site.clock.now())
                site.note(site.charging.changes(name, over.changes))


def _moment(site: Site, mono: float) -> datetime:
    return site.clock.now() - timedelta(seconds=site.clock.monotonic() - mono)


def _history_row(site: Site, circuit: str) -> BackgroundRow:
    """Times are of this life of the gateway, so only what does not depend on them is kept."""
    rises, steps = site.balancer.rises[circuit], site.balancer.steps[circuit]
    kept = Rises(rises.days, rises.recorded_s, rises.today_s)
    return BackgroundRow(circuit, msgspec.json.encode(kept), msgspec.json.encode(Steps(steps.counts)))


def _load_history(site: Site) -> None:
    for circuit, row in site.charging.backgrounds.items():
        try:
            site.balancer.rises[circuit] = msgspec.json.decode(row.rises, type=Rises)
            site.balancer.steps[circuit] = msgspec.json.decode(row.steps, type=Steps)
        except ValueError as error:
            log.error("circuit %s: its record can't be read and begins anew: %s", circuit, error)


def _place_of(site: Site, subject: str) -> tuple[ConnectorKey, Station, StationPort] | None:
    """The connector an alarm is about; None if its station is not there."""
    specs = site.balancer.tree.specs if site.balancer.tree else ()
    key = next((key for key in specs if str(key) == subject), None)
    station = site.stations.get(key.station) if key else None
    if key is None or station is None or station.port is None:
        return None
    return key, station, station.port


async def _remedy(site: Site, alarm: Alarm) -> None:
    """A station that draws more than it was told: told again, told otherwise, stopped."""
    found = _place_of(site, alarm.subject)
    if found is None:
        return
    key, station, port = found
    transaction = site_facts.running_at(site, key)
    if alarm.remedy is Remedy.STOP and transaction is not None and transaction.station_tx_id is not None:
        log.error("%s: stopped, because it does not obey its limit", key)
        await port.call(*port.dialect.codec.remote_stop(transaction.station_tx_id))
    elif alarm.remedy in (Remedy.RESEND, Remedy.OTHER_PURPOSE):
        await profile_writes.resend(site, station, key, as_default=alarm.remedy is Remedy.OTHER_PURPOSE)


async def _ask(site: Site, subject: str) -> None:
    """What it draws now; a station that can't say so answers as it likes."""
    found = _place_of(site, subject)
    if found is not None:
        key, _station, port = found
        await port.call(
            *port.dialect.codec.trigger_readings(key.evse), send_by=site.clock.monotonic() + PRESSED_EVERY_S
        )
