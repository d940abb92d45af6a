"""Walk 2: a command of the CSMS on its way down, each in a task of its own."""

import asyncio
import json
import logging
from dataclasses import dataclass
from datetime import timedelta

from gateway.dialects.base import Dialect, DownRule, Guarded, Role, Route
from gateway.errors import StoreError
from gateway.flows import token_commands
from gateway.flows.token_commands import TokenCommand
from gateway.model.records import Put, RemoteStart
from gateway.ports import StationPort
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.frame import Call, Send
from gateway.rpc.session import Answered, Refused, RefusedResult
from gateway.rpc.splice import Path, SpliceError, splice
from gateway.site import REMOTE_START_S, Site
from gateway.station import Station

log = logging.getLogger(__name__)

GRACE_S = 10.0
"""How long a command waits for a station that is just away."""

_UNKNOWN = DownRule("", Route.RELAY, Route.RELAY)


class _NoSuchTransactionError(Exception):
    """The command names a transaction that is none of this station's."""


@dataclass(frozen=True, slots=True)
class _Command(TokenCommand):
    rule: DownRule

    def rejected(self, why: str) -> bytes:
        """The refusing answer this action has, or a CALLERROR where it has none."""
        log.info("%s: %s of the CSMS is refused: %s", self.station.id, self.call.action, why)
        if self.rule.rejected is not None:
            return self.rule.rejected
        raise CallError(ErrorCode.GENERIC_ERROR, why)


async def handle(site: Site, station: Station, dialect: Dialect, call: Call, received: float) -> bytes:
    """Handle one CALL of the CSMS; returns the payload of its answer. `received` is monotonic. Raises CallError."""
    rule = dialect.down.get(call.action, _UNKNOWN)
    command = _Command(site, station, dialect, call, received + site.options.call_timeout_s, rule)
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
    if rule.route is Route.REFUSE or (rule.route is Route.INTERCEPT and rule.guard is None):
        return command.rejected("the gateway does not pass this on to a station")
    guarded = rule.guard(call.payload) if rule.guard else Guarded(call.payload, lambda answer: answer or b"{}")
    if guarded.forward is None:
        return guarded.finish(None)
    try:
        return guarded.finish(await _forward(command, guarded.forward))
    except _NoSuchTransactionError:
        return command.rejected("no such transaction on this station")


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


async def _forward(command: _Command, payload: bytes) -> bytes:
    site, station, rule = command.site, command.station, command.rule
    port = await _reachable(command)
    if port is None:
        return command.rejected("the station is not connected")
    if port.dialect.name != command.dialect.name:
        return command.rejected("the station speaks another OCPP version")
    for path in rule.tx_ids:
        payload = _map_tx_id(command, payload, path)
    if rule.role is Role.REMOTE_START:
        await _vouch(command, payload)
    outcome = await port.call(command.call.action, payload, send_by=command.deadline)
    if isinstance(outcome, Answered):
        if rule.role is Role.QUEUE_STATUS:
            return command.dialect.codec.queue_status(outcome.payload, _is_in_queue(command))
        if rule.role in (Role.RESERVE, Role.CANCEL_RESERVATION):
            await token_commands.note_answer(command, rule.role, outcome.payload)
        return outcome.payload
    if isinstance(outcome, Refused):
        raise CallError(outcome.code, outcome.description, outcome.details)
    if outcome.was_sent:  # it may act on it all the same: Rejected would be a lie
        raise CallError(ErrorCode.GENERIC_ERROR, f"the station got the command and did not answer: {outcome.why}")
    site.uplink.wake(station.id)
    return command.rejected(f"the station did not get the command: {outcome.why}")


def _is_in_queue(command: _Command) -> bool:
    """Whether the outbox holds messages of the transaction that is asked about, or any at all."""
    asked = command.dialect.codec.transaction_asked(command.call.payload)
    rows = (*command.station.queue.values(), *command.station.parked.values())
    if asked is None:
        return bool(rows)
    found = command.site.ledger.by_station_id(command.station.id, asked)
    return found is not None and any(row.transaction == found.key for row in rows)


async def _reachable(command: _Command) -> StationPort | None:
    """The station's port, waiting a little for one that is in a blip."""
    station = command.station
    if station.port is None:
        try:
            async with asyncio.timeout(GRACE_S):
                await station.attached.wait()
        except TimeoutError:
            return None
    return station.port


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
