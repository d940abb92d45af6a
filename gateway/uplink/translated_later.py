"""What a translated station has coming later: a reset that waits for it to be idle, the end of a reservation."""

import asyncio
import logging

from gateway.dialects.translate import later
from gateway.dialects.translate.base import Command, Facts, Outcome, Refused
from gateway.dialects.translate.later import Due
from gateway.errors import GatewayError
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.frame import Call
from gateway.site import Site
from gateway.station import Station
from gateway.uplink.translated import Translation
from gateway.uplink.translated_commands import Commanding

log = logging.getLogger(__name__)

FIRST_S = 5.0
"""After the link came up: what the station has to say of the time before comes first."""

RETRY_S = 30.0


class Later:
    """Of one link, one thing after another. `run` ends by cancellation, when the link is gone."""

    def __init__(self, site: Site, station: Station, translation: Translation) -> None:
        self._site = site
        self._station = station
        self._translation = translation

    async def run(self) -> None:
        """Look whenever something was said, and at the time when something is due."""
        changed = self._translation.changed
        await asyncio.sleep(FIRST_S)
        while True:
            changed.clear()
            seconds = await self._look()
            try:
                async with asyncio.timeout(seconds):
                    await changed.wait()
            except TimeoutError:
                continue

    async def _look(self) -> float | None:
        """Do what is due; returns after how many seconds to look again, None: when something was said."""
        try:
            self._site.writer.check()
            found = None if self._station.is_held else later.due(self._facts())
            if found is None or await self._done(found):
                return self._next_look()
        except (GatewayError, CallError) as error:
            log.warning("%s: what is due could not be done: %s", self._station.id, error)
        except Exception:  # it is tried again: the link is not to fall for it
            log.exception("%s: what is due failed", self._station.id)
        await asyncio.sleep(RETRY_S)
        return 0.0

    def _facts(self) -> Facts:
        return self._translation.facts(is_offline=bool(self._station.queue))

    def _next_look(self) -> float | None:
        facts = self._facts()
        at = later.next_look(facts)
        if at is None:
            return None
        seconds = (at - facts.now).total_seconds()
        return seconds if seconds > 0 else RETRY_S

    async def _done(self, found: Due) -> bool:
        """Whether it is: False, it is due again. Raises CallError, GatewayError."""
        call = Call(self._site.message_id(), "", b"{}")
        unasked = _Unasked(self._site, self._station, self._translation, call, self._site.clock.monotonic())
        if found.remember is not None:
            if not await unasked.say(found.then):
                return False
            await unasked.remember(found.remember, ())
            again = later.due(self._facts())  # it took a while: a session may have begun
            if again is None:
                return True
            found = again
        if found.steps is None or self._station.port is None:
            return False
        reply = await unasked.walk(found.steps)
        await unasked.remember(reply.remember, ())
        said = reply.code if isinstance(reply, Refused) else reply.payload.get("status")
        log.info("%s: the reset that waited for the station to be idle: %s", self._station.id, said)
        return later.due(self._translation.facts()) is None


class _Unasked(Commanding):
    """Under way by nobody's command."""

    async def ask(self, asked: Command) -> Outcome:
        """A refusal by who has left in the meantime may be ours: the same as silence."""
        port = self._station.port
        outcome = await super().ask(asked)
        if outcome.status != "Accepted" and self._station.port is not port:
            return Outcome(None, ErrorCode.GENERIC_ERROR, "the station left")
        return outcome
