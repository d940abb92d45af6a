"""A raw OCPP 2.1 station and a raw 2.1 CSMS on real sockets, with the real gateway process between them.

No library knows all of 2.1 yet, so both peers are a WebSocket and nothing else: frames are compared as text.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.gateway_process import GatewayProcess

LIMIT_S = 30
BOOT = '{"reason":"PowerUp","chargingStation":{"model":"One","vendorName":"Volt"}}'
BOOTED = '{"currentTime":"2026-03-01T08:00:00Z","interval":300,"status":"Accepted"}'
DATA = '{"id":1,"pending":0,"basetime":"2026-03-01T08:00:0%d.5Z","data":[ {"t":0.50,"v":"230.1"} ]}'
STARTED = (
    '{"eventType":"Started","timestamp":"2026-03-01T08:00:10Z","triggerReason":"Authorized","seqNo":0,'
    '"transactionInfo":{"transactionId":"T-1","operationMode":"ChargingOnly"},'
    '"evse":{"id":1,"connectorId":1},"idToken":{"idToken":"' + "x" * 255 + '","type":"VIN"}}'
)
ENDED = (
    '{"eventType":"Ended","timestamp":"2026-03-01T09:00:00Z","triggerReason":"EVDeparted","seqNo":1,'
    '"transactionInfo":{"transactionId":"T-1","stoppedReason":"EVDisconnected"}}'
)
SETTLED = '{"pspRef":"P-1","status":"Settled","settlementAmount":2.10,"settlementTime":"2026-03-01T09:00:05Z"}'


@dataclass
class _Peer:
    """One end of a socket, spoken by hand."""

    socket: ClientConnection | ServerConnection

    async def say(self, frame: str) -> None:
        await self.socket.send(frame)

    async def hear(self) -> str:
        async with asyncio.timeout(LIMIT_S):
            return str(await self.socket.recv())

    async def hear_call(self, action: str, payload: str, kind: int = 2) -> str:
        """The next frame is this one, byte for byte but for its id, which is returned."""
        frame = await self.hear()
        message_id: str = json.loads(frame)[1]
        assert frame == f'[{kind},"{message_id}","{action}",{payload}]'
        return message_id

    async def cut(self) -> None:
        self.socket.transport.abort()
        await self.socket.wait_closed()


class _Csms:
    """Takes sockets and answers nothing by itself."""

    def __init__(self) -> None:
        self._came: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.port = 0
        self._server: Server

    @asynccontextmanager
    async def listening(self, speaks: Sequence[str]) -> AsyncIterator[None]:
        """On the same port each time."""
        names = [Subprotocol(name) for name in speaks]
        async with serve(self._serve, "127.0.0.1", self.port, subprotocols=names) as self._server:
            self.port = next(iter(self._server.sockets)).getsockname()[1]
            yield

    async def close(self) -> None:
        """Close every socket, and take no new one."""
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, connection: ServerConnection) -> None:
        await self._came.put(connection)
        await connection.wait_closed()

    async def next(self) -> _Peer:
        """The next link of the gateway's."""
        async with asyncio.timeout(LIMIT_S):
            return _Peer(await self._came.get())


@asynccontextmanager
async def _station(gateway: GatewayProcess, offers: Sequence[str] = ("ocpp2.1", "ocpp2.0.1")) -> AsyncIterator[_Peer]:
    names = [Subprotocol(name) for name in offers]
    async with connect(f"{gateway.url}/CP-1", subprotocols=names, proxy=None) as socket:
        yield _Peer(socket)


async def _both_hear(station: _Peer, csms: _Peer, action: str, payload: str, answer: str) -> str:
    """A CALL of the station's, under its action as id, and its answer; returns the id it has upstream."""
    await station.say(f'[2,"{action}","{action}",{payload}]')
    upstream = await csms.hear_call(action, payload)
    await csms.say(f'[3,"{upstream}",{answer}]')
    assert await station.hear() == f'[3,"{action}",{answer}]'
    return upstream


def _with_offline(payload: str) -> str:
    return '{"offline":true,' + payload[1:]


