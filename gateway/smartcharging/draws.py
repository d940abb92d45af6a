"""What a car was seen to draw of what it was offered: how much, on how many phases, and whether it wakes up.

Cars take up to 40 s to begin or to climb, so that nothing is concluded before. What a car leaves is given to others,
and offered again as soon as the car takes all it has, and every ten minutes.
"""

from typing import NamedTuple

RAMP_S = 40.0
LEAVES_A = 2.0
"""A car that draws less than its offer by more than this leaves something."""
TAKES_ALL_A = 0.75
HEADROOM_A = 1.5
PROBE_S = 600.0
DRAWS_A = 1.0
PHASE_SURE_A = 3.0
PHASE_SURE_S = 30.0
ASLEEP_S = 180.0


class Seen(NamedTuple):
    """`usual_a`: what it draws, head-room included, None if it takes all it is offered. `phases`: those it draws on,
    0 while unknown. `drew_at`: when it last drew. `asleep`: it was offered current after a pause and has not begun to
    draw. `sleepy`: it once woke too late, and is not paused again."""

    at: float = 0.0
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

    `offered_at`: when the offer was last raised; `resumed_at`: when it was last raised from 0 A.
    """
    if at <= seen.at:
        return seen
    drawn = max(own_a, default=0.0)
    seen = _watch_sleep(_count_phases(seen, own_a, drawn, at)._replace(at=at), drawn, at, offered_a, resumed_at)
    if offered_a <= 0 or at < offered_at + RAMP_S:
        return seen._replace(low_since=None)
    if drawn > offered_a - TAKES_ALL_A:
        return seen._replace(usual_a=None, low_since=None)
    if drawn > offered_a - LEAVES_A:
        return seen._replace(low_since=None)
    if seen.low_since is None:
        return seen._replace(low_since=at, peak_a=drawn)
    peak = max(seen.peak_a, drawn)
    if at - seen.low_since < RAMP_S:
        return seen._replace(peak_a=peak)
    return seen._replace(usual_a=peak + HEADROOM_A, learned_at=at, low_since=at, peak_a=drawn)


def soft_cap_a(seen: Seen, now: float) -> float | None:
    """What the car is offered before others have had theirs; None: no less than anybody, also while it is probed."""
    if seen.usual_a is None or (now - seen.learned_at) % PROBE_S > PROBE_S - 2 * RAMP_S:
        return None
    return seen.usual_a


def _count_phases(seen: Seen, own_a: tuple[float, ...], drawn: float, at: float) -> Seen:
    if drawn < PHASE_SURE_A:
        return seen
    count = max(phase + 1 for phase, amps in enumerate(own_a) if amps > DRAWS_A)
    if count != seen.guess:
        return seen._replace(guess=count, guess_since=at, phases=max(count, seen.phases) if seen.phases else 0)
    return seen._replace(phases=count) if at - seen.guess_since >= PHASE_SURE_S else seen


def _watch_sleep(seen: Seen, drawn: float, at: float, offered_a: float, resumed_at: float | None) -> Seen:
    """A car that drew before a pause and does not, three minutes after it, is asleep (or full)."""
    if drawn > DRAWS_A:
        return seen._replace(drew_at=at, asleep=False, sleepy=seen.sleepy or seen.asleep)
    if offered_a <= 0 or resumed_at is None or seen.drew_at is None or seen.drew_at > resumed_at:
        return seen
    return seen._replace(asleep=True) if at - resumed_at >= ASLEEP_S else seen
