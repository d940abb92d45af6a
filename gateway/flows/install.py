"""A station is made safe before it is managed: its fallback is installed, and seen to hold.

After each boot it is looked at again; one with the same hardware and firmware stays managed meanwhile.
"""

import asyncio
import logging
from dataclasses import replace
from functools import partial

from gateway.balancer import Report
from gateway.dialects.profiles import PROFILE_CODECS, REPORTING
from gateway.errors import StoreError
from gateway.flows import grace, profile_writes, site_facts
from gateway.model.balance import Answer
from gateway.model.profile import AskedSchedule, CompositeSchedule, ProfileFilter, Purpose, RateUnit, ReportedProfile
from gateway.model.records import Put
from gateway.model.site_tree import ConnectorKey
from gateway.ports import StationPort
from gateway.rpc.session import Answered
from gateway.site import Site
from gateway.smartcharging import merge
from gateway.smartcharging.families import LEASE_S, Family
from gateway.smartcharging.held import Supply
from gateway.station import Station

log = logging.getLogger(__name__)

LOOK_S = 1.0
AGAIN_S = 60.0
"""Before a station that did not take its fallback is asked again."""
ASKED_S = 10.0
REPORTED_S = 10.0
TOLERANCE_A = 0.11
"""Limits are told to one decimal."""


