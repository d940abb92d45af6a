"""What every section of the configuration file is."""

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict


class Clash(NamedTuple):
    """Keys of one section that do not go together; the first is the one named to the installer."""

    keys: tuple[str, ...]
    problem: str
    remedy: str


class Section(BaseModel):
    """A table of the file. `clashes` and `cautions` judge its keys against each other."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )
    not_yet: ClassVar[dict[str, str]] = {}
    """Keys of a later version, and what this one does not do without them."""

    def clashes(self) -> Iterator[Clash]:
        yield from ()

    def cautions(self) -> Iterator[str]:
        yield from ()
