import inspect
import json
from collections.abc import Callable
from enum import Enum
from typing import Any

import ocpp.v16.enums
import ocpp.v201.enums
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import columns, columns_v2, schema, settings
from gateway.dialects.base import DownRule, Guarded, Route
from gateway.dialects.v16 import V16
from gateway.dialects.v201 import V201
from gateway.rpc.codes import CallError

STATION_SAYS = b'{ "status" : "Accepted" , "x":1.50}'


def guard_of(rule: DownRule) -> Callable[[bytes], Guarded]:
    """The guard of a row; one of settings as while nothing is known of any."""
    keeps = rule.keeps
    guard = rule.guard if keeps is None else lambda payload: keeps(payload, {})
    assert guard is not None
    return guard


def guard16(action: str) -> Callable[[bytes], Guarded]:
    return guard_of(V16.down[action])


def guard201(action: str) -> Callable[[bytes], Guarded]:
    return guard_of(V201.down[action])


def clean(report: bytes) -> bytes:
    cleaner = V201.up["NotifyReport"].clean
    assert cleaner is not None
    return cleaner(report, {})[0]


def assert_relayed(guarded: Guarded, payload: bytes) -> None:
    assert guarded.forward == payload
    assert guarded.finish(STATION_SAYS) == STATION_SAYS


def assert_answered(guarded: Guarded, version: str, action: str, status: str) -> None:
    assert guarded.forward is None
    answer = guarded.finish(None)
    assert json.loads(answer) == {"status": status}
    assert schema.validate(version, action, "response", answer) == []


def test_standard_keys_of_1_6() -> None:
    kept = {str(key.value) for key in ocpp.v16.enums.ConfigurationKey if settings.is_of_the_leg(key.value)}
    assert kept == {"AuthorizationKey", "SecurityProfile"}
    assert [key.value for key in ocpp.v16.enums.ConfigurationKey if settings.is_secret(key.value)] == [
        "AuthorizationKey"
    ]


def test_standard_variables_of_2_0_1() -> None:
    names = {
        str(name.value)
        for title, enum in vars(ocpp.v201.enums).items()
        if inspect.isclass(enum) and issubclass(enum, Enum) and title.endswith(("VariableName", "InstanceName"))
        for name in enum
    }
    assert len(names) > 200
    assert {name for name in names if settings.is_secret(name)} == {"BasicAuthPassword"}
    assert {name for name in names if settings.is_of_the_leg(name)} == {
        "ActiveNetworkProfile",
        "BasicAuthPassword",
        "Identity",
        "NetworkConfigurationPriority",
        "NetworkProfileConnectionAttempts",
        "SecurityProfile",
    }


OF_THE_LEG = """
    CentralSystemURL centralsystemurl ServerUrl ServerURI server_uri BackendUrl BackEndAddress OcppBackend
    CSMSUrl OcppCsmsUrl CsmsAddress OCPPServer ocppServerAddress CSHost OcppHost ServerAddress WebSocketUri
    WebSocketUrl ChargePointId ChargePointIdentity ChargeBoxId ChargeBoxID chargeboxidentity StationId Identity
    identity CPID SecurityProfile NetworkProfile APN apn GprsApn gprsapn modem.apn APNUser ApnName
    Central_System_Address vendor.centralSystem
"""


@pytest.mark.parametrize("name", OF_THE_LEG.split())
def test_names_of_the_leg(name: str) -> None:
    assert settings.is_of_the_leg(name)
    assert not settings.is_secret(name)


SECRETS = """
    AuthorizationKey AUTHORIZATIONKEY authorizationkey BasicAuthPassword basicAuth HttpBasicAuthUser
    WifiPassword wifi_psk ApnPassword VpnPassword APNPasswd Passphrase AuthKey ApiKey PrivateKey SharedSecret
    WebPassCode
"""


@pytest.mark.parametrize("name", SECRETS.split())
def test_names_of_secrets(name: str) -> None:
    assert settings.is_secret(name)
    assert settings.is_of_the_leg(name)


