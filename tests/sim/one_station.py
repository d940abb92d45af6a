"""The whole site as one station on virtual time: one socket to the CSMS, whose history is told apart again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.assembly import Uplink
from gateway.core.one_station import transaction_uuid
from gateway.demo.checker import Report
from gateway.demo.history import Answered, Arrival
from gateway.dialects.site_says import SiteIdentity
from gateway.site import Site
from gateway.uplink.aggregate import Aggregate
from gateway.uplink.backoff import Backoff
from gateway.uplink.link import Connector
from gateway.uplink.site_link import SiteLinkOptions
from tests.sim.station import SimStation
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
        self.places: dict[int, str] = {}

    def make_uplink(self, site: Site, connector: Connector) -> Uplink:
        options = SiteLinkOptions(
            SITE, NAMES, (self.version,), backoff=Backoff(2, 2, 3), direct_actions=self.direct_actions
        )
        return Aggregate(site, options, connector)

    def add(self, identity: str, version: str) -> SimStation:
        return super().add(identity, version if self.is_mixed else self.version)

    def verdict(self) -> Report:
        """As for a CSMS that has a socket for each station: whose message was it, and what did the station call it?"""
        assert self.assembly
        self.places = {place.number: place.station for place in self.assembly.site.numbering.places()}
        given: dict[Any, str] = {}
        own_of = {
            transaction_uuid(own.station, own.station_tx_id): (own.station, own.station_tx_id)
            for own in self.assembly.site.ledger.transactions.values()
            if own.station_tx_id is not None
        }
        records = self.csms.history.records
        placed_ones = [one for one in map(self._placed, records) if isinstance(one, Arrival)]
        starts = {one.order: one.station for one in placed_ones}
        of_uuid = {
            found["transactionInfo"]["transactionId"]: one.station
            for one in placed_ones
            if (found := json.loads(one.payload)).get("eventType") == "Started"
        }
        for one in records:
            if isinstance(one, Answered) and one.answer and "transactionId" in json.loads(one.answer):
                given[json.loads(one.answer)["transactionId"]] = starts[one.order]
        for at, one in enumerate(records):
            placed = self._placed(one)
            if isinstance(placed, Arrival):
                payload = json.loads(placed.payload)
                if "transactionInfo" in payload:
                    told = payload["transactionInfo"]["transactionId"]
                    station, own_id = own_of.get(told) or (of_uuid[told], told)
                    payload["transactionInfo"]["transactionId"] = own_id
                    placed = replace(placed, station=station, payload=json.dumps(payload))
                elif placed.station == SITE:
                    placed = replace(placed, station=given[payload["transactionId"]])
                records[at] = placed
        return super().verdict()

    def _placed(self, one: Any) -> Any:
        """A message that names an EVSE, as its station's own."""
        if not isinstance(one, Arrival):
            return one
        payload = json.loads(one.payload)
        evse = payload.get("evse")
        number = evse["id"] if evse else payload.get("connectorId")
        if number is None:
            return one
        if evse:
            evse["id"] = 1
        else:
            payload["connectorId"] = 1
        return replace(one, station=self.places[number], payload=json.dumps(payload))


def of(version: str, *, is_mixed: bool = False) -> Any:
    """What makes such a world for a storm."""
    return lambda folder, seed: OneStationWorld(folder, seed, version, is_mixed=is_mixed)
