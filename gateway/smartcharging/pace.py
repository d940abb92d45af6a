"""How often a connector's profile may be written: at most 30 times an hour. It holds back raises, never a cut."""

from typing import NamedTuple

BURST = 6.0
"""Writes that may be saved up. What flows in is so much less that no hour has more than it may."""
DEBT = 6.0
RETRY_S = 10.0


class Pace(NamedTuple):
    """`tokens` as of `at`. `raised_at`, `wrote_at`, `refused_at`: the last of each. `room_since`: since when there has
    been room for a raise, of at least `room_a`."""

    tokens: float = BURST
    at: float = 0.0
    wrote_at: float = float("-inf")
    raised_at: float = float("-inf")
    refused_at: float = float("-inf")
    room_since: float | None = None
    room_a: float = 0.0

    def saved(self, now: float, per_h: float) -> float:
        """Tokens now."""
        return min(BURST, self.tokens + max(0.0, now - self.at) * (per_h - BURST) / 3600)

    def wrote(self, now: float, per_h: float, *, raised: bool) -> "Pace":
        tokens = max(self.saved(now, per_h) - 1.0, -DEBT)
        return self._replace(
            tokens=tokens,
            at=now,
            wrote_at=now,
            raised_at=now if raised else self.raised_at,
            room_since=None if raised else self.room_since,
        )

    def next_token(self, now: float, per_h: float) -> float:
        """When a raise can be paid for."""
        lacking = 1.0 - self.saved(now, per_h)
        return now + max(0.0, lacking) * 3600 / (per_h - BURST)

    def with_room(self, target_a: float, now: float) -> "Pace":
        """There is room for `target_a`: since when, and for how much at least."""
        if self.room_since is None:
            return self._replace(room_since=now, room_a=target_a)
        return self if target_a >= self.room_a else self._replace(room_a=target_a)

    def without_room(self) -> "Pace":
        return self if self.room_since is None else self._replace(room_since=None)
