from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.demo.profiles import ProfileStore, parse_profile, try_parse

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RATED_W = 22_080.0


def raw(purpose: str = "TxDefaultProfile", level: int = 0, limit: float = 10.0, **more: Any) -> dict[str, Any]:
    schedule = {
        "charging_rate_unit": more.pop("unit", "A"),
        "charging_schedule_period": more.pop("periods", [{"start_period": 0, "limit": limit}]),
        **more.pop("schedule", {}),
    }
    return {
        "charging_profile_id": more.pop("id", level + 100 * len(purpose)),
        "stack_level": level,
        "charging_profile_purpose": purpose,
        "charging_profile_kind": more.pop("kind", "Relative"),
        "charging_schedule": schedule,
        **more,
    }


def store_of(*profiles: tuple[int, dict[str, Any]]) -> ProfileStore:
    store = ProfileStore()
    for connector, profile in profiles:
        store.put(connector, parse_profile(profile, 3))
    return store


def test_without_profiles_there_is_no_limit() -> None:
    assert ProfileStore().limit_w(1, NOW, NOW) is None


@pytest.mark.parametrize(("unit", "watts"), [("A", 10 * 230.0 * 3), ("W", 10.0)])
def test_ampere_count_per_phase_and_watts_for_all(unit: str, watts: float) -> None:
    assert store_of((1, raw(unit=unit))).limit_w(1, NOW, NOW) == watts


def test_number_of_phases_is_obeyed() -> None:
    periods = [{"start_period": 0, "limit": 10, "number_phases": 1}]
    assert store_of((1, raw(periods=periods))).limit_w(1, NOW, NOW) == 2300


def test_a_tx_profile_overrules_the_default_and_the_maximum_caps_both() -> None:
    store = store_of((1, raw("TxDefaultProfile", unit="W", limit=1)), (1, raw("TxProfile", unit="W", limit=9)))
    assert store.limit_w(1, NOW, NOW) == 9
    assert store.limit_w(1, NOW, None) == 1, "without a transaction there is no TxProfile"
    store.put(0, parse_profile(raw("ChargePointMaxProfile", unit="W", limit=5), 3))
    assert store.limit_w(1, NOW, NOW) == 5
    store.end_transaction(1)
    assert store.limit_w(1, NOW, NOW) == 1


def test_the_highest_level_that_says_something_counts() -> None:
    short = raw(level=2, unit="W", limit=2, schedule={"duration": 60})
    store = store_of((1, raw(level=1, unit="W", limit=1)), (1, short))
    assert store.limit_w(1, NOW + timedelta(seconds=59), NOW) == 2
    assert store.limit_w(1, NOW + timedelta(seconds=60), NOW) == 1


def test_a_connectors_default_comes_before_the_stations() -> None:
    store = store_of((0, raw(level=5, unit="W", limit=5, id=1)), (1, raw(level=0, unit="W", limit=1, id=2)))
    assert (store.limit_w(1, NOW, NOW), store.limit_w(2, NOW, NOW)) == (1, 5)


def test_two_periods_follow_the_transactions_start() -> None:
    periods = [{"start_period": 0, "limit": 9}, {"start_period": 300, "limit": 6}]
    store = store_of((1, raw("TxProfile", unit="W", periods=periods)))
    seconds = (0, 299, 300, 100_000)
    assert [store.limit_w(1, NOW + timedelta(seconds=s), NOW) for s in seconds] == [9, 9, 6, 6]


def test_an_absolute_schedule_follows_the_clock() -> None:
    profile = raw(kind="Absolute", unit="W", limit=9, schedule={"start_schedule": "2026-01-01T13:00:00Z"})
    store = store_of((1, profile))
    assert store.limit_w(1, NOW, NOW) is None
    assert store.limit_w(1, NOW + timedelta(hours=1), NOW) == 9


def test_a_daily_schedule_comes_again() -> None:
    profile = raw(
        kind="Recurring",
        unit="W",
        recurrency_kind="Daily",
        periods=[{"start_period": 0, "limit": 1}, {"start_period": 3600, "limit": 2}],
        schedule={"start_schedule": "2025-12-01T12:00:00Z", "duration": 7200},
    )
    store = store_of((1, profile))
    limits = [store.limit_w(1, NOW + timedelta(minutes=m), NOW) for m in (0, 61, 121, 24 * 60)]
    assert limits == [1, 2, None, 1]


def test_validity_bounds_a_profile() -> None:
    store = store_of((1, raw(unit="W", valid_from="2026-01-01T12:00:00Z", valid_to="2026-01-01T12:01:00+00:00")))
    moments = (-1, 0, 59, 60)
    assert [store.limit_w(1, NOW + timedelta(seconds=s), NOW) is None for s in moments] == [True, False, False, True]


def test_the_same_id_or_the_same_place_replaces() -> None:
    store = store_of((1, raw(id=1, limit=1)), (1, raw(id=2, limit=2)))
    assert len(store) == 1
    store.put(2, parse_profile(raw(id=2, level=3), 3))
    assert len(store) == 1


@pytest.mark.parametrize(
    ("criteria", "left"),
    [
        ({"profile_id": 1}, 2),
        ({"profile_id": 9}, 3),
        ({"connector": 1}, 1),
        ({"purpose": "TxProfile"}, 2),
        ({"purpose": "ChargingStationMaxProfile"}, 2),
        ({"stack_level": 0, "connector": 0}, 2),
        ({}, 0),
    ],
)
def test_clear_takes_what_matches(criteria: dict[str, Any], left: int) -> None:
    store = store_of((1, raw(id=1)), (1, raw("TxProfile", id=2)), (0, raw("ChargePointMaxProfile", id=3)))
    assert store.clear(**criteria) is (left < 3)
    assert len(store) == left


def test_the_composite_schedule_shows_every_step() -> None:
    periods = [{"start_period": 0, "limit": 9000}, {"start_period": 300, "limit": 6000}]
    maximum = raw(
        "ChargePointMaxProfile",
        kind="Absolute",
        unit="W",
        limit=7000,
        schedule={"start_schedule": "2026-01-01T12:01:40Z", "duration": 100},
    )
    store = store_of((1, raw("TxProfile", unit="W", periods=periods)), (0, maximum))
    assert store.composite(1, NOW, 600, NOW, RATED_W) == [(0, 9000), (100, 7000), (200, 9000), (300, 6000)]
    assert store.composite(2, NOW, 50, None, RATED_W) == [(0, RATED_W)]


def test_2_0_1_profiles_are_read_too() -> None:
    profile = raw(id=None)
    del profile["charging_profile_id"]
    profile |= {"id": 4, "transaction_id": "t", "charging_schedule": [profile["charging_schedule"]]}
    parsed = parse_profile(profile, 3)
    assert (parsed.id, parsed.transaction, parsed.purpose) == (4, "t", "TxDefault")


@pytest.mark.parametrize(
    "broken",
    [{}, raw(periods=[]), raw(periods=[{"start_period": 5, "limit": 1}]), raw(id="x") | {"charging_schedule": []}],
)
def test_nonsense_is_no_profile(broken: dict[str, Any]) -> None:
    assert try_parse(broken, 3) is None
