"""Messages that are decided for good: kept on disk before they leave, sent in order, repeated byte for byte."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace as replaced

from gateway.dialects.translate import Pair
from gateway.dialects.translate.base import Edit, Json, Refused, encode, read
from gateway.dialects.translate.ups import Frozen, FrozenPart, Up
from gateway.errors import StoreError
from gateway.flows import verdict
from gateway.model.ids import MessageId
from gateway.model.token import AuthorizationStatus, Verdict
from gateway.rpc import session
from gateway.rpc.codes import CallError
from gateway.rpc.session import Answered, Outcome, Request, Unanswered
from gateway.rpc.splice import splice
from gateway.site import Site
from gateway.station import Station

log = logging.getLogger(__name__)

NO_ID = -1
"""The transactionId of 1.6 for a transaction whose Start the CSMS has never answered, and never will."""


KEPT_PAID = 4
"""Messages of a station that went up after the outbox had lost them, and may be said again."""


class CutError(Exception):
    """The CSMS did not answer a part; nothing further of this message is sent now."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


@dataclass(slots=True)
class Job:
    """A message on its way. `was_sent`: a part of it may have reached the CSMS."""

    request: Request
    was_sent: bool = False

    def sent(self) -> None:
        if not self.was_sent:
            self.was_sent = True
            if self.request.on_sent:
                self.request.on_sent()


