"""A listener with real sockets: what the handshake answers, which version is spoken, limits, pings, TLS, the end."""

import asyncio
import logging
import ssl
from pathlib import Path

import pytest
import trustme

from gateway.downlink import server as server_module
from gateway.downlink.server import DownlinkServer, ListenerOptions, ListenError, StationAccess, UnknownStations
from gateway.downlink.tls import CertificateError
from gateway.model.ids import StationId
from gateway.model.records import Approval
from gateway.site import Site
from tests.downlink.rig import CP, HEARTBEAT, LIMIT_S, SECRET, Rig, asks, close_code, is_served, until

ACCESS = {CP: StationAccess()}
ALIASES = {"box:1": CP}

# -- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ocpp/CP-01", "/ocpp/CP-01/", "//ocpp//CP%2D01", "/OCPP/CP-01?x=1", "/ocpp/box:1"])
async def test_station_is_served_under_its_identity(rig: Rig, path: str) -> None:
    server = await rig.listen(ACCESS, ALIASES)
    assert await is_served(await rig.dial(server, path))
    assert rig.site.stations[CP].port is not None
    assert list(rig.site.stations) == [CP]


async def test_path_without_leading_slash_is_served(rig: Rig) -> None:
    server = await rig.listen(ACCESS)
    assert (await rig.raw(server, "ocpp/CP-01")).status == 101


@pytest.mark.parametrize("path", ["/", "/ocpp", "/wrong/CP-01", "/ocpp/a:b", "/ocpp/a%2Fb", "/ocpp/" + "a" * 49])
async def test_refused_path_is_one_log_line(rig: Rig, caplog: pytest.LogCaptureFixture, path: str) -> None:
    server = await rig.listen(ACCESS, unknown_stations=UnknownStations.ACCEPT)
    caplog.clear()
    assert (await rig.refused(server, path)).response.status_code == 404
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "127.0.0.1:" in line.getMessage()
    assert repr(path) in line.getMessage()
    assert not rig.site.stations


@pytest.mark.parametrize(
    ("instead", "status", "word"),
    [
        ("GET /ocpp/CP 01 HTTP/1.1\r\n\r\n", 0, "unsupported protocol"),
        ("GET /ocpp/S\xe4ule HTTP/1.1\r\n\r\n", 0, "ascii"),
        ("GET /ocpp/CP-01 HTTP/1.1\r\nHost: x\r\n\r\n", 426, "'/ocpp/CP-01'"),
        ("POST /ocpp/CP-01 HTTP/1.1\r\nHost: x\r\n\r\n", 405, "'/ocpp/CP-01'"),
        ("\x16\x03\x01 not HTTP\r\n\r\n", 0, "speaks TLS"),
        (f"GET /{'a' * 9000} HTTP/1.1\r\n\r\n", 414, "refused"),
    ],
)
async def test_odd_request_is_one_log_line_and_no_station(
    rig: Rig, caplog: pytest.LogCaptureFixture, instead: str, status: int, word: str
) -> None:
    server = await rig.listen(prefix="/", unknown_stations=UnknownStations.ACCEPT, handshake_timeout_s=600)
    caplog.clear()
    client = await rig.raw(server, instead=instead)
    assert client.status == status
    await client.reader.read()
    await until(lambda: word in caplog.text)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    assert not rig.site.stations