PASSING = """
    WebSocketPingInterval HeartbeatInterval SecurityLogLevel MapName WrapAround DuringCharging HourLimit
    hourlimit FourLevels NtpServerUri TimeServerAddress ntp_server_url AuthorizeRemoteTxRequests
    AuthorizationCacheEnabled FreeVendIdTag MaxEnergyOnInvalidId StopTransactionOnInvalidId LocalAuthListEnabled
    KeyLock ChargePointIdTag StationIdle CertSigningWaitMinimum DisplayBrightness
"""


@pytest.mark.parametrize("name", PASSING.split())
def test_names_that_pass(name: str) -> None:
    assert not settings.is_of_the_leg(name)


@pytest.mark.parametrize(
    "key", ["AuthorizationKey", "authorizationkey", "SecurityProfile", "CpoName", " CPONAME ", "BackendURL"]
)
def test_keys_of_the_leg_are_refused(key: str) -> None:
    payload = json.dumps({"key": key, "value": "00"}).encode()
    assert_answered(guard16("ChangeConfiguration")(payload), "1.6", "ChangeConfiguration", "Rejected")


@pytest.mark.parametrize(
    "payload",
    [
        b'{"key":"SecurityLogLevel", "value":"60"}',
        b'{"value":"1"}',
        b'{"key":["x"]}',
        b'{"key":"MinimumStatusDuration"}',
    ],
)
def test_other_keys_are_relayed(payload: bytes) -> None:
    assert_relayed(guard16("ChangeConfiguration")(payload), payload)


@pytest.mark.parametrize("payload", [b"[]", b"{", b'{"key":"HeartbeatInterval","key":"AuthorizationKey"}'])
def test_a_guard_refuses_what_it_cannot_read_without_doubt(payload: bytes) -> None:
    for dialect in (V16, V201):
        for rule in dialect.down.values():
            if (
                (rule.guard or rule.keeps)
                and rule.route is Route.RELAY
                and rule.keeps not in (columns.get_configuration, columns_v2.get_variables)
            ):
                with pytest.raises(CallError):
                    guard_of(rule)(payload)


def test_secrets_are_taken_out_of_the_configuration() -> None:
    asked = b'{"key":[]}'
    guarded = guard16("GetConfiguration")(asked)
    assert guarded.forward == asked
    answer = (
        b'{ "configurationKey":[{"key":"A","readonly":false,"value":"1.0"},'
        b'{"key":"authorizationKey", "readonly":false, "value":"00ff"},{"value":"hunter2","key":"WifiPassword",'
        b'"readonly" : true},{"key":"CentralSystemURL","readonly":true,"value":"ws://x"}],"unknownKey":["AuthKey"] }'
    )
    cleaned = answer.replace(b', "value":"00ff"', b"").replace(b'"value":"hunter2",', b"")
    assert guarded.finish(answer) == cleaned
    assert schema.validate("1.6", "GetConfiguration", "response", cleaned) == []


@pytest.mark.parametrize(
    "answer",
    [b"{}", b"[]", b"{", b'{"configurationKey":{}}', b'{"configurationKey":[1,{"key":5},{"key":"AuthorizationKey"}]}'],
)
def test_a_strange_configuration_is_relayed(answer: bytes) -> None:
    assert guard16("GetConfiguration")(b"{}").finish(answer) == answer


def test_roots_of_1_6() -> None:
    install, ids = guard16("InstallCertificate"), guard16("GetInstalledCertificateIds")
    central, maker = (
        b'{"certificateType":"CentralSystemRootCertificate"}',
        b'{"certificateType":"ManufacturerRootCertificate"}',
    )
    assert_answered(install(central), "1.6", "InstallCertificate", "Rejected")
    assert_answered(install(b"{}"), "1.6", "InstallCertificate", "Rejected")
    assert_answered(ids(central), "1.6", "GetInstalledCertificateIds", "NotFound")
    assert_relayed(install(maker), maker)
    assert_relayed(ids(maker), maker)


def test_triggers_of_1_6() -> None:
    trigger = guard16("ExtendedTriggerMessage")
    sign, boot = (b'{"requestedMessage":"%b"}' % name for name in (b"SignChargePointCertificate", b"BootNotification"))
    assert_answered(trigger(sign), "1.6", "ExtendedTriggerMessage", "Rejected")
    assert_relayed(trigger(boot), boot)


