"""Smart meters with a P1 port, over a serial cable or over TCP, in the clear or encrypted."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from drivers.api import DriverError, Kind, Trouble
from drivers.line_meter import Line, LineDriver, LineOptions
from drivers.options import File, Mistake
from drivers.p1_cipher import Keys
from drivers.p1_telegram import SPECS, Decoder, Spec

SpecName = Literal["v2.2", "v3", "v4", "v5", "fluvius", "luxembourg", "austria", "sweden", "hungary", "ireland", "q3d"]
_KEY_DIGITS = 32
_WHO = "The grid operator gives the customer the key of the P1 port"
Variable = Annotated[str | None, Field(min_length=1, description="Name an environment variable.")]


class P1Options(LineOptions):
    parser: ClassVar[tuple[str, str]] = ("dsmr_parser", "dsmr-parser")

    spec: SpecName = "v5"
    decryption_key_file: File = None
    decryption_key_env: Variable = None
    authentication_key_file: File = None
    authentication_key_env: Variable = None

    @property
    def _spec(self) -> Spec:
        return SPECS[self.spec]

    @property
    def line(self) -> Line:
        spec = self._spec
        return Line(spec.baud, spec.bits, "E" if spec.parity == "E" else "N", spec.interval_s)

    def clashes(self) -> Iterator[Mistake]:
        yield from super().clashes()
        for name in ("decryption_key", "authentication_key"):
            if getattr(self, f"{name}_file") and getattr(self, f"{name}_env"):
                yield Mistake((f"{name}_file",), f"is there, and {name}_env, too", "Take one of them out.")
        has_key, has_second = self.decryption_key_file or self.decryption_key_env, self.authentication_key_file
        if (has_second or self.authentication_key_env) and not has_key:
            yield Mistake(("decryption_key_file",), "is missing", "An authentication key alone decrypts nothing.")
        if has_key and self.spec not in ("luxembourg", "austria"):
            remedy = 'Write spec = "luxembourg" or spec = "austria", or take the key out.'
            yield Mistake(("spec",), f"{self.spec} is never encrypted, but there is a key", remedy)

    def unfit(self) -> Mistake | None:
        if self._spec.has_currents:
            return None
        problem = f"P1 telegrams of {self.spec} have no currents of phases"
        remedy = "Take another meter for the circuit; this one can still be shown."
        return Mistake(("spec",), problem, f'{remedy} If the telegrams end in "!" and four digits, write spec = "v5".')

    def cautions(self) -> Iterator[str]:
        yield from super().cautions()
        if unfit := self.unfit():
            yield f"{unfit.problem}: they are no use for load balancing"

    def keys(self) -> Keys | None:
        """Read anew for each start of the driver. Raises DriverError."""
        key = _secret("decryption_key", self.decryption_key_file, self.decryption_key_env)
        if key is None:
            return None
        second = _secret("authentication_key", self.authentication_key_file, self.authentication_key_env)
        return Keys(key, second)


def _secret(name: str, file: Path | None, variable: str | None) -> bytes | None:
    """The value is never shown. Raises DriverError."""
    source = f"{name}_file {file}" if file else f"{name}_env {variable}"
    try:
        text = file.read_text("ascii") if file else os.environ[variable] if variable else None
    except (OSError, UnicodeDecodeError, KeyError) as error:
        why = "it is not set" if isinstance(error, KeyError) else getattr(error, "strerror", None) or "it is no text"
        remedy = "Check that it is there, and that the gateway may read it"
        raise DriverError(Kind.MISCONFIGURED, f"{source} cannot be used ({why})", remedy) from None
    if text is None:
        return None
    digits = "".join(text.split())
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(digits) != _KEY_DIGITS or not key:
        problem = f"{source} holds no key: that is {_KEY_DIGITS} digits, 0 to 9 and A to F"
        raise DriverError(Kind.MISCONFIGURED, problem, f"{_WHO}: copy it again")
    return key


class P1Driver(LineDriver[P1Options]):
    options_type = P1Options

    _decoder: Decoder | None

    def make_decoder(self) -> Decoder:
        return Decoder(self.options.spec, self.options.keys())

    def described(self) -> str:
        return f"P1 telegrams of {self._meter}" if self._meter else "P1 telegrams"

    def counters(self) -> dict[str, int]:
        decoder = self._decoder
        if decoder is None:
            return {}
        return {
            "crc_errors": decoder.crc_errors + decoder.undecrypted,
            "short_frames": decoder.short_frames + decoder.without_checksum,
        }

    def no_currents(self) -> Trouble:
        problem = f"{self.described()}: no currents of phases, so nothing can be balanced by it"
        remedy = "Take another meter for this circuit: this one's telegrams have none by their version"
        return Trouble(Kind.NO_CURRENTS, problem, remedy)

    def garbled(self, quiet_s: float) -> Trouble:
        decoder = self._decoder
        if decoder and self._meter == "":
            if trouble := self._locked(decoder):
                return trouble
            if decoder.without_checksum:
                remedy = 'Write spec = "v3" for an old meter: it sends no currents of phases, though'
                return Trouble(Kind.MISCONFIGURED, "the telegrams have no checksum", remedy)
        remedy = "Check spec, baud, bits and parity, and the cable: P1 cables need an inverting adapter"
        return Trouble(Kind.GARBLED, f"bytes come, but no whole telegram for {quiet_s:.0f} s", remedy)

    def _locked(self, decoder: Decoder) -> Trouble | None:
        if decoder.undecrypted:
            problem = "the telegrams are encrypted, and the key does not open them"
            remedy = f"{_WHO}: compare it digit by digit; it goes with this very meter"
            return Trouble(Kind.MISCONFIGURED, problem, remedy)
        if not decoder.is_other_way:
            return None
        if self.options.decryption_key_file or self.options.decryption_key_env:
            remedy = "Take decryption_key_file or decryption_key_env out"
            return Trouble(Kind.MISCONFIGURED, "the telegrams are not encrypted, but there is a key", remedy)
        problem = "the telegrams are encrypted, and there is no key"
        return Trouble(Kind.MISCONFIGURED, problem, f"{_WHO}: write it into a file, and name it as decryption_key_file")
