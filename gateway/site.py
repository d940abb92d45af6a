"""The state of the site, in one object owned by the event loop.

A turn is decide, `commit` (which applies at once and returns when the turn is on disk), then send. What is kept, and
how, is in `durable`; here is what lives as long as the process.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from dataclasses import replace
from typing import TypeVar

from gateway.balancer import Balancer
from gateway.clock import Clock
from gateway.core import idmap, outbox
from gateway.core.authorize import Facts, authorize
from gateway.core.space import Level, level
from gateway.core.switches import Policy, policy
from gateway.core.tokens import Shown
from gateway.dialects.base import Budget
from gateway.durable import Durable
from gateway.meters import Meters
from gateway.model.ids import MessageId, RowId, StationId
from gateway.model.records import (
    Approval,
    Change,
    OutboxRow,
    Put,
)
from gateway.model.settings import Column, Columns, Key
from gateway.model.token import Decision, IdToken, Verdict
from gateway.model.transaction import Transaction
from gateway.ports import DayPort, LinkState, OneLink, StationPort, UplinkPort
from gateway.rpc.session import Outcome, Priority, Request
from gateway.site_options import SiteOptions
from gateway.smartcharging.profile_rules import MAX_PERIODS, MAX_PROFILES, MAX_STACK_LEVEL
from gateway.station import Pending, Station
from gateway.timekeeper import Timekeeper
from gateway.upkeep import Upkeep

K = TypeVar("K")
V = TypeVar("V")
REMOTE_START_S = 600.0
GIVEN = {
    Key.PROFILE_STACK_LEVEL: str(MAX_STACK_LEVEL),
    Key.PROFILE_PERIODS: str(MAX_PERIODS),
    Key.PROFILES_INSTALLED: str(MAX_PROFILES),
    Key.PROFILE_UNITS: "Current,Power",
    Key.PROFILE_UNIT_LETTERS: "A,W",
}
"""Of stations whose profiles the gateway holds: what it takes, whatever they could."""


class Site(Durable):
    """Everything the flows work on."""

    def __init__(self, options: SiteOptions, clock: Clock, source: random.Random) -> None:
        time, upkeep = Timekeeper(clock, options.time), Upkeep(options.messages_per_s, source)
        super().__init__(time, upkeep, options.stations, idmap.first_counter(source))
        self.options = options
        self.clock = clock
        self.random = source
        self.uplink: UplinkPort
        self.one_link: Callable[[], OneLink | None] = lambda: None
        """None where each station has a link of its own."""
        self.is_pressed: Callable[[], bool] = lambda: False
        """Whether samples wait so long for their turn that the CSMS's answer to them is not worth waiting for."""
        self.meters = Meters(options.meters, options.circuits)
        self.balancer = Balancer(options.plan)
        self.days: DayPort | None = None
        self.pending: dict[StationId, Pending] = {}
        digits = f"{source.getrandbits(80):020x}"
        self._id_head = f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-"
        self._ids = 0
        self.last_success_at: float | None = None
        self.verdict_wake = asyncio.Event()
        self.came: deque[StationId] = deque()
        self.came_wake = asyncio.Event()

    # -- stations ---------------------------------------------------------------------------------------------------

    async def admit(self, station_id: StationId, approval: Approval, credential: str | None = None) -> None:
        """Take a station into service, or out of it. Raises StoreError."""
        record = self.station(station_id).record
        kept = None if approval is Approval.REJECTED else record.credential
        await self.commit([Put(replace(record, approval=approval, credential=credential or kept))])

    def attach(self, station: Station, port: StationPort) -> None:
        """A station's socket is there; an older one is closed. The newest proven socket wins."""
        old, station.port = station.port, port
        station.has_booted = False
        if old is not None:
            old.close(1000, "replaced by a newer connection")
        station.attached.set()
        self.settle(station, self.options.after_reconnect_s)
        if station.id not in self.came:
            self.came.append(station.id)
        self.came_wake.set()
        self.balancer.poke()
        self.uplink.wake(station.id)

    def settle(self, station: Station, seconds: float) -> None:
        """The station has come, or its boot is answered: it is left in peace for a moment."""
        station.settled_at = self.clock.monotonic() + seconds
        station.conflicts.clear()
        for wake in (station.list_wake, station.calls_wake):
            wake.set()
        self.verdict_wake.set()

    def detach(self, station: Station, port: StationPort) -> None:
        """A station's socket is gone. The end of an old socket must not harm a newer one."""
        if station.port is port:
            station.port = None
            station.attached.clear()
            self.balancer.poke()
            self.uplink.wake(station.id)

    def csms_id(self, own: Transaction) -> str | None:
        """What the CSMS calls a session, where neither its station nor the gateway does."""
        link = self.one_link()
        return self.translations.csms_id(own) if link is None else link.csms_id(own)

    # -- uplink -----------------------------------------------------------------------------------------------------

    def can_ask(self, station: Station) -> bool:
        """Whether a message may go straight to the CSMS: its link is up, and the station's boot was accepted."""
        return not station.record.boot_due and not station.is_held and self.is_linked(station)

    def is_linked(self, station: Station) -> bool:
        """Whether the station's link to the CSMS is up."""
        return self.uplink.state(station.id) in (LinkState.UP, LinkState.SUSPECT)

    def can_deliver(self, station: Station) -> bool:
        """Whether transaction messages may go up now."""
        return self.can_ask(station) and self.clock.monotonic() >= station.hold_until

    def deadline(self, station: Station, budget: Budget, received: float) -> float:
        """Until when (monotonic) the CSMS's answer is waited for; never above 60 % of the station's own patience."""
        seconds = self.options.patience_s(station.options, budget)
        if self.uplink.state(station.id) is LinkState.SUSPECT:
            seconds = min(seconds, self.options.suspect_s)
        return received + seconds

    def link_up(self, station: Station, dialect: str) -> None:
        """The station's link to the CSMS is there: what was queued before is offline, what was parked may go again."""
        station.first_row_of_link = RowId(self._next_row)
        station.unwanted.clear()
        if not station.is_held:
            station.boot_retry_at = 0.0
        self.unpark(station, outbox.to_try_again(station.parked.values(), dialect))
        station.wake.set()

    def unpark(self, station: Station, rows: Collection[OutboxRow]) -> None:
        """Rows set aside go again; one more refusal sets them aside again."""
        changes = outbox.unpark(rows, station.parked.values(), self.ledger.transactions, self.unknown_outcomes)
        again = [change.record for change in changes if isinstance(change.record, OutboxRow)]
        station.second_chance.update(row.id for row in again if row.errors)
        self.note(changes)

    async def for_each_station(self, name: str, serve: Callable[[Station], Coroutine[None, None, None]]) -> None:
        """Keep one task for every station there is, and for those that come."""
        async with asyncio.TaskGroup() as group:
            served: set[StationId] = set()
            while True:
                for station in list(self.stations.values()):
                    if station.id not in served:
                        served.add(station.id)
                        group.create_task(serve(station), name=f"{name} {station.id}")
                self.new_station.clear()
                await self.new_station.wait()

    def level(self, before: Level = Level.OK) -> Level:
        """How full the queue and its file are."""
        rows = sum(len(station.queue) + len(station.parked) for station in self.stations.values())
        return level(self.writer.space, rows, self.options.limits, before)

    def settings_of(self, station: StationId) -> Columns:
        """A station's settings, with the gateway's own word where it holds the station's charging profiles."""
        known = self.columns.of(station)
        if not self.balancer.is_member(station):
            return known
        held = len(self.charging.profiles(station).held)
        given = {**GIVEN, Key.PROFILES_HELD: str(held)}
        return {**known, **{key: Column(value) for key, value in given.items()}}

    # -- messages ---------------------------------------------------------------------------------------------------

    def message_id(self) -> MessageId:
        """A new id for a CALL of ours: a UUID, random in all but its end, which counts."""
        self._ids += 1
        return MessageId(f"{self._id_head}{self._ids:012x}")

    def request(
        self,
        action: str,
        payload: bytes,
        on_done: Callable[[Outcome], None] = lambda _: None,
        priority: Priority = Priority.STATUS,
        send_by: float = float("inf"),
    ) -> Request:
        """A CALL of ours for the CSMS, under a new id."""
        return Request(self.message_id(), action, payload, on_done, priority, self.options.call_timeout_s, send_by)

    # -- authorization ----------------------------------------------------------------------------------------------

    def authorize(self, shown: Shown) -> Decision:
        """The gateway's own verdict on a token shown at a station."""
        decision, _ = self.judge(shown)
        if decision.is_accepted:
            self.note(self.tokens.cache.use(shown.token, self.clock.now()))
        return decision

    def judge(self, shown: Shown) -> tuple[Decision, Facts]:
        """The same without a trace, and with what it rests on."""
        now, by = self.clock.now(), self.policy(shown.station)
        facts = self.tokens.facts(shown, self.ledger, by.options, now)
        return authorize(shown.token, facts, mode=by.mode, options=by.options, now=now), facts

    def policy(self, station: StationId) -> Policy:
        """By what tokens are judged there: the configuration, and what the CSMS has set."""
        return policy(self.options.offline, self.options.authorization, self.columns.switches(station))

    def learn(self, station: Station, token: IdToken, verdict: Verdict) -> list[Change]:
        """What the CSMS said of a token in an answer, in time or late."""
        size = self.options.authorization.cache_entries
        return self.tokens.learn(station.id, token, verdict, size=size, now=self.clock.now())
