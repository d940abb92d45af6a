"""How stations behave, as data: one TOML file a family in the package's folder `families`."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import Field

from gateway.config_section import Section
from gateway.model.plan import Family
from gateway.model.profile import Kind, RateUnit

SAFE = "default"
"""The family of a station of which nothing is said."""


class FamilyFile(Section):
    """One file. What is left out is as of a station nobody knows."""

    description: str
    unit: Literal["A", "W"] = "A"
    kind: Literal["Absolute", "Relative"] | None = None
    stack_level: int = Field(default=0, ge=0, le=100)
    max_periods: int = Field(default=2, ge=1, le=1024)
    names_phases: bool = True
    proven: bool = False
    lease_s: float = Field(default=300.0, ge=60, le=3600)
    latency_s: float = Field(default=10.0, ge=0.1, le=120)
    step_a: float = Field(default=1.0, gt=0, le=16)
    pausable: bool = True
    start_delay_s: float = Field(default=1.0, ge=0, le=60)
    tells_composite: bool = True

    def family(self, name: str) -> Family:
        can_lease = self.max_periods >= 2
        return Family(
            name=name,
            unit=RateUnit(self.unit),
            kind=Kind(self.kind) if self.kind else None,
            stack_level=self.stack_level,
            max_periods=self.max_periods,
            names_phases=self.names_phases,
            is_proven=self.proven and can_lease,
            lease_s=self.lease_s if can_lease else 0.0,
            latency_s=self.latency_s,
            step_a=self.step_a,
            is_pausable=self.pausable,
            start_delay_s=self.start_delay_s,
            tells_composite=self.tells_composite,
        )


@cache
def families() -> dict[str, Family]:
    """All there are, by name. Raises ValueError for a file with mistakes: it is part of the package."""
    found = {}
    for file in sorted(files("gateway").joinpath("families").iterdir(), key=lambda one: one.name):
        if file.name.endswith(".toml"):
            name = file.name.removesuffix(".toml")
            found[name] = FamilyFile.model_validate(tomllib.loads(file.read_text("utf-8"))).family(name)
    return found
