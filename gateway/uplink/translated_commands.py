"""Commands of a CSMS for a station of another version: translated, with all that they ask of the station."""

import asyncio
import logging
from dataclasses import replace

from gateway.dialects import schema
from gateway.dialects.translate.base import (
    Alias,
    Command,
    Edit,
    Json,
    Message,
    Outcome,
    Refused,
    Reply,
    Steps,
    encode,
    read,
)
from gateway.errors import StoreError
from gateway.flows import command
from gateway.model.events import RegistrationStatus
from gateway.model.settings import Learned
from gateway.model.token import IdToken
from gateway.rpc import session
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.frame import Call
from gateway.rpc.session import Priority, Request
from gateway.site import Site
from gateway.station import Station
from gateway.uplink.translated import Translation

log = logging.getLogger(__name__)

RESERVE_S = 2.0
"""Of the CSMS's patience, what is left for the answer itself after waiting for a station's reports."""


async def answer(site: Site, station: Station, translation: Translation, call: Call, received: float) -> bytes:
    """Handle one CALL of the CSMS in its version; returns the payload of its answer. `received` is monotonic.

    Raises CallError, LeftUnanswered.
    """
    pair = translation.pair
    translator = pair.commands.get(call.action)
    if translator is None:
        code = ErrorCode.NOT_SUPPORTED if call.action in pair.csms.down else ErrorCode.NOT_IMPLEMENTED
        raise CallError(code, f"{call.action} can't be said in OCPP {pair.station.name}")
    under_way = Commanding(site, station, translation, call, received)
    facts = translation.facts(is_offline=bool(station.queue))
    try:
        ended = await under_way.walk(translator(read(call.payload), facts))
        await under_way.remember(ended.remember, ended.aliases if isinstance(ended, Reply) else ())
    finally:
        translation.changed.set()
    if isinstance(ended, Refused):
        raise ended.error()
    for loss in ended.losses:
        log.info("%s: %s: lost in translation: %s", station.id, call.action, loss)
    payload = encode(ended.payload)
    for problem in schema.validate(pair.csms.name, call.action, "response", payload)[:1]:
        log.error("%s: the answer to %s is invalid: %s", station.id, call.action, problem)
    if ended.then:
        translation.run(under_way.say_after(ended.then))
    return payload


class Commanding:
    """One command under way."""

    def __init__(self, site: Site, station: Station, translation: Translation, call: Call, received: float) -> None:
        self._site = site
        self._station = station
        self._translation = translation
        self._call = call
        self._received = received

    async def walk(self, steps: Steps) -> Reply | Refused:
        """Raises CallError, LeftUnanswered."""
        try:
            asked = next(steps)
            while True:
                asked = steps.send(await self.ask(asked))
        except StopIteration as end:
            ended: Reply | Refused = end.value
            return ended
        finally:
            steps.close()

    async def remember(self, edit: Edit | None, aliases: tuple[Alias, ...]) -> None:
        """Raises CallError if it can't be kept."""
        kept, station = self._site.translations, self._station.id
        changes = [*kept.name(aliases), *kept.remember(station, edit)]
        if changes:
            try:
                await self._site.commit(changes)
            except StoreError:
                raise CallError(ErrorCode.INTERNAL_ERROR, "the gateway can't write to its disk") from None

    async def ask(self, asked: Command) -> Outcome:
        """Raises CallError, LeftUnanswered."""
        await self.remember(asked.remember, asked.aliases)
        if asked.password is not None:
            return await self._set_password(asked.password)
        if asked.forgets is not None:
            return await self._forget(asked.forgets)
        if asked.collects is None:
            return await self._down(asked)
        key = asked.collects, str(asked.payload.get("requestId"))
        parts: asyncio.Queue[Json] = asyncio.Queue()
        self._translation.collectors[key] = parts
        try:
            outcome = await self._down(asked)
            if outcome.status != "Accepted":
                return outcome
            return replace(outcome, collected=tuple(await self._collected(parts)))
        finally:
            del self._translation.collectors[key]

    async def _set_password(self, secret: bytes) -> Outcome:
        """It is of this link, and goes no further."""
        site, station = self._site, self._station
        if station.record.registration is RegistrationStatus.REJECTED:
            return Outcome(None, ErrorCode.SECURITY_ERROR, "the CSMS has rejected this station")
        try:
            await site.commit(site.columns.changes(station.id, Learned(secret=secret, is_promise=True)))
        except StoreError:
            raise CallError(ErrorCode.INTERNAL_ERROR, "the gateway can't write to its disk") from None
        log.warning("%s: the CSMS set the password of its link; the next connection uses it", station.id)
        site.columns.renew(station.id, secret)
        site.uplink.wake(station.id)
        return Outcome({"status": "Accepted"})

    async def _forget(self, token: IdToken) -> Outcome:
        try:
            await command.forget_customer(self._site, self._station, token)
        except StoreError:
            raise CallError(ErrorCode.INTERNAL_ERROR, "the gateway can't write to its disk") from None
        log.info("%s: a customer's token is forgotten by the CSMS's wish", self._station.id)
        return Outcome({"status": "Accepted"})

    async def _down(self, asked: Command) -> Outcome:
        """As every command goes, in the station's version."""
        call = Call(self._call.message_id, asked.action, encode(asked.payload))
        try:
            said = await command.handle(self._site, self._station, self._translation.pair.station, call, self._received)
            return Outcome(read(said))
        except CallError as error:
            return Outcome(None, str(error.code), error.description)

    async def _collected(self, parts: asyncio.Queue[Json]) -> list[Json]:
        """What came in time; the last part has no `tbc`."""
        found: list[Json] = []
        left = self._received + self._site.options.call_timeout_s - RESERVE_S - self._site.clock.monotonic()
        try:
            async with asyncio.timeout(max(left, 0.0)):
                while True:
                    found.append(await parts.get())
                    if found[-1].get("tbc") is not True:
                        return found
        except TimeoutError:
            log.warning("%s: %s: not all of its answer came in time", self._station.id, self._call.action)
            return found

    async def say_after(self, messages: tuple[Message, ...]) -> None:
        """What the CSMS hears after the answer."""
        await self.say(messages)

    async def say(self, messages: tuple[Message, ...]) -> bool:
        """CALLs to the CSMS, one after another; whether it answered all of them, be it with a refusal."""
        heard_all = True
        for message in messages:
            name, payload = self._translation.pair.csms.name, encode(message.payload)
            for problem in schema.validate(name, message.action, "request", payload)[:1]:
                log.error("%s: %s after an answer is invalid: %s", self._station.id, message.action, problem)
            heard: asyncio.Future[session.Outcome] = asyncio.get_running_loop().create_future()
            request = Request(
                self._site.message_id(),
                message.action,
                payload,
                lambda outcome, heard=heard: None if heard.done() else heard.set_result(outcome),  # type: ignore[misc]
                Priority.STATUS,
                self._site.options.call_timeout_s,
            )
            self._translation.send(request)
            outcome = await heard
            if isinstance(outcome, session.Refused):
                log.warning("%s: the CSMS refused %s: %s", self._station.id, message.action, outcome.code)
            heard_all = heard_all and not isinstance(outcome, session.Unanswered)
        return heard_all
