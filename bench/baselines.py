"""What the gateway is measured against: `python -m bench.baselines tcp|websockets PORT CSMS_PORT`."""

import asyncio
import contextlib
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

HOST = "127.0.0.1"
OCPP16 = Subprotocol("ocpp1.6")


class TcpLeg(asyncio.Protocol):
    """One side of a relayed TCP connection: bytes in here go out there."""

    def __init__(self, other: "TcpLeg | None", csms_port: int) -> None:
        self.other = other
        self._csms_port = csms_port
        self._early = b""
        self._opening: asyncio.Task[object] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.other is None:
            loop = asyncio.get_running_loop()
            opening = loop.create_connection(lambda: TcpLeg(self, self._csms_port), HOST, self._csms_port)
            self._opening = loop.create_task(opening)
        else:
            self.other.other = self
            transport.write(self.other._early)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early += data
        else:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


async def relay_tcp(port: int, csms_port: int) -> None:
    """A proxy that only moves bytes: about the floor of asyncio."""
    server = await asyncio.get_running_loop().create_server(lambda: TcpLeg(None, csms_port), HOST, port, backlog=1024)
    await server.serve_forever()


async def relay_websockets(port: int, csms_port: int) -> None:
    """A proxy that moves WebSocket messages and looks at none: the reference."""

    async def handle(station: ServerConnection) -> None:
        assert station.request is not None
        url = f"ws://{HOST}:{csms_port}{station.request.path}"
        async with connect(url, subprotocols=[OCPP16], compression=None, proxy=None) as csms:
            up, down = asyncio.create_task(_pump(station, csms)), asyncio.create_task(_pump(csms, station))
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.gather(station.close(), csms.close(), up, down)

    async with serve(handle, HOST, port, subprotocols=[OCPP16], compression=None, backlog=1024) as server:
        await server.serve_forever()


async def _pump(source: Connection, target: Connection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in source:
            await target.send(message)


def main() -> None:
    kind, port, csms_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    asyncio.run({"tcp": relay_tcp, "websockets": relay_websockets}[kind](port, csms_port))


if __name__ == "__main__":
    main()
