"""What a `[meter.NAME]` table with driver = "modbus" holds."""

import difflib
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo

from drivers import model_file
from drivers.modbus_line import Line, SerialLine, TcpLine, tcp_place
from drivers.model_file import MeterModel
from drivers.options import Mistake, Options, OptionsError, Places, Resource, fault, serial_place


def _model(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    places = info.context if isinstance(info.context, Places) else Places()
    known = model_file.files(places)
    if value not in known:
        near = difflib.get_close_matches(value.lower()[:60], known, n=1)
        hint = f'Write "{near[0]}", if that is meant.' if near else f"Write one of {', '.join(known)}."
        raise fault("is not a known model", f"{hint} A map of your own belongs into {places.models}.")
    try:
        return model_file.load(known[value])
    except OptionsError as error:
        raise fault(f"{known[value]} cannot be used ({error})", "Correct the file.") from None


class ModbusOptions(Options):
    model: Annotated[
        MeterModel,
        BeforeValidator(_model),
        PlainSerializer(lambda model: model.id),
        Field(description='Name a model, such as "eastron-sdm630".'),
    ]
    port: Annotated[str | None, Field(min_length=1, description='Write the port, "/dev/serial/by-id/...".')] = None
    host: Annotated[str | None, Field(min_length=1, description="Write the name or IP address of the device.")] = None
    tcp_port: int = Field(default=502, ge=1, le=65535, description="Write the TCP port, 1 to 65535.")
    framing: Literal["tcp", "rtu"] = "tcp"
    unit: int = Field(default=1, ge=0, le=255, description="Write the meter's address, 1 to 247.")
    interval_s: float = Field(default=1.0, ge=0.1, le=60, description="Write seconds between reads, 0.1 to 60.")
    timeout_ms: Annotated[int | None, Field(ge=20, le=10_000, description="Write milliseconds, 20 to 10000.")] = None
    baud: Annotated[int | None, Field(ge=300, le=921_600, description="Write the baud rate, such as 9600.")] = None
    parity: Literal["N", "E", "O"] | None = None
    stop_bits: Literal[1, 2] | None = None
    identify: bool = Field(default=True, description="Write false to read a meter that says to be another model.")

    @property
    def line(self) -> Line:
        """Where the meter is, with the settings of its model where none are given."""
        if self.host is not None:
            return TcpLine(self.host, self.tcp_port, self.framing == "rtu")
        serial = self.model.modbus.serial
        return SerialLine(
            self.port or "", self.baud or serial.baud, self.parity or serial.parity, self.stop_bits or serial.stop
        )

    def resource(self) -> Resource:
        line = self.line
        if isinstance(line, TcpLine):
            place = tcp_place(line.host, line.port)
            return Resource(place, str(line), "modbus", {"framing": self.framing}, str(self.unit), "host")
        settings = {"baud": line.baud, "parity": line.parity, "stop_bits": line.stop_bits}
        return Resource(serial_place(line.port), line.port, "modbus", settings, str(self.unit))

    def clashes(self) -> Iterator[Mistake]:
        if self.port is None and self.host is None:
            yield Mistake(("port",), "is missing", "Give a serial port, or a host.")
        elif self.port is not None and self.host is not None:
            yield Mistake(("port",), "there is a host, too", "Keep one of the two.")
        elif self.host is not None:
            for key in ("baud", "parity", "stop_bits"):
                if getattr(self, key) is not None:
                    yield Mistake(
                        (key,), "belongs to a serial port", "Take it out: the device at the host has its own."
                    )
        if self.port is not None and not 1 <= self.unit <= 247:
            yield Mistake(("unit",), f"cannot be {self.unit} on a serial line", "Write the meter's address, 1 to 247.")

    def cautions(self) -> Iterator[str]:
        if not self.model.verified:
            yield f'the register map "{self.model.id}" is not verified: compare its values with the meter\'s display'
        if self.port is not None and self.port.startswith(("/dev/ttyUSB", "/dev/ttyACM")):
            yield f"{self.port} may get another number when replugged: use its name in /dev/serial/by-id"
