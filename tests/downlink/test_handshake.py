"""Who a path names, what a Basic header holds, which offers are spoken: tables, and properties over any input."""

import base64
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.downlink.handshake import (
    Login,
    Named,
    Refusal,
    Standing,
    identify,
    identity_problem,
    is_upgrade,
    read_login,
    read_offers,
    speakable,
    standing,
)
from gateway.model.ids import StationId
from gateway.model.records import Approval, StationRecord

ALIASES = {"box 1": StationId("CP-01"), "old:name": StationId("CP-02"), "x" * 60: StationId("CP-03")}

PATHS = [
    ("/ocpp/CP-01", "/ocpp", "CP-01"),
    ("/ocpp/CP-01/", "/ocpp", "CP-01"),
    ("/ocpp/CP-01//", "/ocpp", "CP-01"),
    ("//ocpp//CP-01", "/ocpp", "CP-01"),
    ("ocpp/CP-01", "/ocpp", "CP-01"),
    ("/OCPP/CP-01", "/ocpp", "CP-01"),
    ("/ocpp/cp-01", "/ocpp", "cp-01"),
    ("/CP-01", "/", "CP-01"),
    ("CP-01", "/", "CP-01"),
    ("//CP-01", "/", "CP-01"),
    ("/ocpp/CP-01", "/", "CP-01"),
    ("/ocpp/1.6/CP-01", "/ocpp", "CP-01"),
    ("/steve/ws/CP-01", "/steve/ws", "CP-01"),
    ("/ocpp/CP-01?token=1", "/ocpp", "CP-01"),
    ("/ocpp/CP-01#there", "/ocpp", "CP-01"),
    ("ws://gateway.local:8887/ocpp/CP-01", "/ocpp", "CP-01"),
    ("HTTP://gateway.local/ocpp/CP-01", "/ocpp", "CP-01"),
    ("/ocpp/CP%2D01", "/ocpp", "CP-01"),
    ("/ocpp/CP%2541", "/ocpp", "CP%41"),
    ("/ocpp/CP%zz", "/ocpp", "CP%zz"),
    ("/ocpp/CP%20garage+2", "/ocpp", "CP garage+2"),
    ("/ocpp/S%C3%A4ule-3", "/ocpp", "Säule-3"),
    ("/ocpp/DE*ABC*E1-2_3.4~5", "/ocpp", "DE*ABC*E1-2_3.4~5"),
    ("/ocpp/" + "a" * 48, "/ocpp", "a" * 48),
    ("/ocpp/ocpp", "/ocpp", "ocpp"),
    ("/ocpp/box%201", "/ocpp", "CP-01"),
    ("/ocpp/old:name", "/ocpp", "CP-02"),
    ("/ocpp/" + "x" * 60, "/ocpp", "CP-03"),
]


@pytest.mark.parametrize(("path", "prefix", "station"), PATHS)
def test_path_names_station(path: str, prefix: str, station: str) -> None:
    named = identify(path, prefix, ALIASES)
    assert isinstance(named, Named)
    assert named.station == station


REFUSED_PATHS = [
    ("/", "/", "names no station"),
    ("", "/", "names no station"),
    ("/ocpp", "/ocpp", "names no station"),
    ("/ocpp/", "/ocpp", "names no station"),
    ("/ocpp?id=CP-01", "/ocpp", "names no station"),
    ("/CP-01", "/ocpp", 'does not begin with "/ocpp"'),
    ("/ocpp2/CP-01", "/ocpp", 'does not begin with "/ocpp"'),
    ("/ws/CP-01", "/steve/ws", 'does not begin with "/steve/ws"'),
    ("/ocpp/a%2Fb", "/ocpp", "alias"),
    ("/ocpp/a:b", "/ocpp", "alias"),
    ("/ocpp/a%3Ab", "/ocpp", "alias"),
    ("/ocpp/a%0Ab", "/ocpp", "control character"),
    ("/ocpp/a%00b", "/ocpp", "control character"),
    ("/ocpp/a\x1bb", "/ocpp", "control character"),
    ("/ocpp/%20a", "/ocpp", "space at an end"),
    ("/ocpp/..", "/ocpp", "dots"),
    ("/ocpp/%2E", "/ocpp", "dots"),
    ("/ocpp/%FF%FE", "/ocpp", "UTF-8"),
    ("/ocpp/" + "a" * 49, "/ocpp", "49 characters"),
]


