"""Register maps of meters: one TOML file a model, shipped in `models/` or the installer's own.

A variant says which map it shares (`like`). Meters that cannot be used have a file that says why (`models/refused/`).
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from drivers.options import Mistake, OptionsError, Places, validated

_SHIPPED: Final = Path(__file__).parent / "models"
_LARGEST_FILE: Final = 256 * 1024

Transport = Literal["serial", "tcp", "udp"]
Kind = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
WIDTHS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("int16", "uint16"), 1),
    **dict.fromkeys(("int32", "uint32", "float32"), 2),
    **dict.fromkeys(("int64", "uint64", "float64"), 4),
}
"""Registers of a value."""
_FACTORS: Final[Mapping[str, Mapping[str, float]]] = {
    "current": {"A": 1, "mA": 1e-3},
    "voltage": {"V": 1, "mV": 1e-3},
    "power": {"W": 1, "kW": 1e3},
    "power_total": {"W": 1, "kW": 1e3},
    "power_factor": {"1": 1},
    "frequency": {"Hz": 1, "mHz": 1e-3},
    "energy_import": {"kWh": 1, "Wh": 1e-3, "MWh": 1e3},
    "energy_export": {"kWh": 1, "Wh": 1e-3, "MWh": 1e3},
}
"""What each point may be measured in, and what to multiply by for A, V, W, Hz and kWh."""
SLOW: Final = frozenset({"power_factor", "frequency", "energy_import", "energy_export"})
"""What balancing does not need: read once a minute, and left out where a meter does not have it."""
SLOW_S: Final = 60.0

Address = Annotated[int, Field(ge=0, le=0xFFFF, description="Write the address in the frame, 0 to 0xFFFF.")]
_TYPES = ", ".join(WIDTHS)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Serial(_Part):
    """Line settings as the meter leaves the factory."""

    baud: Annotated[int, Field(ge=300, le=921_600, description="Write the baud rate, such as 9600.")] = 9600
    parity: Annotated[Literal["N", "E", "O"], Field(description='Write "N", "E" or "O".')] = "N"
    stop: Annotated[Literal[1, 2], Field(description="Write 1 or 2.")] = 1


class Modbus(_Part):
    function: Annotated[Literal["input", "holding"], Field(description='Write "input" or "holding".')]
    word_order: Literal["big", "little"] = "big"
    max_registers: int = Field(
        default=60, ge=1, le=125, description="Write how many registers one read may have, 1 to 125."
    )
    max_hole: int = Field(
        default=8, ge=0, le=60, description="Write how many registers between two points may be read along, 0 to 60."
    )
    block: Annotated[
        Literal["join", "borders", "exact"],
        Field(description='Write "join", "borders" for reads that end where a value ends, or "exact": a read a point.'),
    ] = "join"
    timeout_ms: int = Field(default=300, ge=20, le=10_000, description="Write milliseconds, 20 to 10000.")
    gap_ms: int = Field(default=20, ge=0, le=2_000, description="Write milliseconds, 0 to 2000.")
    transports: Annotated[
        tuple[Transport, ...],
        Field(strict=False, min_length=1, description='Write what the meter has, such as ["serial", "tcp"].'),
    ] = ("serial",)
    serial: Serial = Field(default_factory=Serial, description="Write a table such as { baud = 9600 }.")


class Register(_Part):
    """A value in the meter."""

    at: Address
    type: Annotated[Kind, Field(description=f"Write one of {_TYPES}.")]
    function: Literal["input", "holding"] | None = None
    word_order: Literal["big", "little"] | None = None


class Whole(_Part):
    """Registers that the meter gives only together."""

    at: Address
    count: Annotated[int, Field(ge=1, le=125, description="Write how many registers, 1 to 125.")]


class Check(Register):
    """A register that has to say something: one value, or a range of them."""

    equals: int | None = None
    between: Annotated[tuple[int, int] | None, Field(strict=False, description="Write two numbers.")] = None
    within: Annotated[Whole | None, Field(description="Write { at = 64001, count = 27 }.")] = None
    optional: Annotated[bool, Field(description="Write true if some of these meters do not have the register.")] = False

    def fits(self, value: float | None) -> bool:
        low, high = self.between or (self.equals or 0, self.equals or 0)
        return value is not None and low <= value <= high

    @property
    def span(self) -> tuple[int, int]:
        """First register to read, and how many."""
        return (self.within.at, self.within.count) if self.within else (self.at, WIDTHS[self.type])

    @property
    def is_whole(self) -> bool:
        at, count = self.span
        return at <= self.at and self.at + WIDTHS[self.type] <= min(at + count, 0x10000)


class Probe(Check):
    """What tells this model from others."""


class Requirement(Check):
    """How the meter has to be set up, or its values are not what they seem."""

    problem: Annotated[str, Field(min_length=3, description="Say what is wrong if it is not so.")]
    remedy: Annotated[str, Field(min_length=3, description="Say what to set at the meter.")]


class Ratio(Register):
    """A factor that is set at the meter."""

    scale: Annotated[float, Field(gt=0, description="Write what to multiply the raw value by, such as 0.1.")] = 1.0


def _listed(value: object) -> object:
    return (value,) if isinstance(value, dict) else value


class Point(Register):
    """What is measured. With three phases, `step` is the distance of their registers."""

    phases: Annotated[Literal[1, 3], Field(description="Write 3 if there is a value for each phase, else 1.")] = 1
    step: Annotated[int | None, Field(ge=1, le=1000, description="Write the distance in registers.")] = None
    scale: Annotated[float, Field(description="Write what to multiply the raw value by, such as 0.1.")] = 1.0
    scale_register: Annotated[
        tuple[Ratio, ...],
        BeforeValidator(_listed),
        Field(strict=False, description="Name the registers to multiply by, such as a transformer's ratio."),
    ] = ()
    nan: Annotated[
        Literal["max", "min"] | int | None,
        Field(description='Write the raw value for "not there": a number, "max" or "min" of the type.'),
    ] = None
    signed: Annotated[
        Literal["native", "from-power", "unknown"], Field(description="Say where the sign of a current comes from.")
    ] = "native"
    resolution: Annotated[float | None, Field(gt=0, description="Write the smallest step of a current, in A.")] = None
    unit: Annotated[str, Field(description="Write the unit, such as A, V, W, kW, kWh or Hz.")]
    optional: Annotated[bool | None, Field(description="Write true or false.")] = None
    every_s: Annotated[float | None, Field(ge=0, le=3600, description="Write seconds, 0 to 3600.")] = None

    @property
    def width(self) -> int:
        return WIDTHS[self.type]

    @property
    def addresses(self) -> tuple[int, ...]:
        """Of each phase."""
        return tuple(self.at + phase * (self.step or self.width) for phase in range(self.phases))


class Points(_Part):
    current: Annotated[Point, Field(description="A meter without currents is of no use for balancing.")]
    voltage: Point | None = None
    power: Point | None = None
    power_total: Point | None = None
    power_factor: Point | None = None
    frequency: Point | None = None
    energy_import: Point | None = None
    energy_export: Point | None = None


_ID = r"[a-z0-9][a-z0-9.-]{0,59}"
Id = Annotated[str, Field(pattern=f"^{_ID}$", description="Write small letters, digits and dashes.")]


class _Meter(_Part):
    schema_version: Annotated[Literal[1], Field(alias="schema", description="Write 1.")]
    id: Id
    name: Annotated[str, Field(min_length=1, max_length=100, description="Give maker and type.")]
    sources: Annotated[
        tuple[Annotated[str, Field(min_length=3)], ...],
        AfterValidator(lambda names: tuple(dict.fromkeys(names))),
        Field(strict=False, min_length=1, description="Name where the registers are known from."),
    ]


class Refusal(_Meter):
    """A meter that cannot be used."""

    problem: Annotated[str, Field(min_length=3, description="Say why.")]
    remedy: Annotated[str, Field(min_length=3, description="Say what to do instead.")]


class MeterModel(_Meter):
    """One register map."""

    like: Annotated[Id | None, Field(description="Name the model whose map this one shares.")] = None
    verified: Annotated[bool, Field(description="Write true if two sources agree, else false.")]
    notes: Annotated[str, Field(description="Say what has to be set at the meter.")] = ""
    modbus: Modbus
    probe: Annotated[tuple[Probe, ...], Field(strict=False, description="Write [[probe]].")] = ()
    require: Annotated[tuple[Requirement, ...], Field(strict=False, description="Write [[require]].")] = ()
    points: Points

    def items(self) -> dict[str, Point]:
        """The points there are, by name."""
        named = ((name, getattr(self.points, name)) for name in _FACTORS)
        return {name: point for name, point in named if point is not None}

    def is_optional(self, name: str) -> bool:
        """Whether a meter without this register may go on without it. Never so for currents."""
        chosen = self.items()[name].optional
        return name != "current" and (name in SLOW if chosen is None else chosen)

    def every_s(self, name: str) -> float:
        """0: each time."""
        chosen = self.items()[name].every_s
        return (SLOW_S if name in SLOW else 0.0) if chosen is None else chosen

    def factor(self, name: str) -> float:
        """Raw value times this is A, V, W, Hz or kWh."""
        point = self.items()[name]
        return point.scale * _FACTORS[name][point.unit]

    def clashes(self) -> Iterator[Mistake]:
        if self.verified and len(self.sources) < 2:
            yield Mistake(("verified",), "has one source only", "Name a second one, or write false.")
        checks: dict[str, tuple[Check, ...]] = {"probe": self.probe, "require": self.require}
        for key, check, number in ((key, one, n) for key, all_ in checks.items() for n, one in enumerate(all_)):
            if (check.equals is None) == (check.between is None):
                yield Mistake((key, number), "has not one of equals and between", "Write one of the two.")
            if not check.is_whole:
                yield Mistake((key, number), "is not within the registers that are read", "Correct at or within.")
        for name, point in self.items().items():
            yield from self._point_clashes(name, point)

    def _point_clashes(self, name: str, point: Point) -> Iterator[Mistake]:
        place = ("points", name)
        units = _FACTORS[name]
        if point.unit not in units:
            yield Mistake((*place, "unit"), f'cannot be "{point.unit[:20]}"', f"Write one of {', '.join(units)}.")
        if name not in {"current", "voltage", "power"} and point.phases != 1:
            yield Mistake((*place, "phases"), "is a total", "Take the key out.")
        if name in {"voltage", "power"} and point.phases != self.points.current.phases:
            yield Mistake((*place, "phases"), "is not that of the current", "Give all three the same.")
        if point.addresses[-1] + point.width > 0x10000:
            yield Mistake((*place, "at"), "ends behind the last register", "Correct the address or the step.")
        if (point.step or point.width) < point.width:
            yield Mistake((*place, "step"), "makes the phases overlap", f"Write at least {point.width}.")
        if name == "current":
            if point.optional:
                yield Mistake((*place, "optional"), "currents are never optional", "Take the key out.")
            if point.signed == "from-power" and self.points.power is None:
                yield Mistake((*place, "signed"), "there is no power to take it from", 'Write "unknown".')
            if self.every_s(name):
                yield Mistake((*place, "every_s"), "currents are read each time", "Take the key out.")
        elif point.signed != "native" or point.resolution is not None:
            yield Mistake((*place, "signed"), "belongs to the current", "Take signed and resolution out.")


def files(places: Places) -> dict[str, Path]:
    """Id -> file: the shipped ones, then the installer's, which win."""
    return {path.stem: path for folder in (_SHIPPED, places.models) for path in sorted(folder.glob("*.toml"))}


