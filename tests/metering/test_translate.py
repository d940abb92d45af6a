"""What drivers say and what the model knows are the same words."""

from dataclasses import fields
from datetime import UTC, datetime

import pytest

from drivers import api
from gateway.metering import translate
from gateway.model import metering

WALL = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("theirs", "ours", "own"),
    [
        (api.Reason, metering.MeterReason, {"ct-ratio", "time-wrong"}),
        (api.Kind, metering.TroubleKind, {"broken"}),
        (api.Quality, metering.Quality, set()),
        (api.Signed, metering.Signed, set()),
    ],
)
def test_the_model_knows_every_word_of_the_drivers(
    theirs: type[api.Reason], ours: type[metering.MeterReason], own: set[str]
) -> None:
    assert {one.value for one in ours} - {one.value for one in theirs} == own
    assert {one.value for one in theirs} <= {one.value for one in ours}


def test_a_reading_is_translated_whole() -> None:
    said = api.Reading(
        meter="grid", sequence=7, t_mono=12.5, t_wall=WALL, interval_s=2.0, current_a=(1.0, None, 3.0),
        current_signed=api.Signed.FROM_POWER, voltage_v=(231.0, 232.0, 233.0), power_w=(4.0, 5.0, 6.0),
        power_total_w=15.5, power_factor=0.9, frequency_hz=50.1, energy_import_kwh=77.0, energy_export_kwh=8.0,
        resolution_a=0.1, phases=2, device_time=WALL, quality=api.Quality.PARTIAL,
        reasons=frozenset({api.Reason.VALUE_MISSING, api.Reason.CURRENT_MISSING}),
    )  # fmt: skip
    got = translate.reading(said)
    renamed = {"measured_at": "t_mono", "measured": "t_wall"}
    for one in fields(got):
        if one.name != "findings":
            assert getattr(got, one.name) == getattr(said, renamed.get(one.name, one.name)), one.name
    assert {one.name for one in fields(said)} - {"reasons"} == {
        renamed.get(one.name, one.name) for one in fields(got) if one.name != "findings"
    }
    assert list(map(str, got.findings)) == ["current-missing", "value-missing"]


def test_health_keeps_the_trouble_and_every_counter() -> None:
    trouble = api.Trouble(api.Kind.GARBLED, "noise", "Check the parity")
    numbers = {
        one.name: number
        for number, one in enumerate(fields(api.Health), 1)
        if one.name not in ("last_good_t", "trouble", "notes")
    }
    got = translate.health(api.Health(trouble=trouble, notes=("smaller blocks",), last_good_t=1.0, **numbers))
    assert got.trouble == metering.Trouble(metering.TroubleKind.GARBLED, "noise", "Check the parity")
    assert (dict(got.counters), got.notes) == (numbers, ("smaller blocks",))
    assert translate.trouble(api.DriverError(api.Kind.ENDED, "a", "b")).kind is metering.TroubleKind.ENDED
    assert str(got.trouble) == str(trouble)
