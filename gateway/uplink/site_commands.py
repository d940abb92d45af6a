"""A command to the site as one station: planned, given to the stations by the walk, and their answers made one."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from gateway.dialects import registry, site_says, site_settings
from gateway.dialects.base import Dialect, DownRule, Role
from gateway.dialects.site_map import map_answer_up
from gateway.dialects.site_merge import gather, merge
from gateway.dialects.site_plan import Here, Part, ToStations, Unknown, plan
from gateway.dialects.site_reports import Reports
from gateway.dialects.site_rules import SiteDown, worst
from gateway.dialects.site_settings import Told, own_variable
from gateway.errors import LeftUnanswered, StoreError
from gateway.flows import command
from gateway.model.ids import StationId
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.frame import Call
from gateway.site import Site
from gateway.uplink.site_ids import LiveIds
from gateway.uplink.site_own import SiteOwn
from gateway.uplink.site_stations import SiteStations

log = logging.getLogger(__name__)

FAN_OUT_S = 20.0
"""A fan-out is answered after so long at the latest: a CSMS seldom waits for more than 30 s."""
FEW = 4
"""A whole site that boots at once is no site: so many at a time."""
OWN_PART_S = 0.1
"""A part of a report goes behind the answer that promises it."""

_RESETS = frozenset({"Reset"})
_TRIGGERS = frozenset({"TriggerMessage", "ExtendedTriggerMessage"})
_OF_PROFILES = frozenset({"SetChargingProfile", "ClearChargingProfile", "GetChargingProfiles"})
_REPORTED = frozenset({"GetBaseReport"})
_CLEARED = worst("Rejected", "Accepted")
_REPORTS = {
    "GetBaseReport": "NotifyReport",
    "GetReport": "NotifyReport",
    "GetMonitoringReport": "NotifyMonitoringReport",
    "CustomerInformation": "NotifyCustomerInformation",
    "GetDisplayMessages": "NotifyDisplayMessages",
    "GetChargingProfiles": "ReportChargingProfiles",
}


class SiteCommands:
    """The commands that come down one link of that version."""

    def __init__(self, site: Site, dialect: Dialect, reports: Reports, own: SiteOwn, stations: SiteStations) -> None:
        self._site = site
        self._dialect = dialect
        self._reports = reports
        self._own = own
        self._stations = stations
        self._ids = LiveIds(site, dialect, stations)
        self._table = registry.site_table(dialect.name)
        self._late: set[asyncio.Task[bytes | None]] = set()
        """Commands under way to stations whose answer the CSMS does not wait for any more."""

    async def answer(self, call: Call, received: float) -> bytes:
        """The payload of the answer. Raises CallError, LeftUnanswered."""
        row, rule = self._table.down.get(call.action), self._dialect.down.get(call.action)
        if row is None or rule is None:
            raise site_says.refused(call.action, "it can't be said which station this is for")
        try:
            if not row.keeps or rule.keeps is None:
                return await self._routed(row, rule, call, received)
            guarded = rule.keeps(call.payload, self._site.columns.of(self._own.id))
            await self._own.keep(guarded)
            if guarded.forward is None:
                return guarded.finish(None)
            rest = Call(call.message_id, call.action, guarded.forward)
            return guarded.finish(await self._routed(row, rule, rest, received))
        except StoreError:
            if rule.rejected is not None:
                return rule.rejected
            raise CallError(ErrorCode.INTERNAL_ERROR, "the gateway can't write to its disk") from None

    async def _routed(self, row: SiteDown, rule: DownRule, call: Call, received: float) -> bytes:
        planned = plan(row, call.payload, self._ids, rule.rejected)
        if isinstance(planned, Here):
            return await self._here(row, rule, call, received, planned.answer)
        if isinstance(planned, Unknown):
            return _said(planned.answer)
        return await self._ask(row, rule, call, received, planned)

    async def _here(
        self, row: SiteDown, rule: DownRule, call: Call, received: float, said: bytes | ErrorCode | None
    ) -> bytes:
        """What the site itself answers."""
        if call.action in _OF_PROFILES:
            return await self._own.profiles(self._dialect, call, _said(said or rule.rejected or b"{}"))
        if call.action == "GetCompositeSchedule":
            return self._own.composite(self._dialect, call.payload)
        if said is not None:
            return _said(said)
        if rule.role is Role.CLEAR_CACHE:
            await self._own.clear_cache()
            everyone = ToStations(tuple(Part(station, call.payload) for station in self._ids.stations()))
            answers = await self._answers(call, received, everyone)
            return merge(_CLEARED, answers.values()) or b'{"status":"Accepted"}'
        if rule.role is Role.SEND_LIST:
            return await self._own.take_list(self._dialect, call.payload)
        if rule.role is Role.LIST_VERSION:
            return self._own.list_version(self._dialect)
        if call.action in _TRIGGERS:
            is_said = self._own.trigger(site_says.asked_message(call.payload))
            return b'{"status":"Accepted"}' if is_said else b'{"status":"NotImplemented"}'
        if call.action == "GetConfiguration":
            return await self._configuration(rule, call, received)
        if call.action == "DataTransfer":
            return await self._own.pass_through(self._dialect, call, received)
        return _said(row.unknown or rule.rejected or ErrorCode.NOT_SUPPORTED)

    def _everyone(self, payload: bytes) -> ToStations:
        """Every station that is there."""
        there = (one for one in self._ids.stations() if self._site.station(one).port is not None)
        return ToStations(tuple(Part(station, payload) for station in there))

    async def _configuration(self, rule: DownRule, call: Call, received: float) -> bytes:
        answers = await self._answers(call, received, self._everyone(call.payload))
        told = [Told(answer, self._ids.of(one)) for one, answer in answers.items() if answer is not None]
        return self._own.configuration(rule, call.payload, told)

    async def _ask(self, row: SiteDown, rule: DownRule, call: Call, received: float, planned: ToStations) -> bytes:
        report = self._begin_report(call, planned)
        if planned.is_one:
            part = planned.parts[0]
            return map_answer_up(row.answer_ids, await self._one(part, call, received), self._ids.of(part.station))
        answers = await self._answers(call, received, planned)
        if report is not None:
            self._end_refused(report, answers)
        if planned.asked and row.split:
            return gather(
                row.split,
                planned.asked,
                answers,
                lambda station, answer: map_answer_up(row.answer_ids, answer, self._ids.of(station)),
                own_variable(self._own.variables() if call.action == "GetVariables" else {}),
            )
        own = await self._own_too(row, call, report)
        made = merge(row.merge, [*answers.values(), *own]) if row.merge else None
        answer = _said(made or row.unknown or rule.rejected or ErrorCode.GENERIC_ERROR)
        if call.action == "ChangeAvailability":
            await self._own.made_available(call.payload, answer)
        return answer

    async def _own_too(self, row: SiteDown, call: Call, report: tuple[str, int] | None) -> Sequence[bytes]:
        """What the site itself adds to the answers of all its stations."""
        if call.action in _OF_PROFILES - {"SetChargingProfile"} and self._own.shares_all:
            nothing = row.unknown if isinstance(row.unknown, bytes) else b"{}"
            own = await self._own.profiles(self._dialect, call, nothing)
            if report is not None and not self._dialect.tokens.accepts(own):
                self._end_refused(report, {self._own.id: None})
            return [own]
        if call.action in _TRIGGERS and site_says.asked_message(call.payload) == "StatusNotification":
            self._own.tell_status()
        if report is not None and call.action in _REPORTED:
            asyncio.get_running_loop().call_later(OWN_PART_S, self._add_own_part, report)
        return ()

    def _add_own_part(self, report: tuple[str, int]) -> None:
        moment = site_says.moment(self._site.clock.now())
        payload = site_settings.report(report[1], moment, self._own.variables())
        for part in self._reports.part(report[0], self._own.id, payload, self._site.clock.monotonic()):
            self._own.say(report[0], part)

    def _end_refused(self, report: tuple[str, int], answers: Mapping[StationId, bytes | None]) -> None:
        """Nothing is expected of those that refused the question."""
        for station, answer in answers.items():
            if answer is None or not self._dialect.tokens.accepts(answer):
                for payload in self._reports.without(station, report):
                    self._own.say(report[0], payload)

    async def _answers(self, call: Call, received: float, planned: ToStations) -> dict[StationId, bytes | None]:
        """All at once, but resets a few at a time; None for those that have not answered in time."""
        turns = asyncio.Semaphore(FEW if call.action in _RESETS else max(1, len(planned.parts)))
        until = self._site.clock.monotonic() + FAN_OUT_S
        tasks = {
            part.station: asyncio.create_task(
                self._in_turn(turns, until, part, call, received), name=f"{call.action} for {part.station}"
            )
            for part in planned.parts
        }
        if tasks:
            await asyncio.wait(tasks.values(), timeout=FAN_OUT_S)
        for task in tasks.values():
            if not task.done():
                self._late.add(task)
                task.add_done_callback(self._late.discard)
        return {station: task.result() if task.done() else None for station, task in tasks.items()}

    async def _in_turn(
        self, turns: asyncio.Semaphore, until: float, part: Part, call: Call, received: float
    ) -> bytes | None:
        """What one station answers; None if it does not, or its turn comes too late: then nothing is sent to it."""
        async with turns:
            if self._site.clock.monotonic() >= until:
                return None
            try:
                return await self._one(part, call, received)
            except (CallError, LeftUnanswered) as error:
                log.info("%s: no answer to %s: %s", part.station, call.action, error)
                return None

    async def _one(self, part: Part, call: Call, received: float) -> bytes:
        station, interpreter = self._site.station(part.station), self._stations.interpreter(part.station)
        own = Call(call.message_id, call.action, part.payload)
        if interpreter is not None:
            return await interpreter.answer(own, received)
        return await command.handle(self._site, station, self._dialect, own, received)

    def end(self) -> None:
        """The link is gone: nobody is left to answer."""
        for task in self._late:
            task.cancel()

    def _begin_report(self, call: Call, planned: ToStations) -> tuple[str, int] | None:
        action = _REPORTS.get(call.action)
        if action is None or planned.is_one:
            return None
        key = (action, site_says.request_id(call.payload))
        stations = [part.station for part in planned.parts]
        if call.action in _REPORTED or (call.action in _OF_PROFILES and self._own.shares_all):
            stations.append(self._own.id)
        self._reports.begin(key, stations, self._site.clock.monotonic())
        return key


def _said(answer: bytes | ErrorCode) -> bytes:
    if isinstance(answer, ErrorCode):
        raise CallError(answer, "not done by the site as one station")
    return answer