def entry(component: str, variable: str, value: str | None = None, **more: Any) -> dict[str, Any]:
    said = {"component": {"name": component}, "variable": {"name": variable}, **more}
    return said if value is None else {**said, "attributeValue": value}


def set_variables(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"setVariableData": list(entries)}).encode()


INTERVAL = entry("SampledDataCtrlr", "TxUpdatedInterval", "60")
PASSWORD = entry("SecurityCtrlr", "BasicAuthPassword", "0123456789abcdef", attributeType="Target")


@pytest.mark.parametrize(
    ("component", "variable"),
    [
        ("SecurityCtrlr", "BasicAuthPassword"),
        ("securityctrlr", "BASICAUTHPASSWORD"),
        ("SecurityCtrlr", "SecurityProfile"),
        ("SecurityCtrlr", "Identity"),
        ("SecurityCtrlr", "OrganizationName"),
        ("SECURITYCTRLR ", "organizationname"),
        ("OCPPCommCtrlr", "NetworkConfigurationPriority"),
        ("OCPPCommCtrlr", "NetworkProfileConnectionAttempts"),
        ("NetworkConfiguration", "MessageTimeout"),
        ("VendorCtrlr", "CsmsUrl"),
    ],
)
def test_variables_of_the_leg_are_refused(component: str, variable: str) -> None:
    guarded = guard201("SetVariables")(set_variables(entry(component, variable, "1")))
    assert guarded.forward is None
    answer = guarded.finish(None)
    assert schema.validate("2.0.1", "SetVariables", "response", answer) == []
    [result] = json.loads(answer)["setVariableResult"]
    result.pop("attributeStatusInfo", None)
    assert result == {**entry(component, variable), "attributeStatus": "Rejected"}


@pytest.mark.parametrize(
    "payload",
    [
        set_variables(INTERVAL),
        set_variables(entry("ISO15118Ctrlr", "OrganizationName", "x"), entry("ClockCtrlr", "NtpServerUri", "x")),
        b'{ "setVariableData" : [] }',
        b"{}",
        b'{"setVariableData":{"component":1}}',
        b'{"setVariableData":[1,{"component":"x","variable":["BasicAuthPassword"]}]}',
    ],
)
def test_other_variables_are_relayed(payload: bytes) -> None:
    assert_relayed(guard201("SetVariables")(payload), payload)


def test_refused_entries_are_answered_here_and_the_rest_goes_down() -> None:
    payload = (
        b'{ "setVariableData":[{"attributeValue" :"1.0","component":{"name":"A"},"variable":{"name":"a"}} ,'
        b'{"attributeValue":"x","attributeType":"Target","component":{"name":"Security", "evse":{"id":1}},'
        b'"variable":{ "name":"BasicAuthPassword","instance":"\\u0031"}},'
        b'{"attributeValue":"2","component":{"name":"B"},"variable":{"name":"b"}}],"customData":{"vendorId":"x"} }'
    )
    guarded = guard201("SetVariables")(payload)
    assert guarded.forward == (
        b'{ "setVariableData":[{"attributeValue" :"1.0","component":{"name":"A"},"variable":{"name":"a"}} ,'
        b'{"attributeValue":"2","component":{"name":"B"},"variable":{"name":"b"}}],"customData":{"vendorId":"x"} }'
    )
    first = b'{"component":{"name":"A"}, "variable":{"name":"a"},"attributeStatus" : "Accepted"}'
    last = b'{"variable":{"name":"b"},"component":{"name":"B"},"attributeStatus":"RebootRequired"}'
    refused = (
        b'{"attributeStatus":"Rejected","attributeType":"Target","component":{"name":"Security", "evse":{"id":1}},'
        b'"variable":{ "name":"BasicAuthPassword","instance":"\\u0031"}}'
    )
    answer = guarded.finish(b'{ "x":1.50, "setVariableResult" : [%b , %b] }' % (first, last))
    assert answer == b'{ "x":1.50, "setVariableResult" : [%b,%b,%b] }' % (first, refused, last)


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"{", b'{"setVariableResult":{}}', b'{"setVariableResult":null}'])
def test_a_strange_result_is_relayed(answer: bytes) -> None:
    assert guard201("SetVariables")(set_variables(INTERVAL, PASSWORD)).finish(answer) == answer


