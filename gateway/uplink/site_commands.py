"""A command to the site as one station: planned, given to the stations by the walk, and their answers made one."""

import asyncio
import logging
from typing import Protocol

from gateway.dialects import registry, site_says
from gateway.dialects.base import Dialect, DownRule, Role
from gateway.dialects.site_map import map_answer_up
from gateway.dialects.site_merge import gather, merge
from gateway.dialects.site_plan import Here, Part, ToStations, Unknown, plan
from gateway.dialects.site_reports import Reports
from gateway.dialects.site_rules import SiteDown, worst
from gateway.errors import LeftUnanswered
from gateway.flows import command
from gateway.model.ids import StationId
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.frame import Call
from gateway.site import Site
from gateway.uplink.site_ids import LiveIds

log = logging.getLogger(__name__)

_FOR_ALL = frozenset({Role.SEND_LIST, Role.CLEAR_CACHE})
_ONE_AFTER_ANOTHER = frozenset({"Reset"})
_LIST = worst("Failed", "VersionMismatch", "NotSupported", "Rejected", "Accepted")
_REPORTS = {
    "GetBaseReport": "NotifyReport",
    "GetReport": "NotifyReport",
    "GetMonitoringReport": "NotifyMonitoringReport",
    "CustomerInformation": "NotifyCustomerInformation",
    "GetDisplayMessages": "NotifyDisplayMessages",
    "GetChargingProfiles": "ReportChargingProfiles",
}


class Itself(Protocol):
    """What the site does and says in its own name."""

    def trigger(self, asked: str) -> bool: ...

    def say(self, action: str, payload: bytes) -> None: ...

    def configuration(self) -> dict[str, str]: ...


class SiteCommands:
    """The commands that come down one link of that version."""

    def __init__(self, site: Site, dialect: Dialect, reports: Reports, itself: Itself) -> None:
        self._site = site
        self._dialect = dialect
        self._reports = reports
        self._itself = itself
        self._ids = LiveIds(site, dialect)
        self._table = registry.site_table(dialect.name)

    async def answer(self, call: Call, received: float) -> bytes:
        """The payload of the answer. Raises CallError, LeftUnanswered."""
        row, rule = self._table.down.get(call.action), self._dialect.down.get(call.action)
        if row is None or rule is None:
            raise site_says.refused(call.action, "it can't be said which station this is for")
        planned = plan(row, call.payload, self._ids, rule.rejected)
        if isinstance(planned, Here):
            return await self._own(row, rule, call, received, planned.answer)
        if isinstance(planned, Unknown):
            return _said(planned.answer)
        return await self._ask(row, rule, call, received, planned)

    async def _own(
        self, row: SiteDown, rule: DownRule, call: Call, received: float, said: bytes | ErrorCode | None
    ) -> bytes:
        """What the site itself answers."""
        if said is not None:
            return _said(said)
        if rule.role in _FOR_ALL:
            everyone = ToStations(tuple(Part(station, call.payload) for station in self._ids.stations()))
            answers = await self._answers(call, received, everyone)
            return merge(_LIST, answers.values()) or rule.rejected or b"{}"
        if rule.role is Role.LIST_VERSION:
            stations = self._ids.stations()
            if stations:
                return await self._one(Part(stations[0], call.payload), call, received)
            return self._dialect.tokens.answer_list_version(0, is_empty=True)
        if row.is_own is not None and call.action.endswith("TriggerMessage"):
            is_said = self._itself.trigger(site_says.asked_message(call.payload))
            return b'{"status":"Accepted"}' if is_said else b'{"status":"NotImplemented"}'
        if call.action == "GetConfiguration":
            return site_says.get_configuration(call.payload, self._itself.configuration())
        return _said(row.unknown or rule.rejected or ErrorCode.NOT_SUPPORTED)

    async def _ask(self, row: SiteDown, rule: DownRule, call: Call, received: float, planned: ToStations) -> bytes:
        report = self._begin_report(call, planned)
        if planned.is_one:
            part = planned.parts[0]
            return map_answer_up(row.answer_ids, await self._one(part, call, received), self._ids.of(part.station))
        answers = await self._answers(call, received, planned)
        if report is not None:
            for station, answer in answers.items():
                if answer is None or not self._dialect.tokens.accepts(answer):
                    for payload in self._reports.without(station, report):
                        self._itself.say(report[0], payload)
        if planned.asked and row.split:
            return gather(
                row.split,
                planned.asked,
                answers,
                lambda station, answer: map_answer_up(row.answer_ids, answer, self._ids.of(station)),
            )
        made = merge(row.merge, answers.values()) if row.merge else None
        return _said(made or row.unknown or rule.rejected or ErrorCode.GENERIC_ERROR)

    async def _answers(self, call: Call, received: float, planned: ToStations) -> dict[StationId, bytes | None]:
        """All at once, but resets one after another: a whole site that boots at once is no site."""
        parts = planned.parts
        if call.action in _ONE_AFTER_ANOTHER:
            return {part.station: await self._quietly(part, call, received) for part in parts}
        answers = await asyncio.gather(*(self._quietly(part, call, received) for part in parts))
        return {part.station: answer for part, answer in zip(parts, answers, strict=True)}

    async def _quietly(self, part: Part, call: Call, received: float) -> bytes | None:
        try:
            return await self._one(part, call, received)
        except (CallError, LeftUnanswered) as error:
            log.info("%s: no answer to %s: %s", part.station, call.action, error)
            return None

    async def _one(self, part: Part, call: Call, received: float) -> bytes:
        station = self._site.station(part.station)
        own = Call(call.message_id, call.action, part.payload)
        return await command.handle(self._site, station, self._dialect, own, received)

    def _begin_report(self, call: Call, planned: ToStations) -> tuple[str, int] | None:
        action = _REPORTS.get(call.action)
        if action is None or len(planned.parts) < 2:
            return None
        key = (action, site_says.request_id(call.payload))
        self._reports.begin(key, [part.station for part in planned.parts], self._site.clock.monotonic())
        return key


def _said(answer: bytes | ErrorCode) -> bytes:
    if isinstance(answer, ErrorCode):
        raise CallError(answer, "not done by the site as one station")
    return answer
