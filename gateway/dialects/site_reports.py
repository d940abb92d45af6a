"""What several stations tell after one question, as the parts of one report: numbered anew, `tbc` true but in the
last."""

from collections.abc import Collection
from dataclasses import dataclass, field

from gateway.dialects.payloads import integer, read_answer
from gateway.model.ids import StationId
from gateway.rpc.splice import splice

GIVE_UP_S = 120.0
"""A station that has told nothing for so long does not hold up the end of the report."""

Key = tuple[str, int]
"""Action of the parts, requestId."""


@dataclass(slots=True)
class _Report:
    missing: set[StationId]
    heard_at: float
    held: bytes | None = None
    sent: int = 0


@dataclass(slots=True)
class Reports:
    """One part is always held back: it may be the last. `now` is monotonic."""

    _open: dict[Key, _Report] = field(default_factory=dict)

    def begin(self, key: Key, stations: Collection[StationId], now: float) -> None:
        """All of them are asked; the same question again begins anew."""
        self._open[key] = _Report(set(stations), now)

    def part(self, action: str, station: StationId, payload: bytes, now: float) -> list[bytes]:
        """A part came: what is to be sent now. What nobody waits for goes up as it is."""
        found = read_answer(payload)
        key = (action, integer(found.get("requestId")) or 0)
        report = self._open.get(key)
        if report is None or station not in report.missing:
            return [payload]
        report.heard_at = now
        ready = [] if report.held is None else [_numbered(report, report.held, is_last=False)]
        report.held = payload
        if found.get("tbc") is not True:
            report.missing.discard(station)
        return ready + self._end(key, report)

    def kept_back(self, action: str, station: StationId, payload: bytes) -> list[bytes]:
        """A part that stays here: it may have been the last the station had to tell."""
        found = read_answer(payload)
        return [] if found.get("tbc") is True else self.without(station, (action, integer(found.get("requestId")) or 0))

    def without(self, station: StationId, key: Key) -> list[bytes]:
        """A station refused the question, or is gone: nothing more is expected of it."""
        report = self._open.get(key)
        if report is None:
            return []
        report.missing.discard(station)
        return self._end(key, report)

    def gone(self, station: StationId) -> list[tuple[Key, bytes]]:
        """The station's socket fell."""
        return [(key, payload) for key in list(self._open) for payload in self.without(station, key)]

    def expire(self, now: float) -> list[tuple[Key, bytes]]:
        """End the reports nobody adds to any more."""
        late = [(key, one) for key, one in self._open.items() if now >= one.heard_at + GIVE_UP_S]
        for _, report in late:
            report.missing.clear()
        return [(key, payload) for key, report in late for payload in self._end(key, report)]

    def deadline(self) -> float | None:
        """When `expire` is to be called next."""
        return min((report.heard_at + GIVE_UP_S for report in self._open.values()), default=None)

    def _end(self, key: Key, report: _Report) -> list[bytes]:
        if report.missing:
            return []
        del self._open[key]
        return [] if report.held is None else [_numbered(report, report.held, is_last=True)]


def _numbered(report: _Report, payload: bytes, *, is_last: bool) -> bytes:
    found = read_answer(payload)
    if "seqNo" in found:
        payload = splice(payload, ("seqNo",), b"%d" % report.sent)
    report.sent += 1
    if is_last and "tbc" not in found:
        return payload
    return splice(payload, ("tbc",), b"false" if is_last else b"true")
