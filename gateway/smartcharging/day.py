"""A day as it is recorded: what was known from minute to minute, and every limit that a session was told.

Lines of JSON, so that one that a power cut tore harms no other. Times are epoch seconds, currents amperes.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf

import msgspec
from msgspec import Struct

from gateway.model.balance import CapStep, CircuitReading, ConnectorFacts, ExternalCap, Share, SiteFacts
from gateway.model.ids import StationId
from gateway.model.site_tree import NO_AMPS, Amps, Binding, ConnectorKey, ConnectorSpec
from gateway.smartcharging.circuits import SiteTree, added
from gateway.smartcharging.replay import LEFT_A, Moment, Wish

STEP_S = 15.0
"""A recorded minute is played in steps of this."""
IDLE_STEP_S = 60.0
OLD_S = 20.0
"""A reading that is older was no reading of that minute."""
_USED_A = 0.5
_ALL_A, _ALL_PART = 0.5, 0.06
"""A car that takes less than its offer by no more than one of these takes all of it."""
_OWN_LIMIT = frozenset((Binding.DRAWS_LESS, Binding.SATISFIED, Binding.CAR))
"""Reasons that are the car's own: that it took all of its offer then says nothing."""


class Opening(Struct, array_like=True, frozen=True, tag="site"):
    """What does not change from minute to minute; written at the gateway's start and at the begin of each day."""

    at: int
    limits: dict[str, Amps]
    rises: dict[str, Amps]
    steps: dict[str, Amps]
    families: dict[str, str]


class Stay(Struct, array_like=True, frozen=True):
    """One connector in one minute: means of the time its transaction was there, which is `part` of the minute.

    `transaction` 0: none runs, and it is here because it is not there (`reachable`) or not managed.
    `drawn_a`: per phase of the grid, None if its station does not say.
    """

    station: str
    evse: int
    transaction: int
    told_a: float
    drawn_a: Amps | None
    why: str
    part: float = 1.0
    wants: bool = True
    reachable: bool = True
    managed: bool = True
    csms_a: float | None = None
    car_a: float | None = None
    names_phases: bool = True

    @property
    def key(self) -> ConnectorKey:
        return ConnectorKey(StationId(self.station), self.evse)


class Minute(Struct, array_like=True, frozen=True, tag="m"):
    """From `at` on for `lasts_s`. `flows`: into each metered circuit. `caps`: circuit, W, A per phase."""

    at: int
    lasts_s: int
    flows: dict[str, Amps]
    stays: tuple[Stay, ...] = ()
    caps: tuple[tuple[str, float | None, Amps | None], ...] = ()


class Told(Struct, array_like=True, frozen=True, tag="t"):
    """A session was told another limit, or for another reason."""

    at: int
    station: str
    evse: int
    transaction: int
    set_a: float
    target_a: float
    why: str