@pytest.mark.parametrize(("path", "prefix", "reason"), REFUSED_PATHS)
def test_refused_path_says_what_to_do(path: str, prefix: str, reason: str) -> None:
    refusal = identify(path, prefix, ALIASES)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 404
    assert reason in refusal.reason


def test_name_of_an_alias_is_kept_as_the_station_used_it() -> None:
    assert identify("/ocpp/box%201", "/ocpp", ALIASES) == Named(StationId("CP-01"), "box 1")


@given(name=st.text(min_size=1, max_size=48), prefix=st.sampled_from(["/", "/ocpp", "/a/b"]))
@example(name="%41", prefix="/")
def test_any_identity_survives_its_url(name: str, prefix: str) -> None:
    outcome = identify(f"{prefix.rstrip('/')}/{quote(name, safe='', errors='replace')}", prefix, {})
    if identity_problem(name) is None:
        assert outcome == Named(StationId(name), name)
    else:
        assert isinstance(outcome, Refusal)


@given(path=st.text(alphabet=st.characters(max_codepoint=127)), prefix=st.sampled_from(["/", "/ocpp"]))
def test_any_path_is_decided(path: str, prefix: str) -> None:
    outcome = identify(path, prefix, {})
    assert isinstance(outcome, Refusal) or identity_problem(outcome.station) is None


def basic(raw: bytes) -> str:
    return "Basic " + base64.b64encode(raw).decode()


LOGINS = [
    (basic(b"CP-01:secret"), b"CP-01", b"secret"),
    (basic(b"CP-01:a:b:"), b"CP-01", b"a:b:"),
    (basic(b"CP-01:\x00\xff\n"), b"CP-01", b"\x00\xff\n"),
    (basic(b":secret"), b"", b"secret"),
    (basic(b"CP-01:secret").replace("Basic", "basic"), b"CP-01", b"secret"),
    (basic(b"CP-01:secret").replace("Basic ", " BASIC   "), b"CP-01", b"secret"),
    (basic(b"CP-01:secre").rstrip("="), b"CP-01", b"secre"),
]


@pytest.mark.parametrize(("header", "user", "password"), LOGINS)
def test_login_is_read(header: str, user: bytes, password: bytes) -> None:
    assert read_login([header]) == Login(user, password)


REFUSED_LOGINS = [
    ([], "no password was sent"),
    ([""], "type Basic"),
    (["Basic"], 'no ":"'),
    (["Bearer abc"], "type Basic"),
    ([basic(b"a:b"), basic(b"a:b")], "type Basic"),
    (["Basic !!!!"], "base64"),
    (["Basic YQ=b"], "base64"),
    (["Basic \xe9\xe9\xe9\xe9"], "base64"),
    ([basic(b"no colon")], 'no ":"'),
    ([basic(b"CP-01:")], "empty"),
]


@pytest.mark.parametrize(("headers", "reason"), REFUSED_LOGINS)
def test_refused_login_says_why(headers: list[str], reason: str) -> None:
    refusal = read_login(headers)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 401
    assert reason in refusal.reason


@given(user=st.binary(max_size=48).filter(lambda user: b":" not in user), password=st.binary(min_size=1, max_size=40))
def test_any_password_survives_its_header(user: bytes, password: bytes) -> None:
    assert read_login([basic(user + b":" + password)]) == Login(user, password)


@given(header=st.text(alphabet=st.characters(max_codepoint=255)))
def test_any_header_is_decided(header: str) -> None:
    assert isinstance(read_login([header]), Login | Refusal)


