"""What stations say of currents and cars, in every version; what can't be read is not said."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.dialects.draws import DRAW_READERS
from gateway.model.draw import Draw

AT = "2026-03-01T08:00:00Z"
MOMENT = datetime(2026, 3, 1, 8, tzinfo=UTC)


def read(version: str, action: str, payload: Any) -> Draw | None:
    return DRAW_READERS[version].read(action, json.dumps(payload).encode())


def current(value: Any, phase: str | None = None, **more: Any) -> dict[str, Any]:
    return {"value": value, "measurand": "Current.Import", **({"phase": phase} if phase else {}), **more}


def meter_values(*samples: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"connectorId": 2, "transactionId": 7, "meterValue": [{"timestamp": AT, "sampledValue": [*samples]}], **more}


CASES: list[tuple[list[dict[str, Any]], dict[int, float] | None]] = [
    ([current("10.5", "L1"), current("9", "L2"), current("0", "L3")], {0: 10.5, 1: 9.0, 2: 0.0}),
    ([current("10.5", "L2-N", unit="A")], {1: 10.5}),
    ([current("12")], {0: 12.0, 1: 12.0, 2: 12.0}),
    ([current("-3", "L1")], {0: 0.0}),
    ([current("8", "L1", location="Outlet"), current("9", "L1", location="Inlet")], {0: 8.0}),
    ([current("8", "N"), {"value": "1000"}], None),
    ([{"value": "2.3", "measurand": "Power.Active.Import", "unit": "kW", "phase": "L3"}], {2: 10.0}),
    ([{"value": "6900", "measurand": "Power.Active.Import"}], None),
    ([current("much", "L1"), current("1e99", "L2"), current(True, "L3")], None),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_currents_of_meter_values(case: tuple[list[dict[str, Any]], dict[int, float] | None]) -> None:
    samples, amps = case
    said = read("1.6", "MeterValues", meter_values(*samples))
    assert said is not None
    assert (said.evse, said.station_tx_id, said.amps) == (2, "7", pytest.approx(amps) if amps else None)
    assert said.said == (MOMENT if amps else None)


def test_the_newest_values_count_and_connector_0_is_none() -> None:
    two = meter_values(current("5", "L1"))
    two["meterValue"].append({"timestamp": "2026-03-01T08:01:00Z", "sampledValue": [current("6", "L1")]})
    said = read("1.6", "MeterValues", two)
    assert said is not None
    assert said.amps == {0: 6.0}
    assert read("1.6", "MeterValues", meter_values(current("5"), connectorId=0)) is None


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
def test_a_transaction_event_tells_of_its_car(version: str) -> None:
    sample = current(1.05, "L1", unitOfMeasure={"unit": "A", "multiplier": 1})
    event = {
        "transactionInfo": {"transactionId": "T-1", "chargingState": "SuspendedEV"},
        "evse": {"id": 3},
        "numberOfPhasesUsed": 1,
        "cableMaxCurrent": 20,
        "meterValue": [{"timestamp": AT, "sampledValue": [sample]}],
    }
    said = read(version, "TransactionEvent", event)
    assert said == Draw(
        evse=3, station_tx_id="T-1", amps={0: 10.5}, said=MOMENT, is_suspended=True, phases=1, cable_a=20.0
    )


def test_a_cars_wish() -> None:
    wish = {"departureTime": AT, "acChargingParameters": {"energyAmount": 9000, "evMaxCurrent": 16}}
    said = read("2.0.1", "NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": wish})
    assert said is not None
    assert said.need is not None
    assert (said.need.energy_wh, said.need.max_a, said.need.departure) == (9000, 16, MOMENT)


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"meterValue":5}', b'{"connectorId":"x","meterValue":[5]}'])
@pytest.mark.parametrize("version", DRAW_READERS)
def test_nonsense_says_nothing(version: str, payload: bytes) -> None:
    for action in DRAW_READERS[version].actions:
        said = DRAW_READERS[version].read(action, payload)
        assert said is None or said.amps is None