Line = Opening | Minute | Told
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encoded(lines: Iterable[Line]) -> bytes:
    """One line each, ended."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def decoded(raw: Iterable[bytes]) -> Iterator[Line]:
    """What can be read, in the order of time: a torn line, and one from before a step of the clock, is left out."""
    last = -inf
    for one in raw:
        try:
            line = _decoder.decode(one)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if isinstance(line, Minute):
            if line.at < last:
                continue
            last = line.at
        yield line


def told(raw: Iterable[bytes]) -> Iterator[Told]:
    """Only what sessions were told."""
    yield from (line for line in decoded(one for one in raw if one.startswith(b'["t"')) if isinstance(line, Told))


class Tally:
    """Sums up what is known at some moments of a minute."""

    def __init__(self) -> None:
        self._samples = 0
        self._flows: dict[str, list[Amps]] = {}
        self._stays: dict[tuple[ConnectorKey, int], list[Stay]] = {}
        self._caps: tuple[ExternalCap, ...] = ()

    @property
    def is_idle(self) -> bool:
        """Nobody charges: nothing that a replay would have to decide about."""
        return not any(transaction for _, transaction in self._stays)

    def add(self, facts: SiteFacts, shares: Iterable[Share], now: float) -> None:
        """What holds at this moment (monotonic)."""
        self._samples += 1
        self._caps = facts.caps
        for circuit, reading in facts.readings.items():
            if now - reading.at <= OLD_S:
                self._flows.setdefault(circuit, []).append(reading.current_a)
        shared = {share.key: share for share in shares}
        for one in facts.connectors:
            is_normal = one.transaction is None and one.reachable and one.managed
            if one.key in shared and not is_normal:
                stay = _stay(one, shared[one.key], now)
                self._stays.setdefault((one.key, stay.transaction), []).append(stay)

    def close(self, at: int, lasts_s: int) -> Minute:
        """The minute that began at `at` (epoch seconds)."""
        flows = {circuit: _mean(values) for circuit, values in self._flows.items()}
        stays = tuple(_together(part, self._samples) for part in self._stays.values())
        caps = tuple((cap.circuit, cap.limit_w, cap.limit_a) for cap in self._caps)
        return Minute(at, lasts_s, flows, stays, caps)


def _stay(one: ConnectorFacts, share: Share, now: float) -> Stay:
    csms = [step.amps for step in one.csms if step.at <= now]
    return Stay(
        station=one.key.station,
        evse=one.key.evse,
        transaction=one.transaction if isinstance(one.transaction, int) else 0,
        told_a=share.set_a,
        drawn_a=one.measured_a,
        why=share.why.binding.value,
        wants=one.wants,
        reachable=one.reachable,
        managed=one.managed,
        csms_a=csms[-1] if csms and csms[-1] < inf else None,
        car_a=one.car_max_a,
        names_phases=one.names_phases,
    )


def _together(parts: Sequence[Stay], samples: int) -> Stay:
    drawn = [part.drawn_a for part in parts if part.drawn_a is not None]
    return msgspec.structs.replace(
        parts[-1],
        told_a=round(sum(part.told_a for part in parts) / len(parts), 1),
        drawn_a=_mean(drawn) if drawn else None,
        part=round(len(parts) / samples, 2),
    )


def _mean(values: Sequence[Amps]) -> Amps:
    total = NO_AMPS
    for value in values:
        total = added(total, value)
    return round(total[0] / len(values), 1), round(total[1] / len(values), 1), round(total[2] / len(values), 1)


# -- played again ----------------------------------------------------------------------------------------------------


def moments(lines: Iterable[Line], tree: SiteTree, proven: Mapping[ConnectorKey, bool]) -> Iterator[Moment]:
    """The record as the allocator was told it, for a site whose tree this is; others' connectors are left out."""
    facts = SiteFacts(connectors=())
    for line in lines:
        if isinstance(line, Opening):
            facts = replace(facts, rises=line.rises, steps=line.steps)
        elif isinstance(line, Minute):
            told = {stay.key: stay.told_a for stay in line.stays if stay.transaction}
            step = STEP_S if told else IDLE_STEP_S
            for index in range(max(1, round(line.lasts_s / step))):
                at = line.at + index * step
                facts = _facts(facts, line, tree, proven, at)
                yield Moment(at, facts, told)


def _facts(
    before: SiteFacts, minute: Minute, tree: SiteTree, proven: Mapping[ConnectorKey, bool], at: float
) -> SiteFacts:
    stays: dict[ConnectorKey, Stay] = {}
    for stay in minute.stays:
        if stay.key not in stays or stay.part > stays[stay.key].part:
            stays[stay.key] = stay
    readings = dict(before.readings)
    for circuit, flow in minute.flows.items():
        below = tree.below[tree.index[circuit]] if circuit in tree.index else ()
        readings[circuit] = CircuitReading(current_a=added(flow, _away(stays.values(), set(below))), at=at)
    connectors = tuple(
        _connector(spec, stays.get(spec.key), at, is_proven=proven.get(spec.key, False)) for spec in tree.connectors
    )
    caps = tuple(
        ExternalCap(circuit=circuit, limit_w=watts, limit_a=amps)
        for circuit, watts, amps in minute.caps
        if circuit in tree.index
    )
    return replace(before, connectors=connectors, readings=readings, caps=caps)


