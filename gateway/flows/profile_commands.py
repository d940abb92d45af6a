"""Walk 2, the part about charging profiles: towards the CSMS the gateway is the station.

What is accepted is on disk before it is answered. None of it goes down: it is an input of the balancer, whose own
profiles are the only ones in a station.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.dialects.base import Dialect
from gateway.dialects.profiles import PROFILE_CODECS, REPORTING, Message, ProfileCodec
from gateway.flows import applied, site_facts
from gateway.flows.profile_limits import limits_of
from gateway.model.profile import Refusal, Refused, StartProfile
from gateway.model.site_tree import ConnectorKey
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.frame import Call
from gateway.site import Site
from gateway.smartcharging import profile_updates, profiles
from gateway.smartcharging.held import Running
from gateway.smartcharging.profile_rules import Limits, refuse_schedule
from gateway.station import Station

log = logging.getLogger(__name__)

REPORTS_AFTER_S = 0.1
"""A report goes behind the answer that promises it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A command about profiles for a station whose current is shared."""

    site: Site
    station: Station
    dialect: Dialect
    call: Call

    @property
    def codec(self) -> ProfileCodec:
        return PROFILE_CODECS[self.dialect.name]

    @property
    def known(self) -> profiles.Profiles:
        return self.site.charging.profiles(self.station.id)

    @property
    def limits(self) -> Limits:
        by_id = not self.dialect.csms_gives_tx_ids
        is_dynamic = "UpdateDynamicSchedule" in self.dialect.down
        return limits_of(self.site.balancer, self.station.id, by_id=by_id, is_dynamic=is_dynamic)

    def running(self, evse: int) -> Running | None:
        transaction = site_facts.running_at(self.site, ConnectorKey(self.station.id, evse))
        return site_facts.running_of(self.site, self.station, transaction) if transaction else None

    async def commit(self, outcome: profiles.Outcome) -> None:
        """Raises StoreError."""
        if outcome.changes:
            await self.site.commit(self.site.charging.changes(self.station.id, outcome.changes))
            self.site.balancer.poke()


async def answer(asked: Asked) -> bytes:
    """Answer for the station. Raises StoreError, CallError."""
    handler = _HANDLERS.get(asked.call.action)
    if handler is None:
        raise CallError(ErrorCode.NOT_SUPPORTED, "this site shares its current, and knows no such command")
    return await handler(asked)


async def _set(asked: Asked) -> bytes:
    said = asked.codec.read_set(asked.call.payload)
    now = asked.site.clock.now()
    outcome = profiles.put(asked.known, said, asked.limits, asked.running(said.evse), now, dialect=asked.dialect.name)
    _log(asked, outcome.refusal, f"profile {said.profile.id} for EVSE {said.evse}")
    await asked.commit(outcome)
    return asked.codec.answer_set(outcome.refusal)


def _log(asked: Asked, refusal: Refusal | None, what: str) -> None:
    log.info("%s: %s of the CSMS: %s", asked.station.id, what, f"refused, {refusal.what}" if refusal else "kept")


async def _clear(asked: Asked) -> bytes:
    outcome = profiles.clear(asked.known, asked.codec.read_clear(asked.call.payload))
    await asked.commit(outcome)
    return asked.codec.answer_clear(bool(outcome.changes))


async def _get(asked: Asked) -> bytes:
    codec = REPORTING[asked.dialect.name]
    request, wanted = codec.read_get(asked.call.payload)
    held = (*site_facts.held_of(asked.site, asked.station.id), *applied.as_external(asked.site, asked.station.id))
    found = profiles.select(held, wanted)
    messages = [
        codec.report(request, part.evse, part.source, part.profiles, part.more_follow)
        for part in profiles.report(found, asked.dialect.name)
    ]
    asyncio.get_running_loop().call_later(REPORTS_AFTER_S, _post, asked, messages)
    return codec.answer_get(bool(found))


def _post(asked: Asked, messages: Sequence[Message]) -> None:
    """The CSMS asked for it: if it does not want it any more, nothing is lost."""
    for message in messages:
        asked.site.uplink.post(asked.station.id, asked.site.request(*message))


async def _composite(asked: Asked) -> bytes:
    said = asked.codec.read_composite(asked.call.payload)
    refusal = refuse_schedule(said, asked.limits)
    if refusal is not None:
        return asked.codec.answer_composite(refusal)
    told = applied.tell(asked.site, asked.station.id, said)
    return asked.codec.answer_composite(told or Refusal(Refused.EVSE, f"there is no EVSE {said.evse}"))


async def _update(asked: Asked) -> bytes:
    update = REPORTING[asked.dialect.name].read_update(asked.call.payload)
    outcome = profile_updates.update_dynamic(asked.known, update, asked.site.clock.now())
    await asked.commit(outcome)
    return asked.codec.answer_set(outcome.refusal)


async def _use_priority(asked: Asked) -> bytes:
    codec = REPORTING[asked.dialect.name]
    wire_id, is_on = codec.read_use_priority(asked.call.payload)
    transaction = asked.site.ledger.by_station_id(asked.station.id, wire_id)
    evse = transaction.evse if transaction and transaction.evse else 0
    running = asked.running(evse)
    is_same = running is not None and transaction is not None and running.transaction == transaction.key
    outcome, status = profile_updates.use_priority(asked.known, evse, running if is_same else None, is_on)
    await asked.commit(outcome)
    return codec.answer_use_priority(status)


async def begin_start(asked: Asked) -> tuple[StartProfile | None, bytes | None]:
    """The profile of a remote start, kept until its transaction begins; and the answer, if nothing is to start."""
    said = asked.codec.read_start(asked.call.payload)
    if said is None:
        return None, None
    outcome = profiles.put_at_start(asked.known, said, asked.limits, asked.site.clock.now(), asked.dialect.name)
    if outcome.refusal is not None:
        _log(asked, outcome.refusal, "a remote start's profile")
        return None, asked.codec.answer_start_refused(outcome.refusal)
    await asked.commit(outcome)
    return said, None


async def end_start(asked: Asked, said: StartProfile | None, answered: bytes | None) -> None:
    """A start that was refused takes its profile along; `answered` None: nobody knows."""
    if said is not None and answered is not None and not asked.codec.is_accepted(answered):
        await asked.commit(profiles.start_refused(asked.known, said))


_HANDLERS: dict[str, Callable[[Asked], Awaitable[bytes]]] = {
    "SetChargingProfile": _set,
    "ClearChargingProfile": _clear,
    "GetChargingProfiles": _get,
    "GetCompositeSchedule": _composite,
    "UpdateDynamicSchedule": _update,
    "UsePriorityCharging": _use_priority,
}
