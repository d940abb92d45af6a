"""What every charging connector may ask of the allocator, and in which order."""

from collections.abc import Mapping, Sequence
from math import inf

from gateway.model.balance import CapStep, Policy, Remedy
from gateway.model.site_tree import Binding, ConnectorKey, Mode, Why
from gateway.smartcharging.claims import Claim
from gateway.smartcharging.draws import soft_cap_a
from gateway.smartcharging.needs import believed_h, lacking, urgency_of, weight_of
from gateway.smartcharging.reserve import Place, Room
from gateway.smartcharging.survey import View
from gateway.smartcharging.turns import Turn, order_of

LEAD_S = 5.0
"""A drop of the CSMS's cap is written so long, and the model's latency, before it comes."""
SWITCH_EVERY_S = 600.0
USUAL_STAY_S = 4 * 3600.0
UNKNOWN_H = 4.0
"""Urgency that a car with unknown needs gains by waiting for an hour; it begins with none to spare."""
LAST = (9.0,)
"""Order of a car that wants nothing: behind everybody."""


def cap_now(steps: Sequence[CapStep], now: float, lead_s: float) -> tuple[float, float | None]:
    """The lowest cap from now until `lead_s` later, and when to look again."""
    amps, lowest = inf, inf
    for position, step in enumerate(steps):
        if step.at > now + lead_s:
            return lowest, step.at - lead_s
        amps = step.amps
        ends = steps[position + 1].at if position + 1 < len(steps) else inf
        if ends > now:
            lowest = min(lowest, amps)
    return lowest, None


def cap_of(view: View, now: float, shed: Mapping[ConnectorKey, str]) -> tuple[float, Why]:
    """The most this connector may have by itself, and why."""
    spec, facts = view.spec, view.facts
    cap, why = spec.max_a, Why(Binding.CONNECTOR)
    if facts.car_max_a is not None and facts.car_max_a < cap:
        cap, why = facts.car_max_a, Why(Binding.CAR)
    csms, until = cap_now(facts.csms, now, spec.latency_s + LEAD_S)
    if csms < cap:
        cap, why = csms, Why(Binding.CSMS, until=until)
    if view.key in shed or view.memory.disobedience.remedy in (Remedy.ZERO, Remedy.STOP):
        cap, why = 0.0, Why(Binding.SHED, shed.get(view.key, ""))
    return cap, why


def claims_of(
    views: Sequence[View], room: Room, policy: Policy, now: float, shed: Mapping[ConnectorKey, str]
) -> list[Claim]:
    """One Claim per view; all of them are for the allocator to decide on."""
    caps = [cap_of(view, now, shed) for view in views]
    most: dict[Place, float] = {}
    for view, (cap, _why) in zip(views, caps, strict=True):
        most_a = max(cap, view.fallback_a)
        place = (view.spec.circuit, view.phases, view.proven)
        most[place] = most.get(place, 0.0) + most_a
        if view.spec.switchable:
            thin = (view.spec.circuit, view.phases[:1], view.proven)
            most[thin] = most.get(thin, 0.0) + most_a
    narrow = room.narrowed(most)
    return [_claim(view, cap, narrow, policy, now) for view, cap in zip(views, caps, strict=True)]


def _claim(view: View, capped: tuple[float, Why], room: Room, policy: Policy, now: float) -> Claim:
    spec, memory, phases = view.spec, view.memory, view.phases
    cap, why = capped
    can_switch, is_held = spec.switchable and len(phases) > 1, view.facts.phase_cap == 1
    rests = now - memory.switched_at < SWITCH_EVERY_S
    loads, caps = room.loads(spec.circuit, phases, proven=view.proven)
    lean, lean_caps = None, caps
    if can_switch:
        thin, lean_caps = room.loads(spec.circuit, phases[:1], proven=view.proven)
        if is_held or (rests and view.set_phases == 1):
            loads, caps, phases = thin, lean_caps, phases[:1]
        lean = None if rests or is_held else thin
    usual = soft_cap_a(memory.seen, now) if view.facts.wants else spec.min_a
    rank, pinned = rank_of(view, policy), is_pinned(view, policy, now)
    # By position, in the order of Claim: twice as fast, and there is one for every car in every decision.
    return Claim(
        view.facts.key,
        loads,
        spec.min_a,
        cap,
        _order(view, policy, now, rank=rank, pinned=pinned),
        len(phases),
        view.fallback_a,
        caps,
        lean,
        lean_caps,
        _weight(view, policy, now),
        rank,
        pinned,
        spec.step_a,
        spec.steps,
        inf if usual is None else usual,
        why,
    )


def rank_of(view: View, policy: Policy) -> int:
    if policy.mode is not Mode.PRIORITY:
        return 0
    return view.spec.rank if view.facts.rank is None else view.facts.rank


def is_pinned(view: View, policy: Policy, now: float) -> bool:
    """Whether the car must not be paused if anything else can be done: just let in, or known not to wake up."""
    turn = view.turn
    if view.facts.sleepy or view.memory.seen.sleepy or not view.spec.pausable:
        return True
    return turn is not None and turn.is_in and now - turn.since < policy.min_on_s


def _order(view: View, policy: Policy, now: float, *, rank: int, pinned: bool) -> tuple[float, ...]:
    if not view.facts.wants:
        return LAST
    turn = view.turn or Turn(is_in=False, since=now)
    keeps = pinned or (turn.is_in and now - turn.since < policy.quantum_s)
    urgency = _urgency(view, now) if policy.mode is Mode.NEED and not keeps else None
    return order_of(turn, now=now, rank=rank, is_pinned=pinned, quantum_s=policy.quantum_s, urgency=urgency)


def _left_h(view: View, now: float) -> float:
    need = view.facts.need
    departure = None if need is None else need.departure
    return (USUAL_STAY_S if departure is None else departure - now) / 3600


def _urgency(view: View, now: float) -> float:
    """In hours: a car of which nothing is known grows urgent by waiting."""
    turn, need, since = view.turn, view.facts.need, view.memory.counted_since
    waits_h = 0.0 if turn is None or turn.is_in else (now - turn.since) / 3600
    if need is None:
        return UNKNOWN_H * (waits_h - 1.0)
    here_h = 0.0 if since is None else (now - since) / 3600
    stays_h = believed_h(_left_h(view, now), here_h)
    return urgency_of(need.remaining_ah, need.requested_ah, stays_h, len(view.phases), waits_h)


def _weight(view: View, policy: Policy, now: float) -> float:
    if policy.mode is Mode.PRIORITY:
        return max(view.spec.weight, 1e-3)
    if policy.mode is Mode.EQUAL:
        return 1.0
    need, left_h = view.facts.need, _left_h(view, now)
    if need is None:
        return weight_of(view.spec.max_a / 2, left_h)
    return weight_of(need.remaining_ah, left_h, lacking(need.remaining_ah, need.requested_ah))