def test_a_station_that_answers_too_little_still_gets_our_entries_added() -> None:
    guarded = guard201("SetVariables")(set_variables(INTERVAL, PASSWORD, INTERVAL, PASSWORD))
    results = json.loads(guarded.finish(b'{"setVariableResult":[]}'))["setVariableResult"]
    assert [result["variable"]["name"] for result in results] == ["BasicAuthPassword"] * 2


_SECRETS = st.sampled_from(["BasicAuthPassword", "Identity", "SecurityProfile", "CsmsUrl"])
_HARMLESS = st.sampled_from(["HeartbeatInterval", "MessageTimeout", "OfflineThreshold", "Enabled"])
_ENTRIES = st.lists(st.tuples(st.booleans(), _SECRETS, _HARMLESS, st.text(max_size=10)), min_size=1, max_size=12)


@given(_ENTRIES)
def test_results_come_in_request_order(drawn: list[tuple[bool, str, str, str]]) -> None:
    asked = [
        entry("SecurityCtrlr", secret if is_secret else harmless, value, attributeType=["Actual", "Target"][n % 2])
        for n, (is_secret, secret, harmless, value) in enumerate(drawn)
    ]
    guarded = guard201("SetVariables")(set_variables(*asked))
    allowed = [said for said, (is_secret, *_) in zip(asked, drawn, strict=True) if not is_secret]
    if allowed:
        assert guarded.forward is not None
        assert json.loads(guarded.forward) == {"setVariableData": allowed}
        results = [
            {**{k: v for k, v in said.items() if k != "attributeValue"}, "attributeStatus": "Accepted"}
            for said in allowed
        ]
        answer = guarded.finish(json.dumps({"setVariableResult": results}).encode())
    else:
        assert guarded.forward is None
        answer = guarded.finish(None)
    assert schema.validate("2.0.1", "SetVariables", "response", answer) == []
    merged = json.loads(answer)["setVariableResult"]
    assert [(r["variable"], r["attributeType"]) for r in merged] == [(a["variable"], a["attributeType"]) for a in asked]
    statuses = ["Rejected" if is_secret else "Accepted" for is_secret, *_ in drawn]
    assert [result["attributeStatus"] for result in merged] == statuses


def test_secrets_are_taken_out_of_variables() -> None:
    asked = b'{"getVariableData":[]}'
    guarded = guard201("GetVariables")(asked)
    assert guarded.forward == asked
    answer = (
        b'{ "getVariableResult":[{"attributeStatus":"Accepted","attributeValue":"1.0","component":{"name":"A"},'
        b'"variable":{"name":"a"}},{"attributeValue" : "hunter2","attributeStatus":"Accepted","component":'
        b'{"name":"SecurityCtrlr"},"variable":{"name":"basicauthpassword"}}, {"attributeStatus":"Rejected","component":'
        b'{"name":"SecurityCtrlr"},"variable":{"name":"BasicAuthPassword"}}]}'
    )
    cleaned = answer.replace(
        b'"attributeValue" : "hunter2","attributeStatus":"Accepted"', b'"attributeStatus":"Rejected"'
    )
    assert guarded.finish(answer) == cleaned
    assert schema.validate("2.0.1", "GetVariables", "response", cleaned) == []


@pytest.mark.parametrize(
    "answer", [b"{}", b"[]", b"{", b'{"getVariableResult":[1,{"variable":"x","attributeValue":"1"}]}']
)
def test_strange_variables_are_relayed(answer: bytes) -> None:
    assert guard201("GetVariables")(b"{}").finish(answer) == answer


