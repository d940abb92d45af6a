"""MQTT messages of a meter put together to values of a reading. Pure: times are arguments."""

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError

from drivers.api import NO_PHASES, Phases, Reason, Signed
from drivers.derive import finer, quality, signed
from drivers.mqtt_layout import BY_PHASE, CONTROL, FACTORS, Layout, Message, Point, Stamp

_LARGEST: Final = 64 * 1024
_CLOCK_WINDOW_S: Final = 300.0
_LATE_S: Final = 3.0

Key = tuple[str, int]
"""Name of a point, and its phase from 1; 0 for a total."""


@dataclass(frozen=True, slots=True)
class Part:
    value: float
    t: float
    """When it was measured at the latest."""
    until_t: float
    """From then on it is missing."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known after a message."""

    t: float
    """Of its oldest part that balancing uses."""
    values: Mapping[str, Any]
    """Fields of `Reading`."""


class DeviceClock:
    """How late messages come, by the meter's own stamps. Needs no right clock on either side, only steady ones.

    The smallest difference between arrival and stamp in the last minutes counts as no delay at all. A meter's clock
    that is set back makes its messages look late until then, which is the safe side.
    """

    def __init__(self) -> None:
        self._differences: deque[tuple[float, float]] = deque()

    def learn(self, t: float, stamp: float) -> float:
        """Seconds of delay of a live message that came at `t`."""
        while self._differences and self._differences[-1][1] >= t - stamp:
            self._differences.pop()
        self._differences.append((t, t - stamp))
        delay = self.delay(t, stamp)
        assert delay is not None
        return delay

    def delay(self, t: float, stamp: float) -> float | None:
        """None: too little is known. Smallest differences first, later ones behind: the first still valid is it."""
        while self._differences and self._differences[0][0] < t - _CLOCK_WINDOW_S:
            self._differences.popleft()
        return max(0.0, t - stamp - self._differences[0][1]) if self._differences else None


