"""Meters and circuits of the configuration file: tables with names, `[meter.NAME]` and `[circuit.NAME]`.

What a meter's driver wants to know is checked by the driver itself; its words are passed on.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field, SerializeAsAny, ValidationError

from drivers import registry
from drivers.options import Options, OptionsError, Places
from gateway.config_mistakes import Mistake, dotted, quoted, translated
from gateway.config_section import Clash, Section
from gateway.config_values import Context
from gateway.model.ids import CircuitId, MeterId

_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}")
_AMPERES = "Write amperes a phase, more than 0 and at most 10000: the circuit's fuse."
PhaseNames = Literal["L1L2L3", "L1L2", "L1L3", "L2L3", "L1", "L2", "L3"]

S = TypeVar("S", bound=Section)


class MeterChecks(Section):
    """The gateway's own keys of a meter: what its values are judged by."""

    nominal_v: float = Field(
        default=230.0, ge=50, le=1000, description="Write the volts between a phase and neutral, such as 230."
    )
    frozen_check: bool = Field(
        default=True, description="Write false only for a meter whose values may stand still for half a minute."
    )


class Meter(MeterChecks):
    """A meter, and what its driver was told."""

    id: MeterId
    options: SerializeAsAny[Options]


class CircuitKeys(Section):
    """The keys of a circuit."""

    limit_a: float = Field(gt=0, le=10_000, description=_AMPERES)
    limit_w: float | None = Field(
        default=None,
        gt=0,
        le=10_000_000,
        description="Write watts over all phases, more than 0; left out: no such limit.",
    )
    parent: str | None = Field(default=None, description="Name the circuit that feeds this one; left out: none does.")
    meter: str | None = Field(default=None, description="Name the meter that measures all of this circuit, if any.")
    phases: PhaseNames = "L1L2L3"
    limits_a: tuple[float, float, float] | None = Field(
        default=None,
        strict=False,
        description="Write amperes of L1, L2 and L3 where they differ, such as [63, 63, 50].",
    )
    background_a: float | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="Write the most amperes a phase that other loads than chargers draw here; 0 if there are none.",
    )
    imbalance_a: float | None = Field(
        default=None, gt=0, le=10_000, description="Write the most amperes between two phases, such as 20."
    )
    overload: float = Field(
        default=1.13, ge=1, le=1.13, description="Write how many times limit_a its fuse bears for an hour, 1 to 1.13."
    )
    generates: bool = Field(default=False, description="Write true if something here may feed in: PV, a battery.")

    def clashes(self) -> Iterator[Clash]:
        if self.limits_a and not all(0 < one <= self.limit_a for one in self.limits_a):
            yield Clash(("limits_a", "limit_a"), "a phase has more than limit_a, or nothing", "Correct one of the two.")


class Circuit(CircuitKeys):
    id: CircuitId

    @property
    def phase_numbers(self) -> tuple[int, ...]:
        return tuple(int(digit) for digit in self.phases.split("L")[1:])


@dataclass(slots=True)
class Read(Generic[S]):
    """What was found of one kind of section, by name."""

    sections: dict[str, S] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    """Of all there are, good or not."""
    mistakes: list[Mistake] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, path: str, problem: str, remedy: str) -> None:
        self.mistakes.append(Mistake(path, problem, remedy))


def read_meters(raw: object, context: Context) -> Read[Meter]:
    """Every `[meter.NAME]`."""
    read: Read[Meter] = Read()
    for name, table in _named(raw, "meter", read):
        where = dotted("meter", name)
        own = {key: value for key, value in table.items() if key in MeterChecks.model_fields}
        checks = _section(MeterChecks, own, where, context, read.mistakes)
        theirs = {key: value for key, value in table.items() if key not in own}
        try:
            options = registry.checked(theirs, Places(context.folder))
        except OptionsError as error:
            read.mistakes += [_told(where, each.keys, each.problem, each.remedy) for each in error.mistakes]
            continue
        read.warnings += [f"{where}: {caution}" for caution in options.cautions()]
        read.sections[name] = Meter.model_construct(**dict(checks), id=MeterId(name), options=options)
    for clash in registry.conflicts({name: meter.options for name, meter in read.sections.items()}):
        read.refuse(f"{dotted('meter', clash.meter)}.{clash.key}", clash.problem, clash.remedy)
    return read


def read_circuits(raw: object, context: Context, meters: Read[Meter]) -> Read[Circuit]:
    """Every `[circuit.NAME]`."""
    read: Read[Circuit] = Read()
    for name, table in _named(raw, "circuit", read):
        keys = _section(CircuitKeys, table, dotted("circuit", name), context, read.mistakes)
        circuit = read.sections[name] = Circuit.model_construct(**dict(keys), id=CircuitId(name))
        if {"limits_a", "limit_a"} <= circuit.model_fields_set:
            read.mistakes += [
                Mistake(f"{dotted('circuit', name)}.{clash.keys[0]}", clash.problem, clash.remedy)
                for clash in circuit.clashes()
            ]
    _check_meters(read, meters)
    _check_parents(read)
    return read


