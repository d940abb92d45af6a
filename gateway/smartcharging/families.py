"""How chargers behave, as data: one TOML file per family, and what is taken of one that nobody knows.

What a family does not say is the safe default's: nothing proven, slow, level 0, amperes.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cache
from importlib.resources import files

import msgspec

from gateway.model.profile import Kind, RateUnit
from gateway.model.site_tree import ConnectorSpec
from gateway.smartcharging.merge import Writing

DEFAULT = "default"
LEASE_S = 300.0


class Zero(StrEnum):
    """What 0 A does: the car pauses; the station gives its minimum; the session ends; it pauses, and goes on later with
    all it has for a moment."""

    PAUSES = "pauses"
    MINIMUM = "minimum"
    ENDS = "ends"
    SURGES = "surges"


class Purposes(StrEnum):
    """Which profiles it obeys in a session: TxProfile, or TxDefaultProfile only."""

    TX = "tx"
    TX_DEFAULT = "tx-default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """`latency_s`: from Accepted to the current's change, at most. `start_delay_s`: between a transaction's start and
    its first profile. `proven`: every firmware of it was seen to step down at the end of a lease. `tells`: its
    GetCompositeSchedule can be believed. `keeps_in_flash`: profiles go to flash, so that leases wear it out."""

    name: str
    unit: RateUnit = RateUnit.A
    kind: Kind = Kind.ABSOLUTE
    purpose: Purposes = Purposes.TX
    stack_level: int = 0
    max_periods: int = 2
    names_phases: bool = False
    step_a: float = 1.0
    min_a: float = 6.0
    latency_s: float = 10.0
    start_delay_s: float = 1.0
    zero: Zero = Zero.PAUSES
    switches_phases: bool = False
    proven: bool = False
    tells: bool = False
    keeps_in_flash: bool = False

    def __post_init__(self) -> None:
        if not self.step_a > 0 or not self.min_a > 0 or self.latency_s < 0 or self.start_delay_s < 0:
            raise ValueError(f"family {self.name}: steps and minimum are above 0, delays not below it")
        if self.stack_level < 0 or self.max_periods < 1:
            raise ValueError(f"family {self.name}: stack_level is at least 0, max_periods at least 1")
        if self.proven and not self.takes_leases:
            raise ValueError(f"family {self.name}: without leases nothing is proven")

    @property
    def takes_leases(self) -> bool:
        """Two periods in one TxProfile, and a memory that bears being written every few minutes."""
        return self.max_periods >= 2 and self.purpose is Purposes.TX and not self.keeps_in_flash

    def writing(self) -> Writing:
        """How its profiles are written."""
        return Writing(self.unit, self.kind, self.stack_level, self.max_periods, self.names_phases)

    def spec(self, installed: ConnectorSpec) -> ConnectorSpec:
        """A connector of this family as the allocator sees it. One that surges after 0 A, or ends, is not paused."""
        return replace(
            installed,
            step_a=max(installed.step_a, self.step_a),
            min_a=max(installed.min_a, self.min_a),
            latency_s=self.latency_s,
            lease_s=LEASE_S if self.takes_leases else 0.0,
            switchable=installed.switchable and self.switches_phases,
            pausable=installed.pausable and self.zero is Zero.PAUSES,
        )


_MEMBERS = {field.name for field in fields(Family)} - {"name"} | {"about"}


def family(name: str, told: Mapping[str, object]) -> Family:
    """From what its TOML says. Raise ValueError if it can't be."""
    if unknown := sorted(set(told) - _MEMBERS):
        raise ValueError(f"family {name}: {', '.join(unknown)} is unknown")
    try:
        return msgspec.convert({**told, "name": name}, Family)
    except msgspec.ValidationError as error:
        raise ValueError(f"family {name}: {error}") from error


@cache
def shipped() -> Mapping[str, Family]:
    """The families that come with the gateway, by their names."""
    found = {}
    for entry in files("gateway.smartcharging").joinpath("families").iterdir():
        name, dot, ending = entry.name.rpartition(".")
        if dot and ending == "toml":
            found[name] = family(name, tomllib.loads(entry.read_text(encoding="utf-8")))
    return found
