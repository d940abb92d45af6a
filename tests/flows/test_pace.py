"""Heartbeats at the pace the CSMS has set: of whom, how often, and until when."""

import random
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.flows.pace import beat
from gateway.model.ids import StationId
from gateway.model.records import Put
from gateway.model.settings import Key, Setting
from gateway.site import Site
from gateway.site_options import SiteOptions


@dataclass
class _There:
    """Stands for a connected station's port: the pace only asks whether there is one."""


def test_each_station_beats_at_its_own_pace() -> None:
    site = Site(SiteOptions(), Clock(wall=lambda: 0.0), random.Random(1))
    due: dict[StationId, tuple[int, float]] = {}
    beats: list[tuple[float, str]] = []

    def set_pace(name: str, value: str | None) -> None:
        site.apply(Put(Setting(StationId(name), Key.HEARTBEAT_INTERVAL, value, "300")))

    def play(start: float, end: float) -> None:
        now: float | None = start
        while now is not None and now < end:
            at = now
            now = beat(site, due, at)
            for station in site.stations.values():
                if station.beat_due:
                    beats.append((at, station.id))
                    station.beat_due = False

    for name in ("A", "B", "gone", "own"):
        station = site.station(StationId(name))
        if name != "gone":
            station.port = _There()  # type: ignore[assignment]  # see there
    set_pace("A", "10")
    set_pace("B", "25")
    set_pace("gone", "5")
    set_pace("own", "0")
    play(0, 51)
    assert beats == [(10, "A"), (20, "A"), (25, "B"), (30, "A"), (40, "A"), (50, "A"), (50, "B")]
    beats.clear()
    set_pace("A", "30")
    set_pace("B", None)
    play(51, 120)
    assert beats == [(81, "A"), (111, "A")]
