"""Walk 2, the part about tokens: the list and the cache the CSMS keeps in a station are the gateway's to answer for.

What is accepted is on disk before it is answered; the walk `local_list` brings it into the station.
"""

import logging
from dataclasses import dataclass, replace

from gateway.dialects.base import Dialect, Role
from gateway.model.local_list import UpdateStatus
from gateway.model.records import Change, Drop, Put
from gateway.model.token import IdToken
from gateway.rpc.frame import Call
from gateway.rpc.session import Answered, Refused
from gateway.site import Site
from gateway.station import Station

log = logging.getLogger(__name__)

ROLES = frozenset({Role.SEND_LIST, Role.LIST_VERSION, Role.CLEAR_CACHE})
"""What is answered here."""

NOTED = frozenset({Role.RESERVE, Role.CANCEL_RESERVATION, Role.CUSTOMER})
"""Where the station's answer changes what is kept here."""


@dataclass(frozen=True, slots=True)
class TokenCommand:
    """A command of the CSMS under way to a station; `deadline` is monotonic."""

    site: Site
    station: Station
    dialect: Dialect
    call: Call
    deadline: float


async def answer(command: TokenCommand, role: Role) -> bytes:
    """Answer for the station. Raises StoreError, CallError."""
    if role is Role.SEND_LIST:
        return command.dialect.tokens.answer_list(await _take_list(command))
    if role is Role.LIST_VERSION:
        return await _tell_version(command)
    return await _clear_cache(command)


async def _take_list(command: TokenCommand) -> UpdateStatus:
    """A list for this station. The cache forgets who is taken off it, or else it would still let them in.

    Before the first list the station may hold one from a time without this gateway, which a difference is meant for:
    only a full one can be taken then.
    """
    site, station = command.site, command.station
    update = command.dialect.tokens.list_update(command.call.payload)
    if update is None:
        log.warning("%s: a local list of the CSMS can't be read", station.id)
        return UpdateStatus.FAILED
    if not update.is_full and site.tokens.lists.of(station.id).version is None and await _held(command) != 0:
        return UpdateStatus.VERSION_MISMATCH
    status, changes, gone = site.tokens.lists.give(station.id, update, site.clock.now())
    if changes:
        await site.commit([*changes, *site.tokens.cache.taken_off(gone)])
        station.list_wake.set()
    log.info("%s: local list %d of the CSMS, %d entries %s: %s", station.id, update.version, len(update.entries),
             "in all" if update.is_full else "changed", status)  # fmt: skip
    return status


async def _tell_version(command: TokenCommand) -> bytes:
    """What the CSMS gave; before it gave any, what the station has by itself."""
    lists = command.site.tokens.lists
    state = lists.of(command.station.id)
    if state.version is None:
        return command.dialect.tokens.answer_list_version(await _held(command) or 0, is_empty=False)
    return command.dialect.tokens.answer_list_version(state.version, is_empty=not lists.entries(state.digest))


async def _held(command: TokenCommand) -> int | None:
    """The version in the station itself, 0 if it has none and can have none; None if it does not say."""
    port = command.station.port
    if port is None:
        return None
    outcome = await port.call(*port.dialect.tokens.ask_list_version(), send_by=command.deadline)
    if isinstance(outcome, Answered):
        return port.dialect.tokens.list_version(outcome.payload) or 0
    return 0 if isinstance(outcome, Refused) else None


async def _clear_cache(command: TokenCommand) -> bytes:
    """What the CSMS said before counts no more at this station; the station's own cache is cleared when it is there."""
    site, station = command.site, command.station
    state = site.tokens.lists.of(station.id)
    await site.commit([Put(replace(state, cache_cleared=site.clock.now(), clear_due=True))])
    station.list_wake.set()
    return b'{"status":"Accepted"}'


async def forget(site: Site, station: Station, token: IdToken) -> None:
    """A customer is to be forgotten: what the CSMS said of the token, at any station, and what this one has cached.

    The local list is the CSMS's own, and the ledger is what it is billed by: both stay. Raises StoreError.
    """
    known, state = site.tokens.cache.of_key(token.key), site.tokens.lists.of(station.id)
    await site.commit([*([Drop(known)] if known else []), Put(replace(state, clear_due=True))])
    station.list_wake.set()


async def note_answer(command: TokenCommand, role: Role, answered: bytes) -> None:
    """Remember a reservation that the station has accepted, forget one that it has given up; where it has cleared a
    customer's data, what the CSMS said of the token goes, too. Raises StoreError."""
    tokens, station = command.dialect.tokens, command.station
    if not tokens.accepts(answered):
        return
    changes: list[Change] = []
    if role is Role.RESERVE:
        made = tokens.reservation(station.id, command.call.payload)
        changes = [Put(made)] if made else []
    elif role is Role.CUSTOMER:
        token = tokens.cleared_customer(command.call.payload)
        known = command.site.tokens.cache.of_key(token.key) if token else None
        changes = [Drop(known)] if known else []
    else:
        reservation_id = tokens.reservation_id(command.call.payload)
        changes = command.site.tokens.reservations.over(station.id, reservation_id)
    if changes:
        await command.site.commit(changes)
