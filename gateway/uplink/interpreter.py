"""What stands between one station and a CSMS of another version, for as long as there is a way to the CSMS."""

import asyncio
from collections.abc import Callable

from gateway.dialects.base import Dialect
from gateway.dialects.translate import Pair
from gateway.rpc.frame import Call
from gateway.rpc.session import Request
from gateway.site import Site
from gateway.station import Station
from gateway.uplink import translated_commands
from gateway.uplink.translated import Translation
from gateway.uplink.translated_later import Later


class Interpreter:
    """`send` takes CALLs in the CSMS's version."""

    def __init__(self, site: Site, station: Station, pair: Pair, send: Callable[[Request], None]) -> None:
        self.translation = Translation(site, station, pair, send)
        self._site = site
        self._station = station
        self._waiting: asyncio.Task[None] | None = None

    @property
    def dialect(self) -> Dialect:
        """The station's version: what the walks speak."""
        return self.translation.pair.station

    def begin(self) -> None:
        """The way to the CSMS is there: what was to come later may be due."""
        if self.dialect.csms_gives_tx_ids:
            later = Later(self._site, self._station, self.translation)
            self._waiting = asyncio.create_task(later.run(), name=f"later {self._station.id}")

    def shut(self) -> None:
        """It is gone. Nothing is waited for: who posts from now on is told at once."""
        self.translation.shut()
        if self._waiting is not None:
            self._waiting.cancel()

    def under_way(self) -> list[asyncio.Task[None]]:
        """What has not ended yet."""
        return [*self.translation.under_way(), *([self._waiting] if self._waiting else [])]

    async def answer(self, call: Call, received: float) -> bytes:
        """A command of the CSMS, in its version. Raises CallError, LeftUnanswered."""
        return await translated_commands.answer(self._site, self._station, self.translation, call, received)
