"""The whole site as one station on virtual time: one socket to the CSMS, whose history is told apart again."""

from pathlib import Path
from typing import Any

from gateway.assembly import Uplink
from gateway.demo.history import Created, CsmsRecord
from gateway.dialects.site_says import SiteIdentity
from gateway.site import Site
from gateway.uplink.aggregate import Aggregate
from gateway.uplink.backoff import Backoff
from gateway.uplink.link import Connector
from gateway.uplink.site_link import SiteLinkOptions
from tests.sim.station import SimStation
from tests.sim.told_apart import told_apart
from tests.sim.world import World

SITE = "SITE-NORTH"
NAMES = SiteIdentity("Vendor", "Site gateway", "SN-1", "1.0")


class OneStationWorld(World):
    """Stations behind one link, of the CSMS's version unless `is_mixed`."""

    direct_actions = frozenset({"TriggerMessage"})

    def __init__(self, folder: Path, seed: int, version: str, *, is_mixed: bool = False) -> None:
        super().__init__(folder, seed)
        self.version = version
        self.is_mixed = is_mixed
        if is_mixed:
            self.csms.versions = (version,)

    def make_uplink(self, site: Site, connector: Connector) -> Uplink:
        options = SiteLinkOptions(
            SITE, NAMES, (self.version,), backoff=Backoff(2, 2, 3), direct_actions=self.direct_actions
        )
        return Aggregate(site, options, connector)

    def add(self, identity: str, version: str) -> SimStation:
        return super().add(identity, version if self.is_mixed else self.version)

    def told_by_stations(self, created: list[Created], findings: list[str]) -> list[CsmsRecord]:
        assert self.assembly
        places = {one.number: (str(one.station), one.evse) for one in self.assembly.site.numbering.places()}
        records = self.csms.history.records
        records[:] = told_apart(created, records, SITE, places, findings)
        return list(records)


def of(version: str, *, is_mixed: bool = False) -> Any:
    """What makes such a world for a storm."""
    return lambda folder, seed: OneStationWorld(folder, seed, version, is_mixed=is_mixed)
