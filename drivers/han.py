"""Nordic meters (Aidon, Kaifa, Kamstrup) by their customer port, over a serial cable or over TCP."""

from typing import ClassVar

from drivers.api import Kind, Trouble
from drivers.han_telegram import Decoder
from drivers.line_meter import Line, LineDriver, LineOptions


class HanOptions(LineOptions):
    default_line: ClassVar[Line] = Line(2400, 8, "N", 10.0)
    parser: ClassVar[tuple[str, str]] = ("han", "amshan")


class HanDriver(LineDriver[HanOptions]):
    options_type = HanOptions
    listen_s = 25.0
    """Lists with currents come every 10 s, or sooner."""

    def make_decoder(self) -> Decoder:
        return Decoder()

    def described(self) -> str:
        return f"HAN lists of {self._meter}" if self._meter else "HAN lists"

    def no_currents(self) -> Trouble:
        problem = f"{self.described()}: no currents of phases, so nothing can be balanced by it"
        remedy = "Ask the grid operator to switch the full lists of the customer port on"
        return Trouble(Kind.NO_CURRENTS, problem, remedy)

    def garbled(self, quiet_s: float) -> Trouble:
        remedy = (
            'Check the line: 2400 8N1 as a rule, parity = "E" for Kaifa, baud = 115200 for a Swedish plug with six '
            "pins (many of those speak p1). Encrypted lists cannot be read"
        )
        return Trouble(Kind.GARBLED, f"bytes come, but no list that can be read for {quiet_s:.0f} s", remedy)
