"""The site as plain data, for the API. Reads, never changes."""

from typing import Any

from gateway.model.token import AuthorizationStatus
from gateway.site import Site
from gateway.station import Station
from gateway.web import meter_snapshot


def status(site: Site) -> dict[str, Any]:
    """The whole site at a glance."""
    stations = sorted(site.stations.values(), key=lambda station: station.id)
    return {
        "site": site.options.name,
        "store": "ok" if site.writer.is_ready else "recovering",
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


def pending(site: Site) -> list[dict[str, Any]]:
    """Stations that wait for approval."""
    now = site.clock.monotonic()
    return [
        {"id": one.id, "address": one.address, "subprotocol": one.subprotocol, "waiting_s": round(now - one.since)}
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
        "queue": len(station.queue),
        "parked": len(station.parked),
        "connectors": {
            f"{evse}" if connector in (evse, 1) else f"{evse}/{connector}": report.status
            for (evse, connector), report in sorted(station.connectors.items())
        },
        "local_list": _local_list(site, station),
        "running": len(running),
        "transactions": [
            {
                "evse": one.evse,
                "id": one.station_tx_id,
                "upstream_id": one.upstream_tx_id,
                "status": one.status or AuthorizationStatus.ACCEPTED.value,
                "reason": one.status_reason,
                "late_status": one.late_status,
                "started": one.started,
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