async def run(site: Site) -> None:
    """Look after the stations of the tree; ends by cancellation."""
    balancer = site.balancer
    if balancer.tree is None:
        return
    busy: dict[str, asyncio.Task[None]] = {}
    retry_at: dict[str, float] = {}
    try:
        while True:
            for name in sorted(balancer.stations):
                station = site.stations.get(name)
                if station is None or name in busy or not _is_due(site, station):
                    continue
                if site.clock.monotonic() >= retry_at.get(name, 0.0):
                    retry_at[name] = site.clock.monotonic() + AGAIN_S
                    task = busy[name] = asyncio.create_task(_look_after(site, station), name=f"install {name}")
                    task.add_done_callback(partial(_done, busy, name))
            await asyncio.sleep(LOOK_S)
    finally:
        tasks = list(busy.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _done(busy: dict[str, asyncio.Task[None]], name: str, _: asyncio.Task[None]) -> None:
    busy.pop(name, None)


def _is_due(site: Site, station: Station) -> bool:
    """Not looked at since its boot, or since the gateway's start."""
    is_there = grace.is_open(site, station) and not station.is_held and station.record.boot is not None
    is_there = is_there and station.id not in site.balancer.unfit
    return is_there and site.balancer.verified.get(station.id) != station.record.boots


def _is_released(site: Site, station: Station) -> bool:
    """While it is looked after: its profiles are being taken out again."""
    return site.balancer.verified.get(station.id) == station.record.boots


async def _look_after(site: Site, station: Station) -> None:
    boots, port = station.record.boots, station.port
    if port is None or site.balancer.plan is None:
        return
    has_booted = station.id in site.balancer.verified
    try:
        keys = site.balancer.plan.keys_of(station.id)
        await _report_foreign(site, station, port)
        done = [await _make_safe(site, station, port, key) for key in keys]
        await _set_maximum(site, station, port)
        for key in keys if has_booted else ():  # some forget in a boot what a session was told
            await profile_writes.resend(site, station, key, as_default=False)
        tree = site.balancer.tree
        is_current = tree is not None and all(
            site.charging.connector(key).fallback_a == tree.fallback_a[key] for key in keys
        )  # the boot of another station may have changed them meanwhile
        if all(done) and station.port is port and is_current:
            site.balancer.verified[station.id] = boots
    except StoreError:
        log.warning("%s: its fallback is not noted: the disk can't be written", station.id)
    except Exception:  # one station's trouble is never another's
        log.exception("%s: installing its fallback failed", station.id)
    site.balancer.poke()


async def _make_safe(site: Site, station: Station, port: StationPort, key: ConnectorKey) -> bool:
    """Install and check one connector's fallback. False: it has to be tried again."""
    balancer = site.balancer
    assert balancer.tree is not None
    assert balancer.plan is not None
    family, fallback_a = balancer.plan.family(station.id), balancer.tree.fallback_a[key]
    identity, row = site_facts.identity_of(station), site.charging.connector(key)
    await _adopt(site, port, key, family)
    is_known = row.checked == identity and row.fallback_a == fallback_a
    holds = await _holds(site, station, port, key) if is_known else False
    if holds:
        return True
    if is_known and holds is False:
        log.warning("%s: its fallback of %g A is gone: installed again", key, fallback_a)
    if row.checked not in (None, identity) and balancer.plan.is_proven(station.id):
        log.warning("%s: another charger or firmware than the one called proven: prove it again", station.id)
    if row.checked is not None and holds is False:
        now = site.charging.connector(key)  # its ceiling may have been raised while it was asked
        await site.commit([Put(replace(now, checked=None))])
    writing = profile_writes.writing_of(site, station, family)
    profile = merge.fallback(key.evse, fallback_a, _one_phase(site, key, family), writing)
    for attempt in range(2):
        if _is_released(site, station):
            return False
        answer = await profile_writes.send(site, station, key.evse, profile, site.clock.monotonic() + ASKED_S)
        if answer is not Answer.ACCEPTED:
            _not_taken(site, key, answer)
            return False
        holds = await _holds(site, station, port, key)
        if holds is not False or attempt:
            break
        await _clear_foreign_defaults(site, port, key)
    if holds is False:
        balancer.troubles[str(key)] = f"{key}: it took a fallback of {fallback_a:g} A and does not hold it"
        return False
    balancer.troubles.pop(str(key), None)
    if _is_released(site, station):
        return False
    await site.commit([Put(replace(site.charging.connector(key), fallback_a=fallback_a, checked=identity))])
    log.info("%s: fallback %g A installed%s", key, fallback_a, "" if holds else "; it can't be asked whether it holds")
    return True


def _not_taken(site: Site, key: ConnectorKey, answer: Answer) -> None:
    if answer is Answer.REJECTED:
        site.balancer.troubles[str(key)] = f"{key}: it refuses its fallback, and counts at its rating"
    elif answer is Answer.UNKNOWN:
        log.warning("%s: it does not say whether it takes its fallback: it counts at its rating", key)


async def _set_maximum(site: Site, station: Station, port: StationPort) -> None:
    """A second fuse, where the family is known to take one: written once for a station, its firmware and its rating."""
    assert site.balancer.plan is not None
    family, most_a = site.balancer.plan.family(station.id), site.balancer.plan.rating_a(station.id)
    row, identity = site.charging.connector(ConnectorKey(station.id, 0)), site_facts.identity_of(station)
    asked = f"{identity}|{most_a:g}"
    if not family.takes_maximum or row.checked == asked:
        return
    volts = site.balancer.plan.policy.voltage_v
    profile = merge.rating(most_a, Supply(3, volts, volts), family.writing())
    answer = await profile_writes.send(site, station, 0, profile, site.clock.monotonic() + ASKED_S)
    if answer in (Answer.ACCEPTED, Answer.REJECTED) and station.port is port:
        held_a = most_a if answer is Answer.ACCEPTED else None
        await site.commit([Put(replace(row, fallback_a=held_a, checked=asked))])
        log.info("%s: a maximum of %g A: %s", station.id, most_a, answer.value)


def _one_phase(site: Site, key: ConnectorKey, family: Family) -> Supply:
    """Watts of a fallback are made for a car on one phase, which would take them all there."""
    supply = profile_writes.supply_of(site, key, family)
    return supply if family.unit is RateUnit.A else replace(supply, phases=1)


async def _holds(site: Site, station: Station, port: StationPort, key: ConnectorKey) -> bool | None:
    """Whether the station holds its fallback; None if it can't be known."""
    assert site.balancer.tree is not None
    assert site.balancer.plan is not None
    family, fallback_a = site.balancer.plan.family(station.id), site.balancer.tree.fallback_a[key]
    reported = await _reported(site, station, port, ProfileFilter(evse=key.evse, purpose=Purpose.TX_DEFAULT))
    if reported is not None:
        return any(one.id == merge.own_id(merge.Slot.FALLBACK, key.evse) for one in reported)
    if not family.tells or site_facts.running_at(site, key) is not None:
        return None
    told = await _composite(site, port, key.evse, family)
    if told is None:
        return None
    return _most_a(site, key, told) <= fallback_a + TOLERANCE_A


async def _adopt(site: Site, port: StationPort, key: ConnectorKey, family: Family) -> None:
    """A transaction older than this life of the gateway: what does it hold?"""
    car = site.balancer.cars.get(key)
    if car is None or car.adopted_a is not None or not family.tells:
        return
    told = await _composite(site, port, key.evse, family)
    if told is not None:
        site.balancer.hear(key, adopted_a=_most_a(site, key, told))


async def _composite(site: Site, port: StationPort, evse: int, family: Family) -> CompositeSchedule | None:
    codec = PROFILE_CODECS[port.dialect.name]
    action, payload = codec.get_composite(AskedSchedule(evse, int(LEASE_S), family.unit))
    outcome = await port.call(action, payload, send_by=site.clock.monotonic() + ASKED_S)
    return codec.read_composite_answer(outcome.payload) if isinstance(outcome, Answered) else None


def _most_a(site: Site, key: ConnectorKey, told: CompositeSchedule) -> float:
    """The most of any period, per phase."""
    assert site.balancer.plan is not None
    volts = site.balancer.plan.policy.voltage_v
    limits = [
        (period.limit or 0.0) / (1.0 if told.unit is RateUnit.A else volts * (period.phases or 1))
        for period in told.periods
    ]
    return max(limits, default=0.0)


# -- profiles of others ----------------------------------------------------------------------------------------------


async def _reported(
    site: Site, station: Station, port: StationPort, asked: ProfileFilter
) -> list[ReportedProfile] | None:
    """What the station says it holds; None if it can't be asked."""
    codec = REPORTING.get(port.dialect.name)
    if codec is None:
        return None
    request = site.random.randrange(1_000_000_000, 2_000_000_000)
    call = codec.get_profiles(request, asked)
    if call is None:
        return None
    report = site.balancer.reports[station.id, request] = Report()
    try:
        outcome = await port.call(*call, send_by=site.clock.monotonic() + ASKED_S)
        if not isinstance(outcome, Answered):
            return None
        if not codec.is_accepted(outcome.payload):
            return [] if b"NoProfiles" in outcome.payload else None
        async with asyncio.timeout(REPORTED_S):
            await report.done.wait()
    except TimeoutError:
        log.info("%s: promised a report of its profiles, and did not send it", station.id)
        return None
    finally:
        del site.balancer.reports[station.id, request]
    return report.found


async def _report_foreign(site: Site, station: Station, port: StationPort) -> None:
    """Only the gateway's own profiles belong into a station: others are named, and taken out."""
    reported = await _reported(site, station, port, ProfileFilter(sources=("CSO",)))
    codec = PROFILE_CODECS[port.dialect.name]
    for one in merge.foreign(reported or ()):
        log.warning("%s: holds profile %d of somebody else (%s): taken out", station.id, one.id, one.source)
        await port.call(*codec.clear_profiles(ProfileFilter(ids=(one.id,))), send_by=site.clock.monotonic() + ASKED_S)


async def _clear_foreign_defaults(site: Site, port: StationPort, key: ConnectorKey) -> None:
    """Where profiles can't be listed, what overrules the fallback can only be a default of somebody else."""
    codec = PROFILE_CODECS[port.dialect.name]
    log.warning("%s: something overrules its fallback: its default profiles are taken out", key)
    for evse in (key.evse, 0):
        cleared = codec.clear_profiles(ProfileFilter(evse=evse, purpose=Purpose.TX_DEFAULT))
        await port.call(*cleared, send_by=site.clock.monotonic() + ASKED_S)
