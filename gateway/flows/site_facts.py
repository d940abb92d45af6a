"""The site as the balancer is told of it: what is known of every connector, meter and cap at one moment."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from gateway.balancer import Allowed, Car
from gateway.core import timebase
from gateway.dialects import quirks
from gateway.flows import grace
from gateway.model.balance import CapStep, CircuitReading, ConnectorFacts, ExternalCap, SiteFacts
from gateway.model.ids import StationId
from gateway.model.metering import Quality
from gateway.model.profile import Purpose
from gateway.model.site_tree import Amps, ConnectorKey, ConnectorSpec
from gateway.model.transaction import Transaction
from gateway.site import Site
from gateway.smartcharging.book import set_a
from gateway.smartcharging.circuits import on_grid
from gateway.smartcharging.composite import Composite, composite
from gateway.smartcharging.external import CapSource, CapState, caps_now
from gateway.smartcharging.held import Held, Place, Running, Supply
from gateway.station import Station

HORIZON_S = 6 * 3600
LOOK_S = 60.0
"""A composite is made anew after this, whatever it says itself."""
BEGINS_S = 180.0
"""So long after it was offered current, a car that has not drawn any may begin to; it is woken twice meanwhile."""
_INF = float("inf")
_EMPTY = frozenset({"available", "unavailable", "faulted", "reserved"})
_FULL = frozenset({"suspendedev", "finishing"})


class Facts(NamedTuple):
    """`again_at`: when a fact changes by itself (monotonic)."""

    facts: SiteFacts
    again_at: float


def gather(site: Site) -> Facts:
    """Everything at this moment; the outcomes are taken out, for they are told once."""
    balancer, mono = site.balancer, site.clock.monotonic()
    assert balancer.tree is not None
    outcomes, balancer.outcomes = tuple(balancer.outcomes), []
    connectors = tuple(_connector(site, spec, mono) for spec in balancer.tree.connectors)
    soon = [car.since for car in balancer.cars.values() if car.since > mono]
    soon += [site.stations[name].settled_at for name in balancer.stations if name in site.stations]
    caps, caps_change_at = _caps(site, mono)
    soon.append(caps_change_at)
    return Facts(
        SiteFacts(
            connectors=connectors,
            readings=dict(_readings(site)),
            outcomes=outcomes,
            caps=caps,
            rises={name: most for name, kept in balancer.rises.items() if (most := kept.largest())},
            steps={name: most for name, kept in balancer.steps.items() if (most := kept.usual_most())},
        ),
        min((at for at in soon if at > mono), default=_INF),
    )


# -- connectors ------------------------------------------------------------------------------------------------------


def running_at(site: Site, key: ConnectorKey) -> Transaction | None:
    """The newest transaction that runs there."""
    there = [one for one in site.ledger.running(key.station) if one.evse == key.evse]
    return there[-1] if there else None


def strangers(site: Site) -> frozenset[ConnectorKey]:
    """Connectors that charge, of stations in circuits, and that are in no circuit themselves."""
    plan, balancer = site.balancer.plan, site.balancer
    known = {spec.key for spec in plan.connectors} if plan else set()
    there = (
        ConnectorKey(name, own.evse) for name in balancer.stations for own in site.ledger.running(name) if own.evse
    )
    return frozenset(key for key in there if key not in known)


def identity_of(station: Station) -> str:
    """What its fallback was checked with: another charger or firmware is checked anew."""
    vendor, model = quirks.model_of(station.record.boot) or ("", "")
    return "|".join((vendor, model, quirks.serial_of(station.record.boot), quirks.firmware_of(station.record.boot)))


def is_managed(site: Site, key: ConnectorKey) -> bool:
    tree, row, station = site.balancer.tree, site.charging.connector(key), site.stations.get(key.station)
    if tree is None or station is None or row.checked is None or key.station in site.balancer.unfit:
        return False
    return row.checked == identity_of(station) and row.fallback_a == tree.fallback_a[key]


def _connector(site: Site, spec: ConnectorSpec, mono: float) -> ConnectorFacts:
    key, balancer = spec.key, site.balancer
    station, ceiling_a = site.stations.get(key.station), balancer.noted.get(spec.key)
    assert balancer.plan is not None
    assert balancer.tree is not None
    row = site.charging.connector(key)
    if station is None:
        return ConnectorFacts(key=key, reachable=False, managed=False, ceiling_a=ceiling_a)
    transaction, car = _car(site, station, key, mono)
    may_write = transaction is not None and car is not None and mono >= car.since
    allowed = _allowed(site, key, transaction, mono)
    tells_empty, tells_full = _status(station, key.evse)
    tells_full = tells_full or (car is not None and car.is_suspended)
    if not tells_full:
        balancer.full.pop(key, None)
    return ConnectorFacts(
        key=key,
        reachable=grace.is_open(site, station) and not station.is_held,
        managed=is_managed(site, key),
        proven=balancer.plan.is_proven(key.station),
        has_ev=transaction is not None or not tells_empty or key.station in balancer.guests,
        transaction=transaction.key if transaction is not None and may_write else None,
        wants=not (tells_full and _is_full(site, key, car, mono)),
        measured_a=car.measured_a if car else None,
        measured_at=car.measured_at if car else -_INF,
        names_phases=car is None or car.names_phases,
        csms=_held_still(site, key, allowed.steps),
        car_max_a=car.max_a if car else None,
        car_phases=_phases(spec, car),
        phase_cap=allowed.phases,
        need=balancer.need(key, mono, site.clock.now().timestamp(), balancer.plan.policy.voltage_v),
        ceiling_a=balancer.tree.fallback_a[key] if ceiling_a is None and row.checked is not None else ceiling_a,
        adopted_a=car.adopted_a if car else None,
    )


def _phases(spec: ConnectorSpec, car: Car | None) -> int | None:
    """A phase that its station says nothing of may bear as much as the others: that it is free is not to be learned."""
    if car is None or car.phases is not None or car.names_all:
        return car.phases if car else None
    return len(spec.phases)


def _held_still(site: Site, key: ConnectorKey, steps: tuple[CapStep, ...]) -> tuple[CapStep, ...]:
    """While a drill is under way nothing is raised there."""
    drill = site.balancer.drills.get(key)
    if drill is None or drill.verdict is not None:
        return steps
    return tuple(CapStep(step.at, min(step.amps, drill.value_a)) for step in steps) or (CapStep(-_INF, drill.value_a),)


def _status(station: Station, evse: int) -> tuple[bool, bool]:
    """Whether it says that no car is there, and that its car is full. One that has said nothing yet may have a car."""
    said = [report.status.casefold() for (number, _), report in station.connectors.items() if number == evse]
    return bool(said) and all(one in _EMPTY for one in said), any(one in _FULL for one in said)


def _is_full(site: Site, key: ConnectorKey, car: Car | None, mono: float) -> bool:
    """Whether a station that blames the car is believed: every car takes a while to begin, and 0 A is nobody's wish."""
    balancer = site.balancer
    memory = balancer.state.connectors.get(key) if balancer.state else None
    if car is None or memory is None or memory.transaction != car.transaction or balancer.tree is None:
        return False
    offered_at = car.since if memory.resumed_at is None else memory.resumed_at
    drew_at = memory.seen.drew_at
    if set_a(memory.book, balancer.tree.fallback_a[key]) > 0 and (
        mono - offered_at >= BEGINS_S or (drew_at is not None and drew_at >= offered_at)
    ):
        balancer.full[key] = car.transaction
    return balancer.full.get(key) == car.transaction


