"""Electricity meters that send SML by their optical port or LMN, over a serial cable or over TCP."""

from typing import ClassVar

from drivers.api import Kind, Trouble
from drivers.line_meter import Line, LineDriver, LineOptions
from drivers.sml_telegram import Decoder


class SmlOptions(LineOptions):
    default_line: ClassVar[Line] = Line(9600, 8, "N", 1.0)
    parser: ClassVar[tuple[str, str]] = ("sml", "pysml")


class SmlDriver(LineDriver[SmlOptions]):
    options_type = SmlOptions

    def make_decoder(self) -> Decoder:
        return Decoder()

    def described(self) -> str:
        return f"SML of the meter {self._meter}" if self._meter else "SML"

    def no_currents(self) -> Trouble:
        problem = f"{self.described()}: no currents of phases, so nothing can be balanced by it"
        remedy = (
            "Enter the meter's PIN (from the metering operator) with a torch or its key, then switch the extended data "
            'set on: "InF on". If there are still none, the meter has none to send: take another'
        )
        return Trouble(Kind.NO_CURRENTS, problem, remedy)

    def garbled(self, quiet_s: float) -> Trouble:
        remedy = "Check baud (9600 8N1 as a rule), and how the optical head sits: its cable points down"
        return Trouble(Kind.GARBLED, f"bytes come, but no whole SML file for {quiet_s:.0f} s", remedy)
