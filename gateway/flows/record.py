"""What is needed to play a day again, and every limit a session was told: a few lines a minute.

Nothing waits for it. While nobody charges a line stands for ten minutes, and a disk that is nearly full gets none.
"""

import asyncio
import logging
from collections import deque
from datetime import timedelta

from gateway.core.space import Level
from gateway.errors import StoreError
from gateway.model.ids import StationId
from gateway.model.site_tree import ConnectorKey
from gateway.ports import DayPort
from gateway.site import Site
from gateway.smartcharging import day as days
from gateway.smartcharging.session_log import KEPT, Line

log = logging.getLogger(__name__)

SAMPLE_S = 5.0
MINUTE_S = 60
IDLE_S = 600


async def run(site: Site) -> None:
    """Look every few seconds, write every minute; ends by cancellation. Without a tree there is nothing to record."""
    if site.balancer.tree is None or site.days is None:
        return
    try:
        await _remember(site, site.days)
    except StoreError as error:
        log.warning("what sessions were told before the gateway's start can't be read: %s", error)
    recorder = _Recorder(site, site.days)
    while True:
        await asyncio.sleep(SAMPLE_S)
        recorder.look()
        if recorder.is_due():
            await recorder.write()


class _Recorder:
    """One minute after another."""

    def __init__(self, site: Site, port: DayPort) -> None:
        self._site = site
        self._port = port
        self._day = ""
        self._failed = False
        self._lines: list[days.Line] = []
        self._begin()

    def _begin(self) -> None:
        self._tally = days.Tally()
        self._since = self._site.clock.monotonic()
        self._at = int(self._site.clock.now().timestamp())

    def look(self) -> None:
        """Take a sample. An idle time ends with the first car."""
        balancer, mono = self._site.balancer, self._site.clock.monotonic()
        if balancer.decision is None or balancer.facts is None:
            return
        is_busy = any(one.transaction is not None for one in balancer.facts.connectors)
        if is_busy and self._tally.is_idle and mono - self._since > MINUTE_S:
            self._close()
        self._tally.add(balancer.facts, balancer.decision.shares, mono)

    def _close(self) -> None:
        self._lines.append(self._tally.close(self._at, round(self._site.clock.monotonic() - self._since)))
        self._begin()

    def is_due(self) -> bool:
        passed = self._site.clock.monotonic() - self._since
        is_quiet = self._tally.is_idle and not self._site.balancer.unrecorded
        return passed >= (IDLE_S if is_quiet else MINUTE_S)

    async def write(self) -> None:
        """Write the minute that is over. What can't be written is lost, and said once."""
        site, balancer = self._site, self._site.balancer
        self._close()
        lines = [*balancer.unrecorded, *self._lines]
        day = f"{site.clock.now():%Y-%m-%d}"
        if day != self._day:
            lines.insert(0, _opening(site))
        balancer.unrecorded.clear()
        self._lines.clear()
        if site.level() is not Level.OK:
            return
        try:
            await self._port.append(day, days.encoded(lines))
        except StoreError as error:
            if not self._failed:
                log.warning("the day is not recorded: %s", error)
            self._failed = True
        else:
            self._day, self._failed = day, False


def _opening(site: Site) -> days.Opening:
    balancer = site.balancer
    assert balancer.tree is not None
    assert balancer.plan is not None
    facts = balancer.facts
    return days.Opening(
        int(site.clock.now().timestamp()),
        {node.id: node.limit_a for node in balancer.tree.circuits},
        dict(facts.rises) if facts else {},
        dict(facts.steps) if facts else {},
        {name: balancer.plan.family(name).name for name in sorted(balancer.stations)},
    )


async def _remember(site: Site, port: DayPort) -> None:
    """What the sessions that still run were told by an earlier life of the gateway."""
    now, mono = site.clock.now(), site.clock.monotonic()
    raw = [line for day in (now - timedelta(days=1), now) for line in await port.read(f"{day:%Y-%m-%d}")]
    running = {transaction.key for name in site.balancer.stations for transaction in site.ledger.running(name)}
    found: dict[ConnectorKey, list[Line]] = {}
    for told in days.told(raw):
        if told.transaction in running:
            key = ConnectorKey(StationId(told.station), told.evse)
            at = mono - (now.timestamp() - told.at)
            found.setdefault(key, []).append(Line(at, key, told.set_a, told.target_a, told.why))
    sessions = site.balancer.sessions
    for key, lines in found.items():
        kept = sessions.get(key)
        sessions[key] = deque([*lines, *(kept or ())], maxlen=KEPT)
