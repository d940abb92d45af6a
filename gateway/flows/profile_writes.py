"""One profile on its way into a station, and what became of it."""

import logging
from dataclasses import replace
from datetime import UTC, datetime

from gateway.core.timebase import read_time
from gateway.dialects.profiles import PROFILE_CODECS
from gateway.errors import StoreError
from gateway.flows import site_facts
from gateway.model.balance import Answer, Outcome, Urgency, Write
from gateway.model.ids import TransactionKey
from gateway.model.profile import ChargingProfile, Kind, RateUnit
from gateway.model.records import Put
from gateway.model.site_tree import Binding, ConnectorKey, Why
from gateway.model.transaction import Transaction
from gateway.rpc.session import Answered, Refused
from gateway.site import Site
from gateway.smartcharging import merge
from gateway.smartcharging.book import CLOCK_SLACK_S, is_pending, set_a, set_phases
from gateway.smartcharging.families import Family
from gateway.smartcharging.held import Supply
from gateway.smartcharging.merge import Writing
from gateway.smartcharging.survey import View
from gateway.station import Station

log = logging.getLogger(__name__)

SEND_WITHIN_S = 5.0
"""A profile that can't leave by then is decided anew."""


async def write(site: Site, made: Write, transaction: TransactionKey | None) -> None:
    """Commit what has to be, send, and tell the balancer how it went. Raises nothing of its own.

    `transaction`: the one it was decided for; another one begins with its fallback.
    """
    answer = Answer.NOT_SENT
    try:
        answer = await _write(site, made, transaction)
    except StoreError:
        log.warning("%s: a limit of %g A waits: the disk can't be written", made.key, made.amps)
    finally:
        site.balancer.outcomes.append(Outcome(made.key, made.sequence, answer, site.clock.monotonic()))
        site.balancer.poke()
    if answer is not Answer.ACCEPTED:
        log.warning("%s: a limit of %g A (%s): %s", made.key, made.amps, made.why, answer.value)
    else:
        lasts = f"for {made.lease_s:g} s, then {made.fallback_a:g} A" if made.lease_s else "until it is told otherwise"
        log.info("%s: limit %g A %s (%s)", made.key, made.amps, lasts, made.why)


async def _write(site: Site, made: Write, decided_for: TransactionKey | None) -> Answer:
    send_by = site.clock.monotonic() + SEND_WITHIN_S
    await _note_ceiling(site, made)
    station, transaction = site.stations.get(made.key.station), site_facts.running_at(site, made.key)
    if station is None or transaction is None or station.port is None or transaction.key != decided_for:
        return Answer.NOT_SENT
    profile = _profile(site, station, transaction, made)
    return await send(site, station, made.key.evse, profile, send_by)


async def _note_ceiling(site: Site, made: Write) -> None:
    """What stays given if the gateway dies is on disk before it is given. Raises StoreError."""
    balancer, ceiling_a = site.balancer, made.ceiling_a
    assert balancer.plan is not None
    assert balancer.tree is not None
    if balancer.plan.is_proven(made.key.station) and made.amps > balancer.tree.fallback_a[made.key]:
        ceiling_a = balancer.tree.specs[made.key].max_a  # the next life may not call it proven any more
    if ceiling_a is not None and ceiling_a != balancer.noted.get(made.key):
        await site.commit([Put(replace(site.charging.connector(made.key), ceiling_a=ceiling_a))])
        lowered_a = site.charging.connector(made.key).ceiling_a  # meanwhile, if its transaction has ended
        balancer.noted[made.key] = ceiling_a if lowered_a is None else min(ceiling_a, lowered_a)


async def send(site: Site, station: Station, evse: int, profile: ChargingProfile, send_by: float) -> Answer:
    """Write one of the gateway's own profiles into a station."""
    port = station.port
    if port is None:
        return Answer.NOT_SENT
    codec = PROFILE_CODECS[port.dialect.name]
    try:
        action, payload = codec.set_profile(evse, profile)
    except ValueError as error:
        log.error("%s: a profile can't be written in its version: %s", station.id, error)
        return Answer.NOT_SENT
    outcome = await port.call(action, payload, send_by=send_by)
    if isinstance(outcome, Answered):
        if codec.is_accepted(outcome.payload):
            return Answer.ACCEPTED
        return Answer.REJECTED if codec.is_refused(outcome.payload) else Answer.UNKNOWN
    if isinstance(outcome, Refused):
        return Answer.UNKNOWN if outcome.is_garbled else Answer.REJECTED
    return Answer.UNKNOWN if outcome.was_sent else Answer.NOT_SENT


