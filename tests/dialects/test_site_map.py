"""Ids of one station as the site's: only what the table names changes, and what goes up comes down again."""

import json

import pytest

from gateway.core.one_station import transaction_uuid
from gateway.dialects import registry, schema
from gateway.dialects.base import Dialect
from gateway.dialects.site_map import (
    LONGEST_LABEL,
    UnknownIdError,
    evses_named,
    map_answer_down,
    map_answer_up,
    map_down,
    map_up,
    values,
)
from gateway.dialects.site_rules import IdKind, SiteUp, Way, Zero, component, made
from gateway.model.ids import StationId
from gateway.rpc.splice import Path, splice
from tests.dialects.examples import Example
from tests.dialects.one_site import A, B, C, OneSite

EVERY = [pytest.param(dialect, id=dialect.name) for dialect in registry.ALL]
V201 = registry.site_table("2.0.1")
SITE_16, SITE_2 = OneSite(gives_tx_ids=True), OneSite(gives_tx_ids=False)
MANY = LONGEST_LABEL + 50


def site_of(dialect: Dialect) -> OneSite:
    return SITE_16 if dialect.csms_gives_tx_ids else SITE_2


def example(dialect: Dialect, row: SiteUp) -> bytes:
    """A message of EVSE 1 with every member there is."""
    payload = Example(dialect.name, row.action, "request").payload()
    for one in row.ids:
        for path, _ in values(json.loads(payload), one.path):
            if one.kind in (IdKind.EVSE, IdKind.COMPONENT):
                whole = path if one.kind is IdKind.EVSE else (*path, "evse", "id")
                payload = splice(payload, whole, b"1")
    return payload


@pytest.mark.parametrize("dialect", EVERY)
def test_going_up_nothing_but_the_ids_changes(dialect: Dialect) -> None:
    """Put back what stood there, and the payload is the one that came, byte for byte."""
    mapped = 0
    own = site_of(dialect).of(B)
    for row in registry.site_table(dialect.name).up.values():
        if row.way is not Way.MAP:
            continue
        came = example(dialect, row)
        up = map_up(row, came, own)
        assert up is not None
        assert schema.validate(dialect.name, row.action, "request", up) == [], row.action
        odd = b" " + came[:-1] + b' , "x" :1.10}'
        up = map_up(row, odd, own)
        assert up is not None
        was, now = json.loads(odd), json.loads(up)
        for one in row.ids:
            for path, value in values(was, one.path):
                is_given = one.kind is IdKind.TRANSACTION and dialect.csms_gives_tx_ids
                assert (dict(values(now, one.path))[path] == value) is is_given, row.action
                up = splice(up, path, _raw(odd, path))
                mapped += 1
        assert up == odd, row.action
    assert mapped > 5


def _raw(payload: bytes, path: Path) -> bytes:
    """The text of a member, as it stands."""
    marker = b'"<here>"'
    before, _, after = splice(payload, path, marker).partition(marker)
    return payload[len(before) : len(payload) - len(after)]


@pytest.mark.parametrize("dialect", EVERY)
def test_what_goes_up_comes_down_again(dialect: Dialect) -> None:
    """Every mapped payload, taken as a command with the same ids: the station gets its own ones."""
    site = site_of(dialect)
    for row in registry.site_table(dialect.name).up.values():
        came = example(dialect, row)
        ids = tuple(one for one in row.ids if one.kind not in (IdKind.TRANSACTION, IdKind.LABEL))
        if row.way is Way.MAP and ids:
            only_these = SiteUp(row.action, Way.MAP, ids, row.zero)
            up = map_up(only_these, came, site.of(B))
            assert up is not None
            assert json.loads(map_down(ids, up, site.of(B))) == json.loads(came), row.action
            with pytest.raises(UnknownIdError):
                map_down(ids, up, site.of(A))


def test_a_transaction_is_the_same_one_for_ever_and_only_its_station_s() -> None:
    own = b'{"transactionId":"tx-1"}'
    row = V201.down["RequestStopTransaction"]
    up = {station: map_answer_up(row.ids, own, SITE_2.of(station)) for station in (A, B)}
    assert up[A] != up[B]
    assert json.loads(up[A])["transactionId"] == transaction_uuid(A, "tx-1") == "b6f16951-8339-5028-98cb-f44b7a1f00c0"
    assert [map_down(row.ids, up[station], SITE_2.of(station)) for station in (A, B)] == [own, own]
    assert len(transaction_uuid(StationId("x" * 48), "y" * 36)) == 36


