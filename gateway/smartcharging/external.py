"""Limits from outside: a grid operator's or energy manager's caps, with expiry and fail-safe, and section 14a EnWG.

A cap ends when it was said to; a source that has to be heard (a heartbeat) and falls silent leaves its fail-safe in
force, for the time agreed at least. Times are monotonic seconds; what is kept over a restart is how long is left.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Final, NamedTuple

from gateway.model.balance import ExternalCap
from gateway.model.site_tree import Amps

GUARANTEED_W: Final = 4200.0
"""For one charging point."""
SIMULTANEITY: Final = {1: 1.0, 2: 0.80, 3: 0.75, 4: 0.70, 5: 0.65, 6: 0.60, 7: 0.55, 8: 0.50}
MANY: Final = 0.45
"""Simultaneity from nine points on."""
FAILSAFE_S: Final = 7200.0


def guaranteed_power_w(points: int) -> float:
    """What a grid operator has to leave to chargers that it dims (BK6-22-300), in W.

    P_min of a site with an energy manager: 4.2 kW for one point, and a part of it for each further one.
    """
    if points <= 0:
        return 0.0
    return GUARANTEED_W * (1 + (points - 1) * SIMULTANEITY.get(points, MANY))


@dataclass(frozen=True, slots=True, kw_only=True)
class CapSource:
    """Who may limit a circuit. `silent_s`: without a word for so long the fail-safe holds (None: it need not be heard).

    `failsafe_w`: None is no limit. `least_w`: a lower cap counts as this (section 14a: `guaranteed_power_w`).
    """

    name: str
    circuit: str
    silent_s: float | None = None
    failsafe_w: float | None = None
    failsafe_s: float = FAILSAFE_S
    least_w: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CapState:
    """What a source said last. `heard_at`: its last word, or the gateway's start; `until`: the end of its cap."""

    heard_at: float
    limit_w: float | None = None
    limit_a: Amps | None = None
    until: float = inf
    failsafe_until: float = -inf

    def told(
        self, now: float, *, limit_w: float | None = None, limit_a: Amps | None = None, lasts_s: float | None = None
    ) -> "CapState":
        """A cap, or none with neither limit. Raise ValueError if it can't be meant."""
        amounts = [*(() if limit_w is None else (limit_w,)), *(limit_a or ())]
        if any(not 0 <= amount < inf for amount in amounts):
            raise ValueError("a cap is a finite number of watts or amperes, not below 0")
        if lasts_s is not None and not lasts_s > 0:
            raise ValueError("a cap lasts longer than 0 s")
        until = inf if lasts_s is None else now + lasts_s
        return replace(self, heard_at=now, limit_w=limit_w, limit_a=limit_a, until=until)

    def heard(self, now: float) -> "CapState":
        """A heartbeat."""
        return replace(self, heard_at=now)

    def watched(self, source: CapSource, now: float) -> "CapState":
        """Keep in mind since when the fail-safe holds; to be called before each decision."""
        if source.silent_s is None or now < self.heard_at + source.silent_s:
            return self
        began = self.heard_at + source.silent_s
        return replace(self, failsafe_until=max(self.failsafe_until, began + source.failsafe_s))


class Caps(NamedTuple):
    """`states` to go on with; `change_at`: when to ask again if nothing is heard before."""

    caps: tuple[ExternalCap, ...]
    states: Mapping[str, CapState]
    change_at: float


def caps_now(sources: Iterable[CapSource], states: Mapping[str, CapState], now: float) -> Caps:
    """The caps in force, for `SiteFacts.caps`. A source without a state was never heard: its fail-safe holds."""
    caps, kept, change = [], {}, inf
    for source in sources:
        never = now - (source.silent_s or 0.0)
        state = states.get(source.name, CapState(heard_at=never)).watched(source, now)
        kept[source.name] = state
        if now < state.until and (state.limit_w is not None or state.limit_a is not None):
            watts = None if state.limit_w is None else max(state.limit_w, source.least_w)
            caps.append(ExternalCap(circuit=source.circuit, limit_w=watts, limit_a=state.limit_a))
        is_silent = source.silent_s is not None and now >= state.heard_at + source.silent_s
        if source.failsafe_w is not None and (is_silent or now < state.failsafe_until):
            caps.append(ExternalCap(circuit=source.circuit, limit_w=max(source.failsafe_w, source.least_w)))
        ahead = (state.until, state.failsafe_until, state.heard_at + (source.silent_s or inf))
        change = min([change, *(at for at in ahead if at > now)])
    return Caps(tuple(caps), kept, change)
