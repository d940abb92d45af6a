"""A station and a CSMS of different versions: translation at the edge of the uplink, whatever the topology.

Everything inside speaks the station's version. A message on its way up is translated when it is sent, once: what
numbers, opens or closes a transaction at the CSMS is decided and committed before it leaves, repeated byte for byte.
Such messages go one after another; the others may overtake them.
"""

import asyncio
import hashlib
import logging
import uuid
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from msgspec.structs import replace as replaced

from gateway.dialects import schema
from gateway.dialects.base import Role
from gateway.dialects.translate import Pair
from gateway.dialects.translate.base import Edit, Facts, Json, Refused, encode, read
from gateway.dialects.translate.ups import Finished, Frozen, FrozenPart, Up
from gateway.errors import StoreError
from gateway.model.ids import MessageId
from gateway.model.records import OutboxRow
from gateway.rpc import session
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.session import Answered, Outcome, Request, Silence, Unanswered
from gateway.rpc.splice import splice
from gateway.site import Site
from gateway.station import Station

log = logging.getLogger(__name__)

_IN_ORDER = frozenset((Role.TRANSACTION, Role.STATUS))
NO_ID = -1
"""The transactionId of 1.6 for a transaction whose Start the CSMS has never answered, and never will."""


KEPT_PAID = 4
"""Messages of a station that went up after the outbox had lost them, and may be said again."""