@pytest.mark.parametrize(
    ("payload", "up"),
    [
        (b'{"evseId":0}', None),
        (b"{}", None),
        (b'{"evseId":9}', None),
        (b'{"evseId":"a"}', None),
        (b'{"evseId":"2"}', b'{"evseId":5}'),
        (b'{"evseId": 2.0 }', b'{"evseId": 5 }'),
    ],
)
def test_what_is_not_about_an_evse_stays_here(payload: bytes, up: bytes | None) -> None:
    assert map_up(V201.up["MeterValues"], payload, SITE_2.of(C)) == up


@pytest.mark.parametrize(("evse", "up"), [(b"2", b"5"), (b"0", b"4"), (b"77", b"4"), (b"null", b"4")])
def test_a_transaction_message_always_goes_up(evse: bytes, up: bytes) -> None:
    row = V201.up["TransactionEvent"]
    assert row.zero is Zero.HEAD
    made_up = map_up(row, b'{"evse":{"id":%b,"connectorId":1}}' % evse, SITE_2.of(C))
    assert made_up == b'{"evse":{"id":%b,"connectorId":1}}' % up
    assert map_up(row, b'{"seqNo":1}', SITE_2.of(C)) == b'{"seqNo":1}'


@pytest.mark.parametrize(
    ("own", "up"),
    [
        (b'{"name":"EVSE","evse":{"id":2}}', b'{"name":"EVSE","evse":{"id":5}}'),
        (b'{"name":"EVSE","instance":"x","evse":{"id":1}}', b'{"name":"EVSE","instance":"x","evse":{"id":4}}'),
        (b'{"name":"OCPPCommCtrlr"}', b'{"instance":"4","name":"OCPPCommCtrlr"}'),
        (b'{"name":"C","instance":"Main"}', b'{"name":"C","instance":"4:Main"}'),
        (b'{"name":"C","instance":"7"}', b'{"name":"C","instance":"4:7"}'),
        (b'{"name":"C","evse":{"id":0}}', b'{"instance":"4","name":"C"}'),
    ],
)
def test_components_tell_their_station(own: bytes, up: bytes) -> None:
    ids = component("c")
    said = map_answer_up(ids, b'{"c":%b}' % own, SITE_2.of(C))
    assert said == b'{"c":%b}' % up
    if b'"id":0' not in own:
        assert json.loads(map_down(ids, said, SITE_2.of(C))) == {"c": json.loads(own)}
    with pytest.raises(UnknownIdError):
        map_down(ids, said, SITE_2.of(A))


def test_labels_keep_their_length() -> None:
    row = V201.up["SecurityEventNotification"]
    assert map_up(row, b"{}", SITE_2.of(B)) == b'{"techInfo":"[3]"}'
    up = map_up(row, b'{"techInfo":"%b"}' % (b"x" * MANY), SITE_2.of(B))
    assert up is not None
    assert len(json.loads(up)["techInfo"]) == LONGEST_LABEL


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"[3,5,4]", b'{"idTokenInfo":{"status":"Accepted","evseId":[2,1]}}'),
        (b"[1,2]", b'{"idTokenInfo":{"status":"NotAtThisLocation"}}'),
    ],
)
def test_a_token_for_some_evses(said: bytes, heard: bytes) -> None:
    row = V201.up["Authorize"]
    answer = b'{"idTokenInfo":{"status":"Accepted","evseId":%b}}' % said
    assert map_answer_down(row, answer, SITE_2.of(C)) == heard


def test_what_has_no_number_yet_is_named_first() -> None:
    row, payload = V201.up["NotifyReport"], b'{"reportData":[{"component":{"evse":{"id":3}}},{"component":{}}]}'
    assert evses_named(row, payload) == [3]
    new = StationId("new")
    with pytest.raises(UnknownIdError):
        map_up(row, payload, SITE_2.of(new))
    with pytest.raises(UnknownIdError):
        map_up(SiteUp("x", Way.MAP, made("id")), b'{"id":1}', SITE_2.of(new))
