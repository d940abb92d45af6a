from gateway.dialects.base import Commit, Json, Role, Route
from gateway.dialects.v201 import V201


def slot(action: str, found: Json) -> str:
    made = V201.up[action].slot
    assert made is not None
    return made(found)


def test_what_is_durable() -> None:
    assert {rule.action: rule.commit for rule in V201.up.values() if rule.route is Route.DURABLE} == {
        "TransactionEvent": Commit.EAGER,
        "SecurityEventNotification": Commit.EAGER,
        "NotifyEvent": Commit.LAZY,
        "ReservationStatusUpdate": Commit.LAZY,
    }
    assert {rule.action for rule in V201.up.values() if rule.role is Role.TRANSACTION} == {"TransactionEvent"}


def test_the_end_of_a_limit_replaces_the_limit() -> None:
    limit = {"chargingLimit": {"chargingLimitSource": "EMS"}, "evseId": 1}
    assert slot("NotifyChargingLimit", limit) == "limit:EMS/1"
    assert slot("ClearedChargingLimit", {"chargingLimitSource": "EMS", "evseId": 1}) == "limit:EMS/1"
    assert slot("ClearedChargingLimit", {"chargingLimitSource": "EMS"}) == "limit:EMS/"
    assert slot("ClearedChargingLimit", {"chargingLimitSource": "SO", "evseId": 0}) == "limit:SO/0"


def test_slots_tell_requests_and_places_apart() -> None:
    assert slot("FirmwareStatusNotification", {"requestId": 4}) == "firmware:4"
    assert slot("LogStatusNotification", {}) == "log:"
    assert slot("StatusNotification", {"evseId": 1, "connectorId": 2}) == "status:1/2"
    assert slot("MeterValues", {"evseId": 1}) == "meter:1"


def test_ids_of_stations_are_not_mapped() -> None:
    assert not any(rule.tx_ids for rule in V201.down.values())


def test_what_belongs_to_the_leg_never_goes_down() -> None:
    stays = {rule.action for rule in V201.down.values() if rule.route in (Route.INTERCEPT, Route.REFUSE)}
    assert stays == {
        "DeleteCertificate",
        "PublishFirmware",
        "SendLocalList",
        "SetNetworkProfile",
        "UnpublishFirmware",
    }
    assert V201.up["SignCertificate"].route is Route.ANSWER
    assert V201.up["NotifyReport"].clean is not None
    guarded = {rule.action for rule in V201.down.values() if (rule.guard or rule.keeps) and rule.route is Route.RELAY}
    assert guarded == {
        "CertificateSigned",
        "GetInstalledCertificateIds",
        "GetVariables",
        "InstallCertificate",
        "SetVariables",
        "TriggerMessage",
    }