class _CutError(Exception):
    """The CSMS did not answer a part; nothing further of this message is sent now."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


@dataclass(slots=True)
class _Job:
    """A message on its way. `was_sent`: a part of it may have reached the CSMS."""

    request: Request
    was_sent: bool = False

    def sent(self) -> None:
        if not self.was_sent:
            self.was_sent = True
            if self.request.on_sent:
                self.request.on_sent()


class Translation:
    """Between one station and its way to the CSMS. `send` takes CALLs in the CSMS's version."""

    def __init__(self, site: Site, station: Station, pair: Pair, send: Callable[[Request], None]) -> None:
        self.pair = pair
        self._site = site
        self._station = station
        self.send = send
        self._queue: deque[_Job] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._closed = asyncio.Event()
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
            self._queue.append(_Job(request))
            if self._worker is None:
                self._worker = asyncio.create_task(self._work(), name=f"translation {self._station.id}")
        else:
            self.run(self._carry(_Job(request)))

    async def call(self, request: Request) -> Outcome:
        """The same for who waits; `on_done` of the request is not used."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.post(replaced(request, on_done=lambda outcome: None if done.done() else done.set_result(outcome)))
        return await done

    def shut(self) -> None:
        """The way to the CSMS is gone. What is under way hears of it from there, what comes from here."""
        self._is_closed = True
        self._closed.set()

    def abandon(self) -> None:
        """The gateway stops: nothing is waited for."""
        for task in self._under_way():
            task.cancel()

    async def wind_up(self) -> None:
        """Return when everything that was under way has its outcome, and what it taught is kept."""
        await asyncio.gather(*self._under_way(), return_exceptions=True)

    def _under_way(self) -> list[asyncio.Task[None]]:
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

    async def _carry(self, job: _Job) -> None:
        outcome: Outcome = Unanswered(Silence.CLOSED, was_sent=False)
        try:
            outcome = await self._on_a_good_store(job)
        except _CutError as cut:
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

    async def _on_a_good_store(self, job: _Job) -> Outcome:
        """While the disk takes nothing, memory holds what may never have been. Raises CallError, _CutError."""
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

    async def _translated(self, job: _Job) -> Outcome:
        """Raises CallError, StoreError, _CutError."""
        request = job.request
        found = read(request.payload)
        kept = self._site.translations.frozen(self._station.id)
        row = self._row(request.message_id)
        said = hashlib.sha256(request.action.encode() + b" " + request.payload).hexdigest()[:32]
        source = said if row is None else row.fingerprint
        frozen = kept.get(request.message_id) or await self._adopted(kept, request.message_id, source)
        if frozen is None:
            up = self._decide(request, found, row)
            if not up.is_booked:
                return await self._ask_all(job, up)
            frozen = await self._book(request, up, source, kept)
        await self._send_owed(job, kept)
        frozen = await self._send_parts(job, request.message_id, frozen)
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
        )

    def _decide(self, request: Request, found: Json, row: OutboxRow | None) -> Up:
        """Raises CallError. What is not of the outbox is of now, unless the outbox is behind."""
        station = self._station
        translator = self.pair.up.up.get(request.action)
        if translator is None:
            is_known = request.action in self.pair.station.up or request.action.endswith("-Signed")
            code = ErrorCode.NOT_SUPPORTED if is_known else ErrorCode.NOT_IMPLEMENTED
            raise CallError(code, f"{request.action} can't be said in OCPP {self.pair.csms.name}")
        is_offline = row.offline if row is not None else bool(station.queue)
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

    def _row(self, message_id: str) -> OutboxRow | None:
        """The outbox's row of that message: almost always its head."""
        head = next(iter(self._station.queue.values()), None)
        if head is not None and head.message_id == message_id:
            return head
        return next((row for row in self._station.queue.values() if row.message_id == message_id), None)

    async def _book(self, request: Request, up: Up, source: str, kept: dict[str, Frozen]) -> Frozen:
        """Decide for good. What is done before leaves with the same commit: by now its row is delivered."""
        site, station, translations = self._site, self._station.id, self._site.translations
        memory = up.remember(translations.memory(station)) if up.remember else translations.memory(station)
        parts = []
        for index, part in enumerate(up.parts):
            payload, needs = encode(part.payload), part.needs
            tx = memory.transactions.get(needs)
            if tx is not None and tx.csms_id:
                needs = ""
            part_id = _part_id(request.message_id, index)
            parts.append(FrozenPart(part_id, part.action, payload.decode(), needs, part.is_optional))
        answer = encode(up.answer).decode()
        frozen = Frozen(source, request.action, tuple(parts), up.tx, answer)
        await site.commit(
            [
                *translations.name(up.aliases),
                *translations.remember(station, up.remember),
                *(translations.forget(station, old) for old in _over(kept)),
                translations.keep(station, request.message_id, frozen),
            ]
        )
        return frozen

    async def _adopted(self, kept: dict[str, Frozen], message_id: str, source: str) -> Frozen | None:
        """What the station says again of a message that was decided, and left the outbox without an answer."""
        open_ones = {
            one_id: one for one_id, one in kept.items() if one.source == source and (one.is_paid or not one.is_done)
        }
        if not open_ones:
            return None
        outbox = self._outbox_ids()
        for old_id, frozen in open_ones.items():
            if old_id not in outbox:
                await self._site.commit(self._site.translations.rename(self._station.id, old_id, message_id))
                kept[message_id] = kept.pop(old_id)
                return frozen
        return None

    def _outbox_ids(self) -> set[MessageId]:
        rows = (*self._station.queue.values(), *self._station.parked.values())
        return {row.message_id for row in rows}

    async def _send_owed(self, job: _Job, kept: dict[str, Frozen]) -> None:
        """What has a number goes up, although nobody holds it any more: else the next one would leave a gap."""
        own = job.request.message_id
        open_ones = [one_id for one_id, one in kept.items() if not (one.is_done or one.is_refused or one_id == own)]
        if not open_ones:
            return
        outbox = self._outbox_ids()
        said_again = {row.fingerprint for row in self._station.queue.values()}
        for owed in open_ones:
            if owed not in outbox and kept[owed].source not in said_again:
                await self._send_debt(job, owed, kept[owed])

    async def _send_debt(self, job: _Job, message_id: str, frozen: Frozen) -> None:
        try:
            paid = replaced(frozen, is_paid=True)
            await self._send_parts(_Job(replaced(job.request, on_sent=None)), message_id, paid)
        except CallError as error:
            log.warning("%s: %s, decided before, is refused: %s", self._station.id, frozen.action, error)

    async def _send_parts(self, job: _Job, message_id: str, frozen: Frozen) -> Frozen:
        """Send what has no answer yet. Raises CallError for the CSMS's refusal."""
        site, station, translations = self._site, self._station.id, self._site.translations
        for index in range(len(frozen.parts)):
            part = frozen.parts[index]
            if part.answer is not None:
                continue
            if part.needs:
                part = await self._bound(job, message_id, part)
                frozen = _with_part(frozen, index, part)
                await site.commit([translations.keep(station, message_id, frozen)])
            outcome = await self._ask(job, part)
            edit = None
            if isinstance(outcome, Answered):
                heard = self.pair.up.heard(
                    part.action, _read_answer(outcome.payload), frozen.tx, translations.memory(station)
                )
                if isinstance(heard, Refused):
                    outcome = session.Refused(heard.code, heard.reason)
                else:
                    edit = heard
            if isinstance(outcome, session.Refused):
                if not part.is_optional:
                    site.note([translations.keep(station, message_id, replaced(frozen, is_refused=True))])
                    raise CallError(outcome.code, outcome.description, outcome.details)
                log.info("%s: the CSMS refused %s: %s", station, part.action, outcome.code)
                outcome = Answered(b"{}")
            assert isinstance(outcome, Answered)
            frozen = _with_part(frozen, index, replaced(part, answer=encode(_read_answer(outcome.payload)).decode()))
            if edit is None:
                site.note([translations.keep(station, message_id, frozen)])
            else:
                await self._learn(edit, message_id, frozen)
        return frozen

    async def _learn(self, edit: Edit, message_id: str, frozen: Frozen) -> None:
        """An answer of the CSMS survives a bad store: it is kept again on a good one."""
        translations, station = self._site.translations, self._station.id
        while True:
            try:
                changes = translations.remember(station, edit)
                await self._site.commit([*changes, translations.keep(station, message_id, frozen)])
                return
            except StoreError:
                await self._site.writer.ready.wait()

    async def _bound(self, job: _Job, message_id: str, part: FrozenPart) -> FrozenPart:
        """The part with the CSMS's transaction id. A Start without an answer goes first, whatever became of its row."""
        translations, station = self._site.translations, self._station.id
        if not self._csms_id(part.needs):
            for start_id, start in translations.frozen(station).items():
                is_start = start.tx == part.needs and start_id != message_id and not start.is_done
                if is_start and any(one.action == "StartTransaction" for one in start.parts):
                    await self._send_parts(job, start_id, start)
        given = self._csms_id(part.needs) or str(NO_ID)
        return replaced(
            part, needs="", payload=splice(part.payload.encode(), ("transactionId",), given.encode()).decode()
        )

    def _csms_id(self, tx: str) -> str:
        known = self._site.translations.memory(self._station.id).transactions.get(tx)
        return known.csms_id if known else ""

    async def _ask_all(self, job: _Job, up: Up) -> Outcome:
        """What is not booked: sent as it is, kept nowhere but in the station's memory."""
        site, station, translations = self._site, self._station.id, self._site.translations
        if aliases := translations.name(up.aliases):
            await site.commit(aliases)
        site.note(translations.remember(station, up.remember))
        said: list[tuple[str, Json]] = []
        for index, part in enumerate(up.parts):
            part_id = _part_id(job.request.message_id, index)
            outcome = await self._ask(job, FrozenPart(part_id, part.action, encode(part.payload).decode()))
            if isinstance(outcome, Answered):
                said.append((part.action, _read_answer(outcome.payload)))
            elif not part.is_optional:
                return outcome
        return await self._finish(job.request.action, up.answer, said, up.tx)

    async def _ask(self, job: _Job, part: FrozenPart) -> Outcome:
        """One CALL. Raises _CutError if there is no answer."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        request = replaced(
            job.request,
            message_id=part.id,
            action=part.action,
            payload=part.payload.encode(),
            on_done=lambda outcome: None if done.done() else done.set_result(outcome),
            on_sent=job.sent,
            send_by=float("inf") if job.was_sent else job.request.send_by,
        )
        self.send(request)
        outcome = await done
        if isinstance(outcome, Unanswered):
            raise _CutError(outcome)
        return outcome

    async def _finish(self, action: str, answer: Json, said: list[tuple[str, Json]], tx: str) -> Outcome:
        finished: Finished = self.pair.up.finish(action, answer, said, tx, self.facts())
        if aliases := self._site.translations.name(finished.aliases):
            await self._site.commit(aliases)
        return Answered(encode(finished.payload))

    def _is_collected(self, request: Request) -> bool:
        if not self.collectors:
            return False
        found = _read_answer(request.payload)
        collector = self.collectors.get((request.action, str(found.get("requestId"))))
        if collector is None:
            return False
        collector.put_nowait(found)
        return True


def _part_id(message_id: str, index: int) -> str:
    """The first part is called as the message, the others after it: the same at every repeat."""
    return message_id if index == 0 else str(uuid.uuid5(uuid.NAMESPACE_URL, f"{message_id}/{index}"))


def _over(kept: dict[str, Frozen]) -> list[str]:
    """What is answered, its row delivered; of what was paid, the latest stay a while."""
    paid = [message_id for message_id, frozen in kept.items() if frozen.is_done and frozen.is_paid]
    return [*(one for one, frozen in kept.items() if frozen.is_done and not frozen.is_paid), *paid[:-KEPT_PAID]]


def _with_part(frozen: Frozen, index: int, part: FrozenPart) -> Frozen:
    return replaced(frozen, parts=(*frozen.parts[:index], part, *frozen.parts[index + 1 :]))


def _read_answer(payload: bytes) -> Json:
    """A peer's answer; what can't be read says nothing."""
    try:
        return read(payload)
    except CallError:
        return {}
