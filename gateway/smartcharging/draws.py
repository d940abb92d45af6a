"""What a car was seen to draw of what it was offered: how much, on how many phases, and whether it wakes up.

Cars take up to 40 s to begin or to climb, so that nothing is concluded before. What a car leaves is given to others,
and offered again as soon as the car takes all it has, and every ten minutes.
"""

from typing import NamedTuple

RAMP_S = 40.0
RAMP_KNOWN_S = 2 * RAMP_S
"""After this a car's ramp explains no rise of the meter any more, whether or not its station has reported."""
LEAVES_A = 2.0
"""A car that draws less than its offer by more than this leaves something."""
TAKES_ALL_A = 0.75
HEADROOM_A = 1.5
PROBE_S = 600.0
DRAWS_A = 1.0
PHASE_SURE_A = 3.0
PHASE_SURE_S = 30.0
ASLEEP_S = 180.0
DREW_GRAIN_S = 5.0


class Seen(NamedTuple):
    """`usual_a`: what it draws, head-room included, None if it takes all it is offered. `phases`: those it draws on,
    0 while unknown. `drew_at`: when it last drew. `asleep`: it was offered current after a pause and has not begun to
    draw. `sleepy`: it once woke too late, and is not paused again."""

    usual_a: float | None = None
    learned_at: float = 0.0
    low_since: float | None = None
    peak_a: float = 0.0
    phases: int = 0
    guess: int = 0
    guess_since: float = 0.0
    drew_at: float | None = None
    asleep: bool = False
    sleepy: bool = False


def observe(
    seen: Seen,
    own_a: tuple[float, ...],
    at: float,
    *,
    offered_a: float,
    offered_at: float,
    resumed_at: float | None = None,
) -> Seen:
    """Take a station's reading of the connector's own phases.

    `offered_at`: when the offer was last raised; `resumed_at`: when it was last raised from 0 A. The same reading may
    come again.
    """
    drawn = max(own_a, default=0.0)
    phases, guess, guess_since = _count_phases(seen, own_a, drawn, at)
    drew_at, asleep, sleepy = _watch_sleep(seen, drawn, at, offered_a, resumed_at)
    usual, learned_at, low_since, peak = _watch_use(seen, drawn, at, offered_a, offered_at)
    after = Seen(usual, learned_at, low_since, peak, phases, guess, guess_since, drew_at, asleep, sleepy)
    return seen if after == seen else after


def _watch_use(
    seen: Seen, drawn: float, at: float, offered_a: float, offered_at: float
) -> tuple[float | None, float, float | None, float]:
    """`usual_a`, `learned_at`, `low_since`, `peak_a` after this reading."""
    if offered_a <= 0 or at < offered_at + RAMP_S:
        return seen.usual_a, seen.learned_at, None, 0.0
    if drawn > offered_a - TAKES_ALL_A:
        return None, seen.learned_at, None, 0.0
    if drawn > offered_a - LEAVES_A:
        return seen.usual_a, seen.learned_at, None, 0.0
    if seen.low_since is None:
        return seen.usual_a, seen.learned_at, at, drawn
    peak = max(seen.peak_a, drawn)
    if at - seen.low_since < RAMP_S:
        return seen.usual_a, seen.learned_at, seen.low_since, peak
    return peak + HEADROOM_A, at, at, drawn


def soft_cap_a(seen: Seen, now: float) -> float | None:
    """What the car is offered before others have had theirs; None: no less than anybody, also while it is probed."""
    if seen.usual_a is None or (now - seen.learned_at) % PROBE_S > PROBE_S - 2 * RAMP_S:
        return None
    return seen.usual_a


def _count_phases(seen: Seen, own_a: tuple[float, ...], drawn: float, at: float) -> tuple[int, int, float]:
    """`phases`, `guess`, `guess_since` after this reading. More phases are believed at once, fewer after a while."""
    if drawn < PHASE_SURE_A:
        return seen.phases, seen.guess, seen.guess_since
    count = len(own_a)
    while own_a[count - 1] <= DRAWS_A:
        count -= 1
    if count != seen.guess:
        return (max(count, seen.phases) if seen.phases else 0), count, at
    return (count if at - seen.guess_since >= PHASE_SURE_S else seen.phases), count, seen.guess_since


def _watch_sleep(
    seen: Seen, drawn: float, at: float, offered_a: float, resumed_at: float | None
) -> tuple[float | None, bool, bool]:
    """`drew_at`, `asleep`, `sleepy` after this reading. A car that drew before a pause and not in the three minutes
    after it is asleep (or full)."""
    if drawn > DRAWS_A:
        if seen.drew_at is not None and at - seen.drew_at < DREW_GRAIN_S and not seen.asleep:
            return seen.drew_at, False, seen.sleepy
        return at, False, seen.sleepy or seen.asleep
    paused = resumed_at is not None and seen.drew_at is not None and seen.drew_at <= resumed_at
    asleep = seen.asleep or (paused and offered_a > 0 and resumed_at is not None and at - resumed_at >= ASLEEP_S)
    return seen.drew_at, asleep, seen.sleepy
