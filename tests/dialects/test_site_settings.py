"""Settings of several stations made one."""

import json
from typing import Any

import pytest

from gateway.dialects import schema
from gateway.dialects.site_settings import Told, made_one, merge_configuration, own_variable, report
from tests.dialects.one_site import A, B, OneSite


def told(station: Any, **keys: str | None) -> Told:
    entries = [{"key": key, "readonly": key == "Fixed", **({} if value is None else {"value": value})}
               for key, value in keys.items()]  # fmt: skip
    return Told(json.dumps({"configurationKey": entries}).encode(), OneSite(gives_tx_ids=True).of(station))


def merged(asked: list[str], *all_told: Told) -> tuple[dict[str, Any], list[str]]:
    answer = merge_configuration(json.dumps({"key": asked}).encode(), {"NumberOfConnectors": "3"}, all_told)
    assert schema.validate("1.6", "GetConfiguration", "response", answer) == []
    found = json.loads(answer)
    return {key["key"]: key.get("value") for key in found["configurationKey"]}, found.get("unknownKey", [])


def test_what_is_true_of_all_stations() -> None:
    one = told(
        A,
        Same="1",
        ChargingScheduleMaxPeriods="24",
        SupportedFeatureProfiles="Core,Reservation,SmartCharging",
        Other="a",
        Empty=None,
        NumberOfConnectors="2",
        ConnectorPhaseRotation="0.RST, 1.RST, 2.STR",
    )
    other = told(
        B,
        same="1",
        ChargingScheduleMaxPeriods="6",
        SupportedFeatureProfiles="Core, SmartCharging",
        Other="b",
        Fixed="x",
        ConnectorPhaseRotation="1.TRS",
    )
    values, unknown = merged([], one, other)
    site = OneSite(gives_tx_ids=True)
    heads = [site.of(A).number(1), site.of(A).number(2), site.of(B).number(1)]
    assert values == {
        "NumberOfConnectors": "3",
        "Same": "1",
        "ChargingScheduleMaxPeriods": "6",
        "SupportedFeatureProfiles": "Core,SmartCharging",
        "Other": None,
        "Empty": None,
        "Fixed": "x",
        "ConnectorPhaseRotation": f"{heads[0]}.RST,{heads[1]}.STR,{heads[2]}.TRS",
    }
    assert unknown == []


def test_only_what_is_asked_for() -> None:
    values, unknown = merged(["Other", "numberofconnectors", "Nonsense"], told(A, Other="a", More="1"))
    assert (values, unknown) == ({"Other": "a", "NumberOfConnectors": "3"}, ["Nonsense"])
    assert merged(["Nonsense"]) == ({}, ["Nonsense"])


@pytest.mark.parametrize(
    ("name", "said", "least", "expected"),
    [
        ("x", ["1", "1"], False, "1"),
        ("x", ["1", "2"], False, None),
        ("x", ["1", None], False, None),
        ("x", ["10", "9"], True, "9"),
        ("x", ["10", "many"], True, None),
        ("RateUnit", ["A,W", "W"], False, "W"),
        ("RateUnit", ["A", "W"], False, ""),
        ("x", [], True, None),
    ],
)
def test_one_value_of_several(name: str, said: list[str | None], least: bool, expected: str | None) -> None:
    assert made_one(name, said, least=least) == expected


def test_the_site_s_own_variables() -> None:
    own = {("ChargingStation", "Model"): "Site"}
    entry: dict[str, Any] = {"component": {"name": "chargingstation"}, "variable": {"name": "model"}}
    assert own_variable(own)(entry) == "Site"
    for other in ({"instance": "3"}, {"evse": {"id": 1}}, {"name": "Else"}):
        assert own_variable(own)({**entry, "component": {**entry["component"], **other}}) is None
    part = report(7, "2026-03-01T08:00:00Z", own)
    assert schema.validate("2.0.1", "NotifyReport", "request", part) == []