def _profile(site: Site, station: Station, transaction: Transaction, made: Write) -> ChargingProfile:
    """The lease, by the station's own clock; its time counts from the decision, not from when it gets there."""
    assert site.balancer.plan is not None
    family = site.balancer.plan.family(station.id)
    waited_s = site.clock.monotonic() - made.at
    return merge.lease(
        made.key.evse,
        transaction.station_tx_id or "",
        datetime.fromtimestamp(site_facts.started_at(site, transaction), UTC),
        value_a=made.amps,
        fallback_a=made.fallback_a,
        lasts_s=int(made.lease_s),
        now=datetime.fromtimestamp(site_facts.station_now(site, station) - waited_s, UTC),
        supply=supply_of(site, made.key, family, made.phases),
        writing=writing_of(site, station, family, has_lease=made.lease_s > 0, transaction=transaction),
    )


def supply_of(site: Site, key: ConnectorKey, family: Family, phases: int = 0) -> Supply:
    """Phases that are named, and that watts are made for: as long as the car's are not known, one takes all."""
    balancer = site.balancer
    assert balancer.tree is not None
    assert balancer.plan is not None
    volts, own = balancer.plan.policy.voltage_v, len(balancer.tree.specs[key].phases)
    if phases:
        return Supply(phases, volts, volts)
    if family.unit is RateUnit.A:
        return Supply(own, volts, volts)
    car = balancer.cars.get(key)
    views = balancer.decision.views if balancer.decision else ()
    seen = next((view.memory.seen.phases for view in views if view.key == key), None)
    return Supply((car.phases if car else None) or seen or 1, volts, volts)


def writing_of(
    site: Site, station: Station, family: Family, *, has_lease: bool = False, transaction: Transaction | None = None
) -> Writing:
    """How this station takes its profiles now.

    Where its clock is further off than is reckoned with, leases are relative to the begin of the transaction.
    """
    writing, is_right = family.writing(), abs(site.time.ahead_s(station.id)) <= CLOCK_SLACK_S
    if not is_right and transaction is not None and read_time(transaction.started) is not None:
        writing = replace(writing, kind=Kind.RELATIVE)
    return writing if has_lease else replace(writing, max_periods=1)


def view_of(site: Site, key: ConnectorKey) -> View | None:
    """The connector as it was seen last, with what was written to it then."""
    decision = site.balancer.decision
    view = next((one for one in decision.views if one.key == key), None) if decision else None
    if decision is None or view is None:
        return None
    memory = decision.state.connectors.get(key, view.memory)
    if memory is view.memory:
        return view
    told_a, told_phases = set_a(memory.book, view.fallback_a), set_phases(memory.book, len(view.phases))
    return view._replace(memory=memory, set_a=told_a, set_phases=told_phases)


def _named(view: View) -> int:
    """Phases, as a Write says them."""
    return 1 if view.set_phases < len(view.phases) else 0


async def lease_once(
    site: Site, station: Station, key: ConnectorKey, *, amps: float, down_a: float, lasts_s: float
) -> Answer:
    """A lease of what it holds already, that the balancer knows nothing of."""
    transaction, now = site_facts.running_at(site, key), site.clock.monotonic()
    if transaction is None or transaction.station_tx_id is None:
        return Answer.NOT_SENT
    view = view_of(site, key)
    made = Write(key, 0, amps, 0 if view is None else _named(view), lasts_s, down_a, Urgency.RENEW,
                 Why(Binding.PENDING), at=now)  # fmt: skip
    return await send(site, station, key.evse, _profile(site, station, transaction, made), now + SEND_WITHIN_S)


async def resend(site: Site, station: Station, key: ConnectorKey, *, as_default: bool) -> None:
    """The limit it holds once more. `as_default`: its fallback, for one that obeys no profile of a transaction; nothing
    else, for it stays there when the gateway is gone."""
    balancer, transaction = site.balancer, site_facts.running_at(site, key)
    view = view_of(site, key)
    if balancer.plan is None or view is None or transaction is None or transaction.station_tx_id is None:
        return
    family, send_by = balancer.plan.family(station.id), site.clock.monotonic() + SEND_WITHIN_S
    if as_default:
        amps, supply = view.fallback_a, supply_of(site, key, family)
        if family.unit is RateUnit.W:  # a car on one phase would take all of it there
            supply = replace(supply, phases=1)
        profile = merge.fallback(key.evse, amps, supply, writing_of(site, station, family))
    else:
        amps, book = view.set_a, view.memory.book
        if is_pending(book):
            return  # a newer one is on its way
        began = book[-1].at if book else site.clock.monotonic()  # it ends when the balancer believes that it does
        again = Write(key, 0, amps, _named(view), view.spec.lease_s if view.proven else 0.0, view.fallback_a,
                      Urgency.CUT, Why(Binding.PENDING), at=began)  # fmt: skip
        profile = _profile(site, station, transaction, again)
    answer = await send(site, station, key.evse, profile, send_by)
    log.warning("%s: told again to hold %g A%s: %s", key, amps, " by default" if as_default else "", answer.value)
