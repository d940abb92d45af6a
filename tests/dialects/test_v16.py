import json

from gateway.dialects import schema
from gateway.dialects.base import Budget, Commit, Role, Route
from gateway.dialects.v16 import V16
from gateway.rpc.splice import splice


def test_transaction_messages_are_durable() -> None:
    rows = {rule.action: rule for rule in V16.up.values() if rule.role is Role.TRANSACTION}
    assert {action: (rule.commit, rule.budget) for action, rule in rows.items()} == {
        "StartTransaction": (Commit.EAGER, Budget.START),
        "StopTransaction": (Commit.EAGER, Budget.OTHER),
        "MeterValues": (Commit.LAZY, Budget.OTHER),
    }
    assert {rule.action for rule in V16.up.values() if rule.route is Route.DURABLE} == {
        *rows,
        "SecurityEventNotification",
    }


def test_transaction_ids_of_commands_can_be_mapped() -> None:
    profile = (
        b'{"chargingProfileId":1,"transactionId":5,"stackLevel":0,"chargingProfilePurpose":"TxProfile",'
        b'"chargingProfileKind":"Relative","chargingSchedule":{"chargingRateUnit":"A","chargingSchedulePeriod":'
        b'[{"startPeriod":0,"limit":16.0}]}}'
    )
    commands = {
        "RemoteStopTransaction": b'{"transactionId":5}',
        "SetChargingProfile": b'{"connectorId":1,"csChargingProfiles":%b}' % profile,
        "RemoteStartTransaction": b'{"idTag":"A","chargingProfile":%b}' % profile,
    }
    assert {rule.action for rule in V16.down.values() if rule.tx_ids} == set(commands)
    for action, payload in commands.items():
        assert schema.validate(V16.name, action, "request", payload) == []
        (path,) = V16.down[action].tx_ids
        mapped = splice(payload, path, V16.codec.map_tx_id("1000000001"))
        assert mapped == payload.replace(b'"transactionId":5', b'"transactionId":1000000001')


def test_slots_tell_requests_and_connectors_apart() -> None:
    def slot(action: str, payload: str) -> str:
        made = V16.up[action].slot
        assert made is not None
        return made(json.loads(payload))

    assert slot("LogStatusNotification", '{"requestId":1}') == "log:1"
    assert slot("SignedFirmwareStatusNotification", '{"requestId":"1"}') == "signed-firmware:1"
    assert slot("SignedFirmwareStatusNotification", "{}") == "signed-firmware:"
    assert slot("StatusNotification", '{"connectorId":2}') == "status:2/1"
    assert slot("MeterValues", '{"connectorId":2}') == "meter:2"


def test_what_belongs_to_the_leg_never_goes_down() -> None:
    for action in ("CertificateSigned", "DeleteCertificate"):
        assert V16.down[action].route is Route.INTERCEPT
    assert V16.up["SignCertificate"].route is Route.ANSWER
    guarded = {rule.action for rule in V16.down.values() if (rule.guard or rule.keeps) and rule.route is Route.RELAY}
    assert guarded == {
        "ChangeConfiguration",
        "ExtendedTriggerMessage",
        "GetConfiguration",
        "GetInstalledCertificateIds",
        "InstallCertificate",
    }