class Books:
    """Of one station. `send` takes CALLs in the CSMS's version."""

    def __init__(self, site: Site, station: Station, pair: Pair, send: Callable[[Request], None]) -> None:
        self._site = site
        self._station = station
        self._pair = pair
        self._send = send

    def kept(self) -> dict[str, Frozen]:
        """What is under way, by message id, in order."""
        return self._site.translations.frozen(self._station.id)

    async def book(self, request: Request, up: Up, source: str, kept: dict[str, Frozen]) -> Frozen:
        """Decide for good. What is done leaves with the same commit, its row too: a row that stays is said again."""
        site, station, translations = self._site, self._station.id, self._site.translations
        memory = up.remember(translations.memory(station)) if up.remember else translations.memory(station)
        parts = []
        for index, part in enumerate(up.parts):
            payload, needs = encode(part.payload), part.needs
            tx = memory.transactions.get(needs)
            if tx is not None and tx.csms_id:
                needs = ""
            own_id = part_id(request.message_id, index)
            parts.append(FrozenPart(own_id, part.action, payload.decode(), needs, part.is_optional))
        answer = encode(up.answer).decode()
        frozen = Frozen(source, request.action, tuple(parts), up.tx, answer)
        site.writer.mark_now()
        await site.commit(
            [
                *translations.name(up.aliases),
                *translations.remember(station, up.remember),
                *(translations.forget(station, old) for old in self._over(kept)),
                translations.keep(station, request.message_id, frozen),
            ]
        )
        return frozen

    def _over(self, kept: dict[str, Frozen]) -> list[str]:
        """What is answered, or was refused and taken out by an operator; of what was paid, the latest stay a while."""
        over = [one for one, frozen in kept.items() if (not frozen.is_paid if frozen.is_done else frozen.is_refused)]
        over += [one for one, frozen in kept.items() if frozen.is_done and frozen.is_paid][:-KEPT_PAID]
        outbox = self._outbox_ids() if over else set()
        return [message_id for message_id in over if message_id not in outbox]

    async def adopted(self, kept: dict[str, Frozen], message_id: str, source: str) -> Frozen | None:
        """What the station says again of a message that was decided, and left the outbox without an answer."""
        open_ones = {one_id: one for one_id, one in kept.items() if one.source == source}
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

    async def send_owed(self, job: Job, kept: dict[str, Frozen]) -> None:
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

    async def _send_debt(self, job: Job, message_id: str, frozen: Frozen) -> None:
        try:
            paid = replaced(frozen, is_paid=True)
            await self.send_parts(Job(replaced(job.request, on_sent=None)), message_id, paid)
        except CallError as error:
            log.warning("%s: %s, decided before, is refused: %s", self._station.id, frozen.action, error)

    async def send_parts(self, job: Job, message_id: str, frozen: Frozen) -> Frozen:
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
            outcome = await self.ask(job, part)
            edit = late = None
            if isinstance(outcome, Answered):
                heard = self._pair.up.heard(
                    part.action, read_answer(outcome.payload), frozen.tx, translations.memory(station)
                )
                if isinstance(heard, Refused):
                    outcome = session.Refused(heard.code, heard.reason)
                else:
                    edit, late = heard, self._pair.up.verdict(part, read_answer(outcome.payload))
            if isinstance(outcome, session.Refused):
                if not part.is_optional:
                    site.note([translations.keep(station, message_id, replaced(frozen, is_refused=True))])
                    raise CallError(outcome.code, outcome.description, outcome.details)
                log.info("%s: the CSMS refused %s: %s", station, part.action, outcome.code)
                outcome = Answered(b"{}")
            assert isinstance(outcome, Answered)
            frozen = _with_part(frozen, index, replaced(part, answer=encode(read_answer(outcome.payload)).decode()))
            if edit is None and late is None:
                site.note([translations.keep(station, message_id, frozen)])
            else:
                await self._learn(edit, late, message_id, frozen)
        return frozen

    async def _learn(self, edit: Edit | None, late: Verdict | None, message_id: str, frozen: Frozen) -> None:
        """An answer of the CSMS survives a bad store: it is kept again on a good one. With it, what follows of it: a
        verdict is not asked for again."""
        site, translations, station = self._site, self._site.translations, self._station.id
        while True:
            try:
                changes = [*translations.remember(station, edit), translations.keep(station, message_id, frozen)]
                if late is not None:
                    changes += verdict.hear(site, self._station, frozen.tx, late)
                if edit is None and late is not None and late.status is AuthorizationStatus.ACCEPTED:
                    site.note(changes)
                else:
                    await site.commit(changes)
                    site.verdict_wake.set()
                return
            except StoreError:
                await site.writer.ready.wait()

    async def _bound(self, job: Job, message_id: str, part: FrozenPart) -> FrozenPart:
        """The part with the CSMS's transaction id. A Start without an answer goes first, whatever became of its row."""
        translations, station = self._site.translations, self._station.id
        if not self._csms_id(part.needs):
            for start_id, start in translations.frozen(station).items():
                is_start = start.tx == part.needs and start_id != message_id and not start.is_done
                if is_start and any(one.action == "StartTransaction" for one in start.parts):
                    await self.send_parts(job, start_id, start)
        given = self._csms_id(part.needs) or str(NO_ID)
        return replaced(
            part, needs="", payload=splice(part.payload.encode(), ("transactionId",), given.encode()).decode()
        )

    def _csms_id(self, tx: str) -> str:
        known = self._site.translations.memory(self._station.id).transactions.get(tx)
        return known.csms_id if known else ""

    async def ask(self, job: Job, part: FrozenPart) -> Outcome:
        """One CALL. Raises CutError if there is no answer."""
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
        self._send(request)
        outcome = await done
        if isinstance(outcome, Unanswered):
            raise CutError(outcome)
        return outcome


def part_id(message_id: str, index: int) -> str:
    """The first part is called as the message, the others after it: the same at every repeat."""
    return message_id if index == 0 else str(uuid.uuid5(uuid.NAMESPACE_URL, f"{message_id}/{index}"))


def _with_part(frozen: Frozen, index: int, part: FrozenPart) -> Frozen:
    return replaced(frozen, parts=(*frozen.parts[:index], part, *frozen.parts[index + 1 :]))


def read_answer(payload: bytes) -> Json:
    """A peer's answer; what can't be read says nothing."""
    try:
        return read(payload)
    except CallError:
        return {}
