"""Readings of a healthy three-phase meter, for the tests of what judges them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gateway.model.ids import MeterId
from gateway.model.metering import MeterReading, Signed

WALL = datetime(2026, 6, 1, 12, tzinfo=UTC)
GOOD = MeterReading(
    meter=MeterId("grid"),
    sequence=1,
    measured_at=100.0,
    measured=WALL,
    interval_s=1.0,
    current_a=(10.0, 20.0, 5.0),
    current_signed=Signed.NATIVE,
    voltage_v=(230.1, 229.7, 231.2),
    power_w=(2250.0, 4400.0, 1100.0),
    power_total_w=7750.0,
    power_factor=0.96,
    frequency_hz=50.01,
)


def reading(**changes: Any) -> MeterReading:
    """A healthy reading, but for the changes."""
    return replace(GOOD, **changes)