def _car(site: Site, station: Station, key: ConnectorKey, mono: float) -> tuple[Transaction | None, Car | None]:
    """The transaction and what is known of its car; what came with another transaction is forgotten."""
    balancer, transaction = site.balancer, running_at(site, key)
    if transaction is None:
        balancer.cars.pop(key, None)
        return None, None
    car = balancer.cars.get(key)
    if car is None or car.transaction != transaction.key:
        delay_s = balancer.plan.family(key.station).start_delay_s if balancer.plan else 0.0
        is_old = balancer.decision is None
        wish = balancer.wishes.pop(key, None)
        car = Car(transaction=transaction.key, since=_INF, wish=wish, max_a=wish.max_a if wish else None)
        balancer.cars[key] = car
        if is_old and transaction.station_tx_id is not None:
            delay_s = 0.0
        balancer.cars[key] = car = replace(car, since=mono + delay_s)
    if transaction.station_tx_id is None:
        # No id to write under yet; the wait begins with the answer that brings one.
        delay_s = balancer.plan.family(key.station).start_delay_s if balancer.plan else 0.0
        balancer.cars[key] = car = replace(car, since=mono + max(delay_s, 0.1))
    return transaction, car


# -- what the CSMS allows --------------------------------------------------------------------------------------------


def place_of(site: Site, key: ConnectorKey, transaction: Transaction | None) -> Place:
    """Where a profile for this connector holds."""
    balancer = site.balancer
    assert balancer.tree is not None
    assert balancer.plan is not None
    car, volts = balancer.cars.get(key), balancer.plan.policy.voltage_v
    spec = balancer.tree.specs[key]
    phases = (car.phases if car else None) or len(spec.phases)
    supply = Supply(phases, volts, volts, can_switch=spec.switchable)
    station = site.stations.get(key.station)
    since = balancer.offline_since.get(key.station)
    offline = None if since is None else site.clock.now() - timedelta(seconds=site.clock.monotonic() - since)
    running = None if transaction is None or station is None else running_of(site, station, transaction)
    return site.charging.profiles(key.station).place(key.evse, supply, running, offline)