def test_login_does_not_show_what_it_holds() -> None:
    assert repr(Login(b"swapped", b"secret")) == "Login()"


OFFERS = [
    ([], [], {}),
    ([""], [], {}),
    ([" , "], [], {}),
    (["ocpp1.6"], ["ocpp1.6"], {"ocpp1.6": "ocpp1.6"}),
    (["OCPP1.6"], ["OCPP1.6"], {"ocpp1.6": "OCPP1.6"}),
    (["  ocpp1.6 ,ocpp2.0.1,"], ["ocpp1.6", "ocpp2.0.1"], {"ocpp1.6": "ocpp1.6", "ocpp2.0.1": "ocpp2.0.1"}),
    (["ocpp2.0.1", "ocpp1.6"], ["ocpp2.0.1", "ocpp1.6"], {"ocpp2.0.1": "ocpp2.0.1", "ocpp1.6": "ocpp1.6"}),
    (['"ocpp1.6"'], ["ocpp1.6"], {"ocpp1.6": "ocpp1.6"}),
    (["ocpp1.5, Ocpp1.6, ocpp1.6"], ["ocpp1.5", "Ocpp1.6", "ocpp1.6"], {"ocpp1.6": "Ocpp1.6"}),
    (["ocpp 1.6"], ["ocpp 1.6"], {}),
    (["ocpp1.5, mqtt"], ["ocpp1.5", "mqtt"], {}),
]


@pytest.mark.parametrize(("headers", "offers", "spoken"), OFFERS)
def test_offers_are_read_in_the_stations_order(headers: list[str], offers: list[str], spoken: dict[str, str]) -> None:
    assert read_offers(headers) == offers
    assert list(speakable(offers).items()) == list(spoken.items())


UPGRADE = {"Connection": ["Upgrade"], "Upgrade": ["websocket"], "Sec-WebSocket-Key": ["x"]}
HANDSHAKES: list[tuple[str, dict[str, list[str]], bool]] = [
    ("GET", {}, True),
    ("GET", {"Connection": ["keep-alive, UPGRADE"], "Upgrade": ["WebSocket"]}, True),
    ("GET", {"Upgrade": ["websocket,"]}, True),
    ("POST", {}, False),
    ("GET", {"Connection": []}, False),
    ("GET", {"Connection": ["close"]}, False),
    ("GET", {"Upgrade": []}, False),
    ("GET", {"Upgrade": ["h2c"]}, False),
    ("GET", {"Upgrade": ["websocket", "h2c"]}, False),
    ("GET", {"Sec-WebSocket-Key": []}, False),
]


@pytest.mark.parametrize(("method", "headers", "expected"), HANDSHAKES)
def test_only_a_websocket_handshake_is_judged(method: str, headers: dict[str, list[str]], expected: bool) -> None:
    assert is_upgrade(method, lambda name: {**UPGRADE, **headers}[name]) is expected


RECORD = StationRecord(StationId("CP-01"))
STANDINGS = [
    (False, None, Standing.UNKNOWN),
    (True, None, Standing.KNOWN),
    (False, Approval.CONFIGURED, Standing.KNOWN),
    (False, Approval.ACCEPTED, Standing.KNOWN),
    (False, Approval.APPROVED, Standing.KNOWN),
    (False, Approval.UNKNOWN, Standing.UNKNOWN),
    (False, Approval.UNKNOWN, Standing.UNKNOWN),
    (True, Approval.UNKNOWN, Standing.KNOWN),
    (False, Approval.REJECTED, Standing.REJECTED),
    (True, Approval.REJECTED, Standing.REJECTED),
]


@pytest.mark.parametrize(("is_configured", "approval", "expected"), STANDINGS)
def test_standing(is_configured: bool, approval: Approval | None, expected: Standing) -> None:
    record = replace(RECORD, approval=approval) if approval else None
    assert standing(is_configured, record) is expected
