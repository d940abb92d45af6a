"""Meters that send telegrams by themselves over a serial cable, or over TCP from an adapter that has the cable."""

import asyncio
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field

from drivers.api import Health, Seams, Trouble
from drivers.derive import Rhythm, StreamDecoder, not_installed
from drivers.options import Mistake, Options, Resource, serial_place
from drivers.push import PushDriver
from drivers.serial_port import Feed, Parity, Place, SerialPlace, TcpPlace

_EITHER = "Take either port (a serial cable) or host and tcp_port (an adapter in the network)."


@dataclass(frozen=True, slots=True)
class Line:
    """How a kind of meter sends, where nothing else is configured."""

    baud: int
    bits: int
    parity: Parity
    interval_s: float
    """Assumed until it is measured."""


class LineOptions(Options):
    """Of every meter with a serial line of its own. A subclass says how its line is."""

    default_line: ClassVar[Line]
    parser: ClassVar[tuple[str, str]]
    """The module it needs, and the package that has it: an extra of the driver's name."""

    port: Annotated[
        str | None, Field(pattern="^/", description='Write a device, such as "/dev/serial/by-id/usb-...".')
    ] = None
    host: Annotated[str | None, Field(min_length=1, description="Write a name or IP address.")] = None
    tcp_port: Annotated[int | None, Field(ge=1, le=65535, description="Write the adapter's TCP port.")] = None
    baud: Annotated[int | None, Field(ge=300, le=921_600, description="Leave it out, if the meter is no oddity.")] = (
        None
    )
    bits: Literal[7, 8] | None = None
    parity: Parity | None = None
    interval_s: Annotated[
        float | None, Field(gt=0, le=900, description="Leave it out: it is measured. Else write the seconds.")
    ] = None

    @property
    def line(self) -> Line:
        return self.default_line

    def clashes(self) -> Iterator[Mistake]:
        if (self.port is None) == (self.host is None):
            problem = "is missing" if self.port is None else "is there, and a host, too"
            yield Mistake(("port",), problem, _EITHER)
        elif (self.host is None) != (self.tcp_port is None):
            yield Mistake(("tcp_port",), "goes together with host", _EITHER)
        for key in ("baud", "bits", "parity"):
            if self.host is not None and getattr(self, key) is not None:
                yield Mistake((key,), "belongs to a serial port", "Take it out: the device at the host has its own.")

    def cautions(self) -> Iterator[str]:
        if self.port and self.port.startswith(("/dev/ttyUSB", "/dev/ttyACM")):
            yield f"{self.port} may be another adapter after the next start: take its name in /dev/serial/by-id"
        module, package = self.parser
        if find_spec(module) is None:
            trouble = not_installed(self.driver, package, ModuleNotFoundError("not installed")).trouble
            yield f"{trouble.problem}. {trouble.remedy}"

    def resource(self) -> Resource:
        if self.port is not None:
            return Resource(serial_place(self.port), self.port, self.driver)
        host, where = str(self.host), f"{self.host}:{self.tcp_port}"
        return Resource(f"tcp:{host.lower()}:{self.tcp_port}", where, self.driver, key="host")

    def place(self) -> Place:
        if self.port is None:
            assert self.host is not None
            assert self.tcp_port is not None
            return TcpPlace(self.host, self.tcp_port)
        line = self.line
        return SerialPlace(self.port, self.baud or line.baud, self.bits or line.bits, self.parity or line.parity, 1)


L = TypeVar("L", bound=LineOptions)


class LineDriver(PushDriver[L]):
    """A decoder fed by a line. A subclass makes the decoder and knows what its meters need said."""

    def __init__(self, name: str, options: L, seams: Seams) -> None:
        super().__init__(name, options, seams)
        assumed_s = options.line.interval_s
        self._rhythm = Rhythm(assumed_s)
        self._interval_s = options.interval_s or assumed_s
        self._place = options.place()
        self._feed = Feed(name, self._place, seams, self._received)
        self._decoder: StreamDecoder | None = None
        self._meter = ""

    @abstractmethod
    def make_decoder(self) -> StreamDecoder:
        """In a thread of its own: it may import and read files. Raises DriverError."""

    @abstractmethod
    def garbled(self, quiet_s: float) -> Trouble:
        """What is wrong if bytes come, but no readings."""

    @property
    def interval_s(self) -> float:
        return self._interval_s

    async def open(self) -> None:
        if self._decoder is None:
            # In a thread: some parsers take long enough to import to be felt by everybody else.
            self._decoder = await asyncio.to_thread(self.make_decoder)
        await super().open()

    async def work(self) -> None:
        await self._feed.run(self._lost)

    def _received(self, data: bytes, t: float) -> None:
        assert self._decoder is not None
        for telegram in self._decoder.feed(data, t):
            self._meter = telegram.identification
            has_currents = any(value is not None for value in telegram.values["current_a"])
            # The rhythm is that of the currents: how old they may be is judged by it.
            if self.options.interval_s is None and (has_currents or not self.has_currents):
                self._interval_s = self._rhythm.beat(telegram.t)
            self.deliver(telegram.t, **telegram.values)

    def _lost(self) -> None:
        assert self._decoder is not None
        self._decoder.interrupted()
        self._rhythm.interrupted()

    def health(self) -> Health:
        return self.counted(**self.counters(), reconnects=self._feed.reconnects)

    def counters(self) -> dict[str, int]:
        decoder = self._decoder
        return {"crc_errors": decoder.crc_errors, "short_frames": decoder.short_frames} if decoder else {}

    def trouble(self, quiet_s: float | None) -> Trouble | None:
        if self._feed.trouble is not None or quiet_s is None:
            return self._feed.trouble
        heard_t = self._feed.last_byte_t
        if heard_t is None or self.seams.now() - heard_t > quiet_s / 2:
            return self._place.silent()
        return self.garbled(quiet_s)
