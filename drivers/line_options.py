"""Where a meter with Modbus is: what the `[meter.NAME]` tables of all drivers on `bus` have in common."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from drivers.modbus_line import Line, SerialLine, TcpLine, UdpLine
from drivers.model_file import Serial, Transport
from drivers.options import Mistake, Options, Resource

Framing = Literal["tcp", "rtu", "udp"]


class LineOptions(Options):
    port: Annotated[str | None, Field(min_length=1, description='Write the port, "/dev/serial/by-id/...".')] = None
    host: Annotated[str | None, Field(min_length=1, description="Write the name or IP address of the device.")] = None
    tcp_port: int = Field(default=502, ge=1, le=65535, description="Write the TCP or UDP port, 1 to 65535.")
    framing: Framing | None = None
    unit: int = Field(default=1, ge=0, le=255, description="Write the meter's address, 1 to 247.")
    interval_s: float = Field(default=1.0, ge=0.1, le=60, description="Write seconds between reads, 0.1 to 60.")
    timeout_ms: Annotated[int | None, Field(ge=20, le=10_000, description="Write milliseconds, 20 to 10000.")] = None
    baud: Annotated[int | None, Field(ge=300, le=921_600, description="Write the baud rate, such as 9600.")] = None
    parity: Literal["N", "E", "O"] | None = None
    stop_bits: Literal[1, 2] | None = None

    def serial(self) -> Serial:
        """Line settings where none are given."""
        return Serial()

    def transports(self) -> tuple[Transport, ...]:
        """What the meter has. One with a serial port may be behind a gateway."""
        return ("serial", "tcp", "udp")

    @property
    def frames(self) -> Framing:
        """How questions travel to a host."""
        return self.framing or ("udp" if self.transports() == ("udp",) else "tcp")

    @property
    def line(self) -> Line:
        if self.host is not None:
            is_udp = self.frames == "udp"
            return (
                UdpLine(self.host, self.tcp_port) if is_udp else TcpLine(self.host, self.tcp_port, self.frames == "rtu")
            )
        usual = self.serial()
        return SerialLine(
            self.port or "", self.baud or usual.baud, self.parity or usual.parity, self.stop_bits or usual.stop
        )

    def resource(self) -> Resource:
        line = self.line
        if isinstance(line, SerialLine):
            settings = {"baud": line.baud, "parity": line.parity, "stop_bits": line.stop_bits}
            return Resource(line.place, line.port, "modbus", settings, str(self.unit))
        return Resource(line.place, str(line), "modbus", {"framing": self.frames}, str(self.unit), "host")

    def clashes(self) -> Iterator[Mistake]:
        if self.port is None and self.host is None:
            yield Mistake(("port",), "is missing", "Give a serial port, or a host.")
        elif self.port is not None and self.host is not None:
            yield Mistake(("port",), "there is a host, too", "Keep one of the two.")
        elif self.host is not None:
            yield from self._host_clashes()
        else:
            yield from self._port_clashes()

    def _host_clashes(self) -> Iterator[Mistake]:
        for key in ("baud", "parity", "stop_bits"):
            if getattr(self, key) is not None:
                yield Mistake((key,), "belongs to a serial port", "Take it out: the device at the host has its own.")
        if self.framing == "udp" and "udp" not in self.transports():
            yield Mistake(("framing",), "this meter does not speak Modbus over UDP", 'Write "tcp" or "rtu".')
        if self.framing in {"tcp", "rtu"} and self.transports() == ("udp",):
            yield Mistake(("framing",), "this meter speaks Modbus over UDP only", "Take the key out.")

    def _port_clashes(self) -> Iterator[Mistake]:
        if "serial" not in self.transports():
            yield Mistake(("port",), "this meter has no serial port", "Write host, and its name or IP address.")
        if not 1 <= self.unit <= 247:
            yield Mistake(("unit",), f"cannot be {self.unit} on a serial line", "Write the meter's address, 1 to 247.")

    def cautions(self) -> Iterator[str]:
        if self.port is not None and self.port.startswith(("/dev/ttyUSB", "/dev/ttyACM")):
            yield f"{self.port} may get another number when replugged: use its name in /dev/serial/by-id"
