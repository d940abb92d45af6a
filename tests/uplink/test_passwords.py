"""A password the CSMS sets is the one of the next handshake, and an answer that is lost locks nobody out."""

import asyncio
import base64
import json
import logging
import random
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from gateway import clock
from gateway.assembly import Assembly, Seams
from gateway.downlink.admission import ListenerOptions, UnknownStations
from gateway.downlink.server import DownlinkServer
from gateway.errors import ConnectError
from gateway.model.ids import StationId
from gateway.model.token import OfflineMode
from gateway.site_options import SiteOptions
from gateway.store import database
from gateway.transport import Socket
from gateway.uplink.backoff import Backoff
from gateway.uplink.link import LinkOptions, WebSocketConnector
from gateway.uplink.per_station import PerStation, PerStationOptions
from tests.sim import loop
from tests.transcript import Rig

CP = StationId("CP-1")
FIRST, SECOND = b"the first password", bytes.fromhex("00112233445566778899aabbccddeeff")
SET = '[2,"k1","ChangeConfiguration",{"key":"AuthorizationKey","value":"00112233445566778899aabbccddeeff"}]'
LIMIT_S = 10


class PasswordRig(Rig):
    """A CSMS that lets in who shows `valid`, and notes what was shown."""

    def __init__(self, folder: Path, password: bytes | None = FIRST) -> None:
        super().__init__(folder, "1.6", SiteOptions(offline=OfflineMode.ALLOW_UNKNOWN))
        self.valid: set[bytes | None] = {password}
        self.shown: list[bytes | None] = []
        self.configure(password)
        connect = self.world.connect

        async def checked(identity: str, subprotocols: Sequence[str], password: bytes | None) -> Socket:
            self.shown.append(password)
            if password not in self.valid:
                raise ConnectError("no", 401)
            return await connect(identity, subprotocols, password)

        self.world.connect = checked  # type: ignore[method-assign]

    def configure(self, password: bytes | None, *, shows: bool = True) -> None:
        self.world.uplink = PerStationOptions(
            password=password, shows_password=shows, backoff=Backoff(5, 0, 0), grace_s=1.0
        )

    async def restart(self) -> None:
        await self.world.crash()
        await self.world.start()
        await self.connect()
        await asyncio.sleep(12)


def play(folder: Path, script: Callable[[PasswordRig], Awaitable[None]], **named: Any) -> None:
    async def main() -> None:
        rig = PasswordRig(folder, **named)
        await rig.start()
        await rig.connect()
        await asyncio.sleep(3)
        try:
            await script(rig)
        finally:
            await rig.stop()

    loop.run(main(), debug=False)


async def set_key(rig: PasswordRig) -> None:
    rig.valid.add(SECOND)
    await rig.csms.say(SET)
    assert json.loads(await rig.csms.hear() or "null") == [3, "k1", {"status": "Accepted"}]
    assert await rig.csms.is_closed()


def test_a_new_password_is_used_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async def script(rig: PasswordRig) -> None:
        await set_key(rig)
        rig.valid = {SECOND}
        await asyncio.sleep(1)
        assert rig.csms.is_connected
        assert rig.station.is_connected
        await rig.restart()
        assert rig.shown == [FIRST, SECOND, SECOND]

    play(tmp_path, script)


@pytest.mark.parametrize("took_it", [True, False])
def test_killed_between_commit_and_answer(tmp_path: Path, took_it: bool) -> None:
    """Whether the CSMS changed its own record or not, the station gets in; and what worked is what stays."""

    async def script(rig: PasswordRig) -> None:
        await rig.csms.say(SET)
        await asyncio.sleep(0.02)
        rig.valid = {SECOND if took_it else FIRST}
        await rig.restart()
        assert not rig.csms.unread
        assert rig.csms.is_connected
        assert rig.shown == ([FIRST, SECOND] if took_it else [FIRST, SECOND, FIRST])
        if not took_it:
            await set_key(rig)
            rig.valid = {SECOND}
        await rig.restart()
        assert rig.csms.is_connected
        assert rig.shown[-1] == SECOND
        assert rig.world.assembly
        assert rig.world.assembly.site.columns.secrets[CP].previous is None

    play(tmp_path, script)


def test_a_file_edited_after_the_csms_spoke_comes_first(tmp_path: Path) -> None:
    async def script(rig: PasswordRig) -> None:
        await set_key(rig)
        await asyncio.sleep(1)
        rig.configure(b"of the operator")
        rig.valid = {b"of the operator"}
        await rig.restart()
        assert rig.shown[-1] == b"of the operator"
        assert rig.world.assembly
        assert rig.world.assembly.site.columns.secrets == {}

    play(tmp_path, script)


