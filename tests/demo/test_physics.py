from datetime import UTC, datetime

import pytest

from gateway.demo.physics import Car, Connector, Transaction


def charging(car: Car | None = None) -> Connector:
    connector = Connector(1, car=car or Car())
    connector.transaction = Transaction("t", "T", datetime(2026, 1, 1, tzinfo=UTC), 0)
    return connector


def test_power_ramps_up_to_what_car_and_connector_allow() -> None:
    connector = charging(Car(max_a=32, phases=3))
    connector.advance(1, None)
    assert connector.power_w == 2000
    for _ in range(20):
        connector.advance(1, None)
    assert connector.power_w == 16 * 230 * 3


def test_power_falls_to_a_lower_limit_faster_than_it_rose() -> None:
    connector = charging()
    connector.power_w = 11_040
    connector.advance(1, 5000)
    assert connector.power_w == 5000


def test_a_car_pauses_below_6_ampere() -> None:
    connector = charging(Car(phases=1))
    assert connector.wanted_w(6 * 230) == 6 * 230
    assert connector.wanted_w(6 * 230 - 1) == 0
    assert connector.charging_state(1000) == "SuspendedEVSE"


def test_energy_is_power_times_time() -> None:
    connector = charging(Car(soc=50, capacity_wh=11_040))
    connector.power_w = 11_040
    for _ in range(360):
        connector.advance(10, None)
    assert connector.energy_wh == pytest.approx(5520, rel=0.01), "it was full half-way"
    assert connector.is_car_full
    assert connector.charging_state(None) == "SuspendedEV"


def test_current_is_per_phase_in_use() -> None:
    connector = charging(Car(phases=1))
    connector.power_w = 2300
    assert connector.current_a == 10


def test_without_a_transaction_nothing_flows() -> None:
    connector = charging()
    connector.power_w = 5000
    connector.transaction = None
    connector.advance(10, None)
    assert connector.power_w == 0
