"""What a `[meter.NAME]` table may hold, and how mistakes in it are told.

A field's description is its remedy: the sentence an installer reads when the value is wrong.
"""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails, PydanticCustomError

_FAULT = "driver"


@dataclass(frozen=True, slots=True)
class Mistake:
    """`keys` is the place below the table: `("serial", "baud")`; empty: the table itself."""

    keys: tuple[str | int, ...]
    problem: str
    remedy: str


class OptionsError(Exception):
    """The table cannot be used; all its mistakes at once."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, m.keys))}: {m.problem}. {m.remedy}" for m in mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class Places:
    """Where an installer's files are. The context of every validation."""

    folder: Path = field(default_factory=Path)
    """Relative paths start here: the folder of the configuration file."""

    @property
    def models(self) -> Path:
        """Register maps of the installer's own; one with the id of a shipped one takes its place."""
        return self.folder / "meter-models"


@dataclass(frozen=True, slots=True)
class Resource:
    """What a meter needs of the machine or network, so that two that can't share are refused beforehand."""

    place: str
    """Equal for the same port, whatever it is called: `serial:` + real path, or `tcp:` or `udp:` + host:port."""
    called: str
    """As the installer wrote it."""
    protocol: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What all users of the place have to agree on: line settings."""
    address: str | None = None
    """Which of several on a bus. None: the place cannot be shared at all."""
    key: str = "port"
    """The option that names the place."""


def places_of(info: ValidationInfo) -> Places:
    """In a validator."""
    return info.context if isinstance(info.context, Places) else Places()


def _file(value: object, info: ValidationInfo) -> object:
    return places_of(info).folder / value if isinstance(value, str) and value else value


File = Annotated[
    Path | None, BeforeValidator(_file), Field(description="Write a path; relative ones begin at the configuration.")
]


def serial_place(port: str) -> str:
    """Two names of one adapter (by-id, ttyUSB0) give one place."""
    return f"serial:{os.path.realpath(port)}"


_ORDERS: dict[str, tuple[int, int, int]] = {
    "L1L2L3": (0, 1, 2),
    "L2L3L1": (1, 2, 0),
    "L3L1L2": (2, 0, 1),
    "L1L3L2": (0, 2, 1),
    "L2L1L3": (1, 0, 2),
    "L3L2L1": (2, 1, 0),
}
PhaseMap = Literal["L1L2L3", "L2L3L1", "L3L1L2", "L1L3L2", "L2L1L3", "L3L2L1"]


class Options(BaseModel):
    """What every driver takes. Subclasses add their own; `clashes` judges keys against each other."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )
    not_yet: ClassVar[dict[str, str]] = {}
    """Keys of a later version, and what this one does not do without them."""

    driver: Annotated[str, Field(description="Name a driver, such as modbus, p1 or mqtt.")]
    invert: bool = Field(
        default=False, description="Write true if the meter counts what comes in as going out, else false."
    )
    phase_map: PhaseMap = "L1L2L3"
    ct_ratio: Annotated[
        float, Field(gt=0, le=10_000, description="Write what to multiply currents by, such as 40 for 200/5.")
    ] = 1.0

    @property
    def phase_order(self) -> tuple[int, int, int]:
        """The building's phases, from 0, at the meter's inputs 1, 2 and 3."""
        return _ORDERS[self.phase_map]

    def clashes(self) -> Iterator[Mistake]:
        """Keys that do not go together; the first of a mistake's keys is the one named."""
        yield from ()

    def cautions(self) -> Iterator[str]:
        """What is allowed but should be looked at."""
        yield from ()

    def resource(self) -> Resource | None:
        """What nobody else may use differently at the same time; None: nothing."""
        return None

    def unfit(self) -> Mistake | None:
        """Why it is known beforehand that this meter has no currents, so that no circuit can be balanced by it."""
        return None


T = TypeVar("T", bound=Options)
M = TypeVar("M", bound=BaseModel)


def fault(problem: str, remedy: str = "") -> PydanticCustomError:
    """What a validator raises. Without a remedy, the field's description is shown."""
    return PydanticCustomError(_FAULT, "{problem}", {"problem": problem, "remedy": remedy})


def checked(kind: type[T], table: Mapping[str, Any], places: Places) -> T:
    """The options in a table. Raises OptionsError with every mistake."""
    options = validated(kind, table, places)
    if mistakes := list(options.clashes()):
        raise OptionsError(mistakes)
    return options


def validated(kind: type[M], table: Mapping[str, Any], places: Places) -> M:
    """Any pydantic model in a table, its mistakes in the installer's words. Raises OptionsError."""
    try:
        return kind.model_validate(dict(table), context=places)
    except ValidationError as error:
        raise OptionsError([_translated(detail, kind) for detail in error.errors(include_url=False)]) from None


def _translated(detail: ErrorDetails, kind: type[BaseModel]) -> Mistake:
    keys, error, context = detail["loc"], detail["type"], detail.get("ctx", {})
    if not keys:
        return Mistake((), context.get("problem", detail["msg"]), context.get("remedy", ""))
    owner = _owner(kind, keys)
    remedy = _remedy(owner, keys)
    if error == "extra_forbidden":
        return Mistake(keys, *_unknown(str(keys[-1]), owner))
    if error == _FAULT:
        return Mistake(keys, context["problem"], context["remedy"] or remedy)
    if error == "missing":
        return Mistake(keys, "is missing", remedy)
    if error == "literal_error":
        choices = str(context["expected"]).replace("'", '"')
        remedy = f"Write {choices}{'' if isinstance(detail['input'], str) else ', with the quotes'}."
    return Mistake(keys, f"cannot be {_shown(detail['input'])}", remedy or f"{detail['msg']}.")


def _owner(kind: type[BaseModel], keys: tuple[str | int, ...]) -> type[BaseModel]:
    """The model that the last key belongs to."""
    for key in keys[:-1]:
        if str(key) in kind.model_fields:
            kind = next(_models_in(kind.model_fields[str(key)].annotation), kind)
    return kind


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Also of `tuple[Model, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def _remedy(owner: type[BaseModel], keys: tuple[str | int, ...]) -> str:
    for key in reversed(keys):
        if str(key) in owner.model_fields:
            return owner.model_fields[str(key)].description or ""
    return ""


def _unknown(key: str, owner: type[BaseModel]) -> tuple[str, str]:
    """The value is not repeated: it may be a secret in the wrong place."""
    later = getattr(owner, "not_yet", {})
    if key in later:
        return "is a key of a later version", f"This version does not {later[key]} yet: take it out."
    known = list(owner.model_fields)
    near = difflib.get_close_matches(key.lower()[:60], known, n=1)
    remedy = f"Write {near[0]}, if that is meant." if near else f"Take it out; the known ones are {', '.join(known)}."
    return "is not a known key", remedy


def _shown(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value if len(value) <= 60 else value[:57] + "...")
        case int() | float():
            return repr(value) if abs(value) < 1e20 else "a number this large"
        case list() | dict():
            return f"a {'list' if isinstance(value, list) else 'section'}" if value else "empty"
        case _:
            return "a date or time"
