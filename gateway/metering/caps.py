"""Caps that come by MQTT. A word the broker had kept may lower, and takes nothing back: nobody knows its age."""

import asyncio
import logging
from dataclasses import dataclass
from random import Random

from drivers.api import Seams
from drivers.mqtt_broker import Broker, Received, Where
from gateway.errors import GatewayError
from gateway.flows import caps
from gateway.plan import Topic
from gateway.site import Site

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Word:
    source: str
    payload: bytes
    was_kept: bool


class CapListener:
    """Listens to the sources that have a topic."""

    def __init__(self, site: Site, source: Random) -> None:
        plan = site.balancer.plan
        self._site = site
        self._topics = dict(plan.topics) if plan else {}
        self._words: asyncio.Queue[_Word] = asyncio.Queue()
        self._seams = Seams(now=site.clock.monotonic, wall=site.clock.now, sleep=asyncio.sleep, random=source)

    async def run(self) -> None:
        """Listen until cancelled."""
        listening = []
        for name, topic in self._topics.items():
            broker = Broker.shared(_where(topic), self._seams)
            listening.append((broker, broker.join([topic.topic], self._received(name))))
        try:
            while self._topics:
                await self._take(await self._words.get())
        finally:
            for broker, listener in listening:
                await broker.leave(listener)

    def _received(self, name: str) -> Received:
        def received(topic: str, payload: bytes, at: float, was_kept: bool) -> None:
            self._words.put_nowait(_Word(name, payload, was_kept))

        return received

    async def _take(self, word: _Word) -> None:
        try:
            cap = caps.read(word.payload)
            if word.was_kept and cap.limit_w is None and cap.limit_a is None:
                log.info("%s: an end of a cap that the broker had kept is not believed", word.source)
                return
            await caps.put(self._site, word.source, cap)
        except GatewayError as error:
            log.warning("%s: a cap by MQTT is not taken: %s", word.source, error)


def _where(topic: Topic) -> Where:
    host, _, port = topic.broker.rpartition(":")
    return Where(host or topic.broker, int(port) if host and port.isdigit() else 1883)
