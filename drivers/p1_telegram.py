"""P1 telegrams (DSMR, ESMR, Fluvius and relatives) from bytes to values, on dsmr-parser. Pure; no I/O, no clock.

dsmr-parser comes with the extra `p1` and is imported when the first decoder is made: it takes a quarter of a second.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from typing import Any, Final

from drivers.api import NO_PHASES, Phases, Reason, Signed
from drivers.derive import Telegram, finer, not_installed, quality, signed, three
from drivers.p1_cipher import HEAD_BYTES, Keys, Unwrapper, looks_encrypted

_LONGEST: Final = 16 * 1024
"""Characters; the longest telegrams, with a year of peaks, have 3,000."""
_STARTS = re.compile(rb"(?=/)")
_CHECKSUM = re.compile(r"![0-9A-F]{4}\0?\r\n\Z")
_PLAIN = re.compile(rb"\r\n1-0:\d+\.\d+\.\d+\(")
_PHASES: Final = (1, 2, 3)
_POWER: Final = "INSTANTANEOUS_ACTIVE_POWER_L"
_NEEDED = re.compile(
    r"INSTANTANEOUS_(VOLTAGE|CURRENT)_L[123]|INSTANTANEOUS_ACTIVE_POWER_L[123]_(POSITIVE|NEGATIVE)|FREQUENCY"
    r"|CURRENT_ELECTRICITY_(USAGE|DELIVERY)|ELECTRICITY_(IMPORTED|EXPORTED)_TOTAL|P1_MESSAGE_TIMESTAMP"
    r"|ELECTRICITY_(USED|DELIVERED)_TARIFF_[12]"
)
_UNITS: Final[Mapping[str, tuple[str, float]]] = {
    "A": ("A", 1),
    "V": ("V", 1),
    "W": ("W", 1),
    "kW": ("W", 1000),
    "Wh": ("kWh", 0.001),
    "kWh": ("kWh", 1),
    "Hz": ("Hz", 1),
}


@dataclass(frozen=True, slots=True)
class Spec:
    """One country's or version's telegrams: the name dsmr-parser has for them, the line, how often they come."""

    parser: str
    baud: int = 115_200
    bits: int = 8
    parity: str = "N"
    interval_s: float = 1.0
    has_checksum: bool = True
    has_currents: bool = True


SPECS: Final[Mapping[str, Spec]] = {
    "v2.2": Spec("V2_2", 9600, 7, "E", 10.0, has_checksum=False, has_currents=False),
    "v3": Spec("V3", 9600, 7, "E", 10.0, has_checksum=False, has_currents=False),
    "v4": Spec("V4", interval_s=10.0),
    "v5": Spec("V5"),
    "fluvius": Spec("BELGIUM_FLUVIUS"),
    "luxembourg": Spec("LUXEMBOURG_SMARTY", interval_s=10.0),
    "austria": Spec("SAGEMCOM_T210_D_R", interval_s=10.0),
    "sweden": Spec("SWEDEN", interval_s=10.0),
    "hungary": Spec("EON_HUNGARY", interval_s=10.0),
    "ireland": Spec("ISKRA_IE", interval_s=10.0),
    "q3d": Spec("Q3D", 9600, 7, "E", 2.0, has_checksum=False, has_currents=False),
}
"""The interval is what is assumed until it is measured."""


class Decoder:
    """Telegrams out of a stream of bytes. A broken one is dropped and counted; one begun before us is only dropped."""

    def __init__(self, name: str, keys: Keys | None = None) -> None:
        """`name` is a key of SPECS; `keys`: of encrypted telegrams. Raises DriverError if dsmr-parser is missing."""
        self._spec = SPECS[name]
        self._unwrapper = Unwrapper(keys) if keys else None
        self._library = _Library(self._spec.parser)
        self._buffer: Any = None
        self._size = 0
        self._tail = b""
        self._began: float | None = None
        self._phases_seen = 0
        self.crc_errors = 0
        self.short_frames = 0
        """Begun and never ended, or without a readable value."""
        self.without_checksum = 0
        """Dropped: by the specification they have a checksum."""
        self.undecrypted = 0
        """Dropped: a wrong key, or a flipped bit."""
        self.is_other_way = False
        """Encrypted telegrams come and there is no key, or the other way round."""

    def interrupted(self) -> None:
        """The connection was lost: what comes next is the middle of something."""
        self.short_frames += self._began is not None or (self._unwrapper is not None and self._unwrapper.interrupted())
        self._began = None

    def feed(self, data: bytes, t: float) -> list[Telegram]:
        """Telegrams that end in these bytes, which came at `t`."""
        if self._unwrapper is None:
            self.is_other_way |= looks_encrypted(self._tail + data)
            self._tail = (self._tail + data)[-HEAD_BYTES:]
            return self._in_the_clear(data, t)
        self.is_other_way |= _PLAIN.search(data) is not None
        found = []
        for frame in self._unwrapper.feed(data, t):
            self.undecrypted += frame.text is None
            if frame.text is not None and (telegram := self._checked(frame.text, frame.t)):
                found.append(telegram)
        return found

    def _in_the_clear(self, data: bytes, t: float) -> list[Telegram]:
        found = []
        for piece in _STARTS.split(data):
            if piece.startswith(b"/"):
                self.interrupted()
                self._buffer, self._size, self._began = self._library.new_buffer(), 0, t
            if self._began is None:
                continue
            self._buffer.append(piece.decode("latin-1"))
            self._size += len(piece)
            for text in self._buffer.get_all():
                if telegram := self._checked(text, self._began):
                    found.append(telegram)
                self._began = None
                break  # one start, one end
            if self._size > _LONGEST:
                self.interrupted()
        return found

    def _checked(self, text: str, t: float) -> Telegram | None:
        has_checksum = _CHECKSUM.search(text) is not None
        if not has_checksum and self._spec.has_checksum:
            self.without_checksum += 1
            return None
        if has_checksum and not self._library.is_intact(text):
            self.crc_errors += 1
            return None
        objects = self._library.parsed(text)
        values = None if objects is None else self._values(objects, has_checksum)
        if values is None:
            self.short_frames += 1
            return None
        return Telegram(t, text[1 : text.index("\r\n")].strip(), values)

    def _values(self, objects: "_Objects", has_checksum: bool) -> Mapping[str, Any] | None:
        """None: nothing in it can be used."""
        magnitude, resolution_a = objects.currents()
        voltage = three(objects.number(f"INSTANTANEOUS_VOLTAGE_L{i}", "V") for i in _PHASES)
        power = three(objects.net(f"{_POWER}{i}_POSITIVE", f"{_POWER}{i}_NEGATIVE") for i in _PHASES)
        total = objects.net("CURRENT_ELECTRICITY_USAGE", "CURRENT_ELECTRICITY_DELIVERY")
        if total is None and not any(value is not None for value in (*magnitude, *voltage, *power)):
            return None
        seen = [i for i, each in enumerate(zip(magnitude, voltage, power, strict=True), 1) if each != (None,) * 3]
        self._phases_seen = max(self._phases_seen, *seen, 0)
        if self._phases_seen == 1 and power[0] is None and magnitude[0] is not None:
            power = (total, None, None)
        if resolution_a >= 1:
            magnitude = finer(magnitude, power, voltage)
        current, is_unsure = signed(magnitude, power)
        reasons = self._reasons(current, voltage, power, is_unsure)
        if not has_checksum:
            reasons |= {Reason.NO_CHECKSUM}
        return {
            "current_a": current,
            "current_signed": Signed.UNKNOWN if power == NO_PHASES else Signed.FROM_POWER,
            "voltage_v": voltage,
            "power_w": power,
            "power_total_w": total,
            "frequency_hz": objects.number("FREQUENCY", "Hz"),
            "energy_import_kwh": objects.energy("ELECTRICITY_IMPORTED_TOTAL", "ELECTRICITY_USED_TARIFF_"),
            "energy_export_kwh": objects.energy("ELECTRICITY_EXPORTED_TOTAL", "ELECTRICITY_DELIVERED_TARIFF_"),
            "resolution_a": resolution_a,
            "phases": self._phases_seen or 3,
            "device_time": objects.time(),
            "reasons": reasons,
            "quality": quality(reasons),
        }

    def _reasons(self, current: Phases, voltage: Phases, power: Phases, is_unsure: bool) -> frozenset[Reason]:
        count = self._phases_seen or 3
        missing = {
            Reason.CURRENT_MISSING: None in list(current)[:count],
            Reason.VOLTAGE_MISSING: None in list(voltage)[:count],
            Reason.POWER_MISSING: None in list(power)[:count],
            Reason.SIGN_UNKNOWN: is_unsure,
        }
        return frozenset(reason for reason, is_so in missing.items() if is_so)


def _is_absurd(value: Decimal) -> bool:
    """An exponent that no meter writes."""
    return not -12 <= int(value.as_tuple().exponent) <= 0 or abs(value.adjusted()) > 12


def _decimal(text: str) -> Decimal | None:
    """Of a line that is no number, not the whole telegram's loss."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return None


