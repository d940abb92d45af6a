"""The one connection of the whole site: opened, registered by the site's own boot, kept alive, opened again."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.dialects import registry, site_says
from gateway.dialects.base import Dialect, Role
from gateway.dialects.site_says import SiteIdentity
from gateway.errors import ConnectError
from gateway.flows import timing
from gateway.model.events import RegistrationStatus
from gateway.model.ids import StationId
from gateway.model.settings import Key
from gateway.ports import LinkState
from gateway.rpc.session import Answered, Priority
from gateway.site import Site
from gateway.transport import Socket
from gateway.uplink.backoff import Backoff
from gateway.uplink.link import Answer, Connector, Link
from gateway.uplink.passwords import Passwords

log = logging.getLogger(__name__)

CLOSE_S = 2.0
BOOT_RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class SiteLinkOptions:
    """`identity`: of the site towards the CSMS. `versions`: dialect names the CSMS speaks, empty: what it picks.
    `password`: the first one, until the CSMS sets another; shown if `shows_password`. `lost_s`: a station that is
    away for less is not told of. `direct_actions`: what the CSMS may send to one station by way of a DataTransfer."""

    identity: str
    names: SiteIdentity
    versions: tuple[str, ...] = ()
    password: bytes | None = None
    shows_password: bool = True
    backoff: Backoff = field(default_factory=Backoff)
    lost_s: float = 15.0
    direct_actions: frozenset[str] = frozenset()

    def dialects(self) -> list[Dialect]:
        """Those that may be spoken, newest first."""
        return [dialect for dialect in registry.ALL if not self.versions or dialect.name in self.versions]


class SiteLink:
    """`link` is there from the CSMS's Accepted to the site's boot until it falls; `on_up` and `on_down` tell of it.
    `on_idle`: a CALL of the site's own is over."""

    def __init__(self, site: Site, options: SiteLinkOptions, connector: Connector) -> None:
        self.link: Link | None = None
        self.interval_s = 300
        self.on_up: Callable[[Link], None]
        self.on_down: Callable[[], None]
        self.on_idle: Callable[[], None]
        self.answer_of: Callable[[Dialect], Answer]
        self._site = site
        self._options = options
        self._connector = connector
        self._state = LinkState.CONNECTING
        self._asked = asyncio.Event()
        self._boots_again = False
        self._renew = asyncio.Event()
        self._was_ours = False
        """The link was closed by us: no reason to wait before the next one."""
        self.station = StationId(options.identity)
        self._passwords = Passwords(site, self.station, is_shown=options.shows_password)

    @property
    def state(self) -> LinkState:
        if self.link is None:
            return self._state
        return LinkState.SUSPECT if self.link.is_suspect else LinkState.UP

    @property
    def beat_s(self) -> float:
        """How often the site beats: as the CSMS has set it, else as it said to the boot."""
        return self._site.columns.believed_number(self.station, Key.HEARTBEAT_INTERVAL) or self.interval_s

    def boot_again(self) -> None:
        """The CSMS asks for the site's boot."""
        self._boots_again = True
        self._asked.set()

    def beat(self) -> None:
        """The CSMS asks for a heartbeat."""
        self._asked.set()

    def renew(self) -> None:
        """The CSMS has set another password: the link is made anew with it."""
        self._renew.set()

    async def run(self) -> None:
        """Keep the link; ends by cancellation, and then closes it."""
        failures = 0
        while True:
            self._state = LinkState.CONNECTING
            self._was_ours = False
            try:
                opened = await self._open()
                failures = 0 if opened else failures + 1
                if opened:
                    await self._hold(*opened)
            except Exception:  # whatever it was, the site goes on without the CSMS
                log.exception("the link to the CSMS failed")
                failures += 1
            self._state = LinkState.DOWN
            if not self._was_ours:
                backoff = self._options.backoff.as_set(self._site.columns, self.station)
                await asyncio.sleep(backoff.delay_s(failures, self._site.random))

    async def _open(self) -> tuple[Socket, Dialect] | None:
        names = [dialect.subprotocol for dialect in self._options.dialects()]
        try:
            socket = await self._connector.connect(self._options.identity, names, self._passwords.choose())
        except ConnectError as error:
            log.warning("no link to the CSMS: %s", error)
            self._passwords.refused(error.status)
            return None
        dialect = registry.by_subprotocol(socket.subprotocol) if socket.subprotocol else None
        if dialect is None:
            log.error("the CSMS accepts none of the versions %s", ", ".join(names))
            await socket.close(1002, "no common subprotocol")
            return None
        self._passwords.proven()
        return socket, dialect

    async def _hold(self, socket: Socket, dialect: Dialect) -> None:
        link = Link(
            self._options.identity,
            socket,
            dialect,
            clock=self._site.clock,
            answer=self.answer_of(dialect),
            call_timeout_s=self._site.options.call_timeout_s,
        )
        helpers = [
            asyncio.create_task(self._register(link), name="the site's boot"),
            asyncio.create_task(self._renew_in_time(link), name="the site's password"),
        ]
        try:
            reason = await link.run()
            log.info("the link to the CSMS is down (%s)", reason)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_S):
                    await link.close(1001, "the gateway stops")
            raise
        finally:
            self.fell()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _renew_in_time(self, link: Link) -> None:
        """Close the link, when nothing is under way, to make it anew with the password the CSMS has set."""
        while not self._passwords.is_outdated:
            self._renew.clear()
            await self._renew.wait()
        await link.quiet(self._site.options.call_timeout_s)
        self._was_ours = True
        await link.close(1000, "a new password")

    def fell(self) -> None:
        """The link is not one any more, though its last commands may still be ending."""
        if self.link is not None:
            self.link = None
            self._state = LinkState.DOWN
            self.on_down()

    async def _register(self, link: Link) -> None:
        """Boot until the CSMS accepts the site, then beat as often as it says."""
        while True:
            accepted, wait_s = await self._boot(link)
            if accepted and self.link is None:
                log.info("the site is up at the CSMS (%s)", link.dialect.name)
                self.link = link
                self.on_up(link)
            self._boots_again = False
            while accepted and not self._boots_again:
                if not await self._asked_within(self.beat_s) or not self._boots_again:
                    await self._ask(link, Role.HEARTBEAT, b"{}", Priority.STATUS)
            if not accepted:
                await self._asked_within(wait_s)

    async def _boot(self, link: Link) -> tuple[bool, float]:
        payload = site_says.boot(link.dialect, self._options.names)
        said = await self._ask(link, Role.BOOT, payload, Priority.BOOT)
        answer = link.dialect.codec.boot_answer(said) if said is not None else None
        if answer is None:
            return self.link is not None, BOOT_RETRY_S
        if answer.status is not RegistrationStatus.ACCEPTED:
            log.warning("the CSMS says %s to the site's boot", answer.status)
            return self.link is not None, answer.interval_s or BOOT_RETRY_S
        self.interval_s = answer.interval_s or self.interval_s
        return True, self.interval_s

    async def _ask(self, link: Link, role: Role, payload: bytes, priority: Priority) -> bytes | None:
        """Ask in the site's own name; the answer tells the time, too."""
        action = next(rule.action for rule in link.dialect.up.values() if rule.role is role)
        timeout_s = self._site.options.call_timeout_s
        outcome = await link.pump.call(self._site.message_id(), action, payload, priority=priority, timeout_s=timeout_s)
        self.on_idle()
        if not isinstance(outcome, Answered):
            return None
        timing.hear_csms(self._site, link.dialect.codec.current_time(outcome.payload))
        return outcome.payload

    async def _asked_within(self, seconds: float) -> bool:
        self._asked.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
                return True
        return False
