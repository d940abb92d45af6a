"""Meters that announce themselves in the network: Shelly and Victron. On zeroconf, of the extra `probe`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from drivers.api import DriverError, Kind, Seams

SHELLY: Final = "_shelly._tcp.local."
VICTRON: Final = "_victron-energy-meter._udp.local."
SERVICES: Final = (SHELLY, VICTRON)
_RESOLVE_MS: Final = 2000


@dataclass(frozen=True, slots=True, order=True)
class Announced:
    """`name` as the device calls itself."""

    name: str
    address: str
    service: str

    @property
    def remedy(self) -> str:
        """If nothing answers there."""
        if self.service == SHELLY:
            return "Switch Modbus on in the device's web page (Settings, Modbus), or use MQTT"
        return "Check that the device is set to Ethernet, and that it is in this network"


def is_meter(name: str, service: str) -> bool:
    """Shelly's plugs and lamps announce themselves in the same way as its meters."""
    return service == VICTRON or "em" in name.lower().partition("-")[0].removeprefix("shelly")


async def announced(seconds: float, seams: Seams, interfaces: Sequence[str] | None = None) -> list[Announced]:
    """Who announces itself within so many seconds. Raises DriverError: not installed, or no network."""
    try:
        zeroconf: Any = import_module("zeroconf")
        asynchronous: Any = import_module("zeroconf.asyncio")
    except ImportError as error:
        problem = f"devices in the network are not looked for ({error})"
        raise DriverError(Kind.NOT_INSTALLED, problem, 'Run: pip install "ocpp-gateway[probe]"') from error
    seen: set[tuple[str, str]] = set()

    def heard(*, service_type: str, name: str, **_rest: object) -> None:
        seen.add((service_type, name))

    try:
        network = asynchronous.AsyncZeroconf(interfaces=interfaces or zeroconf.InterfaceChoice.Default)
    except OSError as error:
        raise DriverError(Kind.UNREACHABLE, f"there is no network to look in ({error})", "Check it") from error
    try:
        browser = asynchronous.AsyncServiceBrowser(network.zeroconf, list(SERVICES), handlers=[heard])
        try:
            await seams.sleep(seconds)
        finally:
            await browser.async_cancel()
        infos = [asynchronous.AsyncServiceInfo(service, name) for service, name in sorted(seen)]
        await asyncio.gather(*(info.async_request(network.zeroconf, _RESOLVE_MS) for info in infos))
    finally:
        await network.async_close()
    return sorted(
        Announced(_short(info.name, info.type), address, info.type)
        for info in infos
        for address in info.parsed_addresses(zeroconf.IPVersion.V4Only)[:1]
        if is_meter(_short(info.name, info.type), info.type)
    )


def _short(name: str, service: str) -> str:
    return name.removesuffix("." + service)
