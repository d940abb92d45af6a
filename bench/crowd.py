"""Both ends of a connection storm in one process: chargers that all come at once, and a CSMS that accepts their boots.

Every byte a charger sends is built before the storm begins, so that the proxy is what takes time.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from time import perf_counter, process_time

from bench import traffic, wire

HOST = "127.0.0.1"
_BOOT_ID, _BEAT_ID = b'"boot"', b'"beat"'
_ACCEPTED = b'{"currentTime":"2026-01-01T12:00:00Z","interval":86400,"status":"Accepted"}'
_ANSWERS = {b"BootNotification": _ACCEPTED, b"Heartbeat": b'{"currentTime":"2026-01-01T12:00:00Z"}'}


def boot_payload(name: str) -> bytes:
    """No two chargers send the same one."""
    return traffic.encode({**traffic.BOOT, "chargePointSerialNumber": name})


class Newcomer(wire.Peer):
    """One charger in one storm: connects, boots at once, and stays."""

    masks = True

    def __init__(self, crowd: "Crowd", name: str) -> None:
        super().__init__()
        self.name = name
        self.booted_at: float | None = None
        self.is_there = False
        self.is_served = False
        self._waits = True
        """For its boot's or its heartbeat's answer."""
        self.request = wire.request(f"/ocpp/{name}", HOST)
        self.boot = wire.frame(b'[2,%b,"BootNotification",%b]' % (_BOOT_ID, boot_payload(name)), masked=True)
        self._crowd = crowd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.is_there = True
        self.transport.write(self.request)

    def ask(self) -> None:
        """A heartbeat: is it served?"""
        self._waits = True
        self.send(b'[2,%b,"Heartbeat",{}]' % _BEAT_ID)

    def on_head(self, head: bytes) -> None:
        if head.startswith(b"HTTP/1.1 101 "):
            self.transport.write(self.boot)
        else:
            self._crowd.complain(f"{self.name}: {head[:100]!r}")

    def on_text(self, text: bytes) -> None:
        if text.startswith(b"[3,%b," % _BOOT_ID) and b'"Accepted"' in text and self.booted_at is None:
            self.booted_at = perf_counter()
            self._is_done()
        elif text.startswith(b"[3,%b," % _BEAT_ID) and self._waits:
            self.is_served = True
            self._is_done()
        elif text.startswith(b'[2,"'):  # a gateway may ask for a status
            self.send(b'[3,%b,{"status":"NotImplemented"}]' % text[3 : text.find(b'"', 4) + 1])
        else:
            self._crowd.complain(f"{self.name}: instead of an answer came {text[:200]!r}")

    def on_lost(self) -> None:
        self.is_there = False
        if self._waits:
            self._crowd.complain(f"{self.name}: connection lost")
            self._is_done()  # nothing more will come of it

    def _is_done(self) -> None:
        self._waits = False
        self._crowd.one_more()


class SinkPeer(wire.Peer):
    """One socket at the CSMS."""

    def __init__(self, crowd: "Crowd") -> None:
        super().__init__()
        self._crowd = crowd
        self._name = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._crowd.sockets.add(self)

    def on_head(self, head: bytes) -> None:
        path, answer = wire.response(head)
        self._name = path.rpartition("/")[2]
        self.transport.write(answer)

    def on_text(self, text: bytes) -> None:
        """`[2,"id","Action",{...}]`, whatever the id; nobody here writes spaces between."""
        at = text.find(b",{")
        message_id, _, action = text[3:at].partition(b",")
        action = action.strip(b'"')
        if action == b"BootNotification":
            self._crowd.note_boot(self._name, text[at + 1 : -1])
        elif action not in _ANSWERS:
            self._crowd.complain(f"{self._name}: unexpected {text[:100]!r}")
        self.send(b"[3,%b,%b]" % (message_id, _ANSWERS.get(action, b"{}")))

    def on_lost(self) -> None:
        self._crowd.sockets.discard(self)


@dataclass(frozen=True, slots=True)
class Storm:
    """`took_s`: from the first SYN to the last boot's answer. `load_share`: of that time, the load's own CPU time."""

    began: float
    took_s: float
    half_s: float
    booted: int
    load_share: float


class Crowd:
    """The chargers and the CSMS of one row. `limit_s`: for all to be booted; who is not by then is lost."""

    def __init__(self, size: int, limit_s: float = 60.0) -> None:
        self.names = [f"STORM-{index:04d}" for index in range(size)]
        self.sockets: set[SinkPeer] = set()
        self.boots: Counter[str] = Counter()
        """Boots that reached the CSMS as they were sent."""
        self.complaints = 0
        self.first_complaint: str | None = None
        self._limit_s = limit_s
        self._chargers: list[Newcomer] = []
        self._missing = 0
        self._all_done = asyncio.Event()

    async def open_csms(self) -> int:
        """Begin to listen; returns the port."""
        self._server = await asyncio.get_running_loop().create_server(lambda: SinkPeer(self), HOST, 0, backlog=4096)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def storm(self, port: int) -> Storm:
        """All connect and boot at once. Returns when all are booted, or at the time limit."""
        self._chargers = [Newcomer(self, name) for name in self.names]
        self._expect(len(self._chargers))
        began, cpu = perf_counter(), process_time()
        connecting = asyncio.gather(*(self._connect(one, port) for one in self._chargers))
        await self._until_done()
        took, cpu = perf_counter() - began, process_time() - cpu
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        times = sorted(one.booted_at - began for one in self._chargers if one.booted_at is not None)
        half = times[len(times) // 2] if times else took
        return Storm(began, times[-1] if len(times) == len(self.names) else took, half, len(times), cpu / took)

    async def served(self) -> int:
        """How many chargers are connected and get an answer."""
        there = [one for one in self._chargers if one.is_there and one.booted_at is not None]
        self._expect(len(there))
        for one in there:
            one.ask()
        await self._until_done()
        return sum(one.is_served for one in there)

    def drop(self) -> None:
        """Every charger's connection is gone, without a word."""
        for one in self._chargers:
            if one.is_there:
                one.transport.abort()

    async def close(self) -> None:
        self.drop()
        await asyncio.sleep(0)  # for the aborted ones to be gone
        for socket in list(self.sockets):
            socket.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    def one_more(self) -> None:
        """A charger got what it waited for."""
        self._missing -= 1
        if self._missing == 0:
            self._all_done.set()

    def note_boot(self, name: str, payload: bytes) -> None:
        if name.startswith("STORM-") and payload != boot_payload(name):
            self.complain(f"{name}: its boot arrived as {payload[:200]!r}")
        self.boots[name] += 1

    def complain(self, what: str) -> None:
        """Something that must not happen: counted, and the first one is shown."""
        self.complaints += 1
        self.first_complaint = self.first_complaint or what

    async def _connect(self, charger: Newcomer, port: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: charger, HOST, port)
        except OSError as error:
            self.complain(f"{charger.name}: {error}")
            self.one_more()

    def _expect(self, answers: int) -> None:
        self._missing = answers
        self._all_done.clear()
        if answers == 0:
            self._all_done.set()

    async def _until_done(self) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                await self._all_done.wait()
        except TimeoutError:
            self.complain(f"{self._missing} chargers got no answer within {self._limit_s:g} s")
