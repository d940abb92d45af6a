"""How the current is shared, as plain data: per circuit and phase, and why a connector has what it has."""

from datetime import datetime, timedelta
from typing import Any

from gateway.dialects import quirks
from gateway.flows import applied, site_facts
from gateway.model.balance import Hold
from gateway.model.ids import StationId
from gateway.model.records import CapRow
from gateway.model.site_tree import NO_AMPS, Amps, Binding, ConnectorKey
from gateway.site import Site
from gateway.smartcharging.circuits import added
from gateway.smartcharging.drill import WORDS, Drill, fell_after_s
from gateway.smartcharging.external import CapState, caps_now
from gateway.smartcharging.invariants import START_RESERVES
from gateway.smartcharging.survey import View

GUEST = "its station is in no circuit: it counts at its rating"
BECAUSE = {
    Binding.CONNECTOR: "it has all that its connector is rated for",
    Binding.CAR: "its car takes no more",
    Binding.DRAWS_LESS: "its car has been drawing less than it was offered",
    Binding.CSMS: "the CSMS allows no more",
    Binding.GRID: "a cap from outside allows no more",
    Binding.CIRCUIT: "the circuit is full",
    Binding.POWER: "the circuit's watts are used up",
    Binding.IMBALANCE: "the phases would differ too much",
    Binding.EXPOSURE: "more would flow than the fuse bears if the gateway or the links were gone now",
    Binding.UNPROVEN: "its station was never seen to step down by itself",
    Binding.METER: "the circuit's meter can't be relied on",
    Binding.TURN: "not every car can have its minimum: it waits for its turn",
    Binding.MINIMUM: "what it could have is below its minimum",
    Binding.SATISFIED: "its car wants nothing",
    Binding.NO_TRANSACTION: "no transaction runs there",
    Binding.UNREACHABLE: "its station is not there",
    Binding.UNMANAGED: "its fallback is not installed and checked yet",
    Binding.START: "the gateway has just started and has not heard every station",
    Binding.SETTLING: "there is room, but not for long enough yet",
    Binding.LOWER_FIRST: "others are on their way down to make room",
    Binding.PENDING: "its station has not answered the last limit",
    Binding.WRITES: "its budget of limits an hour is used up",
    Binding.SHED: "its circuit was over its limit: it was cut",
}
"""The reasons in words, for people."""


def circuits(site: Site) -> list[dict[str, Any]]:
    """The live tree, parents first; empty as long as nothing is shared."""
    tree, decision = site.balancer.tree, site.balancer.decision
    if tree is None or decision is None:
        return []
    holds = {hold.key: hold for hold in decision.holds()}
    claims = {view.key for view in decision.views if view.is_claim}
    own = set(site.balancer.plan.own_circuit.values()) if site.balancer.plan else set()
    shown = []
    for index, node in enumerate(tree.circuits):
        background = decision.backgrounds[index]
        below = [holds[key] for key in tree.below[index] if key in holds]
        allocated = _sum(hold.load for hold in below if hold.key in claims)
        reserve = _reserve([hold for hold in below if hold.key not in claims])
        free = [
            limit - other - given - kept
            for limit, other, given, kept in zip(node.limit_a, background.now, allocated, reserve, strict=True)
        ]
        shown.append(
            {
                "id": node.id,
                "parent": node.parent,
                "is_station": node.id in own,
                "metered": node.metered,
                "rung": background.rung.name.lower(),
                "limit_a": list(node.limit_a),
                "limit_w": node.limit_w,
                "background_a": _rounded(background.now),
                "worst_background_a": _rounded(background.worst),
                "allocated_a": _rounded(allocated),
                "reserve_a": _rounded(reserve),
                "free_a": _rounded(free),
                "caps": [cap for cap in caps(site) if cap["circuit"] == node.id],
            }
        )
    return shown


def _sum(loads: Any) -> Amps:
    total = NO_AMPS
    for load in loads:
        total = added(total, load)
    return total


def _reserve(idle: list[Hold]) -> Amps:
    """What is kept for connectors that are not decided on: the largest idle fallbacks, and all that may be drawn."""
    busy = _sum(hold.load for hold in idle if hold.has_ev or not hold.reachable)
    free = [hold.load for hold in idle if not hold.has_ev and hold.reachable]
    one, two, three = (
        busy[phase] + sum(sorted((load[phase] for load in free), reverse=True)[:START_RESERVES]) for phase in range(3)
    )
    return one, two, three


def _rounded(values: Any) -> list[float]:
    return [round(value, 1) for value in values]


