"""The customer port of Nordic meters (Aidon, Kaifa, Kamstrup), DLMS lists in HDLC frames, from bytes to values.

The lists are read by amshan, which comes with the extra `han` and is imported when the first decoder is made. Frames
are cut out here: amshan's reader swallows those that follow when it begins in the middle of one. Pure; no clock.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any, Final

from drivers.api import NO_PHASES, Phases, Reason, Signed
from drivers.derive import Telegram, not_installed, quality, signed, three
from drivers.timed_buffer import TimedBuffer

_FLAG: Final = 0x7E
_FRAME_TYPE: Final = 0xA
_SHORTEST, _LONGEST_HEADER = 10, 14
_PHASES: Final = (1, 2, 3)
_PATIENCE_S: Final = 30.0
"""Most meters send a short list with the total power between the lists that have all. Short ones are left out, unless
no list with currents came for so long."""
_TEN_TIMES: Final = "685"
"""Kamstrup's meters for transformers: their currents have one more digit after the point than amshan takes them for."""


class Decoder:
    """A frame whose checksum is wrong is dropped and counted; one begun before us is only dropped."""

    def __init__(self) -> None:
        """Raises DriverError if amshan is missing."""
        try:
            self._hdlc: Any = import_module("han.hdlc")
            self._checksum: Any = import_module("han.fastframecheck").FastFrameCheckSequence16
            self._lists: Any = import_module("han.autodecoder").AutoDecoder()
        except ImportError as error:
            raise not_installed("han", "amshan", error) from error
        self._buffer = TimedBuffer()
        self._since: float | None = None
        """Of the last list with currents, or of the first of all."""
        self._seen: set[str] = set()
        """All names of values that this meter ever sent."""
        self.crc_errors = 0
        self.short_frames = 0

    def interrupted(self) -> None:
        self.short_frames += self._header_of(self._buffer.data) is not None
        self._buffer.clear()

    def feed(self, data: bytes, t: float) -> list[Telegram]:
        self._buffer.append(data, t)
        decoded = (self._decoded(content, began_t) for content, began_t in self._frames())
        return [telegram for telegram in decoded if telegram]

    # -- frames -----------------------------------------------------------------------------------------------------

    def _frames(self) -> Iterator[tuple[bytes, float]]:
        """What is between the flags, its checksum right, and when its first byte came."""
        buffer = self._buffer
        while (at := buffer.data.find(_FLAG)) >= 0:
            buffer.skip(at)
            length = self._header_of(buffer.data)
            if length is None:
                if len(buffer.data) < _LONGEST_HEADER and buffer.data[1:2] != bytes((_FLAG,)):
                    return  # a header may become of it
                buffer.skip(1)
                continue
            if len(buffer.data) < length + 2:
                return
            content, t = bytes(buffer.data[1 : length + 1]), buffer.first_t
            is_right = buffer.data[length + 1] == _FLAG and self._is_right(content)
            self.crc_errors += not is_right
            # The closing flag may be the opening one of the next.
            buffer.skip(length + 1 if is_right else 1)
            if is_right:
                yield content, t
        buffer.clear()

    def _header_of(self, data: bytearray) -> int | None:
        """The length of the frame that begins here, if a whole header with the right checksum does."""
        if len(data) < _SHORTEST or data[0] != _FLAG or data[1] >> 4 != _FRAME_TYPE or data[1] & 0x08:
            return None
        at = 3
        for _ in range(2):  # two addresses: the last byte of each is odd
            while at < len(data) and not data[at] & 1:
                at += 1
            at += 1
        whole = at + 1 + 2
        if whole > len(data) or not self._is_right(bytes(data[1:whole])):
            return None
        return (data[1] & 0x07) << 8 | data[2]

    def _is_right(self, content: bytes) -> bool:
        check = self._checksum()
        for byte in content:
            check.update(byte)
        return bool(check.is_good)

    # -- lists ------------------------------------------------------------------------------------------------------

    def _decoded(self, content: bytes, t: float) -> Telegram | None:
        frame = self._hdlc.HdlcFrame()
        for byte in content:
            frame.append(byte)
        try:
            named = self._lists.decode_message(frame)
        except Exception:  # it lets out what strange lists lead it to
            named = None
        if not named or not any(name.startswith(("active_power", "current", "voltage")) for name in named):
            self.short_frames += 1
            return None
        said = _List(named)
        has_currents = said.currents != NO_PHASES
        if self._since is None or has_currents:
            self._since = t
        if not has_currents and t - self._since <= _PATIENCE_S:
            return None
        self._seen |= set(named)
        return Telegram(t, said.meter, self._values(said))

    def _values(self, said: "_List") -> Mapping[str, Any]:
        count = max((phase for phase in _PHASES if f"voltage_l{phase}" in self._seen), default=3)
        power, total = said.power, said.net("")
        sign = (total, None, None) if count == 1 and power == NO_PHASES else power
        current, is_unsure = signed(said.currents, sign)
        reasons = self._reasons(current, said, count, is_unsure)
        return {
            "current_a": current,
            "current_signed": Signed.UNKNOWN if sign == NO_PHASES else Signed.FROM_POWER,
            "voltage_v": said.voltages,
            "power_w": power,
            "power_total_w": total,
            "energy_import_kwh": said.energy("import"),
            "energy_export_kwh": said.energy("export"),
            "resolution_a": said.step_a,
            "phases": count,
            "device_time": said.time,
            "reasons": reasons,
            "quality": quality(reasons),
        }

    def _reasons(self, current: Phases, said: "_List", count: int, is_unsure: bool) -> frozenset[Reason]:
        sends_power = "active_power_import_l1" in self._seen
        missing = {
            Reason.CURRENT_MISSING: None in list(current)[:count],
            Reason.VOLTAGE_MISSING: None in list(said.voltages)[:count],
            Reason.POWER_MISSING: sends_power and None in list(said.power)[:count],
            Reason.SIGN_UNKNOWN: is_unsure,
        }
        return frozenset(reason for reason, is_so in missing.items() if is_so)


class _List:
    """One list, by amshan's names."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        maker, kind = str(named.get("meter_manufacturer", "")), str(named.get("meter_type", ""))
        self.meter = " ".join(filter(None, (maker, kind, str(named.get("meter_id", "")))))
        is_fine = maker == "Kamstrup" and kind.startswith(_TEN_TIMES)
        self.step_a = {"Aidon": 0.1, "Kaifa": 0.001}.get(maker, 0.001 if is_fine else 0.01)
        self.currents = three(self._phase("current", phase, 0.1 if is_fine else 1) for phase in _PHASES)
        self.voltages = three(self._phase("voltage", phase) for phase in _PHASES)
        self.power = three(self.net(f"_l{phase}") for phase in _PHASES)
        moment = named.get("meter_datetime")
        self.time: datetime | None = None
        if isinstance(moment, datetime) and moment.tzinfo:  # else it is some local time
            self.time = moment

    def _number(self, name: str) -> float | None:
        value = self._named.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def _phase(self, name: str, phase: int, factor: float = 1) -> float | None:
        value = self._number(f"{name}_l{phase}")
        return None if value is None else round(value * factor, 6)

    def net(self, which: str) -> float | None:
        """W in minus W out. What comes in tells enough, unless it is nothing: then something may go out."""
        plus, minus = self._number(f"active_power_import{which}"), self._number(f"active_power_export{which}")
        if not plus and minus is None:
            return None
        return None if plus is None else plus - (minus or 0.0)

    def energy(self, direction: str) -> float | None:
        value = self._number(f"active_power_{direction}_total")
        return None if value is None else value / 1000
