"""Walk 5, its second half: what the CSMS keeps in a station by way of the gateway is brought into it: list and cache.

A task a station, at most two stations at a time, never in the way of a command. The CSMS has its answer long before.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gateway.core import local_list
from gateway.core.local_list import Push
from gateway.errors import StoreError
from gateway.model.local_list import ListLimits, UpdateStatus
from gateway.model.records import Put
from gateway.ports import StationPort
from gateway.rpc.session import Answered, Outcome, Unanswered
from gateway.site import Site
from gateway.station import Station

log = logging.getLogger(__name__)

AT_A_TIME = 2
PACE_S = 0.5
"""Between two messages of a list: a station has other things to do."""

ENTRIES_EACH = 20
"""In a message, where the station does not say how many it takes."""

SILENCES = 2
"""A station that left so many of these questions without an answer is not asked again on that connection: a further one
might cost it the connection."""

RETRY_FIRST_S = 60.0
RETRY_MOST_S = 3600.0
AFTER_FAILURE_S = 5.0
_NEVER = float("inf")


@dataclass(slots=True)
class _Held:
    """What is known of a station on its present connection. `above`: no number up to this is taken, not even full."""

    port: StationPort | None = None
    has_lists: bool = True
    is_checked: bool = False
    version: int | None = None
    above: int | None = None
    limits: ListLimits | None = None
    failures: int = 0
    silences: int = 0


@dataclass(slots=True)
class _Keeper:
    """Keeps the list and the cache in one station as the CSMS wants them."""

    site: Site
    station: Station
    turns: asyncio.Semaphore
    held: _Held = field(default_factory=_Held)

    async def run(self) -> None:
        station = self.station
        while True:
            station.list_wake.clear()
            try:
                pause_until = await self._step()
            except StoreError:
                await self.site.writer.ready.wait()
                continue
            except Exception:  # one station's trouble is never another's
                log.exception("%s: its local list failed, trying again in %.0f s", station.id, AFTER_FAILURE_S)
                await asyncio.sleep(AFTER_FAILURE_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(pause_until if pause_until < _NEVER else None):
                    await station.list_wake.wait()

    async def _step(self) -> float:
        """Do what is due. Returns until when (monotonic) there is nothing to do."""
        station, now = self.station, self.site.clock.monotonic()
        state = self.site.tokens.lists.of(station.id)
        if station.port is None or not station.record.was_accepted or station.is_held:
            return _NEVER
        if now < station.settled_at:
            return station.settled_at
        port = station.port
        if self.held.port is not port:
            self.held = _Held(port)
        if self.held.silences >= SILENCES:
            return _NEVER
        if state.clear_due and not await self._clear_cache(port):
            return self._retry_at()
        if state.digest is None or not self.held.has_lists:
            return _NEVER
        if not self.held.is_checked and not await self._check(port):
            return self._retry_at()
        state = self.site.tokens.lists.of(station.id)
        if not self.held.has_lists or state.held_digest == state.digest:
            return _NEVER
        async with self.turns:
            if not await self._push(port):
                return self._retry_at()
        self.held.failures = 0
        return now

    def _retry_at(self) -> float:
        pause = min(RETRY_MOST_S, RETRY_FIRST_S * (1 << self.held.failures))
        self.held.failures = min(self.held.failures + 1, 6)
        return self.site.clock.monotonic() + pause

    async def _clear_cache(self, port: StationPort) -> bool:
        """A station without a cache rejects it, which is as good."""
        asked = self.site.tokens.lists.of(self.station.id).cache_cleared
        if isinstance(await self._ask(port, "ClearCache", b"{}"), Unanswered):
            return False
        state = self.site.tokens.lists.of(self.station.id)
        await self.site.commit([Put(replace(state, clear_due=state.cache_cleared != asked))])
        return True

    async def _check(self, port: StationPort) -> bool:
        """Compare the version in the station with what was written there last. A CALLERROR means: no lists here."""
        outcome = await self._ask(port, *port.dialect.tokens.ask_list_version())
        if isinstance(outcome, Unanswered):
            return False
        version = port.dialect.tokens.list_version(outcome.payload) if isinstance(outcome, Answered) else None
        self.held.has_lists, self.held.version = version is not None, version
        self.held.is_checked = True
        state = self.site.tokens.lists.of(self.station.id)
        if state.held_digest is not None and state.held_version != version:
            log.info("%s: holds local list %s, not %s", self.station.id, version, state.held_version)
            await self._holds(None, None)
        return True

    async def _push(self, port: StationPort) -> bool:
        """Write into the station what it lacks. While that lasts, it holds nobody knows what."""
        limits = self.held.limits = self.held.limits or await self._limits(port)
        if not limits.is_enabled:
            self.held.limits = None  # to be asked again: it may be switched on
            log.info("%s: its local list is switched off", self.station.id)
            return False
        lists = self.site.tokens.lists
        state = lists.of(self.station.id)
        wanted, held = lists.entries(state.digest), lists.entries(state.held_digest)
        is_cut = limits.entries_most is not None and len(wanted) > limits.entries_most
        push = local_list.push(wanted, None if state.held_digest is None or is_cut else held)
        chunks = list(local_list.chunks(self._encoded(port, push), limits.entries_each or ENTRIES_EACH,
                                        limits.bytes_each))  # fmt: skip
        held_version = self.held.above if push.is_full else state.held_version
        version = local_list.first_version(state.version or 1, len(chunks), held_version)
        await self._holds(None, None)
        for number, chunk in enumerate(chunks):
            if number:
                await asyncio.sleep(PACE_S)
            is_full = push.is_full and number == 0
            outcome = await self._ask(port, *port.dialect.tokens.send_list(version + number, is_full, chunk))
            if not self._is_taken(port, outcome):
                return False
        await self._holds(version + len(chunks) - 1, state.digest)
        log.info("%s: took local list %s in %d messages", self.station.id, state.version, len(chunks))
        return True

    async def _ask(self, port: StationPort, action: str, payload: bytes) -> Outcome:
        outcome = await port.call(action, payload)
        if isinstance(outcome, Unanswered) and outcome.was_sent:
            self.held.silences += 1
        return outcome

    async def _limits(self, port: StationPort) -> ListLimits:
        outcome = await self._ask(port, *port.dialect.tokens.ask_list_limits())
        return port.dialect.tokens.list_limits(outcome.payload) if isinstance(outcome, Answered) else ListLimits()

    def _encoded(self, port: StationPort, push: Push) -> Sequence[bytes]:
        """The entries that the station can hold; whoever is left out is asked about when they come."""
        most = self.held.limits.entries_most if self.held.limits else None
        made = [text for entry in push.entries if (text := port.dialect.tokens.list_entry(entry)) is not None]
        left_out = len(push.entries) - len(made)
        if push.is_full and most is not None and len(made) > most:
            left_out += len(made) - most
            made = made[:most]
        if left_out:
            log.warning("%s: has no room for %d entries of its local list", self.station.id, left_out)
        return made

    def _is_taken(self, port: StationPort, outcome: Outcome) -> bool:
        """A station that says NotSupported, or a CALLERROR, is not asked again on this connection."""
        if isinstance(outcome, Unanswered):
            return False
        said = port.dialect.tokens.list_taken(outcome.payload) if isinstance(outcome, Answered) else None
        if said is UpdateStatus.ACCEPTED:
            return True
        log.warning("%s: does not take its local list: %s", self.station.id, said or "it supports none")
        self.held.has_lists = said is not None
        if said is UpdateStatus.VERSION_MISMATCH:
            self.held.above, self.held.is_checked = self.held.version, False
        return False

    async def _holds(self, version: int | None, digest: str | None) -> None:
        changes = self.site.tokens.lists.holds(self.station.id, version, digest)
        if changes:
            await self.site.commit(changes)


async def run(site: Site) -> None:
    """Keep one task for every station there is."""
    turns = asyncio.Semaphore(AT_A_TIME)
    await site.for_each_station("local list", lambda station: _Keeper(site, station, turns).run())