def _away(stays: Iterable[Stay], below: Container[ConnectorKey]) -> Amps:
    """What is lacking in a minute's mean flow because cars were there for a part of it only: they count as whole."""
    lacking = NO_AMPS
    for stay in stays:
        if stay.key in below and stay.transaction and stay.drawn_a is not None:
            one, two, three = stay.drawn_a
            rest = 1 - stay.part
            lacking = added(lacking, (one * rest, two * rest, three * rest))
    return lacking


def _connector(spec: ConnectorSpec, stay: Stay | None, at: float, *, is_proven: bool) -> ConnectorFacts:
    if stay is None:
        return ConnectorFacts(key=spec.key, proven=is_proven)
    return ConnectorFacts(
        key=spec.key,
        reachable=stay.reachable,
        managed=stay.managed,
        proven=is_proven,
        has_ev=stay.transaction > 0,
        transaction=stay.transaction or None,
        wants=stay.wants,
        measured_a=_drew(stay, spec.phases) if stay.transaction else None,
        measured_at=at,
        csms=() if stay.csms_a is None else (CapStep(-inf, stay.csms_a),),
        car_max_a=stay.car_a,
        names_phases=stay.names_phases,
    )


def wishes(lines: Iterable[Line], tree: SiteTree) -> dict[tuple[ConnectorKey, object], Wish]:
    """What every car wanted, as far as the day tells: how much it could take, and where it had all it wanted."""
    seen: dict[tuple[ConnectorKey, int], list[tuple[Stay, int]]] = {}
    for stay, lasts_s in _stays(lines):
        if stay.key in tree.specs:
            seen.setdefault((stay.key, stay.transaction), []).append((stay, lasts_s))
    return {session: _wish(stays, tree, session[0]) for session, stays in seen.items()}


def _wish(stays: Sequence[tuple[Stay, int]], tree: SiteTree, key: ConnectorKey) -> Wish:
    spec = tree.specs[key]
    drew = [(stay, _drew(stay, spec.phases)) for stay, _ in stays]
    most = max(max(amps) for _, amps in drew)
    used = next(amps for _, amps in drew if max(amps) == most)
    at_most = [(stay, max(amps)) for stay, amps in drew if max(amps) >= most - LEFT_A / 2]
    took_all = sum(_took_all(stay, amps) for stay, amps in at_most) * 2 >= len(at_most)
    got_ah = sum(max(_drew(stay, spec.phases)) * stay.part * lasts_s / 3600 for stay, lasts_s in stays)
    last, at_last = drew[-1]
    is_full = most > 0 and (not last.wants or max(at_last) < min(last.told_a, most) - LEFT_A)
    phases = tuple(phase for phase in spec.phases if used[phase] > _USED_A) or spec.phases
    return Wish(spec.max_a if took_all else most, got_ah if is_full else inf, phases)


def _took_all(stay: Stay, amps: float) -> bool:
    """The car might have taken more, had it been offered more."""
    return amps >= stay.told_a - max(_ALL_A, _ALL_PART * stay.told_a) and stay.why not in _OWN_LIMIT


def _drew(stay: Stay, phases: tuple[int, ...]) -> Amps:
    """A station that does not say what flows is taken to give all it was told."""
    if stay.drawn_a is not None:
        return stay.drawn_a
    one, two, three = (stay.told_a if phase in phases else 0.0 for phase in range(3))
    return one, two, three


def recorded_ah(lines: Iterable[Line], tree: SiteTree) -> dict[ConnectorKey, float]:
    """Ampere-hours each connector was given that day, all phases together."""
    found: dict[ConnectorKey, float] = {}
    for stay, lasts_s in _stays(lines):
        spec = tree.specs.get(stay.key)
        if spec is not None:
            got = sum(_drew(stay, spec.phases)) * stay.part * lasts_s / 3600
            found[stay.key] = found.get(stay.key, 0.0) + got
    return found


def _stays(lines: Iterable[Line]) -> Iterator[tuple[Stay, int]]:
    """Of transactions, each with how long its minute lasted."""
    for line in lines:
        if isinstance(line, Minute):
            yield from ((stay, line.lasts_s) for stay in line.stays if stay.transaction)
