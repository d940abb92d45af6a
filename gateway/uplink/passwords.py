"""The password a station's link shows the CSMS, and what is learned of it by each handshake."""

from gateway.core import uplink_secret
from gateway.model.ids import StationId
from gateway.site import Site

_REFUSED = frozenset({401, 403})


class Passwords:
    """Of one station. A password the CSMS refuses gives way to the one before, if there is one: see
    `core.uplink_secret`."""

    def __init__(self, site: Site, station: StationId, *, is_shown: bool) -> None:
        self._site = site
        self._is_shown = is_shown
        self._station = station
        self._turn = 0
        self._tried: bytes | None = None

    @property
    def is_outdated(self) -> bool:
        """Whether the CSMS has set another password since the last `choose`."""
        return self._is_shown and self._station in self._site.columns.to_renew

    def choose(self) -> bytes | None:
        """What to show at the next handshake; None = nothing."""
        if not self._is_shown:
            return None
        columns = self._site.columns
        if self.is_outdated:
            columns.to_renew.discard(self._station)
            self._turn = 0
        configured = columns.configured_password(self._station)
        found = uplink_secret.candidates(columns.secrets.get(self._station), self._station, configured)
        self._tried = found[self._turn % len(found)]
        return self._tried

    def refused(self, status: int | None) -> None:
        """The handshake failed, with this HTTP status."""
        if status in _REFUSED:
            self._turn += 1

    def proven(self) -> None:
        """The CSMS took what was chosen last: the other one is forgotten."""
        if not self._is_shown:
            return
        site, station = self._site, self._station
        site.columns.used_password[station] = self._tried
        configured = site.columns.configured_password(station)
        site.note(uplink_secret.proven(site.columns.secrets.get(station), station, configured, self._tried))
        self._turn = 0