async def test_control_characters_do_not_reach_the_log(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    server = await rig.listen(ACCESS)
    assert (await rig.raw(server, "/ocpp/\x1b[31mred\x07")).status == 404
    assert "\\x1b[31mred\\x07" in caplog.text
    assert "\x1b" not in caplog.text


# -- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "asked", "picked", "answered"),
    [
        ("ocpp1.6", ("ocpp1.6",), "ocpp1.6", "ocpp1.6"),
        ("ocpp2.0.1, ocpp1.6", ("ocpp2.0.1", "ocpp1.6"), "ocpp2.0.1", "ocpp2.0.1"),
        ("ocpp2.0.1, ocpp1.6", ("ocpp2.0.1", "ocpp1.6"), "ocpp1.6", "ocpp1.6"),
        ("ocpp1.6 ,  ocpp2.0.1", ("ocpp1.6", "ocpp2.0.1"), "ocpp1.6", "ocpp1.6"),
        (" , OCPP1.6,", ("ocpp1.6",), "ocpp1.6", "OCPP1.6"),
        ("ocpp 1.5, Ocpp2.0.1", ("ocpp2.0.1",), "ocpp2.0.1", "Ocpp2.0.1"),
        ('"ocpp1.6"', ("ocpp1.6",), "ocpp1.6", "ocpp1.6"),
    ],
)
async def test_version_is_what_the_uplink_negotiates(
    rig: Rig, header: str, asked: tuple[str, ...], picked: str, answered: str
) -> None:
    rig.uplink.picks = lambda offers: picked
    client = await rig.raw(await rig.listen(ACCESS), headers=[f"Sec-WebSocket-Protocol: {header}"])
    assert client.status == 101
    assert client.headers["sec-websocket-protocol"] == answered
    assert rig.uplink.asked == [(CP, asked)]
    await until(lambda: rig.site.stations[CP].port)
    port = rig.site.stations[CP].port
    assert port is not None
    assert port.dialect.subprotocol == picked


@pytest.mark.parametrize(
    ("headers", "picks", "asked"),
    [
        (["Sec-WebSocket-Protocol: ocpp1.2, ocpp1.5"], "ocpp1.6", 0),
        (["Sec-WebSocket-Protocol: ocpp 1.6"], "ocpp1.6", 0),
        (["Sec-WebSocket-Protocol: ocpp1.6"], None, 1),
        (["Sec-WebSocket-Protocol: ocpp1.6"], "ocpp2.0.1", 1),
    ],
)
async def test_no_common_version_is_said_after_the_handshake(
    rig: Rig, caplog: pytest.LogCaptureFixture, headers: list[str], picks: str | None, asked: int
) -> None:
    rig.uplink.picks = lambda offers: picks
    client = await rig.raw(await rig.listen(ACCESS), headers=headers)
    assert client.status == 101
    assert "sec-websocket-protocol" not in client.headers
    assert await client.close_code() == 1002
    assert len(rig.uplink.asked) == asked
    assert headers[0].split(": ")[1] in caplog.text
    assert rig.site.stations[CP].port is None


@pytest.mark.parametrize("headers", [[], ["Sec-WebSocket-Protocol: "]])
@pytest.mark.parametrize(
    ("default", "configured", "dialect"), [("1.6", None, "1.6"), ("2.0.1", None, "2.0.1"), ("1.6", "2.0.1", "2.0.1")]
)
async def test_station_that_offers_nothing_gets_what_is_configured(
    rig: Rig, headers: list[str], default: str, configured: str | None, dialect: str
) -> None:
    server = await rig.listen({CP: StationAccess(version=configured)}, default_version=default)
    client = await rig.raw(server, headers=headers)
    assert client.status == 101
    assert "sec-websocket-protocol" not in client.headers
    assert not rig.uplink.asked
    await until(lambda: rig.site.stations[CP].port)
    port = rig.site.stations[CP].port
    assert port is not None
    assert port.dialect.name == dialect


async def test_nothing_is_compressed(rig: Rig) -> None:
    client = await rig.raw(await rig.listen(ACCESS), headers=["Sec-WebSocket-Extensions: permessage-deflate"])
    assert client.status == 101
    assert "sec-websocket-extensions" not in client.headers


# -- limits -----------------------------------------------------------------------------------------------------------


