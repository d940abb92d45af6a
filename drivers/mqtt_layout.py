"""Where a meter's values are in its MQTT messages: a TOML file a model in `models/mqtt/`, or tables of the installer's.

A point without `phase` that has phases (current, voltage, power) is a list, L1 first: either the meter sends one, or a
JMESPath such as `[a_current, b_current, c_current]` makes it. With `phase` it is one value of that phase.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from drivers.api import Signed
from drivers.options import Mistake, OptionsError, Places, fault, validated

_SHIPPED: Final = Path(__file__).parent / "models" / "mqtt"
_FOLDER: Final = "mqtt"
_LARGEST_FILE: Final = 256 * 1024
_NAMED = re.compile(r"\{([a-z]+)\}")

_POWER: Final = {"W": 1, "kW": 1e3, "mW": 1e-3}
FACTORS: Final[Mapping[str, Mapping[str, float]]] = {
    "current": {"A": 1, "mA": 1e-3},
    "voltage": {"V": 1, "mV": 1e-3},
    "power": _POWER,
    "power_out": _POWER,
    "power_total": _POWER,
    "power_total_out": _POWER,
    "power_factor": {"1": 1, "%": 1e-2},
    "frequency": {"Hz": 1, "mHz": 1e-3},
    "energy_import": {"kWh": 1, "Wh": 1e-3, "MWh": 1e3, "Wmin": 1 / 60_000},
    "energy_export": {"kWh": 1, "Wh": 1e-3, "MWh": 1e3, "Wmin": 1 / 60_000},
}
"""What each point may be measured in, and what to multiply by for A, V, W, Hz and kWh."""
BY_PHASE: Final = frozenset({"current", "voltage", "power", "power_out"})
CONTROL: Final = BY_PHASE | {"power_total", "power_total_out"}
"""What decides how old a reading is. The rest is for records."""

PointName = Literal[
    "current",
    "voltage",
    "power",
    "power_out",
    "power_total",
    "power_total_out",
    "power_factor",
    "frequency",
    "energy_import",
    "energy_export",
]
"""`_out`: export, where the meter sends it apart from import; the power is what is left of both."""
_PATH = 'Write a JMESPath such as "a_current" or "params.\\"em:0\\".a_current"; "@" is the whole message.'


def _path(text: str) -> str:
    try:
        jmespath.compile(text)
    except (JMESPathError, ValueError) as error:
        raise fault(f"is no JMESPath ({str(error).splitlines()[0]})", _PATH) from None
    return text


def _topic(text: str) -> str:
    if any(sign in text for sign in "+#\0") or len(text.encode()) > 1000:
        raise fault("has a character that a topic can't have", "Write the whole topic, without + and #.")
    return text


Path_ = Annotated[str, Field(max_length=1000, description=_PATH), AfterValidator(_path)]
Topic = Annotated[
    str, Field(min_length=1, description="Write the whole topic, without + and #."), AfterValidator(_topic)
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Point(_Part):
    """A value in a message: a number, or text that is one. Anything else, null too, is "not there"."""

    path: Path_ = "@"
    unit: Annotated[str, Field(description="Write the unit, such as A, V, W, kW, Wh or kWh.")]
    phase: Annotated[Literal[1, 2, 3] | None, Field(description="Write 1, 2 or 3.")] = None
    factor: Annotated[float, Field(description="Write what to multiply by, such as 0.1.")] = 1.0
    invert: Annotated[bool, Field(description="Write true if minus is import.")] = False


class Stamp(_Part):
    """When the meter says that it measured. Only compared with other stamps of the same meter."""

    path: Path_
    unit: Annotated[Literal["s", "ms", "iso"], Field(description='Write "s" or "ms" since 1970, or "iso" for text.')]


class Message(_Part):
    """What one topic carries."""

    topic: Topic
    when: Annotated[Path_ | None, Field(description="Take only messages where this is true. " + _PATH)] = None
    time: Annotated[Stamp | None, Field(description="Write a table such as { path = ..., unit = ... }.")] = None
    changes_only: Annotated[
        bool, Field(description="Write true if the meter leaves out what has not changed, else false.")
    ] = False
    max_age_s: Annotated[float | None, Field(gt=0, le=3600, description="Write seconds, up to 3600.")] = None
    points: Annotated[dict[PointName, Point], Field(min_length=1, description="Name what the message has.")]


class Publish(_Part):
    """What the meter has to be told again and again, or it falls silent."""

    topic: Topic
    payload: Annotated[str, Field(max_length=1000, description="Write text.")] = ""
    every_s: Annotated[float, Field(ge=1, le=3600, description="Write seconds, 1 to 3600.")]


Messages = Annotated[
    tuple[Message, ...], Field(strict=False, max_length=64, description="Write a [[message]] for each topic.")
]
INTERVAL: Final = "Write the longest time between two messages in normal operation, in seconds."
Interval = Annotated[float, Field(gt=0, le=900, description=INTERVAL)]
PhaseCount = Annotated[Literal[1, 2, 3], Field(description="Write how many phases are measured.")]
Resolution = Annotated[float, Field(gt=0, le=100, description="Write the smallest step of a current, in A.")]
SIGN: Final = 'Say where the sign of a current comes from: "native", "from-power" or "unknown".'
Sign = Annotated[Literal["native", "from-power", "unknown"], Field(description=SIGN)]


class Layout(_Part):
    """How one kind of meter speaks."""

    messages: Messages
    publish: tuple[Publish, ...] = ()
    interval_s: Interval
    max_age_s: Annotated[float, Field(gt=0, le=3600)]
    """A part that is older is not used any more."""
    phases: PhaseCount = 3
    signed: Sign
    resolution_a: Resolution = 0.01

    @property
    def current_signed(self) -> Signed:
        return Signed(self.signed)


def clashes(messages: tuple[Message, ...], signed: str) -> Iterator[Mistake]:
    """What does not go together in the messages of a meter."""
    for number, message in enumerate(messages):
        for name, point in message.points.items():
            place = ("message", number, "points", name)
            if point.unit not in FACTORS[name]:
                problem = f'cannot be "{point.unit[:20]}"'
                yield Mistake((*place, "unit"), problem, f"Write one of {', '.join(FACTORS[name])}.")
            if name not in BY_PHASE and point.phase is not None:
                yield Mistake((*place, "phase"), "is a total", "Take the key out.")
    names = {name for message in messages for name in message.points}
    for name in sorted(names):
        if name.endswith("_out") and name.removesuffix("_out") not in names:
            yield Mistake(("message",), f"has {name}, but no {name.removesuffix('_out')}", "Name both.")
    if "current" not in names:
        yield Mistake(("message",), "has no current", "Name where the current is: balancing is done by it.")
    if signed == "from-power" and "power" not in names:
        yield Mistake(("signed",), "there is no power to take it from", 'Name the power, or write "unknown".')


class LayoutFile(_Part):
    """One model."""

    schema_version: Annotated[Literal[1], Field(alias="schema", description="Write 1.")]
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,59}$", description="Write small letters, digits, dashes.")]
    name: Annotated[str, Field(min_length=1, max_length=100, description="Give maker and type.")]
    sources: Annotated[
        tuple[Annotated[str, Field(min_length=3)], ...],
        Field(strict=False, min_length=1, description="Name where the topics are known from."),
    ]
    verified: Annotated[bool, Field(description="Write true if two sources agree, else false.")]
    notes: Annotated[str, Field(description="Say what has to be set at the meter.")] = ""
    placeholders: Annotated[
        dict[Annotated[str, Field(pattern="^[a-z]{1,20}$")], str],
        Field(description="For each {name} in a topic, say where the installer finds what to write."),
    ] = {}
    interval_s: Interval
    max_age_s: Annotated[float | None, Field(gt=0, le=3600, description="Write seconds, up to 3600.")] = None
    phases: PhaseCount = 3
    signed: Sign
    resolution_a: Resolution = 0.01
    message: Messages
    publish: Annotated[tuple[Publish, ...], Field(strict=False, description="Write [[publish]].")] = ()

    def clashes(self) -> Iterator[Mistake]:
        topics = [message.topic for message in self.message] + [publish.topic for publish in self.publish]
        used = {name for topic in topics for name in _NAMED.findall(topic)}
        if used != set(self.placeholders):
            problem = f"are not those of the topics: {', '.join(sorted(used)) or 'none'}"
            yield Mistake(("placeholders",), problem, "Explain each, and no other.")
        yield from clashes(self.message, self.signed)
        if self.verified and len(set(self.sources)) < 2:
            yield Mistake(("verified",), "has one source only", "Name a second one, or write false.")

    def layout(self, names: Mapping[str, str], interval_s: float | None) -> Layout:
        """For one meter, with what its installer chose. `names` has all placeholders."""
        every_s = interval_s or self.interval_s
        return Layout(
            messages=tuple(_filled(message, names) for message in self.message),
            publish=tuple(_filled(publish, names) for publish in self.publish),
            interval_s=every_s,
            max_age_s=self.max_age_s or longest_age_s(every_s),
            phases=self.phases,
            signed=self.signed,
            resolution_a=self.resolution_a,
        )


P = TypeVar("P", Message, Publish)


def _filled(part: P, names: Mapping[str, str]) -> P:
    return part.model_copy(update={"topic": _NAMED.sub(lambda found: names[found[1]], part.topic)})


def longest_age_s(interval_s: float) -> float:
    """What is older than this is missing, where nothing else is said."""
    return max(2.5 * interval_s, 3.0)


def files(places: Places) -> dict[str, Path]:
    """Id -> file: the shipped ones, then the installer's, which win."""
    folders = (_SHIPPED, places.models / _FOLDER)
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def load(path: Path) -> LayoutFile:
    """Raises OptionsError with every mistake of the file."""
    try:
        with path.open("rb") as file:
            table: dict[str, Any] = tomllib.loads(file.read(_LARGEST_FILE).decode())
    except OSError as error:
        raise OptionsError([Mistake((), f"cannot be read ({error.strerror})", "Check its permissions.")]) from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise OptionsError([Mistake((), f"is not TOML ({error})", "Correct this place.")]) from None
    found = validated(LayoutFile, table, Places())
    mistakes = list(found.clashes())
    if found.id != path.stem:
        mistakes.append(Mistake(("id",), f'is not the file\'s name, "{path.stem}"', "Give both the same name."))
    if mistakes:
        raise OptionsError(mistakes)
    return found
