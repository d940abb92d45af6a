"""The CSMS is told when the gateway limits a transaction, and when it does so no more."""

import asyncio
import logging

from gateway.dialects.profiles import PROFILE_CODECS
from gateway.flows import applied
from gateway.model.profile import LimitSource, Period, RateUnit, Schedule
from gateway.model.site_tree import Binding, ConnectorKey
from gateway.site import Site
from gateway.smartcharging.notices import Say, Told, notice

log = logging.getLogger(__name__)

EVERY_S = 1.0


async def run(site: Site) -> None:
    """Look every second; ends by cancellation."""
    plan = site.balancer.plan
    while plan is not None:
        await asyncio.sleep(EVERY_S)
        for key in (spec.key for spec in plan.connectors):
            try:
                _look(site, key)
            except Exception:  # one connector's trouble is never another's
                log.exception("%s: its limit can't be told to the CSMS", key)


def _look(site: Site, key: ConnectorKey) -> None:
    station, balancer = site.stations.get(key.station), site.balancer
    dialect = site.uplink.dialect(key.station)
    if station is None or dialect is None or not site.can_ask(station):
        return
    found, now, told = applied.limited(site, key), site.clock.now(), balancer.told.get(key)
    said = notice(told, None if found is None else round(found[0], 1), now)
    if said is Say.NOTHING:
        return
    codec = PROFILE_CODECS[dialect.name]
    if found is not None and said is Say.LIMIT:
        limit_a, why = round(found[0], 1), found[1]
        is_grid = why.binding is Binding.GRID
        schedule = Schedule(RateUnit.A, (Period(0, limit_a),))
        source = LimitSource.SO if is_grid else LimitSource.EMS
        message = codec.notify_limit(key.evse, source, schedule, is_grid_critical=is_grid)
        balancer.told[key], balancer.told_by[key] = Told(limit_a, now), source
    else:
        message = codec.cleared_limit(key.evse, balancer.told_by.pop(key, LimitSource.EMS))
        balancer.told[key] = Told(None, now)
    if message is not None:
        # if it is lost, the next change says it
        site.uplink.post(key.station, site.request(*message, send_by=site.clock.monotonic() + 10.0))
