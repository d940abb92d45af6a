import subprocess
import sys

import pytest

from gateway.dialects import schema


def test_all_actions_are_found() -> None:
    assert len(schema.actions("1.6")) == 39
    assert len(schema.actions("2.0.1")) == 64
    assert len(schema.actions("2.1")) == 91
    assert {"StartTransaction", "SignedUpdateFirmware"} <= schema.actions("1.6")


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
def test_every_schema_compiles_and_refuses_unknown_members(version: str) -> None:
    for action in schema.actions(version):
        assert schema.validate(version, action, "request", b'{"noSuchMember":1}')
        if action != "NotifyPeriodicEventStream":
            assert schema.validate(version, action, "response", b'{"noSuchMember":1}')


def test_what_nobody_answers_has_no_schema_of_an_answer() -> None:
    stream = b'{"id":1,"pending":0,"basetime":"2026-03-01T08:00:00Z","data":[{"t":0.5,"v":"230.1"}]}'
    assert schema.validate("2.1", "NotifyPeriodicEventStream", "request", stream) == []
    with pytest.raises(KeyError, match="nothing answers"):
        schema.validate("2.1", "NotifyPeriodicEventStream", "response", b"{}")


def test_problems_are_named_by_place() -> None:
    assert schema.validate("1.6", "Reset", "response", b'{"status":"Accepted"}') == []
    (problem,) = schema.validate("1.6", "Reset", "response", b'{"status":"Maybe"}')
    assert problem.startswith("status: ")
    assert len(schema.validate("1.6", "StatusNotification", "request", b"{}")) == 3


def test_formats_are_off() -> None:
    assert schema.validate("1.6", "Heartbeat", "response", b'{"currentTime":"yesterday"}') == []


def test_one_decimal_limits_pass_and_two_do_not() -> None:
    period = (
        b'{"chargingProfileId":1,"stackLevel":0,"chargingProfilePurpose":"TxProfile","chargingProfileKind":"Relative"'
    )
    period += b',"chargingSchedule":{"chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":%b}]}}'
    request = b'{"connectorId":1,"csChargingProfiles":' + period + b"}"
    refused = [
        n for n in range(401) if schema.validate("1.6", "SetChargingProfile", "request", request % (b"%.1f" % (n / 10)))
    ]
    assert refused == []
    assert schema.validate("1.6", "SetChargingProfile", "request", request % b"6.25")


def test_text_that_is_no_json_is_a_problem() -> None:
    for text in (b"", b"{", b"\xff", b"[" * 100_000):
        assert schema.validate("1.6", "Reset", "request", text)


def test_unknown_names_raise() -> None:
    for version, action in (("1.5", "Reset"), ("1.6", "Foo"), ("1.6", "TransactionEvent"), ("2.0.1", "../Reset")):
        with pytest.raises(KeyError):
            schema.validate(version, action, "request", b"{}")


def test_reading_schemas_does_not_load_the_package_itself() -> None:
    script = (
        "import sys; from gateway.dialects import registry, schema;"
        "schema.validate('1.6', 'Reset', 'request', b'{}'); print('asyncio' in sys.modules, 'ocpp.v16' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