def read_named(model: type[S], raw: object, kind: str, context: Context) -> Read[S]:
    """Every `[kind.NAME]` of a section without relations to others."""
    read: Read[S] = Read()
    for name, table in _named(raw, kind, read):
        before = len(read.mistakes)
        section = _section(model, table, dotted(kind, name), context, read.mistakes)
        if len(read.mistakes) == before:
            read.sections[name] = section
            clashes = [(dotted(kind, name, clash.keys[0]), clash) for clash in section.clashes()]
            read.mistakes += [Mistake(place, clash.problem, clash.remedy) for place, clash in clashes]
    return read


def _named(raw: object, kind: str, read: Read[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    how = f"Write [{kind}.NAME] with a name of your own, its keys below it."
    if not isinstance(raw, dict):
        read.refuse(kind, "has no name" if raw else "is empty", how)
        return
    for name, table in raw.items():
        where = dotted(kind, name)
        if not isinstance(table, dict):
            read.refuse(where, f"is not a section: a {kind} has a name", how)
        elif not _NAME.fullmatch(name):
            read.refuse(where, "is no name", 'Use 1 to 48 letters, digits, "-" and "_".')
        else:
            read.names.append(name)
            yield name, table


def _section(model: type[S], table: Mapping[str, Any], where: str, context: Context, mistakes: list[Mistake]) -> S:
    """The keys that are right; for the others a default, so that the rest can still be judged."""
    try:
        return model.model_validate(table, context=context)
    except ValidationError as errors:
        details = errors.errors(include_url=False)
        mistakes += [translated(detail, model, where) for detail in details]
        bad = {detail["loc"][0] for detail in details}
        return model.model_construct(**{key: value for key, value in table.items() if key not in bad})


def _told(where: str, keys: tuple[str | int, ...], problem: str, remedy: str) -> Mistake:
    """A driver's words; it does not know the gateway's own keys, which may be what was meant."""
    place = ".".join(filter(None, (where, dotted(*keys))))
    near = difflib.get_close_matches(str(keys[0]).lower()[:60], list(MeterChecks.model_fields), n=1) if keys else []
    if near and "not a known key" in problem:
        remedy = f"Write {near[0]}, if that is meant."
    return Mistake(place, problem, remedy)


def _check_meters(read: Read[Circuit], meters: Read[Meter]) -> None:
    owners: dict[str, str] = {}
    for name, circuit in read.sections.items():
        if circuit.meter is None:
            continue
        where = f"{dotted('circuit', name)}.meter"
        if circuit.meter not in meters.names:
            read.refuse(where, f"there is no meter {quoted(circuit.meter)}", _one_of("meter", meters.names))
        elif (meter := meters.sections.get(circuit.meter)) and (unfit := meter.options.unfit()):
            read.refuse(where, f"{quoted(circuit.meter)} is no use here: {unfit.problem}", unfit.remedy)
        elif (owner := owners.setdefault(circuit.meter, name)) != name:
            remedy = "A meter measures one circuit: name it there, and leave the key out here."
            read.refuse(where, f"{quoted(circuit.meter)} is the meter of circuit {quoted(owner)} already", remedy)


def _check_parents(read: Read[Circuit]) -> None:
    for name, circuit in read.sections.items():
        where, parent = dotted("circuit", name), circuit.parent
        if parent is None:
            continue
        if parent not in read.names:
            read.refuse(f"{where}.parent", f"there is no circuit {quoted(parent)}", _one_of("circuit", read.names))
        elif name in (above := list(_above(name, read.sections))):
            # Told once for a ring, at the first of its circuits.
            if name == min(above, key=read.names.index):
                ring = " - ".join([name, *above])
                remedy = "Take parent out of the circuit that the building is fed through."
                read.refuse(f"{where}.parent", f"the circuits feed one another in a ring: {ring}", remedy)
        elif (feeder := read.sections.get(parent)) and not set(circuit.phase_numbers) <= set(feeder.phase_numbers):
            problem = f"{quoted(parent)} has only {feeder.phases}"
            read.refuse(f"{where}.phases", problem, f"Write the phases that {quoted(parent)} has, or fewer.")


def _above(name: str, circuits: Mapping[str, Circuit]) -> Iterator[str]:
    """The circuits above, up to the top, or once round if there is a ring."""
    seen: set[str] = set()
    circuit = circuits.get(name)
    while circuit and circuit.parent and circuit.parent not in seen:
        seen.add(circuit.parent)
        yield circuit.parent
        circuit = circuits.get(circuit.parent)


def _one_of(kind: str, names: Iterable[str]) -> str:
    known = ", ".join(map(quoted, names))
    return f"Write one of {known}." if known else f"Add a section [{kind}.NAME], and write its NAME here."
