"""SML files, as electricity meters in Germany send them, from bytes to values, on pysml's parser. Pure; no clock.

pysml comes with the extra `sml` and is imported when the first decoder is made. Only its parser is used: its module for
asyncio needs pyserial without saying so. Frames are cut out here, so that a broken one can be counted.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any, Final

from drivers.api import NO_PHASES, Phases, Reason, Signed
from drivers.derive import Telegram, finer, not_installed, quality, signed, three
from drivers.timed_buffer import TimedBuffer

_ESCAPE: Final = b"\x1b" * 4
_START: Final = _ESCAPE + b"\x01" * 4
_END: Final = 0x1A
_LONGEST: Final = 16 * 1024
_CURRENT: Final = ("1-0:31.7.0*255", "1-0:51.7.0*255", "1-0:71.7.0*255")
_VOLTAGE: Final = ("1-0:32.7.0*255", "1-0:52.7.0*255", "1-0:72.7.0*255")
_POWER: Final = ("1-0:36.7.0*255", "1-0:56.7.0*255", "1-0:76.7.0*255")
_POWER_IN: Final = ("1-0:21.7.0*255", "1-0:41.7.0*255", "1-0:61.7.0*255")
_POWER_OUT: Final = ("1-0:22.7.0*255", "1-0:42.7.0*255", "1-0:62.7.0*255")
_ANGLE: Final = ("1-0:81.7.4*255", "1-0:81.7.15*255", "1-0:81.7.26*255")
"""From the voltage of a phase to its own current."""
_TOTAL: Final = "1-0:16.7.0*255"
_TOTAL_IN, _TOTAL_OUT = "1-0:1.7.0*255", "1-0:2.7.0*255"
_FREQUENCY: Final = "1-0:14.7.0*255"
_IMPORT, _EXPORT = "1-0:1.8.0*255", "1-0:2.8.0*255"


class Decoder:
    """A frame whose checksums are wrong is dropped and counted; one begun before us is only dropped."""

    def __init__(self) -> None:
        """Raises DriverError if pysml is missing."""
        try:
            self._sml: Any = import_module("sml")
        except ImportError as error:
            raise not_installed("sml", "pysml", error) from error
        self._buffer = TimedBuffer()
        self._seen: set[str] = set()
        """Of currents, voltages and powers: all that this meter ever sent."""
        self._step_a = 1.0
        self._is_native = False
        self.crc_errors = 0
        self.short_frames = 0

    def interrupted(self) -> None:
        self.short_frames += self._buffer.data.startswith(_START)
        self._buffer.clear()

    def feed(self, data: bytes, t: float) -> list[Telegram]:
        self._buffer.append(data, t)
        decoded = (self._decoded(frame, began_t) for frame, began_t in self._frames())
        return [telegram for telegram in decoded if telegram]

    def _frames(self) -> Iterator[tuple[bytes, float]]:
        """Whole frames, and when the first byte of each came."""
        buffer = self._buffer
        while (at := buffer.data.find(_START)) >= 0:
            buffer.skip(at)
            end, is_whole = _end_of(buffer.data)
            if end is None and len(buffer.data) <= _LONGEST:
                return
            frame, t = bytes(buffer.data[:end]), buffer.first_t
            buffer.skip(end or 1)
            if is_whole:
                yield frame, t
            else:
                self.short_frames += 1
        buffer.skip(max(0, len(buffer.data) - len(_START) + 1))

    def _decoded(self, frame: bytes, t: float) -> Telegram | None:
        padding = frame[-3]
        if padding > 4 or not self._sml.Crc.verify_fcs(frame):
            self.crc_errors += 1
            return None
        body = frame[8 : -8 - padding].replace(_ESCAPE * 2, _ESCAPE)
        try:
            messages = self._sml.SmlFrame(body)
            found = _Entries([message["messageBody"] for message in messages])
        except Exception:  # SmlParserError, and whatever a strange structure leads it to
            self.crc_errors += 1
            return None
        values = self._values(found) if found.has_values else None
        if values is None:
            self.short_frames += 1
            return None
        return Telegram(t, found.meter, values)

    def _values(self, found: "_Entries") -> Mapping[str, Any]:
        self._seen |= found.names
        current, voltage, power = found.phases(_CURRENT, "A"), found.phases(_VOLTAGE, "V"), self._power(found)
        count = self._count()
        total = found.number(_TOTAL, "W")
        if total is None:
            total = found.net(_TOTAL_IN, _TOTAL_OUT)
        self._learn(current)
        sign = three(
            p if p is not None else None if angle is None else math.cos(math.radians(angle))
            for p, angle in zip(power, found.phases(_ANGLE, "°"), strict=True)
        )
        if count == 1 and sign[0] is None:
            sign = (total, None, None)
        if self._step_a >= 1:
            current = finer(current, power, voltage)
        is_unsure = False
        if not self._is_native:
            current, is_unsure = signed(current, sign)
        reasons = self._reasons(current, voltage, power, count, is_unsure)
        return {
            "current_a": current,
            "current_signed": self._signed(sign),
            "voltage_v": voltage,
            "power_w": power,
            "power_total_w": total,
            "frequency_hz": found.number(_FREQUENCY, "Hz"),
            "energy_import_kwh": found.energy(_IMPORT),
            "energy_export_kwh": found.energy(_EXPORT),
            "resolution_a": self._step_a,
            "phases": count,
            "device_time": found.time,
            "reasons": reasons,
            "quality": quality(reasons),
        }

    def _power(self, found: "_Entries") -> Phases:
        """Signed, or import and export apart."""
        whole = found.phases(_POWER, "W")
        if whole != NO_PHASES or self._seen.intersection(_POWER):
            return whole
        return three(found.net(plus, minus) for plus, minus in zip(_POWER_IN, _POWER_OUT, strict=True))

    def _count(self) -> int:
        phases = (set(names) for names in zip(_CURRENT, _VOLTAGE, _POWER, _POWER_IN, _POWER_OUT, strict=True))
        return max((number for number, names in enumerate(phases, 1) if names & self._seen), default=3)

    def _learn(self, current: Phases) -> None:
        """The step of the currents, by the finest ever written; and whether they have a sign of their own."""
        for value in current:
            if value is not None and not float(value).is_integer():
                self._step_a = min(self._step_a, 10.0 ** -len(repr(value).partition(".")[2]))
            self._is_native |= value is not None and value < 0

    def _signed(self, sign: Phases) -> Signed:
        if self._is_native:
            return Signed.NATIVE
        return Signed.UNKNOWN if sign == NO_PHASES else Signed.FROM_POWER

    def _reasons(
        self, current: Phases, voltage: Phases, power: Phases, count: int, is_unsure: bool
    ) -> frozenset[Reason]:
        """Currents are always due; voltage and power of a phase where the meter sent any before."""
        sends_power = bool(self._seen.intersection((*_POWER, *_POWER_IN, *_POWER_OUT)))
        missing = {
            Reason.CURRENT_MISSING: None in list(current)[:count],
            Reason.VOLTAGE_MISSING: bool(self._seen.intersection(_VOLTAGE)) and None in list(voltage)[:count],
            Reason.POWER_MISSING: sends_power and None in list(power)[:count],
            Reason.SIGN_UNKNOWN: is_unsure,
        }
        return frozenset(reason for reason, is_so in missing.items() if is_so)


def _end_of(data: bytearray) -> tuple[int | None, bool]:
    """Where the frame that begins the data ends, and whether whole; None: not yet."""
    at = len(_START)
    while (at := data.find(_ESCAPE, at)) >= 0:
        what = data[at + 4 : at + 8]
        if len(what) < 4:
            return None, False
        if what == _ESCAPE:
            at += 8
        elif what[0] == _END:
            return at + 8, True
        elif what == _START[4:]:
            return at, False  # another one begins
        else:
            at += 1  # the escape begins later: a value ends with its first byte
    return None, False


class _Entries:
    """The values of all lists in a frame, by their OBIS codes."""

    def __init__(self, bodies: list[Any]) -> None:
        self._entries: dict[str, Any] = {}
        self.meter = ""
        self.time: datetime | None = None
        for body in bodies:
            values = body.get("valList") if isinstance(body, dict) else None
            if not isinstance(values, list):
                continue
            self.meter = str(body.get("serverId", "")) or self.meter
            measured = body.get("actSensorTime")
            self.time = measured if isinstance(measured, datetime) else self.time
            self._entries |= {str(entry["objName"]): entry for entry in values if "objName" in entry}
        self.names = {name for name, entry in self._entries.items() if entry.get("value") is not None}

    @property
    def has_values(self) -> bool:
        wanted = (*_CURRENT, *_VOLTAGE, *_POWER, _TOTAL, _TOTAL_IN, _IMPORT, _EXPORT)
        return bool(self.names.intersection(wanted))

    def number(self, name: str, unit: str) -> float | None:
        """None: not there, or of another kind."""
        entry = self._entries.get(name, {})
        value = entry.get("value")
        if entry.get("unit") != unit or isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if math.isfinite(value) and abs(value) < 1e15 else None

    def phases(self, names: tuple[str, str, str], unit: str) -> Phases:
        return three(self.number(name, unit) for name in names)

    def net(self, imported: str, exported: str) -> float | None:
        """W in minus W out. What comes in tells enough, unless it is nothing: then something may go out."""
        plus, minus = self.number(imported, "W"), self.number(exported, "W")
        if not plus and minus is None:
            return None
        return None if plus is None else plus - (minus or 0.0)

    def energy(self, name: str) -> float | None:
        value = self.number(name, "Wh")
        return None if value is None else value / 1000
