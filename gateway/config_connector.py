"""A connector in the configuration file."""

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.config_mistakes import quoted
from gateway.config_section import Section
from gateway.config_values import fault

_PHASES = {"L1": 0, "L2": 1, "L3": 2}


def _rotation(text: str) -> str:
    parts = [text[at : at + 2] for at in range(0, len(text), 2)]
    if not parts or len(set(parts)) != len(parts) or not set(parts) <= set(_PHASES):
        raise fault(f"cannot be {quoted(text)}")
    return text


def phases_of(text: str) -> tuple[int, ...]:
    """ "L2L3L1" as the grid's phases (0 to 2) behind a connector's own L1, L2, L3."""
    return tuple(_PHASES[text[at : at + 2]] for at in range(0, len(text), 2))


class Connector(Section):
    """One connector (2.x: EVSE) of a station, as it is installed."""

    evse: int | None = Field(
        default=None, ge=1, le=6000, description="Write its number at the station; left out: its place in the list."
    )
    phases: Annotated[str, AfterValidator(_rotation)] = Field(
        default="L1L2L3",
        description='Write the grid\'s phases at its own L1, L2 and L3, such as "L1L2L3", "L2L3L1" or "L3".',
    )
    min_a: float = Field(
        default=6.0,
        gt=0,
        le=1000,
        description="Write amperes, more than 0 and at most 1000: the least a car charges with.",
    )
    max_a: float = Field(
        default=32.0, gt=0, le=1000, description="Write amperes, more than 0 and at most 1000: its rating."
    )
    step_a: float | None = Field(
        default=None, gt=0, le=16, description="Write amperes, more than 0 and at most 16; left out: its family's."
    )
    fallback_a: float | None = Field(
        default=None, ge=0, le=1000, description="Write amperes, 0 or at least min_a; left out: the gateway chooses."
    )
    priority: int = Field(default=0, ge=0, le=9, description="Write 0 to 9; higher goes first.")
    weight: float = Field(default=1.0, ge=0.1, le=100, description="Write its share within its priority, 0.1 to 100.")
    switchable: bool = Field(default=False, description="Write true if it can charge with one phase of three.")