class Assembly:
    """Keeps the newest part of each value. The oldest part in use sets the age of the whole."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._sources = [_Source(message, layout) for message in layout.messages]
        self._keys = frozenset(key for source in self._sources for key in source.keys)
        self._parts: dict[Key, Part] = {}
        self._records: dict[str, float] = {}
        self.unreadable = 0
        """Messages without a value that the layout names."""
        self.late = 0
        """Messages not used: retained ones whose age is unknown or too high, and some overtaken by newer ones."""
        self.late_by_s: float | None = None
        """Of the last live message, if it was too late to be used."""
        self.only_retained = True
        """No live message yet."""

    def feed(self, topic: str, payload: bytes, t: float, *, retained: bool) -> Snapshot | None:
        """A message that came at `t`. None: nothing new for balancing in it."""
        content = _content(payload)
        is_news, is_read = False, True
        for source in self._sources:
            if source.topic != topic or not source.wants(content):
                continue
            found = dict(source.values(content))
            if found and self._is_current(source, content, t, retained=retained):
                self._keep(source, found, t - source.delay_s)
                is_news |= any(name in CONTROL for name, _ in found)
            elif not found and not source.changes_only:
                is_read = False
        self.unreadable += not is_read and not is_news
        return self._snapshot(t) if is_news else None

    def _is_current(self, source: "_Source", content: Any, t: float, *, retained: bool) -> bool:
        delay_s = source.delayed(content, t, retained=retained)
        if delay_s is None or delay_s > source.max_age_s:
            self.late += 1
            self.late_by_s = self.late_by_s if retained else delay_s
            return False
        if not retained:
            self.only_retained, self.late_by_s = False, None
        return True

    def _keep(self, source: "_Source", found: Mapping[Key, float], measured_t: float) -> None:
        """What a full message does not have any more is gone."""
        for key in source.keys - set(found) if not source.changes_only else ():
            self._parts.pop(key, None)
        for key, value in found.items():
            if key[0] not in CONTROL:
                self._records[key[0]] = value
            elif key not in self._parts or self._parts[key].t <= measured_t:
                self._parts[key] = Part(value, measured_t, measured_t + source.max_age_s)

    def _snapshot(self, t: float) -> Snapshot | None:
        parts = self._parts = {key: part for key, part in self._parts.items() if t <= part.until_t}
        if not parts:
            return None
        oldest, newest = min(part.t for part in parts.values()), max(part.t for part in parts.values())
        values = self._values(parts)
        reasons = set(values["reasons"])
        if newest - oldest > 1.5 * self._layout.interval_s:
            reasons.add(Reason.PARTS_APART)
        if t - newest > max(_LATE_S, self._layout.interval_s):
            reasons.add(Reason.DEVICE_CLOCK)
        values["reasons"] = frozenset(reasons)
        values["quality"] = quality(values["reasons"])
        self._records = {}
        return Snapshot(oldest, values)

    def _values(self, parts: Mapping[Key, Part]) -> dict[str, Any]:
        layout = self._layout
        magnitude, voltage = self._phases("current", parts), self._phases("voltage", parts)
        power, total = self._phases("power", parts), self._net("power_total", 0, parts)
        current, is_unsure = magnitude, False
        if layout.signed == "from-power":
            current, is_unsure = signed(self._refined(magnitude, power, voltage), power)
        missing = {
            Reason.CURRENT_MISSING: self._lacks("current", magnitude),
            Reason.VOLTAGE_MISSING: self._lacks("voltage", voltage),
            Reason.POWER_MISSING: self._lacks("power", power) or (total is None and ("power_total", 0) in self._keys),
            Reason.SIGN_UNKNOWN: is_unsure,
        }
        is_from_power = layout.signed == "from-power"
        records = self._records
        return {
            "current_a": current,
            "current_signed": Signed.UNKNOWN if is_from_power and power == NO_PHASES else layout.current_signed,
            "voltage_v": voltage,
            "power_w": power,
            "power_total_w": total,
            "power_factor": records.get("power_factor"),
            "frequency_hz": records.get("frequency"),
            "energy_import_kwh": records.get("energy_import"),
            "energy_export_kwh": records.get("energy_export"),
            "resolution_a": layout.resolution_a,
            "phases": layout.phases,
            "device_time": max((s.device_time for s in self._sources if s.device_time), default=None),
            "reasons": frozenset(reason for reason, is_so in missing.items() if is_so),
        }

    def _refined(self, magnitude: Phases, power: Phases, voltage: Phases) -> Phases:
        return finer(magnitude, power, voltage) if self._layout.resolution_a >= 1 else magnitude

    def _phases(self, name: str, parts: Mapping[Key, Part]) -> Phases:
        return self._net(name, 1, parts), self._net(name, 2, parts), self._net(name, 3, parts)

    def _net(self, name: str, phase: int, parts: Mapping[Key, Part]) -> float | None:
        """Import less export, if the meter sends the two apart: then one of them alone says nothing."""
        plus, minus = parts.get((name, phase)), parts.get((f"{name}_out", phase))
        if (f"{name}_out", phase) not in self._keys:
            return None if plus is None else plus.value
        return None if plus is None or minus is None else plus.value - minus.value

    def _lacks(self, name: str, values: Phases) -> bool:
        """Whether something is missing that the layout promises."""
        return any(values[phase - 1] is None for key, phase in self._keys if key == name)


class _Source:
    """One message of the layout, with its paths compiled."""

    def __init__(self, message: Message, layout: Layout) -> None:
        self.topic = message.topic
        self.changes_only = message.changes_only
        self.max_age_s = message.max_age_s or layout.max_age_s
        self.device_time: datetime | None = None
        self.delay_s = 0.0
        self._when = jmespath.compile(message.when) if message.when else None
        self._stamp = message.time
        self._stamp_path = jmespath.compile(message.time.path) if message.time else None
        self._clock = DeviceClock()
        self._points = [(name, point, jmespath.compile(point.path)) for name, point in message.points.items()]
        self._phases = layout.phases
        self.keys = {key for name, point, _ in self._points for key in self._keys_of(name, point)}

    def _keys_of(self, name: str, point: Point) -> list[Key]:
        if name not in BY_PHASE:
            return [(name, 0)]
        return [(name, phase) for phase in ((point.phase,) if point.phase else range(1, self._phases + 1))]

    def wants(self, content: Any) -> bool:
        return self._when is None or bool(_searched(self._when, content))

    def delayed(self, content: Any, t: float, *, retained: bool) -> float | None:
        """Seconds since the values were measured, as far as known. None: nobody knows."""
        stamp = None if self._stamp_path is None else _seconds(_searched(self._stamp_path, content), self._stamp)
        self.delay_s = 0.0
        if stamp is None:
            return None if retained else 0.0
        delay_s = self._clock.delay(t, stamp) if retained else self._clock.learn(t, stamp)
        if delay_s is not None:
            self.delay_s, self.device_time = delay_s, _moment(stamp)
        return delay_s

    def values(self, content: Any) -> Iterator[tuple[Key, float]]:
        for name, point, path in self._points:
            found = _searched(path, content)
            keys = self._keys_of(name, point)
            several = found if isinstance(found, list) and name in BY_PHASE and not point.phase else [found]
            if len(several) > max(len(keys), 1):
                continue  # more phases than the layout knows: which are which?
            for key, raw in zip(keys, several, strict=False):
                value = _number(raw)
                if value is not None:
                    scaled = value * point.factor * FACTORS[name][point.unit]
                    yield key, -scaled + 0.0 if point.invert else scaled


def _content(payload: bytes) -> Any:
    """What JSON says, or else the text. None: nothing."""
    if len(payload) > _LARGEST:
        return None
    try:
        text = payload.decode()
        return json.loads(text, parse_constant=_no_number)
    except UnicodeDecodeError:
        return None
    except (ValueError, RecursionError):
        return text.strip() or None


def _no_number(name: str) -> None:
    """NaN and Infinity: not there."""


def _searched(path: Any, content: Any) -> Any:
    try:
        return path.search(content)
    except (JMESPathError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError):
        return None


def _number(raw: Any) -> float | None:
    """A finite number, or None: true and false are none, nor is text that Python alone takes for one."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    if isinstance(raw, str) and ("_" in raw or not raw.isascii() or len(raw) > 40):
        return None
    try:
        value = float(raw)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) and abs(value) < 1e15 else None


def _seconds(raw: Any, stamp: Stamp | None) -> float | None:
    if stamp is None:
        return None
    if stamp.unit != "iso":
        value = _number(raw)
        return None if value is None else value / (1000 if stamp.unit == "ms" else 1)
    try:
        found = datetime.fromisoformat(raw) if isinstance(raw, str) else None
    except ValueError:
        return None
    # Without a zone it is some local time: good enough to compare with its like.
    return None if found is None else (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