def refusals() -> dict[str, Refusal]:
    """Meters that are known and cannot be used, by id."""
    tables = (_table(path) for path in sorted((_SHIPPED / "refused").glob("*.toml")))
    return {one.id: one for one in (validated(Refusal, table, Places()) for table in tables)}


def load(path: Path) -> MeterModel:
    """Raises OptionsError with every mistake of the file."""
    table = _table(path)
    model = validated(MeterModel, table | _shared(table["like"], table, path) if "like" in table else table, Places())
    mistakes = list(model.clashes())
    if model.id != path.stem:
        mistakes.append(Mistake(("id",), f'is not the file\'s name, "{path.stem}"', "Give both the same name."))
    if mistakes:
        raise OptionsError(mistakes)
    return model


def _shared(like: object, table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """`modbus` and `points` of another model, with what this file says of them. Nothing else is taken from there."""
    folders = (path.parent, _SHIPPED) if isinstance(like, str) and re.fullmatch(_ID, like) else ()
    places = (folder / f"{like}.toml" for folder in folders if folder / f"{like}.toml" != path)
    place = next((place for place in places if place.exists()), None)
    if place is None:
        raise OptionsError([Mistake(("like",), "is not a known model", "Name one that has a file, not this one.")])
    base = _table(place)
    if "like" in base:
        raise OptionsError([Mistake(("like",), "is a variant itself", f'Write "{base["like"]}".')])
    pairs = {key: (base.get(key), table.get(key, {})) for key in ("modbus", "points")}
    return {key: {**old, **new} for key, (old, new) in pairs.items() if isinstance(old, dict) and isinstance(new, dict)}


def _table(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE).decode()
        return tomllib.loads(text)
    except OSError as error:
        raise _whole(f"cannot be read ({error.strerror})", "Check the file's permissions.") from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _whole(f"is not TOML ({error})", "Correct this place, or the line before it.") from None


def _whole(problem: str, remedy: str) -> OptionsError:
    return OptionsError([Mistake((), problem, remedy)])