async def test_one_station_more_than_there_is_room_for_is_told_to_come_back(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    server = await rig.listen(unknown_stations=UnknownStations.ACCEPT, max_connections=2)
    first, second = await rig.dial(server, "/ocpp/A"), await rig.dial(server, "/ocpp/B")
    assert await is_served(first)
    assert (await rig.refused(server, "/ocpp/C")).response.status_code == 503
    assert "raise max_connections" in caplog.text
    await second.close()
    await until(lambda: rig.site.stations[StationId("B")].port is None)
    assert await is_served(await rig.dial(server, "/ocpp/C"))


async def test_station_is_not_locked_out_by_its_own_dead_socket(rig: Rig) -> None:
    other = StationId("OTHER")
    access = {CP: StationAccess(password=SECRET), other: StationAccess(password=SECRET)}
    server = await rig.listen(access, security_profile=1, max_connections=1)
    for _ in range(2):
        old = await rig.dial(server, login=(CP, SECRET))
        assert await is_served(await rig.dial(server, login=(CP, SECRET)))
        assert await close_code(old) == 1000
    assert (await rig.refused(server, "/ocpp/OTHER", login=(other, SECRET))).response.status_code == 503


async def test_refused_handshakes_take_no_room(rig: Rig) -> None:
    server = await rig.listen({CP: StationAccess(password=SECRET)}, security_profile=1, max_connections=1)
    for _ in range(3):
        assert (await rig.refused(server, login=(CP, b"wrong"))).response.status_code == 401
    assert await is_served(await rig.dial(server, login=(CP, SECRET)))


async def test_too_long_a_message_closes_that_socket_only(rig: Rig) -> None:
    server = await rig.listen(unknown_stations=UnknownStations.ACCEPT, max_message_bytes=1000)
    long, other = await rig.dial(server, "/ocpp/A"), await rig.dial(server, "/ocpp/B")
    await long.send("x" * 1001)
    assert await close_code(long) == 1009
    assert await is_served(other)


async def test_slow_handshake_is_cut(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = await rig.listen(ACCESS, handshake_timeout_s=0.1)
    client = await rig.raw(server, instead="GET /ocpp/CP-01 HTTP/1.1\r\n")
    assert client.status == 0
    await until(lambda: "no whole HTTP request" in caplog.text)


async def test_negotiation_longer_than_the_handshake_may_take_is_cut(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    server = await rig.listen(ACCESS, handshake_timeout_s=0.1)
    rig.uplink.gates = [asyncio.Event()]
    assert (await rig.raw(server, headers=["Sec-WebSocket-Protocol: ocpp1.6"])).status == 0
    await until(lambda: "not over in time" in caplog.text)
    assert await is_served(await rig.dial(server))


async def test_failure_of_ours_is_a_500_with_its_traceback(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> str | None:
        raise ZeroDivisionError

    server = await rig.listen(ACCESS)
    rig.uplink.picks = fail
    assert (await rig.refused(server)).response.status_code == 500
    assert "ZeroDivisionError" in caplog.text


# -- liveness ---------------------------------------------------------------------------------------------------------


def test_dead_station_is_noticed_in_45_s() -> None:
    interval = ListenerOptions("127.0.0.1", 0).ping_interval_s
    assert 2 * interval + server_module.CLOSE_S <= 45


async def test_station_that_answers_no_ping_is_dropped_unless_it_gets_none(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CLOSE_S", 0.1)
    deaf, spared = StationId("DEAF"), StationId("SPARED")
    server = await rig.listen({deaf: StationAccess(), spared: StationAccess(ping=False)}, ping_interval_s=0.1)
    quiet = await rig.raw(server, "/ocpp/SPARED")
    dying = await rig.raw(server, "/ocpp/DEAF")
    assert await dying.opcode() == 9
    async with asyncio.timeout(LIMIT_S):
        while await dying.opcode() is not None:
            pass
    await until(lambda: rig.site.stations[deaf].port is None)
    quiet.send(HEARTBEAT)
    assert await quiet.opcode() == 1, "the answer comes first: no ping before it"


async def test_no_pings_at_all(rig: Rig) -> None:
    server = await rig.listen(ACCESS, ping_interval_s=0)
    client = await rig.raw(server)
    client.send(HEARTBEAT)
    assert await client.opcode() == 1


# -- TLS --------------------------------------------------------------------------------------------------------------


def issue(authority: trustme.CA, folder: Path, name: str, kind: trustme.KeyType) -> tuple[Path, Path]:
    issued = authority.issue_cert("127.0.0.1", key_type=kind)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
    return certificate, key


async def test_stations_old_and_new_connect_by_tls(rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = trustme.CA()
    certificate, key = issue(authority, tmp_path, "new", trustme.KeyType.ECDSA)
    legacy_certificate, legacy_key = issue(authority, tmp_path, "old", trustme.KeyType.RSA)
    server = await rig.listen(
        {CP: StationAccess(password=SECRET)},
        security_profile=2,
        certificate_file=certificate,
        key_file=key,
        legacy_certificate_file=legacy_certificate,
        legacy_key_file=legacy_key,
    )
    for ciphers in (None, "AES128-GCM-SHA256"):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        if ciphers:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(ciphers)
        assert await is_served(await rig.dial(server, login=(CP, SECRET), tls=context))
    with pytest.raises(ssl.SSLCertVerificationError):
        await rig.dial(server, login=(CP, SECRET), tls=ssl.create_default_context())
    assert (await rig.raw(server)).status == 0
    await until(lambda: "set wss:// in the station" in caplog.text)


async def test_listener_without_its_certificate_does_not_start(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="needs certificate_file"):
        await rig.listen(security_profile=2)
    with pytest.raises(CertificateError, match=r"nowhere\.pem"):
        await rig.listen(security_profile=2, certificate_file=tmp_path / "nowhere.pem", key_file=tmp_path / "x.key")


# -- start and end ----------------------------------------------------------------------------------------------------


async def test_profile_0_is_warned_of_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    server = await rig.listen(ACCESS)
    await rig.listen({}, security_profile=1)
    await rig.dial(server)
    warnings = [record.getMessage() for record in caplog.records if "security profile 0" in record.getMessage()]
    assert warnings == [
        f"127.0.0.1 port {server.port} has security profile 0: whoever reaches it can pose as any station"
    ]


async def test_taken_port_is_named(rig: Rig, site: Site) -> None:
    taken = (await rig.listen()).port
    with pytest.raises(ListenError, match=f"127.0.0.1:{taken}"):
        await DownlinkServer(site, ListenerOptions("127.0.0.1", taken, security_profile=0), {}, {}).start()


async def test_stations_hear_of_a_restart(rig: Rig) -> None:
    server = await rig.listen(unknown_stations=UnknownStations.ACCEPT)
    assert server.port > 0
    running = asyncio.create_task(server.run())
    stations = [await rig.dial(server, f"/ocpp/CP-{number}") for number in range(3)]
    stalled = asyncio.create_task(rig.raw(server, instead="GET "))
    await until(lambda: len(server._everyone) == 4)
    await server.close()
    assert [await close_code(station) for station in stations] == [1012] * 3
    async with asyncio.timeout(LIMIT_S):
        await running
        assert (await stalled).status == 0
    assert all(station.port is None for station in rig.site.stations.values())
    assert server.port == 0
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await rig.dial(server, "/ocpp/CP-1")
    await server.close()


async def test_cancelling_closes(rig: Rig) -> None:
    server = await rig.listen(ACCESS)
    running = asyncio.create_task(server.run())
    station = await rig.dial(server)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await close_code(station) == 1012


async def test_storm_of_reconnects_is_served(rig: Rig) -> None:
    server = await rig.listen(unknown_stations=UnknownStations.ACCEPT)
    stations = await asyncio.gather(*(rig.dial(server, f"/ocpp/CP-{number}") for number in range(60)))
    answers = await asyncio.gather(*(asks(station) for station in stations))
    assert [answer[0] for answer in answers] == [3] * 60
    assert {station.record.approval for station in rig.site.stations.values()} == {Approval.ACCEPTED}