class _Library:
    """dsmr-parser, as far as it is needed."""

    def __init__(self, specification: str) -> None:
        try:
            specifications = import_module("dsmr_parser.telegram_specifications")
            parsers = import_module("dsmr_parser.parsers")
            self._buffers = import_module("dsmr_parser.clients.telegram_buffer")
        except (ImportError, KeyError) as error:  # KeyError: the time zones that it asks for are missing
            raise not_installed("p1", "dsmr-parser", error) from error
        # What a meter sends beyond its country's specification has the meaning it has everywhere.
        known = {each["value_name"]: each for each in specifications.V5["objects"]}
        known |= {each["value_name"]: each for each in getattr(specifications, specification)["objects"]}
        # Only what we read: its parser of the power failure log grows with every telegram, and the rest costs time.
        objects = [dict(each) for name, each in known.items() if _NEEDED.fullmatch(name)]
        for each in objects:
            if each["value_name"] != "P1_MESSAGE_TIMESTAMP":
                each["value_parser"] = parsers.CosemParser(parsers.ValueParser(_decimal))
        self._parser = parsers.TelegramParser({"checksum_support": False, "objects": objects})

    def new_buffer(self) -> Any:
        return self._buffers.TelegramBuffer()

    def is_intact(self, text: str) -> bool:
        try:
            self._parser.validate_checksum(text)
        except Exception:  # its ParseError, whatever way it came to it
            return False
        return True

    def parsed(self, text: str) -> "_Objects | None":
        """None: a value in it has no form that is known, which only happens where there is no checksum."""
        try:
            return _Objects(self._parser.parse(text))
        except Exception:  # not all it lets out are its own
            return None


