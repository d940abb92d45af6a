"""One CALL of a station under way, and asking the CSMS on its behalf."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.dialects.base import Budget, Dialect, Role, UpRule
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.frame import Call
from gateway.rpc.session import Outcome, Priority
from gateway.site import Site
from gateway.station import Station


@dataclass(slots=True)
class Incoming:
    """A CALL with all that is needed to handle it. `received` is monotonic; budgets run from there."""

    site: Site
    station: Station
    dialect: Dialect
    rule: UpRule
    call: Call
    received: float

    def deadline(self, budget: Budget | None = None) -> float:
        """Until when (monotonic) the CSMS is waited for."""
        return self.site.deadline(self.station, budget or self.rule.budget, self.received)

    def offline_answer(self) -> bytes:
        """The table's answer for a CSMS that can't be reached. Raises CallError."""
        if isinstance(self.rule.offline, bytes):
            return self.rule.offline
        raise CallError(self.rule.offline or ErrorCode.INTERNAL_ERROR, "the CSMS can't be reached")

    @property
    def is_understood(self) -> bool:
        """Whether the link is one of its version: for messages of an earlier one it may be another for a while."""
        spoken = self.site.uplink.dialect(self.station.id)
        return spoken is not None and spoken.name == self.dialect.name


T = TypeVar("T")


async def wait(waiter: asyncio.Future[T], deadline: float) -> T:
    """The waiter's result, or None at the deadline (monotonic). One timer, no cancellation: this is on the hot path."""
    timer = asyncio.get_running_loop().call_at(deadline, _give_up, waiter)
    try:
        return await waiter
    finally:
        timer.cancel()


def _give_up(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def ask(incoming: Incoming, late: Callable[[Outcome], None] | None = None) -> Outcome | None:
    """Ask the CSMS within the action's budget. None: no answer in time; one that comes later goes to `late`."""
    site, station, rule, call = incoming.site, incoming.station, incoming.rule, incoming.call
    may_ask = site.can_ask(station) or (station.is_called_for(call.action) and site.is_linked(station))
    if not (may_ask and incoming.is_understood):
        return None
    deadline = incoming.deadline()
    waiter: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()

    def heard(outcome: Outcome) -> None:
        if not waiter.done():
            waiter.set_result(outcome)
        elif late:
            late(outcome)

    priority = Priority.COMMAND if rule.role is Role.AUTHORIZE else Priority.STATUS
    site.uplink.post(station.id, site.request(call.action, _cleaned(incoming), heard, priority, deadline))
    outcome = await wait(waiter, deadline)
    if outcome is None:
        site.uplink.suspect(station.id)
    return outcome


def _cleaned(incoming: Incoming) -> bytes:
    """What goes up: without secrets, and with the CSMS's own settings; what the station told of its own is kept."""
    site, station, payload = incoming.site, incoming.station, incoming.call.payload
    if incoming.rule.clean is None:
        return payload
    payload, learned = incoming.rule.clean(payload, site.settings_of(station.id))
    site.note(site.columns.changes(station.id, learned))
    return payload
