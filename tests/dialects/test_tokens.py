"""Lists, reservations and invalid tokens: what is read, and that what the gateway says is valid in its version."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.dialects import registry, schema
from gateway.dialects.base import Dialect
from gateway.model.ids import StationId
from gateway.model.local_list import InvalidIdSettings, ListEntry, ListLimits, ListUpdate, UpdateStatus
from gateway.model.records import Reservation
from gateway.model.token import AuthorizationStatus, Decision, IdToken, Proof, Reason, Verdict
from gateway.rpc.codes import CallError

CP = StationId("CP")
V16, V201, V21 = registry.by_name("1.6"), registry.by_name("2.0.1"), registry.by_name("2.1")
ALL = pytest.mark.parametrize("dialect", registry.ALL, ids=lambda dialect: dialect.name)
GOOD = Verdict(AuthorizationStatus.ACCEPTED)


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


# -- the CSMS's list -------------------------------------------------------------------------------------------------


def test_a_list_of_1_6() -> None:
    said = {
        "listVersion": 7,
        "updateType": "Differential",
        "localAuthorizationList": [
            {
                "idTag": "A",
                "idTagInfo": {"status": "Accepted", "parentIdTag": "P", "expiryDate": "2030-01-01T00:00:00Z"},
            },
            {"idTag": "B"},
        ],
    }
    verdict = Verdict(AuthorizationStatus.ACCEPTED, "P", "2030-01-01T00:00:00Z")
    entries = (ListEntry(IdToken("A"), verdict), ListEntry(IdToken("B"), None))
    assert V16.tokens.list_update(text(said)) == ListUpdate(7, False, entries)
    assert V16.tokens.list_update(b'{"listVersion":"7","updateType":"Full"}') == ListUpdate(7, True, ())


def test_a_list_of_2_0_1_keeps_every_entry_as_it_was_written() -> None:
    first = '{"idToken": {"type":"ISO14443","idToken":"A"}, "idTokenInfo":{"status":"Accepted","evseId":[1,2]}}'
    said = f'{{"versionNumber":7,"updateType":"Full","localAuthorizationList":[{first}]}}'
    read = V201.tokens.list_update(said.encode())
    verdict = Verdict(AuthorizationStatus.ACCEPTED, evses=(1, 2))
    assert read == ListUpdate(7, True, (ListEntry(IdToken("A", "ISO14443"), verdict, "2.0.1", first),))
    assert V201.tokens.list_entry(read.entries[0]) == first.encode()
    made = V21.tokens.list_entry(read.entries[0])
    assert made is not None
    assert json.loads(made) == json.loads(first)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"listVersion": 1, "versionNumber": 1, "updateType": "Whole"},
        {"listVersion": "one", "versionNumber": "one", "updateType": "Full"},
        {"listVersion": 1, "versionNumber": 1, "updateType": "Full", "localAuthorizationList": [{}]},
        {
            "listVersion": 1,
            "versionNumber": 1,
            "updateType": "Full",
            "localAuthorizationList": [
                {
                    "idTag": "A",
                    "idTagInfo": {"status": "Great"},
                    "idToken": {"idToken": "A", "type": "Central"},
                    "idTokenInfo": {"status": "Great"},
                }
            ],
        },
    ],
)
@ALL
def test_a_list_that_says_what_nobody_can_read_is_none(dialect: Dialect, said: dict[str, Any]) -> None:
    assert dialect.tokens.list_update(text(said)) is None
    with pytest.raises(CallError):
        dialect.tokens.list_update(b"[]")


# -- a station's list ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_full", [True, False])
@ALL
def test_what_goes_down_is_valid_and_reads_as_it_was_meant(dialect: Dialect, is_full: bool) -> None:
    verdicts = [Verdict(status, "G", "2030-01-01T00:00:00Z") for status in AuthorizationStatus]
    entries = [ListEntry(IdToken(f"T{number}"), verdict) for number, verdict in enumerate(verdicts)]
    if not is_full:
        entries.append(ListEntry(IdToken("gone"), None))
    made = [one for entry in entries if (one := dialect.tokens.list_entry(entry))]
    for chunk in (made, []):
        action, payload = dialect.tokens.send_list(7, is_full, chunk)
        assert action in dialect.down
        assert schema.validate(dialect.name, action, "request", payload) == []
        read = dialect.tokens.list_update(payload)
        assert read is not None
        assert (read.version, read.is_full, len(read.entries)) == (7, is_full, len(chunk))
    accepted = dialect.tokens.list_update(dialect.tokens.send_list(7, is_full, made[:1])[1])
    assert accepted is not None
    assert accepted.entries[0].verdict == verdicts[0]


@pytest.mark.parametrize(("dialect", "longest"), [(V16, 20), (V201, 36), (V21, 255)])
def test_a_token_too_long_for_a_version_is_left_out(dialect: Dialect, longest: int) -> None:
    assert dialect.tokens.list_entry(ListEntry(IdToken("x" * longest), GOOD)) is not None
    assert dialect.tokens.list_entry(ListEntry(IdToken("x" * (longest + 1)), GOOD)) is None


@ALL
def test_questions_and_answers_are_valid(dialect: Dialect) -> None:
    tokens = dialect.tokens
    station_tx_id = "5"
    for action, payload in (
        tokens.ask_list_version(),
        tokens.ask_list_limits(),
        tokens.ask_invalid_id(),
        tokens.limit_to_zero(station_tx_id, 1, 2_000_000_001, 8),
    ):
        assert action in dialect.down
        assert schema.validate(dialect.name, action, "request", payload) == []
    for status in UpdateStatus:
        assert schema.validate(dialect.name, "SendLocalList", "response", tokens.answer_list(status)) == []
        assert tokens.list_taken(tokens.answer_list(status)) is status
    answer = tokens.answer_list_version(7, is_empty=False)
    assert schema.validate(dialect.name, "GetLocalListVersion", "response", answer) == []
    assert tokens.list_version(answer) == 7
    empty = tokens.list_version(tokens.answer_list_version(7, is_empty=True))
    assert empty == (0 if dialect is V16 else 7)
    conflict = tokens.list_conflict("Available")
    assert (conflict is not None) == (dialect is V16)
    if conflict:
        assert schema.validate(dialect.name, conflict[0], "request", conflict[1]) == []


@pytest.mark.parametrize("answer", [b"{}", b"", b"[]", b'{"status":"NotSupported"}', b'{"listVersion":-1}'])
@ALL
def test_a_station_without_lists_has_none(dialect: Dialect, answer: bytes) -> None:
    assert dialect.tokens.list_version(answer) is None
    assert dialect.tokens.list_taken(answer) is None


def keys(**values: str) -> bytes:
    return text({"configurationKey": [{"key": key, "readonly": True, "value": value} for key, value in values.items()]})


def variables(component: str, **values: str | None) -> bytes:
    return text(
        {
            "getVariableResult": [
                {
                    "attributeStatus": "Accepted",
                    "component": {"name": component},
                    "variable": {"name": name},
                    **({"attributeValue": value} if value else {}),
                }
                for name, value in values.items()
            ]
        }
    )


def test_the_limits_of_a_station() -> None:
    said = keys(localauthlistenabled="True", SendLocalListMaxLength="10", LocalAuthListMaxLength="100")
    assert V16.tokens.list_limits(said) == ListLimits(True, 10, None, 100)
    assert V16.tokens.list_limits(keys(LocalAuthListEnabled="false")) == ListLimits(False)
    assert V16.tokens.list_limits(b"{}") == ListLimits()
    told = variables("LocalAuthListCtrlr", Enabled="true", ItemsPerMessage="5", BytesPerMessage="2000")
    assert V201.tokens.list_limits(told) == ListLimits(True, 5, 2000, None)
    assert V201.tokens.list_limits(variables("LocalAuthListCtrlr", ItemsPerMessage=None)) == ListLimits()
    assert V201.tokens.list_limits(variables("Other", ItemsPerMessage="5")) == ListLimits()


def test_what_a_station_does_with_an_invalid_token() -> None:
    said = keys(StopTransactionOnInvalidId="false", MaxEnergyOnInvalidId="500", ChargeProfileMaxStackLevel="8")
    assert V16.tokens.invalid_id(said) == InvalidIdSettings(False, 500, 8)
    told = variables("TxCtrlr", StopTxOnInvalidId="true", MaxEnergyOnInvalidId="0")
    assert V201.tokens.invalid_id(told) == InvalidIdSettings(True, 0, None)
    for dialect in registry.ALL:
        for answer in (b"{}", b"", keys(), variables("TxCtrlr", StopTxOnInvalidId="perhaps")):
            assert dialect.tokens.invalid_id(answer) == InvalidIdSettings()


def test_the_register_in_meter_values() -> None:
    said = text(
        {"meterValue": [{"sampledValue": [{"value": "7.5", "unit": "kWh"}]}, {"sampledValue": [{"value": "1"}]}]}
    )
    assert V16.tokens.energy_wh("MeterValues", said) == 1
    assert V16.tokens.energy_wh("StopTransaction", said) is None
    assert V16.tokens.energy_wh("MeterValues", b"{") is None


# -- reservations ----------------------------------------------------------------------------------------------------

UNTIL = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("dialect", "said", "reservation"),
    [
        (
            V16,
            {"connectorId": 1, "expiryDate": "2026-03-01T10:00:00+01:00", "idTag": "T", "reservationId": -5},
            Reservation(CP, -5, 1, "t", None, UNTIL),
        ),
        (
            V16,
            {
                "connectorId": 0,
                "expiryDate": "2026-03-01T09:00:00",
                "idTag": "T",
                "parentIdTag": "P",
                "reservationId": 1,
            },
            Reservation(CP, 1, None, "t", "P", UNTIL),
        ),
        (
            V201,
            {
                "id": 1,
                "expiryDateTime": "2026-03-01T09:00:00Z",
                "idToken": {"idToken": "T", "type": "KeyCode"},
                "groupIdToken": {"idToken": "P", "type": "ISO14443"},
                "evseId": 2,
            },
            Reservation(CP, 1, 2, "t|keycode", "P|ISO14443", UNTIL),
        ),
        (V201, {"id": 1, "expiryDateTime": "tomorrow", "idToken": {"idToken": "T", "type": "Central"}}, None),
        (V16, {"connectorId": 1, "expiryDate": "2026-03-01T09:00:00Z", "idTag": "T", "reservationId": 2**63}, None),
    ],
)
def test_a_reservation_is_read(dialect: Dialect, said: dict[str, Any], reservation: Reservation | None) -> None:
    assert dialect.tokens.reservation(CP, text(said)) == reservation


@ALL
def test_which_reservation_is_over(dialect: Dialect) -> None:
    assert dialect.tokens.reservation_id(b'{"reservationId":4}') == 4
    assert dialect.tokens.reservation_id(b"{}") is None
    assert dialect.tokens.accepts(b'{"status":"Accepted"}')
    assert not dialect.tokens.accepts(b'{"status":"Rejected"}')


# -- contracts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "proof"),
    [
        ({}, Proof.NONE),
        ({"iso15118CertificateHashData": [{"serialNumber": "1"}]}, Proof.HASHES),
        ({"certificate": "-----BEGIN"}, Proof.CERTIFICATE),
        ({"certificate": "-----BEGIN", "iso15118CertificateHashData": [{}]}, Proof.CERTIFICATE),
        ({"certificate": "", "iso15118CertificateHashData": []}, Proof.NONE),
    ],
)
def test_what_came_to_prove_a_contract(more: dict[str, Any], proof: Proof) -> None:
    token = V201.codec.token(text({"idToken": {"idToken": "DE-1", "type": "eMAID"}, **more}))
    assert token == IdToken("DE-1", "eMAID", proof)


def test_who_vouches_says_so() -> None:
    good = Decision(AuthorizationStatus.ACCEPTED, Reason.KNOWN, vouches=True)
    for dialect in registry.ALL:
        answer = dialect.codec.answer_authorize(good)
        assert schema.validate(dialect.name, "Authorize", "response", answer) == []
        assert (b"certificateStatus" in answer) == (dialect is not V16)