def caps(site: Site) -> list[dict[str, Any]]:
    """Caps from outside that hold now, fail-safes of silent sources too; `until` of a fail-safe: at least."""
    now, mono = site.clock.now(), site.clock.monotonic()
    told = [_cap(row) for row in site.charging.caps.values() if now < row.until]
    plan, states = site.balancer.plan, site.balancer.cap_states
    for source in plan.sources if plan else ():
        state = states.get(source.name)
        if state is None:
            continue
        silence = CapState(heard_at=state.heard_at, failsafe_until=state.failsafe_until)
        for cap in caps_now((source,), {source.name: silence}, mono).caps:
            least = now + timedelta(seconds=max(0.0, state.failsafe_until - mono))
            told.append(_shown(source.name, source.circuit, (cap.limit_w, None), least, fail_safe=True))
    return told


def _cap(row: CapRow) -> dict[str, Any]:
    return _shown(row.source, row.circuit, (row.limit_w, row.limit_a), row.until, fail_safe=False)


def _shown(
    source: str,
    circuit: str,
    limits: tuple[float | None, tuple[float, ...] | None],
    until: datetime,
    *,
    fail_safe: bool,
) -> dict[str, Any]:
    watts, amps = limits
    return {
        "circuit": circuit,
        "source": source,
        "limit_w": watts,
        "limit_a": list(amps) if amps else None,
        "until": until.isoformat(timespec="seconds"),
        "fail_safe": fail_safe,
    }


def connectors(site: Site, station: StationId | None = None) -> list[dict[str, Any]]:
    """What each connector has, what binds it, who has the rest, and when that may change."""
    decision, mono = site.balancer.decision, site.clock.monotonic()
    views = decision.views if decision else ()
    shares = {share.key: share for share in (decision.shares if decision else ())}
    shown = []
    for view in views:
        if station not in (None, view.key.station):
            continue
        share = shares[view.key]
        until = None if share.why.until is None else round(share.why.until - mono, 1)
        transaction = site_facts.running_at(site, view.key)
        shown.append(
            {
                "station": view.key.station,
                "evse": view.key.evse,
                "circuit": view.spec.circuit,
                "family": site.balancer.plan.family(view.key.station).name if site.balancer.plan else None,
                "managed": view.facts.managed,
                "proven": view.proven,
                "transaction": transaction.station_tx_id if transaction else None,
                "set_a": round(share.set_a, 1),
                "target_a": round(share.target_a, 1),
                "phases": share.phases,
                "fallback_a": view.fallback_a,
                "may_hold_a": _rounded(view.hold_a),
                "measured_a": _rounded(view.facts.measured_a) if view.facts.measured_a else None,
                "most_a": round(applied.most_a(site, view.key), 1),
                "why": {
                    "binding": share.why.binding.value,
                    "circuit": share.why.circuit or None,
                    "phase": share.why.phase or None,
                    "because": GUEST if view.key.station in site.balancer.guests else BECAUSE[share.why.binding],
                    "until_s": until,
                },
                "others": _others(site, view, share.why.circuit),
                "lately": [
                    {"ago_s": round(mono - line.at, 1), "set_a": line.set_a, "target_a": line.target_a, "why": line.why}
                    for line in site.balancer.sessions.get(view.key, ())
                ],
            }
        )
    return shown


def _others(site: Site, view: View, circuit: str) -> list[dict[str, Any]]:
    """Who has the rest of the circuit that binds."""
    tree, decision = site.balancer.tree, site.balancer.decision
    if not circuit or tree is None or decision is None or circuit not in tree.index:
        return []
    below: set[ConnectorKey] = set(tree.below[tree.index[circuit]]) - {view.key}
    holds = [(hold.key, max(hold.load)) for hold in decision.holds() if hold.key in below and max(hold.load) > 0]
    return [
        {"connector": str(key), "may_hold_a": round(amps, 1)} for key, amps in sorted(holds, key=lambda one: -one[1])
    ]


def drill(site: Site, one: Drill) -> dict[str, Any]:
    """A drill as it is now; `verdict` None while it is under way."""
    mono, station = site.clock.monotonic(), site.stations.get(one.key.station)
    boot = station.record.boot if station else None
    vendor, model = quirks.model_of(boot) or ("", "")
    return {
        "station": one.key.station,
        "evse": one.key.evse,
        "vendor": vendor,
        "model": model,
        "firmware": quirks.firmware_of(boot),
        "value_a": one.value_a,
        "down_a": one.down_a,
        "left_s": None if one.ends is None else round(one.ends - mono, 1),
        "drawn_a": round(one.samples[-1].amps, 1) if one.samples else None,
        "fell_after_s": None if (after := fell_after_s(one)) is None else round(after, 1),
        "verdict": one.verdict.value if one.verdict else None,
        "because": WORDS[one.verdict] if one.verdict else None,
    }
