"""Finds the meter at a serial port or host, and reads it once with the very settings that are to be written.

Order and judgement are pure (`probe_sound`, `probe_scan`, `probe_fit`); `probe_line` and `probe_host` do what they say.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from drivers import model_file, registry
from drivers.api import DriverError, Reading, Seams, Trouble
from drivers.model_file import MeterModel
from drivers.options import OptionsError, Places
from drivers.p1_telegram import SPECS, Decoder
from drivers.probe_fit import is_clear
from drivers.probe_host import Host, HostProbe, HostUnit
from drivers.probe_line import LineProbe, Opener, OtherMaster, Patience, Probed, Unit, Unusable, open_port
from drivers.probe_scan import ALL_UNITS, USUAL_UNITS, factory
from drivers.probe_sound import Settings, Sound, Verdict, p1_telegram

_OTHERS: Final = {Sound.SML: ("sml", "an SML meter"), Sound.HDLC: ("han", "a Nordic HAN meter (HDLC)")}
_HOST_UNITS: Final = (1, *USUAL_UNITS[1:], 255)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a meter may be; `table` is its `[meter.NAME]`."""

    table: Mapping[str, Any]
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Meter:
    """Something that speaks. Without candidates, nothing here can read it."""

    where: str
    candidates: tuple[Candidate, ...] = ()
    is_clear: bool = True
    """Whether the first candidate is better than the others."""
    reading: Reading | None = None
    """Of the first candidate, through its driver."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one port or host. `words` is what was found, for a person."""

    place: str
    words: str
    meters: tuple[Meter, ...] = ()
    trouble: Trouble | None = None
    sent: int = 0
    """Bytes that were written on the line; hosts are not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How to look. `said` is told what is done, for a person who waits."""

    seams: Seams
    places: Places
    patience: Patience = field(default_factory=Patience)
    all_units: bool = False
    usual_units: tuple[int, ...] = USUAL_UNITS
    said: Callable[[str], None] = lambda _words: None
    opener: Opener = open_port

    def models(self) -> list[MeterModel]:
        """All register maps that can be used, the installer's own too."""
        found = []
        for path in model_file.files(self.places).values():
            try:
                found.append(model_file.load(path))
            except OptionsError:
                continue  # `meter models` tells its mistakes
        return found


async def at_port(port: str, search: Search) -> Outcome:
    """Listens, and asks only if nobody was heard."""
    units = ALL_UNITS if search.all_units else search.usual_units
    models = [model for model in search.models() if "serial" in model.modbus.transports]
    probe = LineProbe(port, search.seams, search.patience, search.said, search.opener)
    try:
        probed = await probe.run(models, units)
    except Unusable as error:
        return Outcome(port, error.trouble.problem, trouble=error.trouble, sent=probe.sent)
    except OtherMaster as error:
        return Outcome(port, _other_master(error.units, error.settings, probe.sent), sent=probe.sent)
    if probed.verdict.sound is None:
        return await _modbus(port, probed, search)
    return await _pushed(port, probed.verdict, search)


async def at_host(host: Host, search: Search) -> Outcome:
    """Modbus only."""
    probe = HostProbe(host, search.seams, search.places, search.patience.host_s, search.said)
    numbers = ALL_UNITS if search.all_units else _HOST_UNITS
    units, trouble = await probe.run(search.models(), numbers, every_unit=search.all_units)
    meters = tuple([await _read(_at_host(host, unit, search), search) for unit in units])
    words = trouble.problem if trouble else _counted(len(meters)) if meters else "nobody answers to Modbus"
    return Outcome(str(host), words, meters, trouble)


async def read_with(candidate: Candidate, search: Search) -> tuple[Reading | None, str]:
    """What the meter says through the driver of a candidate, and what is wrong with it in words."""
    try:
        options = registry.checked(candidate.table, search.places)
        found = await registry.load(options.driver).probe(options, search.seams)
    except OptionsError as error:
        return None, "; ".join(f"{mistake.problem}. {mistake.remedy}" for mistake in error.mistakes)
    except DriverError as error:
        return None, str(error)
    if found is None:
        return None, "it was there before, but does not answer now: try again"
    if found.reading is None:
        return None, found.what
    missing = "" if any(value is not None for value in found.reading.current_a) else "it sends no currents of phases"
    return found.reading, missing and f"{missing}: no use for sharing current, until it is set to send them"


async def _read(meter: Meter, search: Search) -> Meter:
    if not meter.candidates:
        return meter
    reading, problem = await read_with(meter.candidates[0], search)
    return replace(meter, reading=reading, problem=problem)


# -- meters that send by themselves -----------------------------------------------------------------------------------


async def _pushed(port: str, verdict: Verdict, search: Search) -> Outcome:
    sound, settings = verdict.sound, verdict.settings
    assert settings is not None
    if sound is Sound.MODBUS:
        return Outcome(port, _other_master(verdict.units, settings, 0))
    where = f"{port}, {settings}"
    if sound is Sound.P1_ENCRYPTED:
        problem = "its telegrams are encrypted: ask the grid operator for the key, then see docs/configuration.md"
        return Outcome(port, "an encrypted P1 meter sends here", (Meter(where, problem=problem),))
    if sound is Sound.P1:
        return await _p1(port, where, verdict, search)
    driver, name = _OTHERS[sound] if sound else ("", "")
    if driver not in registry.names():
        problem = f'this version has no driver "{driver}" for it'
        return Outcome(port, f"{name} sends here", (Meter(where, problem=problem),))
    table = _with_line({"driver": driver, "port": port}, settings, search.places)
    candidate = Candidate(table, name, f"heard at {settings}")
    return Outcome(port, f"{name} sends here", (await _read(Meter(where, (candidate,)), search),))


