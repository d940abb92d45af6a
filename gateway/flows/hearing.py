"""What stations say in passing that the balancer wants to know. Nothing here waits."""

import logging
from dataclasses import replace
from datetime import datetime

from gateway.balancer import Report
from gateway.dialects.base import Dialect
from gateway.dialects.draws import DRAW_READERS
from gateway.dialects.profiles import REPORTING
from gateway.model.draw import Draw
from gateway.model.profile import ChargingProfile, Kind, Purpose
from gateway.model.site_tree import ConnectorKey
from gateway.rpc.codes import CallError
from gateway.rpc.frame import Call
from gateway.site import Site
from gateway.smartcharging.circuits import on_grid
from gateway.smartcharging.held import Held, Running
from gateway.smartcharging.profile_updates import use_priority
from gateway.station import Station

log = logging.getLogger(__name__)

OLD_S = 60.0
"""A reading that was made longer ago says nothing of now: it waited in the station's queue."""
_REPORT, _LIMIT, _CLEARED = "ReportChargingProfiles", "NotifyChargingLimit", "ClearedChargingLimit"
_PRIORITY = "NotifyPriorityCharging"


def hear(site: Site, station: Station, dialect: Dialect, call: Call) -> bytes | None:
    """Look at a message. The answer, if it was meant for the gateway alone."""
    is_member = site.balancer.is_member(station.id)
    if not is_member and station.id not in site.balancer.guests:
        return None
    reader = DRAW_READERS.get(dialect.name)
    if reader is not None and call.action in reader.actions:
        said = reader.read(call.action, call.payload)
        if said is not None:
            _take(site, station, said)
    elif not is_member:
        site.balancer.poke()
    elif call.action == _REPORT:
        return _report(site, station, dialect, call)
    elif call.action in (_LIMIT, _CLEARED):
        _external(site, station, dialect, call)
    elif call.action == _PRIORITY:
        _use_priority(site, station, dialect, call)
    else:
        site.balancer.poke()
    return None


def _take(site: Site, station: Station, said: Draw) -> None:
    """A transaction's first message comes before its transaction: what it says is kept until then."""
    balancer = site.balancer
    own = site.ledger.by_station_id(station.id, said.station_tx_id) if said.station_tx_id else None
    evse = said.evse or (own.evse if own and own.evse else 0)
    key = ConnectorKey(station.id, evse)
    balancer.poke()
    if balancer.tree is None or key not in balancer.tree.specs:
        return
    if said.need is not None:
        balancer.wishes[key] = said.need
        balancer.hear(key, wish=said.need, max_a=said.need.max_a)
        return
    car = balancer.cars.get(key)
    if car is None or (own is not None and own.key != car.transaction):
        return
    at = _measured_at(site, station, said.said)
    if said.amps is not None and at is not None and at >= car.measured_at:
        amps, phases = [said.amps.get(phase, 0.0) for phase in range(3)], balancer.tree.specs[key].phases
        if len(phases) == 1:  # some call it by its name in the grid
            amps = [max(amps)]
        names_all = len(phases) == 1 or all(own in said.amps for own in range(len(phases)))
        names_phases = len(phases) == 1 or said.names_phases
        measured_a = on_grid(amps, phases)
        balancer.hear(key, measured_a=measured_a, measured_at=at, names_all=names_all, names_phases=names_phases)
    if said.is_suspended is not None:
        balancer.hear(key, is_suspended=said.is_suspended)
    if said.phases is not None:
        balancer.hear(key, phases=said.phases)
    if said.cable_a is not None:
        balancer.hear(key, max_a=said.cable_a)


def _measured_at(site: Site, station: Station, said: datetime | None) -> float | None:
    """When it was measured (monotonic), by the station's own clock; None if that is long ago."""
    mono = site.clock.monotonic()
    if said is None:
        return mono
    age = (
        site.clock.now().timestamp() + site.time.offset_s(station.id) + site.time.ahead_s(station.id) - said.timestamp()
    )
    return None if age > OLD_S else mono - max(0.0, age)


def _report(site: Site, station: Station, dialect: Dialect, call: Call) -> bytes | None:
    """A report that the gateway has asked for is answered here."""
    codec = REPORTING.get(dialect.name)
    if codec is None:
        return None
    try:
        request, found, more_follow = codec.read_report(call.payload)
    except CallError:
        return None
    report: Report | None = None if request is None else site.balancer.reports.get((station.id, request))
    if report is None:
        return None
    report.found += found
    if not more_follow:
        report.done.set()
    return b"{}"


def _use_priority(site: Site, station: Station, dialect: Dialect, call: Call) -> None:
    """A driver has asked for priority at the station, or given it up: it counts as if the CSMS had said so."""
    codec = REPORTING.get(dialect.name)
    if codec is None:
        return
    try:
        wire_id, is_on = codec.read_notify_priority(call.payload)
    except CallError:
        return
    own = site.ledger.by_station_id(station.id, wire_id)
    if own is None or own.evse is None or own not in site.ledger.running(station.id):
        return
    running = Running(own.key, own.received or site.clock.now(), wire_id)
    outcome, status = use_priority(site.charging.profiles(station.id), own.evse, running, is_on)
    log.info("%s: priority charging of %s is %s: %s", station.id, wire_id, "wanted" if is_on else "over", status.value)
    site.note(site.charging.changes(station.id, outcome.changes))
    site.balancer.allowed.clear()
    site.balancer.poke()


def _external(site: Site, station: Station, dialect: Dialect, call: Call) -> None:
    """A limit the station has from elsewhere: forwarded, and held here too."""
    codec = REPORTING.get(dialect.name)
    if codec is None:
        return
    try:
        evse, source, schedule = codec.read_limit(call.payload)
    except CallError:
        return
    held = site.balancer.external.setdefault(station.id, {})
    key = f"external/{evse}/{source}"
    if call.action == _CLEARED or schedule is None:
        held.pop(key, None)
    else:
        begun = schedule if schedule.start is not None else replace(schedule, start=site.clock.now())
        profile = ChargingProfile(-1, 0, Purpose.EXTERNAL, Kind.ABSOLUTE, (begun,))
        held[key] = Held(key, evse, profile, site.clock.now(), source=source)
    site.balancer.allowed.clear()
    site.balancer.poke()
