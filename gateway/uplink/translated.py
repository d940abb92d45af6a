"""A station and a CSMS of different versions: translation at the edge of the uplink, whatever the topology.

Everything inside speaks the station's version. A message on its way up is translated when it is sent, once: what
numbers, opens or closes a transaction at the CSMS is decided and committed before it leaves, repeated byte for byte.
Such messages go one after another; the others may overtake them.
"""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import islice
from typing import Any

from gateway.dialects import schema
from gateway.dialects.base import Role
from gateway.dialects.translate import Pair
from gateway.dialects.translate.base import Facts, Json, Refused, encode, read
from gateway.dialects.translate.ups import Finished, Frozen, FrozenPart, Up
from gateway.errors import StoreError
from gateway.model.records import OutboxRow
from gateway.rpc import session
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.session import Answered, Outcome, Request, Silence, Unanswered
from gateway.site import Site
from gateway.station import Station
from gateway.uplink.translated_keeper import GatewayKeeper
from gateway.uplink.translated_parts import Books, CutError, Job, part_id, read_answer
from gateway.wake import Wake

log = logging.getLogger(__name__)

_IN_ORDER = frozenset((Role.TRANSACTION, Role.STATUS))


class Translation:
    """Between one station and its way to the CSMS. `send` takes CALLs in the CSMS's version."""

    def __init__(self, site: Site, station: Station, pair: Pair, send: Callable[[Request], None]) -> None:
        self.pair = pair
        self._site = site
        self._station = station
        self.send = send
        self._keeper = GatewayKeeper(site, station)
        self._books = Books(site, station, pair, send)
        self._queue: deque[Job] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._closed = asyncio.Event()
        self.changed = Wake()
        """Set when something was said by either side: what was to come may be due."""
        self.collectors: dict[tuple[str, str], asyncio.Queue[Json]] = {}
        """Messages of the station that belong to the answer of a command: by action and requestId."""

    @property
    def is_idle(self) -> bool:
        return not self._queue and self._worker is None and not self._tasks

    def post(self, request: Request) -> None:
        """Carry a message of the station up. Its `on_done` hears the outcome in the station's version, once, always."""
        rule = self.pair.station.up.get(request.action)
        if self._is_closed:
            request.on_done(Unanswered(Silence.NOT_CONNECTED, was_sent=False))
        elif self._is_collected(request):
            request.on_done(Answered(b"{}"))
        elif rule is not None and rule.role in _IN_ORDER:
            self._queue.append(Job(request))
            if self._worker is None:
                self._worker = asyncio.create_task(self._work(), name=f"translation {self._station.id}")
        else:
            self.run(self._carry(Job(request)))

    def shut(self) -> None:
        """The way to the CSMS is gone. What is under way hears of it from there, what comes from here."""
        self._is_closed = True
        self._closed.set()

    def abandon(self) -> None:
        """The gateway stops: nothing is waited for."""
        for task in self.under_way():
            task.cancel()

    def under_way(self) -> list[asyncio.Task[None]]:
        """What has no outcome yet."""
        return [*self._tasks, *([self._worker] if self._worker else [])]

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"translation {self._station.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        try:
            while self._queue:
                await self._carry(self._queue.popleft())
        finally:
            self._worker = None
            while self._queue:
                self._queue.popleft().request.on_done(Unanswered(Silence.CLOSED, was_sent=False))

    async def _carry(self, job: Job) -> None:
        outcome: Outcome = Unanswered(Silence.CLOSED, was_sent=False)
        try:
            outcome = await self._on_a_good_store(job)
        except CutError as cut:
            outcome = cut.outcome
        except CallError as error:
            outcome = session.Refused(error.code, error.description, error.details)
        except asyncio.CancelledError:
            outcome = Unanswered(Silence.CLOSED, was_sent=job.was_sent)
            raise
        except Exception:  # one message's trouble is never another's
            log.exception("%s: %s could not be translated", self._station.id, job.request.action)
            outcome = session.Refused(ErrorCode.INTERNAL_ERROR, "the gateway failed to translate this")
        finally:
            if isinstance(outcome, Unanswered) and job.was_sent and not outcome.was_sent:
                outcome = replace(outcome, was_sent=True)
            job.request.on_done(outcome)
            self.changed.set()

    async def _on_a_good_store(self, job: Job) -> Outcome:
        """While the disk takes nothing, memory holds what may never have been. Raises CallError, CutError."""
        while not self._is_closed:
            try:
                self._site.writer.check()
                return await self._translated(job)
            except StoreError:
                await self._store_or_end()
        return Unanswered(Silence.CLOSED, was_sent=False)

    async def _store_or_end(self) -> None:
        waiting = [asyncio.create_task(one.wait()) for one in (self._site.writer.ready, self._closed)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def _translated(self, job: Job) -> Outcome:
        """Raises CallError, StoreError, CutError."""
        request = job.request
        found = read(request.payload)
        kept = self._books.kept()
        row = self._row(request.message_id)
        said = hashlib.sha256(request.action.encode() + b" " + request.payload).hexdigest()[:32]
        source = said if row is None else row.fingerprint
        frozen = kept.get(request.message_id) or await self._books.adopted(kept, request.message_id, source)
        if frozen is None:
            is_offline = self._is_behind(kept) if row is None else row.offline
            up = self._decide(request, found, is_offline=is_offline)
            if not up.is_booked:
                return await self._ask_all(job, up)
            frozen = await self._books.book(request, up, source, kept)
        await self._books.send_owed(job, kept)
        frozen = await self._books.send_parts(job, request.message_id, frozen)
        heard = [(part.action, read((part.answer or "{}").encode())) for part in frozen.parts]
        return await self._finish(request.action, read(frozen.answer.encode()), heard, frozen.tx)

    def facts(self, message_id: str = "", *, is_offline: bool = False) -> Facts:
        kept = self._site.translations
        return Facts(
            memory=kept.memory(self._station.id),
            now=self._site.clock.now(),
            station=self.pair.station.name,
            csms=self.pair.csms.name,
            aliases=kept.aliases,
            message_id=message_id,
            is_offline=is_offline,
            keeper=self._keeper,
        )

    def _decide(self, request: Request, found: Json, *, is_offline: bool) -> Up:
        """Raises CallError."""
        station = self._station
        translator = self.pair.up.up.get(request.action)
        if translator is None:
            is_known = request.action in self.pair.station.up or request.action.endswith("-Signed")
            code = ErrorCode.NOT_SUPPORTED if is_known else ErrorCode.NOT_IMPLEMENTED
            raise CallError(code, f"{request.action} can't be said in OCPP {self.pair.csms.name}")
        up = translator(found, self.facts(request.message_id, is_offline=is_offline))
        if isinstance(up, Refused):
            raise up.error()
        for loss in up.losses:
            log.info("%s: %s: lost in translation: %s", station.id, request.action, loss)
        for part in up.parts:
            problems = schema.validate(self.pair.csms.name, part.action, "request", encode(part.payload))
            if problems and not up.is_booked:
                raise CallError(
                    ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, f"not in OCPP {self.pair.csms.name}: {problems[0]}"
                )
            if problems:
                log.error("%s: %s becomes an invalid %s: %s", station.id, request.action, part.action, problems[0])
        return up

    def _is_behind(self, kept: dict[str, Frozen]) -> bool:
        """Whether what is said now would overtake messages of the outbox; one that is just answered is none."""
        ahead = islice(self._station.queue.values(), 4)
        return any((known := kept.get(row.message_id)) is None or not known.is_done for row in ahead)

    def _row(self, message_id: str) -> OutboxRow | None:
        """The outbox's row of that message: almost always its head."""
        head = next(iter(self._station.queue.values()), None)
        if head is not None and head.message_id == message_id:
            return head
        return next((row for row in self._station.queue.values() if row.message_id == message_id), None)

    async def _ask_all(self, job: Job, up: Up) -> Outcome:
        """What is not booked: sent as it is, kept nowhere but in the station's memory."""
        site, station, translations = self._site, self._station.id, self._site.translations
        changes = [*translations.name(up.aliases), *translations.remember(station, up.remember)]
        if translations.names_anew(changes):
            await site.commit(changes)
        else:
            site.note(changes)
        said: list[tuple[str, Json]] = []
        for index, part in enumerate(up.parts):
            own_id = part_id(job.request.message_id, index)
            outcome = await self._books.ask(job, FrozenPart(own_id, part.action, encode(part.payload).decode()))
            if isinstance(outcome, Answered):
                said.append((part.action, read_answer(outcome.payload)))
            elif not part.is_optional:
                return outcome
        return await self._finish(job.request.action, up.answer, said, up.tx)

    async def _finish(self, action: str, answer: Json, said: list[tuple[str, Json]], tx: str) -> Outcome:
        finished: Finished = self.pair.up.finish(action, answer, said, tx, self.facts())
        if aliases := self._site.translations.name(finished.aliases):
            await self._site.commit(aliases)
        return Answered(encode(finished.payload))

    def _is_collected(self, request: Request) -> bool:
        if not self.collectors:
            return False
        found = read_answer(request.payload)
        collector = self.collectors.get((request.action, str(found.get("requestId"))))
        if collector is None:
            return False
        collector.put_nowait(found)
        return True