def _with_line(table: dict[str, Any], settings: Settings, places: Places) -> dict[str, Any]:
    """The table, with the line settings that its driver would not take by itself."""
    try:
        usual = getattr(registry.checked(table, places), "line", None)
    except OptionsError:
        return table
    keys = ("baud", "bits", "parity")
    heard = {key: getattr(settings, key) for key in keys}
    return {**table, **{key: heard[key] for key in keys if getattr(usual, key, heard[key]) != heard[key]}}


async def _p1(port: str, where: str, verdict: Verdict, search: Search) -> Outcome:
    words = "a meter sends P1 telegrams here"
    try:
        spec = p1_spec(p1_telegram(verdict.content) or b"", verdict.settings)
    except DriverError as error:
        return Outcome(port, words, (Meter(where, problem=str(error)),))
    if spec is None:
        problem = "text comes, but no telegram that is known: it may be another protocol (D0), or the cable is bad"
        return Outcome(port, "a meter sends text here", (Meter(where, problem=problem),))
    table = {"driver": "p1", "port": port, **({} if spec == "v5" else {"spec": spec})}
    candidate = Candidate(table, f"P1 meter, specification {spec}", f"heard at {verdict.settings}")
    return Outcome(port, words, (await _read(Meter(where, (candidate,)), search),))


def p1_spec(telegram: bytes, settings: Settings | None) -> str | None:
    """The specification that makes most of a telegram, v5 among equals; None: no values in it. Raises DriverError."""
    scores = {"v5": 0}
    for name, spec in SPECS.items():
        if settings is None or (spec.baud, spec.bits, spec.parity) != (settings.baud, settings.bits, settings.parity):
            continue
        for found in Decoder(name).feed(telegram, 0.0):
            values = found.values
            phases = [value for key in ("current_a", "voltage_v", "power_w") for value in values[key]]
            singles = [values[key] for key in ("power_total_w", "energy_import_kwh", "energy_export_kwh")]
            scores[name] = sum(value is not None for value in (*phases, *singles))
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] else None


# -- meters that are asked --------------------------------------------------------------------------------------------


async def _modbus(port: str, probed: Probed, search: Search) -> Outcome:
    if not probed.verdict.is_silent:
        words = "something speaks on this line that nothing here understands; nothing was sent, not to disturb it. "
        return Outcome(port, words + "If nobody should be there: check the wires A and B, and the terminators")
    meters = tuple([await _read(_at_port(port, unit, search), search) for unit in probed.units])
    return Outcome(port, _counted(len(meters)) if meters else "nobody speaks or answers here", meters, sent=probed.sent)


def _at_port(port: str, unit: Unit, search: Search) -> Meter:
    settings = unit.settings
    keys = {"baud": settings.baud, "parity": settings.parity, "stop_bits": settings.stop}

    def line(model: MeterModel | None) -> dict[str, Any]:
        """What is not as the model leaves the factory."""
        usual = factory(model) if model else Settings(9600)
        theirs = {"baud": usual.baud, "parity": usual.parity, "stop_bits": usual.stop}
        return {key: value for key, value in keys.items() if value != theirs[key]}

    place = {"port": port, "unit": unit.number}
    return _meter(f"{port}, unit {unit.number}, {settings}", unit, place, line, search)


def _at_host(host: Host, unit: HostUnit, search: Search) -> Meter:
    place = {**unit.table, "unit": unit.number}
    return _meter(f"{host}, unit {unit.number}", unit, place, lambda _model: {}, search)


def _meter(
    where: str,
    unit: Unit | HostUnit,
    place: Mapping[str, Any],
    line: Callable[[MeterModel | None], Mapping[str, Any]],
    search: Search,
) -> Meter:
    candidates = [
        Candidate({"driver": "modbus", "model": fit.model.id, **place, **line(fit.model)}, fit.model.name, fit.why)
        for fit in unit.fits
    ]
    clear = is_clear(unit.fits)
    has_name = bool(unit.fits) and unit.fits[0].is_identified
    if unit.is_sunspec and not has_name:
        table = {"driver": "sunspec", **place, **line(None)}
        if "sunspec" not in registry.names():
            return Meter(where, tuple(candidates), clear, problem="a SunSpec device; this version has no driver for it")
        candidates, clear = [Candidate(table, "SunSpec meter", "says so itself"), *candidates], True
    usable = tuple(candidate for candidate in candidates if _is_usable(candidate, search.places))
    problem = "" if usable else "no known model fits; docs/meter-drivers.md tells how to add one"
    return Meter(where, usable, clear, problem=problem)


def _is_usable(candidate: Candidate, places: Places) -> bool:
    """Some models have no serial port."""
    try:
        registry.checked(candidate.table, places)
    except OptionsError:
        return False
    return True


def _counted(meters: int) -> str:
    return "one device answers" if meters == 1 else f"{meters} devices answer"


def _other_master(units: Sequence[int], settings: Settings, sent: int) -> str:
    whom = f", with unit {', '.join(map(str, units))}" if units else ""
    return (
        f"another master speaks on this line ({settings}{whom}): nothing {'more ' if sent else ''}was sent. "
        "A line has one master: take the other one off, or read its meter from there"
    )
