"""What the gateway itself keeps of a station, for translated commands about what OCPP 1.6 does not tell."""

from collections.abc import Sequence

from gateway.dialects.translate.base import HeldProfile
from gateway.flows import applied, site_facts
from gateway.site import Site
from gateway.station import Station


class GatewayKeeper:
    """Of one station; looked up when it is asked for."""

    def __init__(self, site: Site, station: Station) -> None:
        self._site = site
        self._station = station

    def profiles(self) -> Sequence[HeldProfile] | None:
        """With the gateway's own limits. A profile that waits for its transaction is not in force yet."""
        site, station = self._site, self._station.id
        if not site.balancer.is_member(station):
            return None
        held = (*site_facts.held_of(site, station), *applied.as_external(site, station))
        return [HeldProfile(one.evse, one.source, one.profile) for one in held if one.waits_until is None]
