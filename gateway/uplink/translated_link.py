"""A link whose CSMS speaks another version than the station: to the walks it is one of the station's version."""

import asyncio
import logging
from collections.abc import Iterable

from gateway.clock import Clock
from gateway.dialects.translate import Pair
from gateway.rpc.frame import Call, Send
from gateway.rpc.session import Request
from gateway.site import Site
from gateway.station import Station
from gateway.transport import Socket
from gateway.uplink.interpreter import Interpreter
from gateway.uplink.link import Link

log = logging.getLogger(__name__)


class TranslatedLink(Link):
    """`dialect` is the station's; what goes over the socket is the CSMS's."""

    def __init__(self, site: Site, station: Station, socket: Socket, pair: Pair, *, clock: Clock) -> None:
        super().__init__(
            station.id,
            socket,
            pair.csms,
            clock=clock,
            answer=self._answer_translated,
            call_timeout_s=site.options.call_timeout_s,
            on_send=self._drop_send,
        )
        self.dialect = pair.station
        self._interpreter = Interpreter(site, station, pair, super().post)
        self._translation = self._interpreter.translation

    @property
    def versions(self) -> str:
        pair = self._translation.pair
        return f"{pair.csms.name}, translated from {pair.station.name}"

    async def run(self) -> str:
        self._interpreter.begin()
        try:
            return await super().run()
        except asyncio.CancelledError:
            self._translation.abandon()
            raise
        finally:
            # Nothing is waited for: who posts while the link is still there would be refused again and again.
            self._interpreter.shut()

    def unfinished(self) -> Iterable[asyncio.Task[None]]:
        return self._interpreter.under_way()

    def post(self, request: Request) -> None:
        self._translation.post(request)

    def send(self, message_id: str, action: str, payload: bytes) -> None:
        log.info("%s: %s has no answer and no translation: dropped", self.name, action)

    @property
    def is_idle(self) -> bool:
        return super().is_idle and self._translation.is_idle

    async def _answer_translated(self, call: Call, received: float) -> bytes:
        return await self._interpreter.answer(call, received)

    def _drop_send(self, send: Send) -> None:
        log.info("%s: %s of the CSMS has no answer and no translation: dropped", self.name, send.action)
