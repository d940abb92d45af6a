"""What the whole site is asked as one station: its settings, limit and list, and the way through to one station."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.core.numbering import Numbering
from gateway.dialects import registry, site_says
from gateway.dialects.base import Dialect, DownRule, Guarded
from gateway.dialects.profiles import PROFILE_CODECS
from gateway.dialects.site_settings import Told, merge_configuration
from gateway.flows import applied, command, profile_commands
from gateway.flows.profile_commands import Asked
from gateway.model.ids import StationId
from gateway.model.local_list import ListEntry, ListUpdate, UpdateStatus
from gateway.model.profile import Refusal, Refused
from gateway.model.reasons import AuditKind
from gateway.model.records import Put, StationRecord
from gateway.model.settings import Column, Learned
from gateway.model.token import AuthorizationStatus, IdToken
from gateway.rpc.codes import CallError
from gateway.rpc.frame import Call
from gateway.site import Site
from gateway.station import Station, StationOptions
from gateway.uplink.site_link import SiteLink, SiteLinkOptions
from gateway.uplink.site_status import SiteStatus

log = logging.getLogger(__name__)

_AVAILABILITY = "Availability"
_INOPERATIVE = "Inoperative"
_REJECTED = b'{"status":"Rejected"}'


class SiteOwn:
    """The site itself. `say` sends a message in its name."""

    def __init__(
        self,
        site: Site,
        options: SiteLinkOptions,
        keeper: SiteLink,
        status: SiteStatus,
        say: Callable[[str, bytes], None],
    ) -> None:
        self.id = keeper.station
        self.say = say
        self._site = site
        self._options = options
        self._keeper = keeper
        self._status = status
        self._station = Station(StationRecord(self.id), StationOptions())
        """Stands for the site where profiles are kept by station; never one of `site.stations`."""
        self._status.is_inoperative = lambda: self.is_inoperative

    # -- messages ---------------------------------------------------------------------------------------------------

    def trigger(self, asked: str) -> bool:
        """Send a message in the site's own name; False: there is no such message."""
        if asked == "BootNotification":
            self._keeper.boot_again()
        elif asked == "Heartbeat":
            self._keeper.beat()
        else:
            return False
        return True

    def tell_status(self) -> None:
        """The status of the site itself, where it has one."""
        self._status.tell_itself()

    # -- settings ---------------------------------------------------------------------------------------------------

    async def keep(self, guarded: Guarded) -> None:
        """Settings of the site, and of its link, are on disk before they are answered. Raises StoreError."""
        learned = guarded.learn(None) if guarded.learn else Learned()
        await self._site.commit(self._site.columns.changes(self.id, learned))
        if learned.secret is not None:
            log.warning("the CSMS set the password of the site's link; the next connection uses it")
            self._site.columns.renew(self.id, learned.secret)
            self._keeper.renew()

    def configuration(self, rule: DownRule, payload: bytes, told: Sequence[Told]) -> bytes:
        """The answer to a GetConfiguration (1.6)."""
        own = {
            "HeartbeatInterval": str(round(self._keeper.beat_s)),
            "NumberOfConnectors": str(len(self._site.numbering.places())),
        }
        made = merge_configuration(payload, own, told)
        return rule.keeps(payload, self._site.columns.of(self.id)).finish(made) if rule.keeps else made

    def variables(self) -> dict[tuple[str, str], str]:
        """What the site has itself of the device model (2.x)."""
        names = self._options.names
        return {
            ("ChargingStation", "VendorName"): names.vendor,
            ("ChargingStation", "Model"): names.model,
            ("ChargingStation", "SerialNumber"): names.serial,
            ("ChargingStation", "AvailabilityState"): "Unavailable" if self.is_inoperative else "Available",
            ("OCPPCommCtrlr", "HeartbeatInterval"): str(round(self._keeper.beat_s)),
        }

    # -- availability -----------------------------------------------------------------------------------------------

    @property
    def is_inoperative(self) -> bool:
        column = self._site.columns.of(self.id).get(_AVAILABILITY)
        return column is not None and column.believed == _INOPERATIVE

    async def made_available(self, payload: bytes, answer: bytes) -> None:
        """All stations were told to be Operative or not, and this is what they say. Raises StoreError."""
        if site_says.status_of(answer) in ("Accepted", "Scheduled"):
            learned = Learned({_AVAILABILITY: Column(site_says.availability(payload))})
            await self._site.commit(self._site.columns.changes(self.id, learned))
            self.tell_status()

    # -- the site's limit -------------------------------------------------------------------------------------------

    @property
    def shares_all(self) -> bool:
        """Whether the site can have a limit: every station in service has its current shared, under one circuit."""
        plan = self._site.balancer.plan
        if plan is None or sum(node.parent is None for node in plan.circuits) != 1:
            return False
        places = (place for place in self._site.numbering.places() if not place.is_removed)
        return all(self._site.balancer.is_member(place.station) for place in places)

    async def profiles(self, dialect: Dialect, call: Call, rejected: bytes) -> bytes:
        """A command about the profiles of the site as a whole. Raises StoreError, CallError."""
        if not self.shares_all:
            log.info(
                "%s of the CSMS for the whole site is refused: not all of it is shared under one circuit", call.action
            )
            return rejected
        return await profile_commands.answer(Asked(self._site, self._station, dialect, call))

    def composite(self, dialect: Dialect, payload: bytes) -> bytes:
        """The sum of all connectors, under the site's limit."""
        codec = PROFILE_CODECS[dialect.name]
        asked = codec.read_composite(payload)
        told = applied.tell_whole(self._site, self.id, asked) if self.shares_all else None
        return codec.answer_composite(told or Refusal(Refused.EVSE, "the current of this site is not shared"))

    # -- the local list ---------------------------------------------------------------------------------------------

    async def take_list(self, dialect: Dialect, payload: bytes) -> bytes:
        """One list for the site, and a copy for every station, in its own EVSEs. Raises StoreError, CallError."""
        site, now = self._site, self._site.clock.now()
        update = dialect.tokens.list_update(payload)
        if update is None:
            log.warning("a local list of the CSMS can't be read")
            return dialect.tokens.answer_list(UpdateStatus.FAILED)
        lists = site.tokens.lists
        status, changes, gone = lists.give(self.id, update, now)
        if changes:
            await site.commit([*changes, *site.tokens.cache.taken_off(gone)])
            for station in site.stations.values():
                self.give_list(station)
        log.info("local list %d of the CSMS, %d entries %s: %s", update.version, len(update.entries),
                 "in all" if update.is_full else "changed", status)  # fmt: skip
        return dialect.tokens.answer_list(status)

    async def clear_cache(self) -> None:
        """What the CSMS said before counts no more, nor at a station that comes later. Raises StoreError."""
        state = self._site.tokens.lists.of(self.id)
        await self._site.commit([Put(replace(state, cache_cleared=self._site.clock.now()))])

    def give_list(self, station: Station) -> None:
        """The station is to hold the site's list from now on; one without a number is not of the site yet."""
        lists, numbering = self._site.tokens.lists, self._site.numbering
        state, own = lists.of(self.id), lists.of(station.id)
        if state.cache_cleared is not None and own.cache_cleared is None:
            self._site.note([Put(replace(own, cache_cleared=state.cache_cleared))])
        is_given = state.version is None or lists.of(station.id).given == state.given
        if is_given or state.version is None or numbering.head(station.id) is None:
            return
        said = lists.entries(state.digest).values()
        own_words = [self._in_words_of(station, one) for one in said]
        entries = [_known_to(one, numbering, station.id) for one in own_words]
        update = ListUpdate(state.version, True, tuple(entries))
        _, changes, _ = lists.give(station.id, update, state.given or self._site.clock.now())
        self._site.note(changes)
        station.list_wake.set()

    def _in_words_of(self, station: Station, entry: ListEntry) -> ListEntry:
        """A token that a CSMS of 1.6 knows by an alias only is itself at a station of 2.x."""
        alias = self._site.translations.aliases.get(entry.token.value.casefold())
        spoken = registry.by_name(station.record.dialect) if station.record.dialect else None
        if alias is None or not alias.value or spoken is None or spoken.csms_gives_tx_ids:
            return entry
        return replace(entry, token=IdToken(alias.value, alias.type), dialect="", text="")

    def list_version(self, dialect: Dialect) -> bytes:
        lists = self._site.tokens.lists
        state = lists.of(self.id)
        return dialect.tokens.answer_list_version(state.version or 0, is_empty=not lists.entries(state.digest))

    # -- the way through --------------------------------------------------------------------------------------------

    async def pass_through(self, dialect: Dialect, call: Call, received: float) -> bytes:
        """A DataTransfer for one station: `messageId` is the action, `data` an object of `evse`, any number of the
        station, and `payload`. The ids in it and in the answer are the station's own. Raises StoreError."""
        found = site_says.transfer(call.payload)
        if found is None:
            return b'{"status":"UnknownVendorId"}'
        if found.action not in self._options.direct_actions:
            return b'{"status":"UnknownMessageId"}'
        place = self._site.numbering.place(found.evse)
        if place is None:
            return _REJECTED
        said = f"the CSMS sends {found.action} to {place.station} by way of a DataTransfer"
        entry = (place.station, said, found.payload)
        await self._site.commit(self._site.upkeep.entries(self._site.clock.now(), AuditKind.PASSED_THROUGH, [entry]))
        log.info("%s", said)
        direct = Call(call.message_id, found.action, found.payload)
        return site_says.transferred(dialect, *await self._asked(dialect, direct, place.station, received))

    async def _asked(self, dialect: Dialect, call: Call, station: StationId, received: float) -> tuple[str, bytes]:
        own = self._site.station(station)
        spoken = own.port.dialect if own.port else dialect
        try:
            return "Accepted", await command.handle(self._site, own, spoken, call, received)
        except CallError as error:
            return "Rejected", site_says.call_error(error)


def _known_to(entry: ListEntry, numbering: Numbering, station: StationId) -> ListEntry:
    """An entry that is good for some EVSEs of the site, for one station: for its own of them, or not at all."""
    verdict = entry.verdict
    if verdict is None or not verdict.evses:
        return entry
    own = tuple(evse for number in verdict.evses if (evse := numbering.evse(station, number)) is not None)
    status = verdict.status if own else AuthorizationStatus.NOT_AT_THIS_LOCATION
    return replace(entry, verdict=replace(verdict, evses=own, status=status), dialect="", text="")
