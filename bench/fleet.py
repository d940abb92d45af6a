"""Both ends of the load in one process: the chargers, and the CSMS that checks what arrives and answers at once.

They share memory, so the CSMS knows which bytes each charger sent and compares them all.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from time import perf_counter

from bench import traffic, wire
from bench.traffic import Picker, Template

HOST = "127.0.0.1"
_CONNECT_AT_ONCE = 20
_SETUP_S = 20.0
_DRAIN_S = 10.0
_FIRST_TX_ID = 1001


class FleetError(Exception):
    """A charger could not be brought into service, or got no answer."""


class Charger(wire.Peer):
    """One charger: one CALL outstanding, every message id and every payload used once."""

    masks = True

    def __init__(self, fleet: "Fleet", name: str, upstream_tx_id: int) -> None:
        super().__init__()
        self.name = name
        self.upstream_tx_id = upstream_tx_id
        self.number = 0
        self.payload = b""
        """The payload on its way, and as it must arrive at the CSMS."""
        self.acknowledged: list[int] = []
        """Numbers of answered MeterValues."""
        self.at_csms: set[int] = set()
        self.is_busy = False
        self.waiting: deque[float] = deque()
        self.own: Template
        self._upstream: Template
        self._status = traffic.status()
        self._fleet = fleet
        self._sent_at = 0.0
        self._is_meter = False
        self._expected = b""
        self._head: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._reply: asyncio.Future[bytes] | None = None

    async def connect(self, port: int) -> None:
        """Connect, boot, start a transaction. Raises FleetError."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_SETUP_S):
                await loop.create_connection(lambda: self, HOST, port)
                self.transport.write(wire.request(f"/ocpp/{self.name}", f"{HOST}:{port}"))
                head = await self._head
                if b" 101 " not in head.split(b"\r\n")[0]:
                    raise FleetError(f"{self.name}: {head[:100]!r}")
                await self._ask("BootNotification", traffic.encode(traffic.BOOT))
                token = f"TAG{self.name[-12:]}"
                given = await self._ask("StartTransaction", traffic.encode(traffic.start(1, token)))
        except TimeoutError:
            raise FleetError(f"{self.name}: not in service within {_SETUP_S} s") from None
        except OSError as error:
            raise FleetError(f"{self.name}: {error}") from error
        tx_id = int(given.partition(b'"transactionId":')[2].split(b"}")[0].split(b",")[0])
        self.own = traffic.meter_values(tx_id)
        self._upstream = traffic.meter_values(self.upstream_tx_id)

    def send_next(self, at: float) -> None:
        """Send the next message; `at`: since when it is due."""
        self.number = number = self.number + 1
        self.is_busy = True
        self._sent_at = at
        self._is_meter = is_meter = self._fleet.is_meter(number)
        template = self.own if is_meter else self._status
        payload = template.payload(number)
        self.payload = self._upstream.payload(number) if is_meter and self._upstream != self.own else payload
        self._expected = b'[3,"%016d",{}]' % number
        self.send(b'[2,"%016d","%b",%b]' % (number, template.action.encode(), payload))

    def on_head(self, head: bytes) -> None:
        if not self._head.done():
            self._head.set_result(head)

    def on_text(self, text: bytes) -> None:
        if text != self._expected:
            self._setup_answer(text)
            return
        if self._is_meter:
            self.acknowledged.append(self.number)
        self.is_busy = False
        self._fleet.on_answer(self, self._sent_at)

    def on_lost(self) -> None:
        self.is_busy = False
        for future in (self._head, self._reply):
            if future is not None and not future.done():
                future.set_exception(FleetError(f"{self.name}: connection lost"))

    def _setup_answer(self, text: bytes) -> None:
        if self._reply is not None and not self._reply.done() and text.startswith(b'[3,"%016d",' % self.number):
            self._reply.set_result(text)
        else:
            self._fleet.complain(f"{self.name}: instead of an answer came {text[:200]!r}")

    async def _ask(self, action: str, payload: bytes) -> bytes:
        self.number += 1
        self.payload = payload
        self._reply = asyncio.get_running_loop().create_future()
        self.send(b'[2,"%016d","%b",%b]' % (self.number, action.encode(), payload))
        reply, self._reply = await self._reply, None
        return reply


class CsmsPeer(wire.Peer):
    """One charger's socket at the CSMS."""

    def __init__(self, fleet: "Fleet") -> None:
        super().__init__()
        self._fleet = fleet
        self._charger: Charger

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._fleet.sockets.add(self)

    def on_head(self, head: bytes) -> None:
        path, answer = wire.response(head)
        self._charger = self._fleet.chargers[path.rpartition("/")[2]]
        self.transport.write(answer)

    def on_text(self, text: bytes) -> None:
        """`[2,"id","Action",{...}]`, whatever the id; nobody here writes spaces between."""
        charger, at = self._charger, text.find(b",{")
        message_id = text[3 : text.find(b'"', 4) + 1]
        if text[at + 1 : -1] != charger.payload:
            self._fleet.complain(f"{charger.name}: {charger.payload[:200]!r} arrived as {text[:200]!r}")
        elif charger.number in charger.at_csms:
            self._fleet.repeats += 1
        charger.at_csms.add(charger.number)
        self.send(b"[3,%b,%b]" % (message_id, self._fleet.answer_for(charger, text[4:at])))

    def on_lost(self) -> None:
        self._fleet.sockets.discard(self)