def test_an_uplink_without_passwords_keeps_one_and_shows_none(tmp_path: Path) -> None:
    async def script(rig: PasswordRig) -> None:
        rig.configure(None, shows=False)
        await rig.restart()
        await rig.csms.say(SET)
        assert json.loads(await rig.csms.hear() or "null") == [3, "k1", {"status": "Accepted"}]
        await rig.restart()
        assert set(rig.shown) == {None}
        rig.configure(None)
        rig.valid = {SECOND}
        await rig.restart()
        assert rig.shown[-1] == SECOND
        assert rig.csms.is_connected

    play(tmp_path, script, password=None)


def test_a_disk_that_fails_means_no_new_password(tmp_path: Path) -> None:
    async def script(rig: PasswordRig) -> None:
        rig.world.runner.fails = True
        await rig.csms.say(SET)
        assert json.loads(await rig.csms.hear() or "null") == [3, "k1", {"status": "Rejected"}]
        rig.world.runner.fails = False
        await rig.restart()
        assert rig.shown == [FIRST, FIRST]

    play(tmp_path, script)


# -- real sockets, real files -----------------------------------------------------------------------------------------


class _Csms:
    """A real server: checks the password of every handshake, as a CSMS that has just changed it does."""

    def __init__(self) -> None:
        self.valid = FIRST
        self.port = 0
        self.came: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.over = asyncio.Event()
        self.pinged = asyncio.Event()
        self.logger = logging.Logger("csms", logging.DEBUG)
        self.logger.addFilter(self._read)

    def _read(self, record: logging.LogRecord) -> bool:
        """The library tells of control frames in its log only."""
        if record.getMessage().startswith("< PING"):
            self.pinged.set()
        return False

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        expected = "Basic " + base64.b64encode(b"CP-1:" + self.valid).decode()
        is_right = request.headers.get("Authorization") == expected
        return None if is_right else connection.respond(HTTPStatus.UNAUTHORIZED, "no\n")

    async def talk(self, connection: ServerConnection) -> None:
        self.came.put_nowait(connection)
        await self.over.wait()


@asynccontextmanager
async def _gateway(folder: Path, csms: _Csms) -> AsyncIterator[int]:
    """A gateway on real parts with a real station connected to it."""
    path = folder / "gateway.db"
    connector = WebSocketConnector(LinkOptions(f"ws://127.0.0.1:{csms.port}/ocpp"))
    seams = Seams(
        clock=clock.system(),
        source=random.Random(1),
        runner=await database.start(path),
        reopen=lambda: database.reopen(path),
        connector=connector,
    )
    options = PerStationOptions(versions=("1.6",), password=FIRST, backoff=Backoff(0.05, 0, 0))
    assembly = Assembly(SiteOptions(), lambda site, to: PerStation(site, options, to), seams)
    connector.ping_interval_of = assembly.site.columns.ping_interval_s
    await assembly.load([CP])
    listener = ListenerOptions("127.0.0.1", 0, security_profile=0, unknown_stations=UnknownStations.ACCEPT)
    server = DownlinkServer(assembly.site, listener, {}, {})
    running = asyncio.create_task(assembly.run())
    await server.start()
    try:
        url = f"ws://127.0.0.1:{server.port}/ocpp/CP-1"
        async with connect(url, subprotocols=[Subprotocol("ocpp1.6")], compression=None, proxy=None):
            yield server.port
    finally:
        await server.close()
        assembly.stop()
        await running


def _modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def test_real_sockets_show_the_new_password(tmp_path: Path) -> None:
    csms = _Csms()
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            serve(
                csms.talk,
                "127.0.0.1",
                0,
                subprotocols=[Subprotocol("ocpp1.6")],
                process_request=csms.check,
                compression=None,
                logger=csms.logger,
                ping_interval=None,
            )
        )
        csms.port = next(iter(server.sockets)).getsockname()[1]
        stack.callback(csms.over.set)
        async with _gateway(tmp_path, csms):
            first = await csms.came.get()
            csms.valid = SECOND
            await first.send('[2,"p1","ChangeConfiguration",{"key":"WebSocketPingInterval","value":"1"}]')
            assert json.loads(await first.recv()) == [3, "p1", {"status": "Accepted"}]
            await first.send(SET)
            assert json.loads(await first.recv()) == [3, "k1", {"status": "Accepted"}]
            await first.wait_closed()
            assert not csms.pinged.is_set()
            await csms.came.get()
            await csms.pinged.wait()
        async with _gateway(tmp_path, csms):
            await csms.came.get()
            names = ("gateway.db", "gateway.db-shm", "gateway.db-wal", "gateway.db.head")
            assert _modes(tmp_path) == dict.fromkeys(names, 0o600)
