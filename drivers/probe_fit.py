"""Which register map fits a Modbus unit: what tells models apart first, then whether the values can be true. Pure."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from drivers.api import NO_PHASES
from drivers.model_file import WIDTHS, MeterModel, Probe
from drivers.probe_scan import Ask, Reply, factory
from drivers.probe_sound import Settings
from drivers.register_plan import SCALE, Block, Plan
from drivers.register_values import Key, decoded, measured, number

_JUDGED: Final = ("voltage", "frequency", "current", "power")
_NEEDED: Final = ("voltage", "current")
_VOLTS: Final = (85.0, 300.0)
_HERTZ: Final = (45.0, 65.0)
_NO_VOLTAGE: Final = 10.0
"""Below this a phase is not connected."""
_AMPERES: Final = 10_000.0
_SLACK: Final = (1.1, 50.0)
"""Active power may exceed volts times amperes by so much: the values are not of the same moment."""

Asking = Generator[Ask, Reply, Any]


@dataclass(frozen=True, slots=True)
class Fit:
    """A model that may be this unit's."""

    model: MeterModel
    is_identified: bool
    """All that tells it from others is there."""
    is_plausible: bool
    """Volts, hertz, amperes and watts, read with this map, can be those of a building."""
    phases: int = 0
    """With voltage, less those without."""
    has_frequency: bool = False
    is_factory_line: bool = False

    @property
    def rank(self) -> tuple[int, ...]:
        """More is better. The first three decide; the rest only puts an order into equals."""
        strength = (self.is_identified, self.is_plausible, self.phases)
        return (*map(int, strength), int(self.has_frequency), int(self.is_factory_line), int(self.model.verified))

    @property
    def why(self) -> str:
        seen = "volts, amperes and watts can be true" + (", hertz too" if self.has_frequency else "")
        if not self.is_identified:
            return f"{seen}; nothing in it names its model"
        return f"names itself; {seen}" if self.is_plausible else "names itself, but its values look wrong"


def is_clear(fits: Sequence[Fit]) -> bool:
    """Whether the first one is better than all others by what matters, or says the same as those that are as good."""
    rivals = [fit for fit in fits if fit.rank[:3] == fits[0].rank[:3]]
    return bool(fits) and all(is_same_map(fit.model, fits[0].model) for fit in rivals)


def is_same_map(one: MeterModel, other: MeterModel) -> bool:
    """Models under two names, of which it does not matter which is taken."""
    return one.points == other.points and (one.modbus.function, one.modbus.word_order) == (
        other.modbus.function,
        other.modbus.word_order,
    )


def identify(models: Iterable[MeterModel], settings: Settings | None) -> Generator[Ask, Reply, list[Fit]]:
    """Asks by yielding, is sent the replies, and returns the models that fit, the best first.

    `settings`: of the line where this unit was found; None: not a serial one.
    """
    known: dict[Ask, Reply] = {}
    found = []
    # Those that can be told by something strong first: of the others, fewer questions are new then.
    for model in sorted(models, key=lambda model: (not model.probe, model.id)):
        if fit := (yield from _fit(model, settings, known)):
            found.append(fit)
    if any(fit.is_identified and fit.is_plausible for fit in found):
        found = [fit for fit in found if fit.is_identified]
    return sorted(found, key=lambda fit: fit.rank, reverse=True)


def _fit(model: MeterModel, settings: Settings | None, known: dict[Ask, Reply]) -> Generator[Ask, Reply, Fit | None]:
    is_identified = False
    for probe in model.probe:
        value = yield from _told(model, probe, known)
        is_identified = is_identified or probe.fits(value)
        if not probe.fits(value) and not (value is None and probe.optional):
            return None
    fields = yield from _values(model, known)
    voltage = fields["voltage_v"][: fields["phases"]] if fields else ()
    live = [value for value in voltage if value is not None and value >= _NO_VOLTAGE]
    is_plausible = fields is not None and bool(live) and _can_be_true(fields)
    if not (is_plausible or is_identified):
        return None
    dead = len(voltage) - len(live)
    has_frequency = fields is not None and fields["frequency_hz"] is not None
    return Fit(model, is_identified, is_plausible, len(live) - dead, has_frequency, factory(model) == settings)


def _asked(ask: Ask, known: dict[Ask, Reply]) -> Generator[Ask, Reply, Reply]:
    """Each question once."""
    if ask not in known:
        known[ask] = yield ask
    return known[ask]


def _told(model: MeterModel, probe: Probe, known: dict[Ask, Reply]) -> Generator[Ask, Reply, float | None]:
    """What the register says that tells models apart; None: it is not there."""
    at, count = probe.span
    reply = yield from _asked(Ask(probe.function or model.modbus.function, at, count), known)
    if not isinstance(reply, tuple):
        return None
    return number(reply[probe.at - at :][: WIDTHS[probe.type]], probe, model.modbus.word_order)


def _values(model: MeterModel, known: dict[Ask, Reply]) -> Generator[Ask, Reply, dict[str, Any] | None]:
    """What the map makes of the unit's registers; None as soon as it is clear that the map is another's.

    Each value is read by itself: no meter refuses that.
    """
    raw: dict[Key, float | None] = {}
    values = [value for block in Plan(model).blocks for value in block.values]
    for name in _JUDGED:
        # The factors first: without them a value is none.
        wanted = [value for value in values if value.name.removeprefix(SCALE) == name]
        for value in sorted(wanted, key=lambda value: (value.name == name, value.phase)):
            reply = yield from _asked(Ask(value.function, value.at, value.width), known)
            if isinstance(reply, tuple):
                raw |= decoded(model, Block((value,)), reply)
            elif name in _NEEDED:
                return None
        if name == "voltage" and wanted and not _has_volts(model, raw):
            return None
    return dict(measured(model, raw).fields)


def _has_volts(model: MeterModel, raw: dict[Key, float | None]) -> bool:
    """Spares the other questions, where there are none."""
    found = [value for value in measured(model, raw).fields["voltage_v"] if value is not None]
    live = [value for value in found if abs(value) >= _NO_VOLTAGE]
    return bool(live) and all(_VOLTS[0] <= value <= _VOLTS[1] for value in live)


def _can_be_true(fields: dict[str, Any]) -> bool:
    frequency = fields["frequency_hz"]
    if frequency is not None and not _HERTZ[0] <= frequency <= _HERTZ[1]:
        return False
    volts, amperes, watts = (fields[key] or NO_PHASES for key in ("voltage_v", "current_a", "power_w"))
    for voltage, current, power in zip(volts, amperes, watts, strict=True):
        if current is not None and abs(current) > _AMPERES:
            return False
        share, slack = _SLACK
        if None not in (voltage, current, power) and abs(power) > share * voltage * abs(current) + slack:
            return False
    return True