class _Objects:
    """The lines of one telegram, by the names of dsmr-parser."""

    def __init__(self, telegram: Any) -> None:
        self._telegram = telegram

    def _object(self, name: str, unit: str) -> tuple[Decimal, float] | None:
        """Value as written, and its size in this unit. None: not there, empty, or of another kind."""
        found = getattr(self._telegram, name, None)
        kind, factor = _UNITS.get(getattr(found, "unit", None) or "", ("", 0.0))
        value = getattr(found, "value", None)
        if kind != unit or not isinstance(value, Decimal) or not value.is_finite() or _is_absurd(value):
            return None
        return value, factor

    def number(self, name: str, unit: str) -> float | None:
        found = self._object(name, unit)
        return None if found is None else float(found[0]) * found[1]

    def net(self, imported: str, exported: str) -> float | None:
        """W in minus W out. What comes in tells enough, unless it is nothing: then something may go out."""
        plus, minus = self.number(imported, "W"), self.number(exported, "W")
        if not plus and minus is None:
            return None
        return None if plus is None else plus - (minus or 0.0)

    def currents(self) -> tuple[Phases, float]:
        """Magnitudes, and the coarsest step they are written in."""
        found = [self._object(f"INSTANTANEOUS_CURRENT_L{i}", "A") for i in _PHASES]
        steps = [10.0 ** int(one[0].as_tuple().exponent) for one in found if one is not None]
        return three(None if one is None else float(one[0]) for one in found), max(steps, default=0.01)

    def energy(self, total: str, tariff: str) -> float | None:
        """kWh: the total, else the sum of both tariffs; not one of them alone."""
        if (whole := self.number(total, "kWh")) is not None:
            return whole
        parts = [self.number(f"{tariff}{i}", "kWh") for i in (1, 2)]
        return None if None in parts else sum(part for part in parts if part is not None)

    def time(self) -> datetime | None:
        value = getattr(getattr(self._telegram, "P1_MESSAGE_TIMESTAMP", None), "value", None)
        return value if isinstance(value, datetime) else None
