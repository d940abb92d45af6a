"""What the configuration must say for the whole site to be one station of the CSMS."""

from collections.abc import Iterator, Sequence

from gateway.config_mistakes import Mistake, quoted
from gateway.config_models import Station, Uplink
from gateway.config_site import Site

ANOTHER = 'Take it out, or use topology = "per-station", where each station speaks its own version.'
TRANSLATED = "1.6"
"""This and any other version are translated into each other; no other two are."""


def mistakes(site: Site, uplink: Uplink, stations: Sequence[tuple[str, Station]]) -> Iterator[Mistake]:
    """What the sections contradict each other in. `stations`: with their places in the file."""
    if uplink.topology != "aggregate":
        return
    spoken = next(iter(uplink.versions or ()), None)
    for where, station in stations:
        own = station.version
        if spoken and own and own != spoken and TRANSLATED not in (own, spoken):
            problem = f"is {quoted(own)}, and the site as one station speaks {spoken} (uplink.versions)"
            yield Mistake(f"{where}.version", problem, ANOTHER)
        if station.uplink_password:
            key = "uplink_password_file" if station.uplink_password_file else "uplink_password_env"
            problem = "the site as one station has one connection to the CSMS, and one password"
            yield Mistake(f"{where}.{key}", problem, "Take it out; the site's password is [uplink] password_file.")
        if site.identity in (station.id, *station.alias):
            problem = f"{quoted(site.identity)} names a station, too"
            yield Mistake("site.identity", problem, "Give the site an identity of its own, as the CSMS knows it.")


def warnings(site: Site, uplink: Uplink) -> Iterator[str]:
    is_open = uplink.security_profile > 0 and uplink.password is None
    if uplink.topology == "aggregate" and is_open:
        yield f"uplink: no password for the CSMS is set for {site.identity}"