def running_of(site: Site, station: Station, transaction: Transaction) -> Running:
    """`started` by the gateway's clock, on which profiles are reckoned."""
    gives = station.port.dialect.csms_gives_tx_ids if station.port else transaction.upstream_tx_id is not None
    upstream = transaction.upstream_tx_id
    wire_id = (None if upstream is None else str(upstream)) if gives else transaction.station_tx_id
    return Running(transaction.key, transaction.received or site.clock.now(), wire_id)


def held_of(site: Site, station: StationId) -> tuple[Held, ...]:
    """All that limits it but the gateway: the CSMS's profiles, and what the station has from elsewhere."""
    return (*site.charging.profiles(station).held, *site.balancer.external.get(station, {}).values())


def allowed_by_csms(site: Site, key: ConnectorKey, transaction: Transaction | None, horizon_s: int) -> Composite:
    """C(t) of a connector. The maximum of a station with an own circuit is a cap on that circuit instead."""
    held = held_of(site, key.station)
    if site.balancer.plan and key.station in site.balancer.plan.own_circuit:
        held = tuple(one for one in held if one.profile.purpose is not Purpose.STATION_MAX)
    return composite(held, place_of(site, key, transaction), site.clock.now(), horizon_s)


def _allowed(site: Site, key: ConnectorKey, transaction: Transaction | None, mono: float) -> Allowed:
    balancer = site.balancer
    profiles, since = site.charging.profiles(key.station), balancer.offline_since.get(key.station)
    car = balancer.cars.get(key)
    basis = (profiles, transaction, since, car.phases if car else None, len(balancer.external.get(key.station, ())))
    known = balancer.allowed.get(key)
    if known is not None and known.basis == basis and mono < known.until:
        return known
    found = Allowed(basis, mono + LOOK_S, (), 3)
    if held_of(site, key.station):
        allowed = allowed_by_csms(site, key, transaction, HORIZON_S)
        now = site.clock.now()
        steps = tuple(
            CapStep(mono + (step.at - now).total_seconds(), _INF if step.limit_a is None else step.limit_a)
            for step in allowed.steps
        )
        until = mono + min(LOOK_S, (allowed.look_again - now).total_seconds())
        found = Allowed(basis, until, steps, allowed.now.phases)
    balancer.allowed[key] = found
    return found