def test_secrets_are_taken_out_of_reports() -> None:
    report = (
        b'{"requestId":1,"seqNo":0,"generatedAt":"t", "reportData":[{"component":{"name":"A"},"variable":{"name":"a"},'
        b'"variableAttribute":[{"value":"1.0"}]},{"component":{"name":"SecurityCtrlr"},"variable":'
        b'{"name":"BasicAuthPassword"},"variableAttribute":[{"type":"Actual" ,"value":"hunter2"},{"mutability":'
        b'"WriteOnly"},{"value":"hunter3"}]}]}'
    )
    expected = report.replace(b' ,"value":"hunter2"', b" ").replace(b'{"value":"hunter3"}', b"{}")
    assert clean(report) == expected
    assert schema.validate("2.0.1", "NotifyReport", "request", expected) == []
    for strange in (b"{}", b"[]", b"{", b'{"reportData":[{"variable":{"name":"BasicAuthPassword"}}]}'):
        assert clean(strange) == strange


def test_certificates_that_pass_and_that_do_not() -> None:
    signed, install, trigger = guard201("CertificateSigned"), guard201("InstallCertificate"), guard201("TriggerMessage")
    v2g = b'{"certificateType":"V2GCertificate", "certificateChain":"x"}'
    assert_relayed(signed(v2g), v2g)
    for payload in (b'{"certificateChain":"x"}', b'{"certificateType":"ChargingStationCertificate"}'):
        assert_answered(signed(payload), "2.0.1", "CertificateSigned", "Rejected")
    for name in (b"V2GRootCertificate", b"MORootCertificate", b"ManufacturerRootCertificate"):
        payload = b'{ "certificateType":"%b"}' % name
        assert_relayed(install(payload), payload)
    for payload in (b'{"certificateType":"CSMSRootCertificate"}', b'{"certificateType":1}', b"{}"):
        assert_answered(install(payload), "2.0.1", "InstallCertificate", "Rejected")
    for name in (b"SignChargingStationCertificate", b"SignCombinedCertificate"):
        assert_answered(trigger(b'{"requestedMessage":"%b"}' % name), "2.0.1", "TriggerMessage", "Rejected")
    payload = b'{"requestedMessage":"SignV2GCertificate"}'
    assert_relayed(trigger(payload), payload)


CHAIN = b'{"certificateType":"%b", "certificateHashData":{"hashAlgorithm":"SHA256","issuerNameHash":"a",' + (
    b'"issuerKeyHash":"b","serialNumber":"1"}}'
)
CSMS, V2G, MO = (CHAIN % name for name in (b"CSMSRootCertificate", b"V2GRootCertificate", b"MORootCertificate"))


def test_csms_roots_are_not_asked_for() -> None:
    ids = guard201("GetInstalledCertificateIds")
    assert_answered(
        ids(b'{"certificateType":["CSMSRootCertificate"]}'), "2.0.1", "GetInstalledCertificateIds", "NotFound"
    )
    mixed = b'{ "certificateType":["V2GRootCertificate", "CSMSRootCertificate","MORootCertificate"] }'
    assert ids(mixed).forward == mixed.replace(b' "CSMSRootCertificate",', b" ")
    twice = b'{"certificateType":["CSMSRootCertificate","CSMSRootCertificate","V2GRootCertificate"]}'
    assert ids(twice).forward == b'{"certificateType":["V2GRootCertificate"]}'
    for payload in (b'{"certificateType":["V2GRootCertificate"]}', b"{}", b'{"certificateType":[]}'):
        assert_relayed(ids(payload), payload)


def test_csms_roots_are_not_told_of() -> None:
    finish = guard201("GetInstalledCertificateIds")(b"{}").finish
    answer = b'{ "status":"Accepted","certificateHashDataChain":[%b]}'
    assert finish(answer % (CSMS + b"," + V2G + b", " + CSMS + b"," + MO)) == answer % (V2G + b", " + MO)
    nothing = finish(answer % (CSMS + b"," + CSMS))
    assert json.loads(nothing) == {"status": "NotFound"}
    assert schema.validate("2.0.1", "GetInstalledCertificateIds", "response", nothing) == []
    for same in (answer % V2G, b'{"status":"NotFound"}', b"[]", b"{", b'{"certificateHashDataChain":{}}'):
        assert finish(same) == same
