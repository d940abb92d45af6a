"""The site as plain data, for the API. Reads, never changes."""

from datetime import datetime
from typing import Any

from gateway.core.timebase import is_skewed
from gateway.model.token import AuthorizationStatus
from gateway.site import Site
from gateway.station import Station
from gateway.web import meter_snapshot, queue_view


def status(site: Site) -> dict[str, Any]:
    """The whole site at a glance."""
    stations = sorted(site.stations.values(), key=lambda station: station.id)
    return {
        "site": site.options.name,
        "store": "ok" if site.writer.is_ready else "recovering",
        "clock": _clock(site),
        "storage": storage(site),
        "alarms": queue_view.alarms(site),
        "one_link": _one_link(site),
        "authorization": {"offline": site.options.offline.value},
        "queue": {
            "rows": sum(len(station.queue) for station in stations),
            "parked": sum(len(station.parked) for station in stations),
            "unknown_outcomes": len(site.unknown_outcomes),
        },
        "stations": [_station(site, station) for station in stations],
        "pending": pending(site),
        "meters": meter_snapshot.meters(site),
        "circuits": meter_snapshot.circuits(site),
    }


def _one_link(site: Site) -> dict[str, Any] | None:
    """The link of a site that is one station to the CSMS."""
    link = site.one_link()
    if link is None:
        return None
    return {
        "identity": link.identity,
        "state": link.state.value,
        "dialect": link.dialect,
        "waiting": link.waiting,
        "drain_s": round(link.drain_s, 1),
        "numbers": len(site.numbering.places()),
    }


def _clock(site: Site) -> dict[str, Any]:
    base = site.time.base
    return {
        "time": site.clock.now().isoformat(timespec="seconds"),
        "trust": base.trust.value,
        "reason": base.reason.value,
        "floor": site.time.floor.isoformat(timespec="seconds"),
        "stations_wait": site.time.waits(),
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def storage(site: Site) -> dict[str, Any]:
    """How full the database and the queue are. Bytes; None before the first commit."""
    space, limits = site.writer.space, site.options.limits
    return {
        "level": site.level().name.lower(),
        "used": space.used if space else None,
        "budget": limits.budget_bytes,
        "disk_free": space.disk_free if space else None,
        "queue_rows": sum(len(station.queue) + len(station.parked) for station in site.stations.values()),
        "queue_rows_budget": limits.queue_rows,
    }


def pending(site: Site) -> list[dict[str, Any]]:
    """Stations that wait for approval."""
    now = site.clock.monotonic()
    return [
        {
            "id": one.id,
            "address": one.address,
            "subprotocol": one.subprotocol,
            "waiting_s": round(now - one.since),
            "problem": one.problem or None,
        }
        for one in site.pending.values()
    ]


def _station(site: Site, station: Station) -> dict[str, Any]:
    running = site.ledger.running(station.id)
    return {
        "id": station.id,
        "approval": station.record.approval.value,
        "connected": station.port is not None,
        "dialect": station.port.dialect.name if station.port else station.record.dialect,
        "uplink": site.uplink.state(station.id).value,
        "held": station.is_held,
        "boot_due": station.record.boot_due,
        "registration": station.record.registration,
        "clock": _station_clock(site, station),
        "queue": len(station.queue),
        "parked": len(station.parked),
        "connectors": {
            f"{evse}" if connector in (evse, 1) else f"{evse}/{connector}": report.status
            for (evse, connector), report in sorted(station.connectors.items())
        },
        "numbers": {str(place.evse): place.number for place in site.numbering.of(station.id)},
        "local_list": _local_list(site, station),
        "running": len(running),
        "transactions": [
            {
                "evse": one.evse,
                "id": one.station_tx_id,
                "upstream_id": one.upstream_tx_id,
                "csms_id": site.csms_id(one),
                "status": one.status or AuthorizationStatus.ACCEPTED.value,
                "reason": one.status_reason,
                "late_status": one.late_status,
                "started": one.started,
                "received": _iso(one.received),
                "received_corrected": _iso(site.time.corrected(one.stamp)),
            }
            for one in running
        ],
    }


def _local_list(site: Site, station: Station) -> dict[str, Any] | None:
    """The list the CSMS gave, and whether the station itself holds it by now; None if it gave none."""
    state = site.tokens.lists.of(station.id)
    if state.version is None:
        return None
    entries = len(site.tokens.lists.entries(state.digest))
    return {"version": state.version, "entries": entries, "in_station": state.held_digest == state.digest}


def _station_clock(site: Site, station: Station) -> dict[str, Any]:
    """`skew_s`: ahead of the time it was given; `given_offset_s`: that time ahead of what is held for true now."""
    known = site.time.stations.get(station.id)
    skew = known.skew_s if known else None
    return {
        "skew_s": skew,
        "is_skewed": is_skewed(skew),
        "given_offset_s": round(site.time.offset_s(station.id), 1),
    }
