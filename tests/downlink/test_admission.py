"""Who is let in, with real sockets: passwords, unknown stations, and two sockets of one identity in any order."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from gateway.balancer import Balancer
from gateway.downlink import admission, credentials
from gateway.downlink import server as server_module
from gateway.downlink.server import DownlinkServer, StationAccess, UnknownStations
from gateway.model.ids import StationId
from gateway.model.records import Approval, StationRecord
from gateway.site import Site
from gateway.store.writer import load
from tests.downlink.rig import CP, HEARTBEAT, SECRET, Rig, asks, basic, close_code, is_served, until
from tests.sim.test_balance import plan

ACCESS = {CP: StationAccess(password=SECRET)}
ACCEPT, APPROVE, REFUSE = UnknownStations.ACCEPT, UnknownStations.APPROVE, UnknownStations.REFUSE
BOOT = '[2,"1","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]'
HEX = SECRET.hex().encode()


@pytest.fixture(autouse=True)
async def nothing_secret_in_the_log(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    caplog.set_level(logging.DEBUG, "gateway")
    yield
    for word in (SECRET.decode(), HEX.decode(), "other secret", basic(CP, SECRET)["Authorization"][6:]):
        assert word not in caplog.text


# -- passwords --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "password", "access", "status"),
    [
        ("CP-01", SECRET, StationAccess(password=SECRET), 101),
        ("CP-01", HEX, StationAccess(password=SECRET), 101),
        ("CP-01", SECRET, StationAccess(password=HEX), 101),
        ("box 1", SECRET, StationAccess(password=SECRET), 101),
        ("CP-01", b"\x00\xff:\n", StationAccess(password=b"\x00\xff:\n"), 101),
        ("anybody", SECRET, StationAccess(password=SECRET, ignore_basic_user=True), 101),
        ("anybody", SECRET, StationAccess(password=SECRET), 401),
        ("CP-02", SECRET, StationAccess(password=SECRET), 401),
        ("", SECRET, StationAccess(password=SECRET), 401),
        ("CP-01", b"other secret", StationAccess(password=SECRET), 401),
        ("CP-01", b"", StationAccess(password=SECRET), 401),
        ("anybody", b"other secret", StationAccess(password=SECRET, ignore_basic_user=True), 401),
        ("CP-01", b"for everybody", StationAccess(), 101),
        ("CP-01", b"for everybody", StationAccess(password=SECRET), 401),
    ],
)
async def test_password_decides(rig: Rig, user: str, password: bytes, access: StationAccess, status: int) -> None:
    server = await rig.listen({CP: access}, {"box 1": CP}, security_profile=1, password=b"for everybody")
    login = basic(user, password)["Authorization"]
    client = await rig.raw(server, headers=[f"Authorization: {login}"])
    assert client.status == status
    if status == 401:
        assert client.headers["www-authenticate"].startswith("Basic realm=")
        assert rig.site.stations.get(CP) is None


async def test_no_password_is_a_401_and_one_log_line(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    server = await rig.listen(ACCESS, security_profile=1)
    caplog.clear()
    assert (await rig.refused(server)).response.status_code == 401
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("CP-01: handshake from 127.0.0.1:")
    assert "no password was sent" in line


async def test_station_logs_in_by_any_of_its_names(rig: Rig) -> None:
    server = await rig.listen(ACCESS, {"box 1": CP, "b": CP}, security_profile=1)
    for path, user in (("/ocpp/box%201", "CP-01"), ("/ocpp/CP-01", "box 1"), ("/ocpp/b", "box 1")):
        assert await is_served(await rig.dial(server, path, login=(user, SECRET)))


async def test_pinned_password_is_checked_and_remembered(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []
    slow = credentials.fits

    def counted(password: bytes, pinned: str) -> bool:
        hashed.append(password)
        return slow(password, pinned)

    monkeypatch.setattr(credentials, "fits", counted)
    await rig.site.admit(CP, Approval.APPROVED, credentials.pin(SECRET))
    server = await rig.listen(security_profile=1)
    for _ in range(3):
        assert await is_served(await rig.dial(server, login=(CP, SECRET)))
    assert (await rig.refused(server, login=(CP, b"other secret"))).response.status_code == 401
    assert hashed == [SECRET, b"other secret"]


async def test_station_with_a_password_is_not_served_where_none_is_asked(rig: Rig) -> None:
    server = await rig.listen(ACCESS)
    assert (await rig.refused(server)).response.status_code == 401
    assert (await rig.refused(server, login=(CP, SECRET))).response.status_code == 401


async def test_known_station_without_any_password_on_record_follows_the_policy(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    access = {CP: StationAccess()}
    refusing = await rig.listen(access, security_profile=1, unknown_stations=REFUSE)
    assert (await rig.refused(refusing, login=(CP, SECRET))).response.status_code == 401
    assert "give it a password_file" in caplog.text
    approving = await rig.listen(access, security_profile=1, unknown_stations=APPROVE)
    await rig.dial(approving, login=(CP, SECRET))
    await until(lambda: CP in rig.site.pending)
    accepting = await rig.listen(access, security_profile=1, unknown_stations=ACCEPT)
    assert await is_served(await rig.dial(accepting, login=(CP, SECRET)))
    assert rig.site.stations[CP].record.approval is Approval.CONFIGURED
    assert (await rig.refused(accepting, login=(CP, b"other secret"))).response.status_code == 401


# -- unknown stations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [0, 1])
async def test_refuse_is_a_404(rig: Rig, caplog: pytest.LogCaptureFixture, profile: int) -> None:
    server = await rig.listen(security_profile=profile, unknown_stations=REFUSE, password=SECRET if profile else None)
    assert (await rig.refused(server, login=(CP, SECRET))).response.status_code == 404
    assert "add a [[station]] section" in caplog.text
    assert not rig.site.stations


@pytest.mark.parametrize("policy", list(UnknownStations))
async def test_rejected_station_is_a_404_whatever_it_shows(rig: Rig, policy: UnknownStations) -> None:
    await rig.site.admit(CP, Approval.REJECTED)
    server = await rig.listen(ACCESS, security_profile=1, unknown_stations=policy)
    assert (await rig.refused(server, login=(CP, SECRET))).response.status_code == 404


@pytest.mark.parametrize("approval", [Approval.CONFIGURED, Approval.ACCEPTED, Approval.APPROVED])
async def test_station_on_record_is_known(rig: Rig, approval: Approval) -> None:
    await rig.site.admit(CP, approval)
    server = await rig.listen(unknown_stations=REFUSE)
    assert await is_served(await rig.dial(server))
    assert rig.site.stations[CP].record.approval is approval


async def test_accepted_station_is_written_down(rig: Rig) -> None:
    server = await rig.listen(unknown_stations=ACCEPT)
    assert await is_served(await rig.dial(server))
    assert rig.site.stations[CP].record.approval is Approval.ACCEPTED
    assert rig.uplink.asked == [(CP, ("ocpp1.6",))]


async def test_first_password_of_an_accepted_station_is_its_password(rig: Rig) -> None:
    server = await rig.listen(security_profile=1, unknown_stations=ACCEPT)
    assert (await rig.refused(server)).response.status_code == 401
    assert await is_served(await rig.dial(server, login=(CP, SECRET)))
    assert (await rig.refused(server, login=(CP, b"other secret"))).response.status_code == 401
    again = await rig.listen(security_profile=1, unknown_stations=ACCEPT)
    assert await is_served(await rig.dial(again, login=(CP, SECRET)))
    pinned = rig.site.stations[CP].record.credential
    assert pinned is not None
    assert credentials.fits(SECRET, pinned)


async def test_default_password_is_asked_of_unknown_stations(rig: Rig) -> None:
    for policy in (ACCEPT, APPROVE):
        server = await rig.listen(security_profile=1, unknown_stations=policy, password=SECRET)
        assert (await rig.refused(server, login=(CP, b"other secret"))).response.status_code == 401
    assert not rig.site.stations
    assert not rig.site.pending
    server = await rig.listen(security_profile=1, unknown_stations=ACCEPT, password=SECRET)
    assert await is_served(await rig.dial(server, login=(CP, SECRET)))
    assert rig.site.stations[CP].record.credential is None


async def test_two_first_handshakes_do_not_both_pin(rig: Rig) -> None:
    server = await rig.listen(security_profile=1, unknown_stations=ACCEPT)
    outcomes = await asyncio.gather(
        *(rig.dial(server, login=(CP, password)) for password in (SECRET, b"other secret")), return_exceptions=True
    )
    won = [outcome for outcome in outcomes if isinstance(outcome, ClientConnection)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, InvalidStatus)]
    assert (len(won), len(lost)) == (1, 1)
    assert await is_served(won[0])
    password = (SECRET, b"other secret")[outcomes.index(won[0])]
    pinned = rig.site.stations[CP].record.credential
    assert pinned is not None
    assert credentials.fits(password, pinned)


async def test_accepting_has_an_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_STATIONS", 2)
    server = await rig.listen(unknown_stations=ACCEPT)
    clients = [await rig.dial(server, f"/ocpp/{name}") for name in ("A", "B")]
    assert (await rig.refused(server, "/ocpp/C")).response.status_code == 503
    await clients[0].close()
    await until(lambda: rig.site.stations[StationId("A")].port is None)
    assert await is_served(await rig.dial(server, "/ocpp/A"))


async def test_station_that_cannot_be_written_down_is_told_to_come_back(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    server = await rig.listen(unknown_stations=ACCEPT)
    rig.site.writer.ready.clear()
    assert (await rig.refused(server)).response.status_code == 503
    assert "can't be taken in now" in caplog.text
    rig.site.writer.ready.set()
    assert await is_served(await rig.dial(server))


# -- approval ---------------------------------------------------------------------------------------------------------


async def wait_pending(rig: Rig, name: StationId = CP) -> None:
    await until(lambda: name in rig.site.pending and rig.site.pending[name].port)


async def test_unknown_station_waits_for_approval(rig: Rig) -> None:
    server = await rig.listen(security_profile=1)
    client = await rig.dial(server, offers=["ocpp2.0.1", "ocpp1.6"], login=(CP, SECRET))
    await wait_pending(rig)
    pending = rig.site.pending[CP]
    assert client.subprotocol == pending.subprotocol == "ocpp2.0.1"
    assert pending.address.startswith("127.0.0.1:")
    assert pending.credential is not None
    assert credentials.fits(SECRET, pending.credential)
    boot = '[2,"1","BootNotification",{"reason":"PowerUp","chargingStation":{"model":"M","vendorName":"V"}}]'
    answer = await asks(client, boot)
    assert (answer[0], answer[2]["status"], answer[2]["interval"]) == (3, "Pending", 30)
    assert (await asks(client, HEARTBEAT))[2] == "SecurityError"
    assert not rig.site.stations
    assert not rig.uplink.asked, "nothing goes upstream"


async def test_approved_station_comes_back_with_its_pinned_password(rig: Rig) -> None:
    server = await rig.listen(security_profile=1)
    waiting = await rig.dial(server, login=(CP, SECRET))
    await wait_pending(rig)
    pending = rig.site.pending.pop(CP)
    await rig.site.admit(CP, Approval.APPROVED, pending.credential)
    assert pending.port is not None
    pending.port.close(1012, "approved: connect again")
    assert await close_code(waiting) == 1012
    assert (await rig.refused(server, login=(CP, b"other secret"))).response.status_code == 401
    assert await is_served(await rig.dial(server, login=(CP, SECRET)))


async def test_a_station_in_no_circuit_waits_though_it_is_approved(rig: Rig) -> None:
    rig.site.balancer = Balancer(replace(plan(), sees_all=False))
    server = await rig.listen(unknown_stations=ACCEPT)
    client = await rig.dial(server)
    await wait_pending(rig)
    assert "it is in no circuit" in rig.site.pending[CP].problem
    assert (await asks(client, BOOT))[2]["status"] == "Pending"
    assert await is_served(await rig.dial(server, "/ocpp/CP-1")), "one that is in a circuit"


async def test_without_a_password_nobody_waits_where_one_is_asked(rig: Rig) -> None:
    server = await rig.listen(security_profile=1)
    assert (await rig.refused(server)).response.status_code == 401
    assert (await rig.refused(server, login=("X", SECRET))).response.status_code == 401
    assert not rig.site.pending


async def test_without_passwords_there_is_nothing_to_pin(rig: Rig) -> None:
    server = await rig.listen()
    client = await rig.dial(server)
    await wait_pending(rig)
    assert rig.site.pending[CP].credential is None
    assert (await asks(client, BOOT))[2]["status"] == "Pending"


async def test_twenty_may_wait(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    server = await rig.listen()
    for number in range(20):
        await rig.dial(server, f"/ocpp/X-{number}")
        await wait_pending(rig, StationId(f"X-{number}"))
    assert (await rig.refused(server, "/ocpp/X-20")).response.status_code == 503
    assert "wait for approval: approve or reject some" in caplog.text
    del rig.site.pending[StationId("X-7")]
    await rig.dial(server, "/ocpp/X-20")
    await wait_pending(rig, StationId("X-20"))


async def test_twenty_also_hold_when_all_come_at_once(rig: Rig) -> None:
    server = await rig.listen()
    outcomes = await asyncio.gather(
        *(rig.dial(server, f"/ocpp/X-{number}") for number in range(40)), return_exceptions=True
    )
    connected = [outcome for outcome in outcomes if isinstance(outcome, ClientConnection)]
    answers = await asyncio.gather(*(asks(one, BOOT) for one in connected), return_exceptions=True)
    assert len([answer for answer in answers if not isinstance(answer, BaseException)]) == 20
    assert len(rig.site.pending) == 20


async def test_waiting_ends(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PENDING_S", 0.1)
    server = await rig.listen()
    client = await rig.dial(server)
    assert await close_code(client) == 1008
    assert not rig.site.pending
    gone = await rig.dial(server, "/ocpp/GONE")
    await gone.close()
    await until(lambda: not rig.site.pending)


async def test_waiting_station_that_reconnects_keeps_its_place(rig: Rig) -> None:
    server = await rig.listen()
    first = await rig.dial(server)
    await wait_pending(rig)
    pending = rig.site.pending[CP]
    await first.close()
    await until(lambda: pending.port is None)
    second = await rig.dial(server)
    await until(lambda: pending.port)
    assert rig.site.pending == {CP: pending}
    assert (await asks(second, BOOT))[2]["status"] == "Pending"


async def test_nobody_takes_the_place_of_a_waiting_station(rig: Rig) -> None:
    server = await rig.listen(security_profile=1)
    first = await rig.dial(server, login=(CP, SECRET))
    await wait_pending(rig)
    assert (await rig.refused(server, login=(CP, b"other secret"))).response.status_code == 503
    credential = rig.site.pending[CP].credential
    assert credential is not None
    assert credentials.fits(SECRET, credential)
    assert (await asks(first, BOOT))[2]["status"] == "Pending"


async def test_dead_waiting_station_is_replaced(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "ALIVE_S", 0.1)
    server = await rig.listen()
    dead = await rig.raw(server)
    await wait_pending(rig)
    client = await rig.dial(server)
    assert (await asks(client, BOOT))[2]["status"] == "Pending"
    assert await dead.opcode() == 9
    assert await dead.opcode() == 8


@pytest.mark.parametrize("approval", [Approval.APPROVED, Approval.REJECTED])
async def test_decision_while_a_station_is_about_to_wait_counts(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, approval: Approval
) -> None:
    server = await rig.listen(security_profile=1)
    reached, free = asyncio.Event(), asyncio.Event()

    async def held_up(*_: object) -> str:
        reached.set()
        await free.wait()
        return "pinned"

    monkeypatch.setattr(credentials.Pins, "pin", held_up)
    dialling = asyncio.create_task(rig.dial(server, login=(CP, SECRET)))
    await reached.wait()
    await rig.site.admit(CP, approval, "pinned")
    free.set()
    assert await close_code(await dialling) == 1012
    assert not rig.site.pending


async def test_rejection_while_a_station_negotiates_counts(rig: Rig) -> None:
    await rig.site.admit(CP, Approval.APPROVED)
    server = await rig.listen()
    rig.uplink.gates = [asyncio.Event()]
    gate = rig.uplink.gates[0]
    dialling = asyncio.create_task(rig.dial(server))
    await rig.uplink.waiting.acquire()
    await rig.site.admit(CP, Approval.REJECTED)
    gate.set()
    assert await close_code(await dialling) == 1008
    assert rig.site.stations[CP].port is None


# -- two sockets of one identity --------------------------------------------------------------------------------------


async def test_proven_newcomer_wins(rig: Rig) -> None:
    server = await rig.listen(ACCESS, security_profile=1)
    old = await rig.dial(server, login=(CP, SECRET))
    assert await is_served(old)
    new = await rig.dial(server, login=(CP, SECRET))
    assert await is_served(new)
    assert await close_code(old) == 1000
    assert await is_served(new), "the end of the old socket does no harm"
    assert rig.site.stations[CP].port is not None


async def test_newcomer_with_a_wrong_password_harms_nobody(rig: Rig) -> None:
    server = await rig.listen(ACCESS, security_profile=1)
    old = await rig.dial(server, login=(CP, SECRET))
    assert (await rig.refused(server, login=(CP, b"other secret"))).response.status_code == 401
    assert await is_served(old)


async def test_proven_newcomer_replaces_a_dead_socket_without_asking_it(rig: Rig) -> None:
    server = await rig.listen(ACCESS, security_profile=1)
    dead = await rig.raw(server, headers=[f"Authorization: {basic(CP, SECRET)['Authorization']}"])
    await until(lambda: CP in rig.site.stations and rig.site.stations[CP].port)
    assert await is_served(await rig.dial(server, login=(CP, SECRET)))
    assert await dead.opcode() == 8, "no ping before the close"


async def test_unproven_newcomer_is_refused_while_the_old_one_lives(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    server = await rig.listen({CP: StationAccess()})
    old = await rig.dial(server)
    assert await is_served(old)
    assert (await rig.refused(server)).response.status_code == 503
    assert "connected already" in caplog.text
    assert await is_served(old)


async def test_unproven_newcomer_replaces_a_dead_socket(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "ALIVE_S", 0.1)
    server = await rig.listen({CP: StationAccess()})
    dead = await rig.raw(server)
    await until(lambda: CP in rig.site.stations and rig.site.stations[CP].port)
    new = await rig.dial(server)
    assert await is_served(new)
    assert [await dead.opcode(), await dead.opcode()] == [9, 8]
    assert rig.site.stations[CP].port is not None


async def test_station_may_come_back_after_it_left(rig: Rig) -> None:
    server = await rig.listen({CP: StationAccess()})
    for _ in range(3):
        client = await rig.dial(server)
        assert await is_served(client)
        await client.close()
        await until(lambda: rig.site.stations[CP].port is None)


async def both(rig: Rig, server: DownlinkServer, order: tuple[int, int], login: tuple[str, bytes] | None) -> list[bool]:
    """Two handshakes of one station, both past every check but the last when they are let go on in this order."""
    gates = [asyncio.Event(), asyncio.Event()]
    rig.uplink.gates = list(gates)
    clients: list[asyncio.Task[ClientConnection]] = []
    for _ in gates:
        clients.append(asyncio.create_task(rig.dial(server, login=login)))
        await rig.uplink.waiting.acquire()
    for number in order:
        gates[number].set()
        await asyncio.wait([clients[number]])
    return [await is_served(client.result()) for client in clients]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_of_two_unproven_newcomers_the_first_through_wins(rig: Rig, order: tuple[int, int]) -> None:
    server = await rig.listen({CP: StationAccess()})
    served = await both(rig, server, order, None)
    assert served[order[0]]
    assert not served[order[1]]
    assert rig.site.stations[CP].port is not None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_of_two_proven_newcomers_the_last_through_wins(rig: Rig, order: tuple[int, int]) -> None:
    server = await rig.listen(ACCESS, security_profile=1)
    served = await both(rig, server, order, (CP, SECRET))
    assert served[order[1]]
    assert not served[order[0]]
    assert rig.site.stations[CP].port is not None


@pytest.mark.parametrize("profile", [0, 1])
async def test_of_many_newcomers_one_is_left(rig: Rig, site: Site, profile: int) -> None:
    server = await rig.listen(ACCESS if profile else {CP: StationAccess()}, security_profile=profile)
    login = (CP, SECRET) if profile else None
    outcomes = await asyncio.gather(*(rig.dial(server, login=login) for _ in range(20)), return_exceptions=True)
    clients = [outcome for outcome in outcomes if isinstance(outcome, ClientConnection)]
    assert all(isinstance(outcome, ClientConnection | InvalidStatus) for outcome in outcomes)
    assert sum(await asyncio.gather(*(is_served(client) for client in clients))) >= 1
    await until(lambda: sum(client.state.name == "OPEN" for client in clients) == 1)
    (left,) = [client for client in clients if client.state.name == "OPEN"]
    assert await is_served(left)
    assert site.stations[CP].port is not None
    await left.close()
    await until(lambda: site.stations[CP].port is None)


async def test_admission_is_on_disk_before_the_handshake_is_over(rig: Rig) -> None:
    server = await rig.listen(security_profile=1, unknown_stations=ACCEPT)
    await rig.dial(server, login=(CP, SECRET))
    records = await load(rig.site.writer._runner)
    (record,) = [record for record in records if isinstance(record, StationRecord)]
    assert (record.id, record.approval) == (CP, Approval.ACCEPTED)
    assert record.credential is not None
