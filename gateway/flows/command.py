"""Walk 2: a command of the CSMS on its way down, each in a task of its own."""

import asyncio
import json
import logging
from dataclasses import dataclass
from datetime import timedelta

from gateway.dialects.base import Dialect, DownRule, Guarded, Role, Route
from gateway.dialects.called import called_for
from gateway.errors import LeftUnanswered, StoreError
from gateway.flows import grace, profile_commands, token_commands
from gateway.flows.profile_commands import Asked
from gateway.flows.token_commands import TokenCommand
from gateway.model.events import RegistrationStatus
from gateway.model.records import Put, RemoteStart
from gateway.model.token import IdToken
from gateway.model.transaction import TransactionState
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.frame import Call, Send
from gateway.rpc.session import Answered, Refused, RefusedResult
from gateway.rpc.splice import Path, SpliceError, splice
from gateway.site import REMOTE_START_S, Site
from gateway.station import Station

log = logging.getLogger(__name__)

GRACE_S = 10.0
"""How long a command waits for a station that is just away, or just back."""

BEFORE_BOOT_S = 2.0
"""The same, while the CSMS has a boot of the station to answer: it may wait for this answer before it gives its own."""

_UNKNOWN = DownRule("", Route.RELAY, Route.RELAY)


class _NoSuchTransactionError(Exception):
    """The command names a transaction that is none of this station's."""


@dataclass(frozen=True, slots=True)
class _Command(TokenCommand):
    rule: DownRule
    received: float

    def rejected(self, why: str) -> bytes:
        """The refusing answer this action has, or a CALLERROR where it has none."""
        log.info("%s: %s of the CSMS is refused: %s", self.station.id, self.call.action, why)
        if self.rule.rejected is not None:
            return self.rule.rejected
        raise CallError(ErrorCode.GENERIC_ERROR, why)


async def handle(site: Site, station: Station, dialect: Dialect, call: Call, received: float) -> bytes:
    """Handle one CALL of the CSMS; returns the payload of its answer. `received` is monotonic. Raises CallError."""
    rule = dialect.down.get(call.action, _UNKNOWN)
    command = _Command(site, station, dialect, call, received + site.options.call_timeout_s, rule, received)
    _check_registration(command)
    try:
        return await _handle(command)
    except StoreError:
        if rule.rejected is not None:
            return rule.rejected
        raise CallError(ErrorCode.INTERNAL_ERROR, "the gateway can't write to its disk") from None


async def _handle(command: _Command) -> bytes:
    rule, call = command.rule, command.call
    if rule.role in token_commands.ROLES:
        return await token_commands.answer(command, rule.role)
    if command.site.balancer.is_member(command.station.id):
        if rule.route is Route.MERGE:
            return await profile_commands.answer(_about_profiles(command))
        if rule.role is Role.REMOTE_START:
            return await _start_with_profile(command)
    if rule.route is Route.REFUSE or (rule.route is Route.INTERCEPT and rule.guard is None):
        return command.rejected("the gateway does not pass this on to a station")
    guarded = _guarded(command)
    if guarded.why:
        log.info("%s: %s of the CSMS is refused: %s", command.station.id, call.action, guarded.why)
    try:
        answer = None if guarded.forward is None else await _forward(command, guarded.forward)
        finished = guarded.finish(answer)
        await _keep(command, guarded, answer)
        return finished
    except _NoSuchTransactionError:
        return command.rejected("no such transaction on this station")


def _about_profiles(command: _Command) -> Asked:
    return Asked(command.site, command.station, command.dialect, command.call)


async def _start_with_profile(command: _Command) -> bytes:
    """A remote start whose profile stays here."""
    asked = _about_profiles(command)
    said, refused = await profile_commands.begin_start(asked)
    if refused is not None:
        return refused
    payload = command.call.payload if said is None else splice(command.call.payload, ("chargingProfile",), None)
    answered = None
    try:
        answered = await _forward(command, payload)
    finally:
        await profile_commands.end_start(asked, said, answered)
    return answered


def _check_registration(command: _Command) -> None:
    """A rejected station is asked nothing (1.6 4.2, 2.x B03). Raises CallError, LeftUnanswered."""
    if command.station.record.registration is RegistrationStatus.REJECTED:
        if command.dialect.silent_if_rejected:
            raise LeftUnanswered
        raise CallError(ErrorCode.SECURITY_ERROR, "the CSMS has rejected this station")


async def forget_customer(site: Site, station: Station, token: IdToken) -> None:
    """By the CSMS's wish: `token_commands.forget`. Raises StoreError."""
    await token_commands.forget(site, station, token)


def pass_send(station: Station, dialect: Dialect, send: Send) -> None:
    """A SEND of the CSMS: down at once, or not at all.

    What this version knows as a CALL does not pass as a SEND: it would get by the guard of its row.
    """
    port = station.port
    if send.action in dialect.down or send.action in dialect.up:
        log.warning("%s: %s of the CSMS came as a message without an answer: dropped", station.id, send.action)
    elif port is not None and port.dialect.name == dialect.name:
        port.send(send.action, send.payload)


def pass_refused_result(station: Station, refused: RefusedResult) -> None:
    """The CSMS can't use an answer: the station hears of it, if the answer was its own."""
    if station.port is not None:
        station.port.refuse_result(refused)


def _guarded(command: _Command) -> Guarded:
    """The command after its guard. Raises CallError."""
    rule, payload = command.rule, command.call.payload
    if rule.keeps:
        return rule.keeps(payload, command.site.settings_of(command.station.id))
    return rule.guard(payload) if rule.guard else Guarded(payload, lambda answer: answer or b"{}")