@pytest.fixture
def gateway_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a short path, for the Unix socket in it."""
    return tmp_path_factory.mktemp("gw")


async def test_a_session_a_stream_and_refused_answers(gateway_dir: Path) -> None:
    csms_host = _Csms()
    async with (
        csms_host.listening(["ocpp2.1"]),
        GatewayProcess(gateway_dir, f"ws://127.0.0.1:{csms_host.port}") as gateway,
        _station(gateway) as station,
    ):
        csms = await csms_host.next()
        assert station.socket.subprotocol == csms.socket.subprotocol == "ocpp2.1"
        await _both_hear(station, csms, "BootNotification", BOOT, BOOTED)
        upstream = await _both_hear(
            station, csms, "TransactionEvent", STARTED,
            '{"idTokenInfo":{"status":"Accepted"},"transactionLimit":{"maxCost":20.0}}',
        )  # fmt: skip
        await station.say('[5,"TransactionEvent","PropertyConstraintViolation","maxCost",{"x" : 1}]')
        assert await csms.hear() == f'[5,"{upstream}","PropertyConstraintViolation","maxCost",{{"x" : 1}}]'

        await _a_stream_overtakes(station, csms)
        await csms.say('[2,"g","GetTariffs",{"evseId":1}]')
        asked = await station.hear_call("GetTariffs", '{"evseId":1}')
        await station.say(f'[3,"{asked}",{{"status":"Perhaps"}}]')
        assert await csms.hear() == '[3,"g",{"status":"Perhaps"}]'
        await csms.say('[5,"g","FormatViolation","status",{}]')
        assert await station.hear() == f'[5,"{asked}","FormatViolation","status",{{}}]'

        await _both_hear(station, csms, "TransactionEvent", ENDED, "{}")
        await _both_hear(station, csms, "NotifySettlement", SETTLED, '{"receiptId":"R-1"}')
        assert await gateway.queued() == 0
        assert await gateway.stop() == 0


async def _a_stream_overtakes(station: _Peer, csms: _Peer) -> None:
    """SENDs arrive while a CALL of each side waits for its answer; what is wrong with one is said to nobody."""
    await station.say('[2,"slow","DataTransfer",{"vendorId":"volt"}]')
    slow = await csms.hear_call("DataTransfer", '{"vendorId":"volt"}')
    await csms.say('[2,"down","GetPeriodicEventStream",{}]')
    down = await station.hear_call("GetPeriodicEventStream", "{}")
    seen = set()
    for number in range(5):
        await station.say(f'[6,"s{number}","NotifyPeriodicEventStream",{DATA % number}]')
        await station.say('[6,"broken","NotifyPeriodicEventStream",{]')
        seen.add(await csms.hear_call("NotifyPeriodicEventStream", DATA % number, kind=6))
    assert len(seen) == 5
    await csms.say('[6,"v","VoltSignal",{"x":1.0}]')
    await station.hear_call("VoltSignal", '{"x":1.0}', kind=6)
    await csms.say(f'[3,"{slow}",{{"status":"Accepted"}}]')
    assert await station.hear() == '[3,"slow",{"status":"Accepted"}]'
    await station.say(f'[3,"{down}",{{}}]')
    assert await csms.hear() == '[3,"down",{}]'


async def test_an_outage_and_a_kill_lose_nothing_but_the_stream(gateway_dir: Path) -> None:
    csms_host = _Csms()
    async with (
        csms_host.listening(["ocpp2.1"]),
        GatewayProcess(gateway_dir, f"ws://127.0.0.1:{csms_host.port}") as gateway,
    ):
        async with _station(gateway) as station:
            csms = await csms_host.next()
            await _both_hear(station, csms, "BootNotification", BOOT, BOOTED)
            await _both_hear(station, csms, "TransactionEvent", STARTED, "{}")
            await csms_host.close()
            await _offline(station)
            assert await gateway.queued() == 2
            await gateway.kill()
        await gateway.start()
        async with csms_host.listening(["ocpp2.1"]):
            csms = await csms_host.next()
            await _replayed(csms)
            assert await gateway.stop() == 0
            with pytest.raises(ConnectionClosed):  # and nothing else came
                await csms.hear()


async def _offline(station: _Peer) -> None:
    await station.say('[2,"open","OpenPeriodicEventStream",{}]')
    assert await station.hear() == '[3,"open",{"status":"Rejected"}]'
    for message_id, action, payload in (("end", "TransactionEvent", ENDED), ("paid", "NotifySettlement", SETTLED)):
        await station.say(f'[2,"{message_id}","{action}",{payload}]')
        assert await station.hear() == f'[3,"{message_id}",{{}}]'
    await station.say(f'[6,"s","NotifyPeriodicEventStream",{DATA % 1}]')


async def _replayed(csms: _Peer) -> None:
    for action, payload in (("TransactionEvent", _with_offline(ENDED)), ("NotifySettlement", SETTLED)):
        message_id = await csms.hear_call(action, payload)
        await csms.say(f'[3,"{message_id}",{{}}]')


@pytest.mark.parametrize(
    ("speaks", "chosen"), [(["ocpp2.0.1"], "ocpp2.0.1"), (["ocpp1.6", "ocpp2.1"], "ocpp2.1"), (["ocpp2.1"], "ocpp2.1")]
)
async def test_the_version_is_what_the_csms_speaks(gateway_dir: Path, speaks: list[str], chosen: str) -> None:
    csms_host = _Csms()
    async with (
        csms_host.listening(speaks),
        GatewayProcess(gateway_dir, f"ws://127.0.0.1:{csms_host.port}") as gateway,
        _station(gateway) as station,
    ):
        csms = await csms_host.next()
        assert (station.socket.subprotocol, csms.socket.subprotocol) == (chosen, chosen)
        await station.say('[6,"s","NotifyPeriodicEventStream",{}]')
        if chosen == "ocpp2.0.1":
            frame: list[Any] = json.loads(await station.hear())
            assert frame[:3] == [4, "s", "MessageTypeNotSupported"]
        else:
            await csms.hear_call("NotifyPeriodicEventStream", "{}", kind=6)
