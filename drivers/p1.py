"""Smart meters with a P1 port, over a serial cable or over TCP."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from drivers.api import Health, Kind, Seams, Trouble
from drivers.derive import Rhythm
from drivers.options import Mistake, Options, Resource, serial_place
from drivers.p1_telegram import SPECS, Decoder
from drivers.push import PushDriver
from drivers.serial_port import Feed, Parity, Place, SerialPlace, TcpPlace

SpecName = Literal["v2.2", "v3", "v4", "v5", "fluvius", "luxembourg", "sweden", "hungary", "ireland", "q3d"]
_EITHER = "Take either port (a serial cable) or host and tcp_port (an adapter in the network)."


class P1Options(Options):
    not_yet: ClassVar[dict[str, str]] = {"decryption_key": "read encrypted telegrams"}

    port: Annotated[
        str | None, Field(pattern="^/", description='Write a device, such as "/dev/serial/by-id/usb-...".')
    ] = None
    host: Annotated[str | None, Field(min_length=1, description="Write a name or IP address.")] = None
    tcp_port: Annotated[int | None, Field(ge=1, le=65535, description="Write the adapter's TCP port.")] = None
    spec: SpecName = "v5"
    baud: Annotated[int | None, Field(ge=300, le=921_600, description="Leave it out, if the meter is no oddity.")] = (
        None
    )
    bits: Literal[7, 8] | None = None
    parity: Parity | None = None
    interval_s: Annotated[
        float | None, Field(gt=0, le=900, description="Leave it out: it is measured. Else write the seconds.")
    ] = None

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
        if self.spec in ("v2.2", "v3"):
            yield f"meters of {self.spec} send no currents of phases: they are no use for load balancing"

    def resource(self) -> Resource:
        if self.port is not None:
            return Resource(serial_place(self.port), self.port, "p1")
        host, where = str(self.host), f"{self.host}:{self.tcp_port}"
        return Resource(f"tcp:{host.lower()}:{self.tcp_port}", where, "p1", key="host")

    def place(self) -> Place:
        spec = SPECS[self.spec]
        if self.port is None:
            assert self.host is not None
            assert self.tcp_port is not None
            return TcpPlace(self.host, self.tcp_port)
        parity: Parity = self.parity or ("E" if spec.parity == "E" else "N")
        return SerialPlace(self.port, self.baud or spec.baud, self.bits or spec.bits, parity, 1)


class P1Driver(PushDriver[P1Options]):
    options_type = P1Options

    def __init__(self, name: str, options: P1Options, seams: Seams) -> None:
        super().__init__(name, options, seams)
        self._decoder: Decoder | None = None
        self._rhythm = Rhythm(SPECS[options.spec].interval_s)
        self._interval_s = options.interval_s or SPECS[options.spec].interval_s
        self._place = options.place()
        self._feed = Feed(name, self._place, seams, self._received)
        self._meter = ""

    @property
    def interval_s(self) -> float:
        return self._interval_s

    async def open(self) -> None:
        if self._decoder is None:
            # In a thread: importing dsmr-parser takes long enough to be felt by everybody else.
            self._decoder = await asyncio.to_thread(Decoder, self.options.spec)
        await super().open()

    async def work(self) -> None:
        await self._feed.run(self._lost)

    def _received(self, data: bytes, t: float) -> None:
        assert self._decoder is not None
        for telegram in self._decoder.feed(data, t):
            self._meter = telegram.identification
            if self.options.interval_s is None:
                self._interval_s = self._rhythm.beat(telegram.t)
            self.deliver(telegram.t, **telegram.values)

    def _lost(self) -> None:
        assert self._decoder is not None
        self._decoder.interrupted()
        self._rhythm.interrupted()

    def described(self) -> str:
        return f"P1 telegrams of {self._meter}"

    def health(self) -> Health:
        decoder = self._decoder
        return self.counted(
            crc_errors=decoder.crc_errors if decoder else 0,
            short_frames=decoder.short_frames + decoder.without_checksum if decoder else 0,
            reconnects=self._feed.reconnects,
        )

    def trouble(self, quiet_s: float | None) -> Trouble | None:
        if self._feed.trouble is not None or quiet_s is None:
            return self._feed.trouble
        heard_t = self._feed.last_byte_t
        if heard_t is None or self.seams.now() - heard_t > quiet_s / 2:
            return self._place.silent()
        if self._decoder and self._decoder.without_checksum and self._meter == "":
            remedy = 'Write spec = "v3" for an old meter: it sends no currents of phases, though'
            return Trouble(Kind.MISCONFIGURED, "the telegrams have no checksum", remedy)
        remedy = "Check spec, baud, bits and parity, and the cable: P1 cables need an inverting adapter"
        return Trouble(Kind.GARBLED, f"bytes come, but no whole telegram for {quiet_s:.0f} s", remedy)