async def _keep(command: _Command, guarded: Guarded, answer: bytes | None) -> None:
    """What is promised by the answer is on disk before it goes out; what was only heard may follow."""
    if guarded.learn is None:
        return
    site, station = command.site, command.station
    learned = guarded.learn(answer)
    changes = site.columns.changes(station.id, learned)
    if not learned.is_promise:
        site.note(changes)
    elif changes:
        try:
            await site.commit(changes)
        except StoreError:
            if answer is None:
                raise
            raise CallError(ErrorCode.INTERNAL_ERROR, "the station took it, the gateway can't write it down") from None
    if learned.secret is not None:
        log.warning("%s: the CSMS set the password of its link; the next connection uses it", station.id)
        site.columns.renew(station.id, learned.secret)
        site.uplink.wake(station.id)


async def _unregistered(command: _Command) -> str | None:
    """Why the station's registration keeps the command from it."""
    record, boot = command.station.record, command.station.boot_waiter
    starts_or_stops = command.rule.role in (Role.REMOTE_START, Role.REMOTE_STOP)
    if starts_or_stops and record.registration is RegistrationStatus.PENDING:
        return "the CSMS holds the station as Pending"
    if boot is not None and not boot.done():
        await asyncio.wait([boot], timeout=BEFORE_BOOT_S)
        return None if boot.done() else "the station's boot comes first"
    return None


async def _forward(command: _Command, payload: bytes) -> bytes:
    site, station, rule = command.site, command.station, command.rule
    why_not = await _unregistered(command)
    if why_not is not None:
        return command.rejected(why_not)
    port = await grace.reach(site, station, min(command.received + GRACE_S, command.deadline))
    if port is None:
        answer = _queue_status(command) if rule.role is Role.QUEUE_STATUS else None
        return command.rejected("the station is not connected") if answer is None else answer
    if port.dialect.name != command.dialect.name:
        return command.rejected("the station speaks another OCPP version")
    for path in rule.tx_ids:
        payload = _map_tx_id(command, payload, path)
    if rule.role is Role.REMOTE_START:
        await _vouch(command, payload)
    asked_for = called_for(command.call.action, payload)
    if asked_for is not None:
        station.called_for.add(asked_for)
    outcome = await port.call(command.call.action, payload, send_by=command.deadline)
    if isinstance(outcome, Answered):
        if rule.role is Role.QUEUE_STATUS:
            asked = command.dialect.codec.transaction_asked(command.call.payload)
            return command.dialect.codec.queue_status(outcome.payload, _is_in_queue(command, asked))
        if rule.role in token_commands.NOTED:
            await token_commands.note_answer(command, rule.role, outcome.payload)
        return outcome.payload
    if isinstance(outcome, Refused):
        raise CallError(outcome.code, outcome.description, outcome.details)
    if outcome.was_sent:  # it may act on it all the same: Rejected would be a lie
        raise CallError(ErrorCode.GENERIC_ERROR, f"the station got the command and did not answer: {outcome.why}")
    site.uplink.wake(station.id)
    return command.rejected(f"the station did not get the command: {outcome.why}")


def _is_in_queue(command: _Command, asked: str | None) -> bool:
    """Whether the gateway holds messages of the transaction asked about; without an id, of any transaction."""
    transactions = command.site.ledger.transactions
    for row in (*command.station.queue.values(), *command.station.parked.values()):
        own = transactions.get(row.transaction) if row.transaction is not None else None
        if row.kind is not None and (asked is None or (own is not None and own.station_tx_id == asked)):
            return True
    return False


def _queue_status(command: _Command) -> bytes | None:
    """The answer for a station that is away, from ledger and queue; None where the station itself may hold messages."""
    codec = command.dialect.codec
    asked = codec.transaction_asked(command.call.payload)
    known = command.site.ledger.by_station_id(command.station.id, asked) if asked is not None else None
    is_in_queue = _is_in_queue(command, asked)
    if not is_in_queue and (known is None or known.state is not TransactionState.ENDED):
        return None
    is_running = None if known is None else known.state is TransactionState.RUNNING
    return codec.answer_queue_status(is_running, is_in_queue)


def _map_tx_id(command: _Command, payload: bytes, path: Path) -> bytes:
    """The CSMS's transaction id becomes the station's.

    An id the ledger has never heard of goes down as it is: the session may be older than the gateway. One that means
    another session on this station does not.
    """
    upstream = _number(payload, path)
    if upstream is None:
        return payload
    ledger, station = command.site.ledger, command.station.id
    found = ledger.by_upstream_id(station, upstream)
    if found is None:
        stranger = ledger.by_station_id(station, str(upstream))
        if stranger is not None and stranger.upstream_tx_id is not None:
            raise _NoSuchTransactionError
        return payload
    if found.station_tx_id is None:
        raise _NoSuchTransactionError
    if found.station_tx_id == str(upstream):
        return payload
    try:
        return splice(payload, path, command.dialect.codec.map_tx_id(found.station_tx_id))
    except SpliceError:
        return payload


def _number(payload: bytes, path: Path) -> int | None:
    try:
        value = json.loads(payload)
        for step in path:
            value = value[step]
        return int(value)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError, OverflowError):
        return None


async def _vouch(command: _Command, payload: bytes) -> None:
    """A token the CSMS starts with counts as accepted here until its start; known before the command goes down."""
    token = command.dialect.codec.remote_token(payload)
    if token is not None:
        until = command.site.clock.now() + timedelta(seconds=REMOTE_START_S)
        await command.site.commit([Put(RemoteStart(command.station.id, token.folded, until))])
