"""Walk 1: a station's message on its way up, and the answer the station gets.

The outbox is always written first, so there is no second "online" path: a message that waits for the CSMS's own answer
is already safe, and when the wait ends the gateway answers from what it knows.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from gateway.core.local_list import is_conflict
from gateway.core.registration import PENDING_APPROVAL, is_heard, local_boot_answer
from gateway.core.tokens import PRE_AUTHORIZING, Shown
from gateway.dialects import quirks
from gateway.dialects.base import Dialect, Role, Route, UpRule
from gateway.errors import StoreError
from gateway.flows import booking, grace, hearing, timing
from gateway.flows.incoming import Incoming, ask, wait
from gateway.model.events import TransactionMessage
from gateway.model.records import Change, Drop, LatestMessage, Put
from gateway.model.settings import Key
from gateway.model.token import IdToken, Verdict
from gateway.ports import LinkState
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.frame import Call, Send
from gateway.rpc.session import Answered, Outcome, Priority, Refused, RefusedResult
from gateway.site import Site
from gateway.station import Station

log = logging.getLogger(__name__)

MAX_KEPT_SENDS = 64
MAX_CONNECTORS = 256
"""Of one station, whose status is remembered or kept for a CSMS that is away: nobody has more."""

MAX_KEPT_BYTES = 256 * 1024
MAX_PLACES = 256
"""Connectors, and messages of route latest, that are remembered of one station; the oldest give way."""
_UNKNOWN = UpRule("", Route.RELAY, Route.RELAY, offline=ErrorCode.NOT_IMPLEMENTED)
"""An action no table knows (a vendor's, a signed one) is relayed as it is."""


async def handle(site: Site, station: Station, dialect: Dialect, call: Call, received: float) -> bytes:
    """Handle one CALL of a station; returns the payload of its answer.

    `received` is monotonic. Raises CallError for a CALLERROR, StoreError if nothing may be answered.
    """
    rule = dialect.up.get(call.action, _UNKNOWN)
    if rule.role is not Role.BOOT and not _is_heard(site, station, dialect, rule):
        raise CallError(ErrorCode.SECURITY_ERROR, "the station's boot has not been accepted")
    if site.balancer.tree is not None and (answer := hearing.hear(site, station, dialect, call)) is not None:
        return answer
    handler = _BY_ROLE.get(rule.role) if rule.role else None
    return await (handler or _BY_ROUTE[rule.route])(Incoming(site, station, dialect, rule, call, received))


def _is_heard(site: Site, station: Station, dialect: Dialect, rule: UpRule) -> bool:
    return is_heard(
        station.record,
        is_called_for=station.is_called_for(rule.action),
        is_booking=rule.route is Route.DURABLE or rule.role is Role.AUTHORIZE,
        csms_is_there=site.is_linked(station),
        speaks_early=dialect.speaks_early,
    )


def handle_unapproved(site: Site, dialect: Dialect, call: Call) -> bytes:
    """What a station hears that waits for the operator. Raises CallError (OCPP 2.0.1 Part 2, B02.FR.09)."""
    rule = dialect.up.get(call.action)
    if rule and rule.role is Role.BOOT:
        return dialect.codec.answer_boot(PENDING_APPROVAL, site.clock.now())
    raise CallError(ErrorCode.SECURITY_ERROR, "this station waits for approval by the operator of the site")


def pass_send(site: Site, station: Station, dialect: Dialect, send: Send) -> None:
    """A station's SEND: up at once, past all that waits. While the CSMS is away the newest are kept, in memory only."""
    rule = dialect.up.get(send.action)
    if send.action in dialect.down or (rule is not None and not rule.is_send):
        log.warning("%s: %s came as a message without an answer: dropped", station.id, send.action)
        return
    station.sends.append((dialect.name, send))
    pass_kept_sends(site, station)
    size = sum(len(kept.payload) for _, kept in station.sends)
    while len(station.sends) > MAX_KEPT_SENDS or size > MAX_KEPT_BYTES:
        size -= len(station.sends.pop(0)[1].payload)


def pass_kept_sends(site: Site, station: Station) -> None:
    """Pass on what was kept, once, if the link is up and no boot has to go first."""
    if not station.sends or not site.can_ask(station):
        return
    spoken = site.uplink.dialect(station.id)
    kept, station.sends = station.sends, []
    for name, send in kept:
        if spoken is not None and spoken.name == name:
            site.uplink.send(station.id, site.message_id(), send.action, send.payload)


def pass_refused_result(site: Site, station: Station, refused: RefusedResult) -> None:
    """The station can't use an answer: the CSMS hears of it, if the answer was its own."""
    site.uplink.refuse_result(station.id, refused)


async def _relay(incoming: Incoming) -> bytes:
    outcome = await ask(incoming)
    if isinstance(outcome, Answered):
        return outcome.payload
    if isinstance(outcome, Refused):
        raise CallError(outcome.code, outcome.description, outcome.details)
    return incoming.offline_answer()


async def _answer(incoming: Incoming) -> bytes:
    return incoming.offline_answer()


async def _boot(incoming: Incoming) -> bytes:
    """A boot goes up before anything else of its station: the replay sends it, we wait for the CSMS's own words."""
    site, station, codec = incoming.site, incoming.station, incoming.dialect.codec
    boots = station.record.boots + 1
    _tell_of_another_serial(station, incoming.call.payload)
    record = replace(
        station.record, boot=incoming.call.payload, boot_due=True, boots=boots, dialect=incoming.dialect.name
    )
    site.note([Put(record)])
    station.has_booted = True
    grace.open_after(site, station, float("inf"))
    station.boot_retry_at = 0.0
    station.boot_waiter = asyncio.get_running_loop().create_future()
    station.wake.set()
    site.uplink.wake(station.id)
    deadline = site.clock.monotonic() if site.uplink.state(station.id) is LinkState.DOWN else incoming.deadline()
    answer = await wait(station.boot_waiter, deadline)
    known, is_news = station.record, True
    if answer is None:
        told = timing.unless_time_is_unsure(site, local_boot_answer(known))
        known = replace(known, told=told.status)
        answer = codec.answer_boot(told, timing.time_for(site, station))
    else:
        is_news = (known.registration, known.told) != (record.registration, record.told)
        answer = timing.fitted(site, station, codec, answer)
    try:  # the boot, and the time it was told, are not forgotten once it has its answer
        await site.commit([Put(known)])
    except StoreError:
        if is_news:
            raise
    grace.open_after(site, station, station.options.min_answer_delay_s + site.options.after_boot_s)
    return answer


def _tell_of_another_serial(station: Station, boot: bytes) -> None:
    """A charger put in another's place begins anew: what the old one left unclosed stays as it was."""
    before, now = quirks.serial_of(station.record.boot), quirks.serial_of(boot)
    if before and now and before != now:
        log.warning("%s: has another serial number, %s instead of %s: replaced?", station.id, now, before)


async def _heartbeat(incoming: Incoming) -> bytes:
    """Answered here, always, with good time; the CSMS gets its heartbeat at the station's own pace, or at the one it
    has set (`flows.pace`)."""
    site, station = incoming.site, incoming.station
    pass_kept_sends(site, station)
    if not site.columns.believed_number(station.id, Key.HEARTBEAT_INTERVAL):
        station.beat_due = True
        station.wake.set()
    return incoming.dialect.codec.answer_heartbeat(timing.time_for(site, station))


async def _authorize(incoming: Incoming) -> bytes:
    site, codec = incoming.site, incoming.dialect.codec
    station, token = incoming.station, codec.token(incoming.call.payload)

    def learn(outcome: Outcome) -> None:
        verdict = codec.authorize_answer(outcome.payload) if isinstance(outcome, Answered) else None
        if token and verdict:
            site.note([*site.learn(station, token, verdict), *_conflict(incoming, token, verdict)])

    if token and site.policy(station.id).options.pre_authorize and site.can_ask(station) and incoming.is_understood:
        decision = site.authorize(Shown(station.id, token, evses=station.evses))
        if decision.is_accepted and decision.reason in PRE_AUTHORIZING:
            await _ask_aside(incoming, learn)
            return codec.answer_authorize(decision)
    outcome = await ask(incoming, late=learn)
    if isinstance(outcome, Answered) and codec.authorize_answer(outcome.payload):
        learn(outcome)
        return outcome.payload
    if token is None:
        raise CallError(ErrorCode.FORMAT_VIOLATION, "an Authorize needs a token")
    return codec.answer_authorize(site.authorize(Shown(station.id, token, evses=station.evses)))


async def _ask_aside(incoming: Incoming, learn: Callable[[Outcome], None]) -> None:
    """Ask the CSMS without waiting for what it says."""
    site, call = incoming.site, incoming.call
    site.uplink.post(incoming.station.id, site.request(call.action, call.payload, learn, Priority.COMMAND))


def _conflict(incoming: Incoming, token: IdToken, verdict: Verdict) -> list[Change]:
    """The CSMS says something else than the list it gave: it is told, once a connection, as a station would."""
    site, station, dialect = incoming.site, incoming.station, incoming.dialect
    listed = site.tokens.lists.find(station.id, token)
    is_own = site.tokens.lists.of(station.id).digest is not None
    if not is_own or not is_conflict(listed, verdict) or token.key in station.conflicts:
        return []
    station.conflicts.add(token.key)
    report = station.connectors.get((0, 0))
    told = dialect.tokens.list_conflict(report.status if report else "Available")
    if told is None:
        return []
    station.wake.set()
    return [Put(LatestMessage(station.id, "local-list-conflict", dialect.name, *told))]


async def _latest(incoming: Incoming) -> bytes:
    """Straight up while the CSMS can be asked; else only the newest of its slot is kept, and goes up on return."""
    site, station, call = incoming.site, incoming.station, incoming.call
    kept = LatestMessage(station.id, _slot(incoming), incoming.dialect.name, call.action, call.payload)
    older = station.latest.get(kept.slot)
    if older is not None:  # never to be told after the newer one; which its station still holds
        await site.commit([Drop(older)])

    def settled(outcome: Outcome) -> None:
        if isinstance(outcome, (Answered, Refused)) and station.latest.get(kept.slot) == kept:
            site.note([Drop(kept)])

    outcome = await ask(incoming, late=settled)
    if isinstance(outcome, (Answered, Refused)):
        return outcome.payload if isinstance(outcome, Answered) else incoming.offline_answer()
    too_many = list(station.latest.values())[: max(0, len(station.latest) + 1 - MAX_CONNECTORS)]
    await site.commit([*(Drop(oldest) for oldest in too_many), Put(kept)])
    station.wake.set()
    return incoming.offline_answer()


def _keep(station: Station, kept: LatestMessage) -> list[Change]:
    """A station that makes up a new connector for every message does not fill the memory."""
    is_one_more = kept.slot not in station.latest and len(station.latest) >= MAX_PLACES
    return [Put(kept), *([Drop(next(iter(station.latest.values())))] if is_one_more else [])]


def _slot(incoming: Incoming) -> str:
    slot, call = incoming.rule.slot, incoming.call
    try:
        return slot(json.loads(call.payload)) if slot else call.action
    except (ValueError, TypeError, AttributeError, RecursionError):
        return call.action


async def _status(incoming: Incoming) -> bytes:
    """A connector that became free has no transaction any more, even if its Stop never came. Of an EVSE with several
    cables, one that is free says nothing while another is in use."""
    site, station = incoming.site, incoming.station
    report = incoming.dialect.codec.status(incoming.call.payload)
    timing.hear_status(site, station, incoming.call.payload)
    if report:
        place = (report.evse, report.connector)
        tells_its_past = station.options.quirks.history_at_first_connect
        if tells_its_past and quirks.is_history(incoming.call.payload, site.clock.now()):
            return _past(incoming, is_known=place in station.connectors)
        before = station.connectors.get(place)
        if before is not None or len(station.connectors) < MAX_CONNECTORS:
            station.connectors[place] = report
        is_in_use = any(one.evse == report.evse and one.status == "Occupied" for one in station.connectors.values())
        if report.status == "Available" and not is_in_use:
            has_become_free = before is not None and before.status != "Available"
            before_boot = None if has_become_free else station.record.boots
            unclosed = site.ledger.connector_is_free(station.id, report.evse, before_boot)
            if unclosed:
                await site.commit(unclosed)
    return await _latest(incoming)


def _past(incoming: Incoming, *, is_known: bool) -> bytes:
    """A status of long ago is never taken for now. The newest goes up, while the connector has not told of now."""
    site, station, call = incoming.site, incoming.station, incoming.call
    kept = LatestMessage(station.id, _slot(incoming), incoming.dialect.name, call.action, call.payload)
    waiting = station.latest.get(kept.slot)
    if not is_known and (waiting is None or quirks.is_not_newer(waiting.payload, kept.payload)):
        site.note(_keep(station, kept))
        station.wake.set()
    return incoming.offline_answer()


async def _reservation_status(incoming: Incoming) -> bytes:
    """A reservation has expired, or was removed at the station."""
    reservation_id = incoming.dialect.tokens.reservation_id(incoming.call.payload)
    incoming.site.note(incoming.site.tokens.reservations.over(incoming.station.id, reservation_id))
    return await booking.message(incoming)


async def _transaction(incoming: Incoming) -> bytes:
    message = incoming.dialect.codec.transaction(incoming.call.action, incoming.call.payload)
    if message and message.station_tx_id in incoming.station.metered:
        _meter(incoming, message)
    return await booking.transaction(incoming, message) if message else await _latest(incoming)


def _meter(incoming: Incoming, message: TransactionMessage) -> None:
    """A session that was refused may take some energy yet: how much it has taken is for the walk `verdict`."""
    call, station = incoming.call, incoming.station
    wh = message.meter_wh
    if wh is None:
        wh = incoming.dialect.tokens.energy_wh(call.action, call.payload)
    if wh is not None and message.station_tx_id is not None:
        station.metered[message.station_tx_id] = wh
        incoming.site.verdict_wake.set()


Handler = Callable[[Incoming], Awaitable[bytes]]

_BY_ROLE: dict[Role, Handler] = {
    Role.BOOT: _boot,
    Role.HEARTBEAT: _heartbeat,
    Role.AUTHORIZE: _authorize,
    Role.TRANSACTION: _transaction,
    Role.STATUS: _status,
    Role.RESERVATION_STATUS: _reservation_status,
}
_BY_ROUTE: dict[Route, Handler] = {
    Route.RELAY: _relay,
    Route.ANSWER: _answer,
    Route.DURABLE: booking.message,
    Route.LATEST: _latest,
    Route.MERGE: _relay,
    Route.INTERCEPT: _answer,
    Route.REFUSE: _answer,
}
