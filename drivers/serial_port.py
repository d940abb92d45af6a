"""Bytes from a serial port or from a serial port behind TCP (ser2net), for ever: what is lost is opened again."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import serialx

from drivers import port_trouble
from drivers.api import Kind, Seams, Trouble
from drivers.pace import Backoff

_LOG = logging.getLogger(__name__)
_OPEN_S: Final = 5.0
Parity = Literal["N", "E", "O"]


class Line(asyncio.Protocol):
    """One connection: every piece goes to `received` in the callback that read it."""

    def __init__(self, received: Callable[[bytes], None]) -> None:
        self._received = received
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        """Done when the descriptor is closed, with the reason: None for an end without an error."""

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(error)


class Place(ABC):
    """Where bytes come from."""

    silence_s: float | None = None
    """After this long without a byte, connect again: the other side may be gone without a word."""

    @abstractmethod
    async def connect(self, line: Line) -> asyncio.Transport:
        """Raises OSError."""

    @abstractmethod
    def trouble(self, error: OSError | None) -> Trouble:
        """Why it can't be opened."""

    @abstractmethod
    def silent(self) -> Trouble:
        """Open, but nothing comes."""

    @abstractmethod
    def ended(self, error: Exception | None) -> Trouble:
        """Why it was lost after it had been open."""


@dataclass(frozen=True)
class SerialPlace(Place):
    """Opened for us alone. serialx closes an old descriptor before it says that the connection is lost."""

    port: str
    baud: int
    bits: int
    parity: Parity
    stop: int

    async def connect(self, line: Line) -> asyncio.Transport:
        try:
            transport, _ = await serialx.create_serial_connection(
                asyncio.get_running_loop(),
                lambda: line,
                self.port,
                self.baud,
                parity=serialx.Parity(self.parity),
                stopbits=serialx.StopBits(self.stop),
                byte_size=self.bits,
                exclusive=True,
            )
        except serialx.SerialException as error:
            raise OSError(str(error)) from error
        return transport

    def trouble(self, error: OSError | None) -> Trouble:
        return port_trouble.of_serial(self.port, error)

    def silent(self) -> Trouble:
        remedy = "Check the cable, and that the meter's port is switched on: some need it from the grid operator"
        return Trouble(Kind.SILENT, f"{self.port} is open, but nothing comes", remedy)

    def ended(self, error: Exception | None) -> Trouble:
        return self.trouble(error if isinstance(error, OSError) else None)


@dataclass(frozen=True)
class TcpPlace(Place):
    """A serial port that a program such as ser2net or an adapter with a network plug passes on, in raw mode."""

    host: str
    port: int
    silence_s: float | None = 60.0

    async def connect(self, line: Line) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_OPEN_S):
                transport, _ = await loop.create_connection(lambda: line, self.host, self.port)
        except UnicodeError:
            raise OSError("it is no host name") from None
        return transport

    def trouble(self, error: OSError | None) -> Trouble:
        return port_trouble.of_host(self.host, self.port, None if isinstance(error, TimeoutError) else error)

    def silent(self) -> Trouble:
        remedy = "Check the cable between the meter and the adapter, and the adapter's line settings"
        return Trouble(Kind.SILENT, f"{self.host}:{self.port} is connected, but sends nothing", remedy)

    def ended(self, error: Exception | None) -> Trouble:
        where = f"{self.host}:{self.port}"
        remedy = "Check that nobody else is connected to it: many pass on to one only"
        return Trouble(Kind.UNREACHABLE, f"{where} closed the connection ({error or 'without an error'})", remedy)


class Feed:
    """Keeps one place open. Tells pieces as they come, and each loss, so that no half telegram meets another's end."""

    def __init__(self, name: str, place: Place, seams: Seams, received: Callable[[bytes, float], None]) -> None:
        self._name = name
        self._place = place
        self._seams = seams
        self._received = received
        self._backoff = Backoff(seams.random)
        self._connections = 0
        self._said: Trouble | None = None
        self.trouble: Trouble | None = None
        """Why there is no connection; None while there is one, or the first is on its way."""
        self.connected_t: float | None = None
        self.last_byte_t: float | None = None

    @property
    def reconnects(self) -> int:
        return max(0, self._connections - 1)

    async def run(self, lost: Callable[[], None]) -> None:
        """Never ends."""
        while True:
            trouble = await self._connection()
            lost()
            if trouble != self._said:
                _LOG.warning("meter %s: %s", self._name, trouble)
            self.trouble = self._said = trouble
            self.connected_t = None
            await self._seams.sleep(self._backoff.wait_s())

    async def _connection(self) -> Trouble:
        """From opening to closed; the reason for its end."""
        line = Line(self._on_bytes)
        try:
            transport = await self._place.connect(line)
        except OSError as error:
            return self._place.trouble(error)
        self._connections += 1
        self.trouble, self.connected_t = None, self._seams.now()
        try:
            is_lost = await self._lost_or_silent(line, self.connected_t)
        finally:
            transport.abort()
            why = await line.lost
        return self._place.ended(why) if is_lost else self._place.silent()

    async def _lost_or_silent(self, line: Line, connected_t: float) -> bool:
        """False: nothing came for too long."""
        limit_s = self._place.silence_s
        wait_s = limit_s
        while True:
            done, _ = await asyncio.wait({line.lost}, timeout=wait_s)
            if done or limit_s is None:
                return True
            wait_s = limit_s - (self._seams.now() - max(connected_t, self.last_byte_t or 0.0))
            if wait_s <= 0:
                return False

    def _on_bytes(self, data: bytes) -> None:
        now = self._seams.now()
        self._backoff.reset()
        if self._said is not None:
            _LOG.info("meter %s: bytes come again", self._name)
            self._said = None
        self.last_byte_t = now
        self._received(data, now)
