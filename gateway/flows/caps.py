"""Caps from outside: of the grid operator, an energy manager, or an operator by hand. Each has an end."""

import json
import logging
from dataclasses import dataclass
from datetime import timedelta

from gateway.errors import RefusedError
from gateway.model.records import CapRow, Drop, Put
from gateway.site import Site
from gateway.smartcharging.external import CapSource

log = logging.getLogger(__name__)

LONGEST_S = 30 * 86_400.0
HEARTBEAT = timedelta(seconds=60)
"""An end that moves by no more than this is the next word of a source that speaks again and again: worth no commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """What a source says. Without a limit: it is there, and caps nothing. `seconds` None: as it is configured."""

    limit_w: float | None = None
    limit_a: float | None = None
    seconds: float | None = None
    circuit: str | None = None


def read(payload: bytes) -> Cap:
    """A cap as JSON. Raises RefusedError."""
    try:
        found = json.loads(payload)
    except ValueError as error:
        raise RefusedError(f"a cap is no JSON: {error}") from None
    if not isinstance(found, dict) or not set(found) <= {"limit_w", "limit_a", "seconds"}:
        raise RefusedError("a cap is an object of limit_w, limit_a and seconds")
    values = [found.get(name) for name in ("limit_w", "limit_a", "seconds")]
    if any(isinstance(one, bool) or not isinstance(one, (int, float, type(None))) for one in values):
        raise RefusedError("limit_w, limit_a and seconds are numbers")
    limit_w, limit_a, seconds = values
    return Cap(limit_w=limit_w, limit_a=limit_a, seconds=seconds)


def _heartbeat_s(source: CapSource | None) -> float | None:
    """A word of a source that has to be heard counts until the next one is overdue."""
    return source.silent_s if source else None


async def put(site: Site, name: str, cap: Cap) -> CapRow:
    """Take a source's cap; it holds from now on, over a restart too. Raises RefusedError, StoreError."""
    balancer = site.balancer
    if balancer.plan is None or balancer.tree is None:
        raise RefusedError("this gateway shares no current: no station is in a circuit")
    source = next((one for one in balancer.plan.sources if one.name == name), None)
    circuit = cap.circuit if source is None else source.circuit
    if cap.circuit not in (None, circuit):
        raise RefusedError(f"{name} caps circuit {circuit} by configuration; give another source for {cap.circuit}")
    seconds = cap.seconds if cap.seconds is not None else (_heartbeat_s(source))
    if circuit is None or circuit not in balancer.tree.index:
        raise RefusedError(f"there is no circuit {circuit}" if circuit else "which circuit it caps has to be said")
    if seconds is None or not 0 < seconds <= LONGEST_S:
        raise RefusedError("a cap needs an end: more than 0 seconds, and at most 30 days")
    for limit in (cap.limit_w, cap.limit_a):
        if limit is not None and not 0 <= limit <= 1e7:
            raise RefusedError("a limit is 0 or more")
    amps = None if cap.limit_a is None else (float(cap.limit_a),) * 3
    watts = None if cap.limit_w is None else float(cap.limit_w)
    now = site.clock.now()
    row = CapRow(name, circuit, watts, amps, now, now + timedelta(seconds=seconds))
    before = site.charging.caps.get(name)
    is_same = before is not None and (before.limit_w, before.limit_a, before.circuit) == (watts, amps, circuit)
    is_kept = before is not None and is_same and abs(row.until - before.until) <= HEARTBEAT
    balancer.caps_heard[name] = (row, site.clock.monotonic())
    if is_kept:
        site.note([Put(row)])
    else:
        await site.commit([Put(row)])
    if not is_same:
        log.warning("cap of %s on circuit %s: %s, for %g s", name, circuit, _words(watts, cap.limit_a), seconds)
    balancer.poke()
    return row


def _words(watts: float | None, amps: float | None) -> str:
    said = ("" if watts is None else f"{watts:g} W", "" if amps is None else f"{amps:g} A a phase")
    return " and ".join(filter(None, said)) or "no limit"


async def clear(site: Site, name: str) -> None:
    """Forget a source's cap. One with a fail-safe is silent then. Raises RefusedError, StoreError."""
    row = site.charging.caps.get(name)
    if row is None:
        raise RefusedError(f"{name} has set no cap")
    await site.commit([Drop(row)])
    log.warning("cap of %s on circuit %s is taken away", name, row.circuit)
    site.balancer.poke()