class Fleet:
    """Chargers and CSMS of one run. `tx_id_of`: the id the CSMS gives to charger number n."""

    def __init__(self, size: int, tx_id_of: Callable[[int], int] = lambda index: _FIRST_TX_ID + index) -> None:
        names = [f"BENCH-{index:04d}" for index in range(size)]
        self.chargers = {name: Charger(self, name, tx_id_of(index)) for index, name in enumerate(names)}
        self.sockets: set[CsmsPeer] = set()
        self.mismatches = 0
        self.repeats = 0
        self.first_complaint: str | None = None
        self.answered = 0
        self.latencies: list[float] = []
        self.is_meter: Picker = traffic.MIXES["meter"]
        self._is_closed_loop = False
        self._idle = asyncio.Event()
        self._enough: tuple[int, asyncio.Event] | None = None
        self._server: asyncio.Server

    async def open_csms(self) -> int:
        """Begin to listen; returns the port."""
        self._server = await asyncio.get_running_loop().create_server(lambda: CsmsPeer(self), HOST, 0, backlog=1024)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def connect(self, port: int) -> None:
        """Bring every charger into service through the listener at `port`. Raises FleetError."""
        gate = asyncio.Semaphore(_CONNECT_AT_ONCE)

        async def one(charger: Charger) -> None:
            async with gate:
                await charger.connect(port)

        await asyncio.gather(*(one(charger) for charger in self.chargers.values()))

    async def close(self) -> None:
        """Drop every connection and stop listening."""
        self._is_closed_loop = False
        for peer in (*self.chargers.values(), *self.sockets):
            if hasattr(peer, "transport"):
                peer.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    def begin_closed_loop(self, mix: str) -> None:
        """From now on every charger sends its next message as soon as the last one is answered."""
        self.is_meter = traffic.MIXES[mix]
        self._is_closed_loop = True
        for charger in self.chargers.values():
            charger.send_next(perf_counter())

    async def end_closed_loop(self) -> None:
        """Let what is outstanding be answered. Raises FleetError."""
        self._is_closed_loop = False
        await self._drain()

    async def until_answered(self, more: int) -> None:
        """Returns after so many more answers. Raises FleetError if they don't come."""
        self._enough = self.answered + more, asyncio.Event()
        try:
            await asyncio.wait_for(self._enough[1].wait(), _DRAIN_S)
        except TimeoutError:
            raise FleetError(f"less than {more} answers within {_DRAIN_S} s") from None
        finally:
            self._enough = None

    async def play_open_loop(self, rate: float, seconds: float) -> list[float]:
        """MeterValues at a fixed rate, charger after charger; returns the times to their answers, in seconds.

        A charger that is still waiting gets its message later, and the time counts from when it was due.
        """
        self.is_meter = traffic.MIXES["meter"]
        self.latencies = []
        begin, chargers = perf_counter(), list(self.chargers.values())
        for index in range(int(rate * seconds)):
            pause = begin + index / rate - perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            charger, now = chargers[index % len(chargers)], perf_counter()
            if charger.is_busy:
                charger.waiting.append(now)
            else:
                charger.send_next(now)
        await self._drain()
        return self.latencies

    def on_answer(self, charger: Charger, sent_at: float) -> None:
        self.answered += 1
        if self._enough and self.answered >= self._enough[0]:
            self._enough[1].set()
        if self._is_closed_loop:
            charger.send_next(0.0)
            return
        self.latencies.append(perf_counter() - sent_at)
        if charger.waiting:
            charger.send_next(charger.waiting.popleft())
        else:
            self._idle.set()

    def answer_for(self, charger: Charger, head: bytes) -> bytes:
        """The CSMS's CALLRESULT payload; `head` ends with the action."""
        if head.endswith((b'"MeterValues"', b'"StatusNotification"')):
            return b"{}"
        if head.endswith(b'"StartTransaction"'):
            return b'{"idTagInfo":{"status":"Accepted"},"transactionId":%d}' % charger.upstream_tx_id
        if head.endswith(b'"BootNotification"'):
            return b'{"currentTime":"2026-01-01T12:00:00Z","interval":86400,"status":"Accepted"}'
        self.complain(f"{charger.name}: unexpected {head[:100]!r}")
        return b"{}"

    def complain(self, what: str) -> None:
        """Something that must not happen: counted, and the first one is shown."""
        self.mismatches += 1
        self.first_complaint = self.first_complaint or what

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while any(charger.is_busy for charger in self.chargers.values()):
                    self._idle.clear()
                    await self._idle.wait()
                return
        busy = [charger.name for charger in self.chargers.values() if charger.is_busy]
        raise FleetError(f"no answer within {_DRAIN_S} s for {', '.join(busy[:5])} ({len(busy)} in all)")