# -- meters and caps -------------------------------------------------------------------------------------------------


def _readings(site: Site) -> Iterator[tuple[str, CircuitReading]]:
    """The last believed currents of each metered circuit, with the age of the oldest part."""
    for circuit in site.meters.circuits.values():
        state = site.meters.states.get(circuit.meter) if circuit.meter else None
        if state is None:
            continue
        held = [state.current_a[phase - 1] for phase in circuit.phases]
        if not held or any(one is None for one in held):
            continue
        known = [one for one in held if one is not None]
        values = dict(zip(circuit.phases, (one.value for one in known), strict=True))
        yield (
            circuit.id,
            CircuitReading(
                current_a=on_grid([values.get(phase, 0.0) for phase in (1, 2, 3)], (0, 1, 2)),
                at=min(one.at for one in known),
                interval_s=state.interval_s or 1.0,
                bad_in_a_row=state.bad_in_a_row,
                suspect=state.quality is Quality.SUSPECT,
            ),
        )


def _caps(site: Site, mono: float) -> tuple[tuple[ExternalCap, ...], float]:
    """Caps from outside, fail-safes of sources that are silent, and the CSMS's maxima of whole stations."""
    balancer, now = site.balancer, site.clock.now()
    assert balancer.plan is not None
    sources = {source.name: source for source in balancer.plan.sources}
    states = {source.name: CapState(heard_at=balancer.state.started) for source in sources.values() if balancer.state}
    for name, row in site.charging.caps.items():
        sources.setdefault(name, CapSource(name=name, circuit=row.circuit))
        kept, at = balancer.caps_heard.get(name, (None, 0.0))
        heard_at = at if kept == row else mono - (now - row.received).total_seconds()
        states[name] = CapState(
            heard_at=heard_at,
            limit_w=row.limit_w,
            limit_a=_amps(row.limit_a),
            until=heard_at + (row.until - row.received).total_seconds(),
        )
    for name, before in balancer.cap_states.items():
        if name in states:
            states[name] = replace(states[name], failsafe_until=before.failsafe_until)
    found = caps_now(sources.values(), states, mono)
    balancer.cap_states = dict(found.states)
    return (*found.caps, *_station_maxima(site)), found.change_at


def _station_maxima(site: Site) -> Iterator[ExternalCap]:
    """Of stations with a circuit of their own; and, where the site is one station to the CSMS, of the whole site."""
    plan, now, whole = site.balancer.plan, site.clock.now(), site.columns.whole
    places = list(plan.own_circuit.items()) if plan else []
    if plan and whole is not None:
        places += [(whole, node.id) for node in plan.circuits if node.parent is None]
    for station, circuit in places:
        maxima = [one for one in held_of(site, station) if one.profile.purpose is Purpose.STATION_MAX]
        if maxima and plan:
            volts = plan.policy.voltage_v
            limit = composite(maxima, Place(0, Supply(3, volts, volts)), now, 60).now.limit_a
            if limit is not None:
                yield ExternalCap(circuit=circuit, limit_a=(limit, limit, limit))


def _amps(values: tuple[float, ...] | None) -> Amps | None:
    if values is None:
        return None
    one, two, three = values
    return one, two, three


def station_now(site: Site, station: Station) -> float:
    """The station's own clock, in epoch seconds: the time it was given, and how far it is off that."""
    return site.clock.now().timestamp() + site.time.offset_s(station.id) + site.time.ahead_s(station.id)


def started_at(site: Site, transaction: Transaction) -> float:
    """When it began, by its station's own clock."""
    said = timebase.read_time(transaction.started) if transaction.started else None
    if said is not None:
        return said.timestamp()
    return (transaction.received or site.clock.now()).timestamp()
