"""SMA energy meters and home managers, which send their values over the network by themselves (Speedwire)."""

import asyncio
import errno
import ipaddress
import logging
import socket
import struct
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from drivers.api import Health, Kind, Seams, Trouble
from drivers.options import Mistake, Options, Resource, fault
from drivers.pace import Backoff
from drivers.push import PushDriver
from drivers.speedwire_datagram import Datagram, decoded

_LOG = logging.getLogger(__name__)
_GROUP: Final = "239.12.255.254"
_PORT: Final = 9522
_SILENCE_S: Final = 60.0
"""After this long without a datagram the group is joined again: a network that was down may have forgotten us."""
_HEARD_S: Final = 60.0
"""So long another meter counts as being there."""
_INTERVAL_S: Final = 1.0


def _interface(value: str) -> str:
    if value.replace(".", "").isdigit():
        try:
            ipaddress.IPv4Address(value)
        except ValueError:
            raise fault("is no IPv4 address", "") from None
    return value


def _address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise fault("is no IPv4 address", "") from None


class SpeedwireOptions(Options):
    serial: Annotated[
        int | None, Field(ge=1, le=0xFFFF_FFFF, description="Write the serial number on the meter's label.")
    ] = None
    interface: Annotated[
        str | None,
        AfterValidator(_interface),
        Field(
            min_length=1,
            max_length=45,
            description='Write the name or address of the network interface that the meter is behind, such as "eth0".',
        ),
    ] = None
    unicast: bool = Field(
        default=False, description="Write true if the meter is set up to send to the gateway's address, else false."
    )
    host: Annotated[
        str | None,
        AfterValidator(_address),
        Field(description="Write the IPv4 address of the meter; nobody else is heard."),
    ] = None
    udp_port: Annotated[int, Field(ge=1, le=65535, description="Leave it out: it is 9522 for all of them.")] = _PORT

    def clashes(self) -> Iterator[Mistake]:
        if self.unicast and self.interface is not None and not self.interface.replace(".", "").isdigit():
            remedy = "Write the address of the interface, or leave it out: all are listened at."
            yield Mistake(("interface",), "has to be an address with unicast", remedy)

    def cautions(self) -> Iterator[str]:
        if self.serial is None:
            yield "without serial, this is the only SMA meter in the network: a second one stops both from being used"

    def resource(self) -> Resource:
        """What is sent to all, several can hear. Of what is sent to one address, one socket gets everything."""
        place = f"speedwire:{self.udp_port}"
        if self.unicast:
            return Resource(place, "Speedwire", "speedwire", key="unicast")
        return Resource(place, "Speedwire", "speedwire", address=str(self.serial or "any"), key="serial")


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, driver: "SpeedwireDriver") -> None:
        self._driver = driver
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._driver.received(data, address[0])

    def error_received(self, error: Exception) -> None:
        if not self.lost.done():
            self.lost.set_result(error)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(error)


class SpeedwireDriver(PushDriver[SpeedwireOptions]):
    options_type = SpeedwireOptions
    listen_s = 5.0

    def __init__(self, name: str, options: SpeedwireOptions, seams: Seams) -> None:
        super().__init__(name, options, seams)
        self._backoff = Backoff(seams.random)
        self._why: Trouble | None = None
        self._heard: dict[int, float] = {}
        """Serial number -> when it was heard last, of all that may be meant."""
        self._others: dict[int, float] = {}
        self._ticker_ms: int | None = None
        self._heard_t: float | None = None
        self._broken = 0
        self._repeated = 0
        self._sockets = 0

    @property
    def interval_s(self) -> float:
        return _INTERVAL_S

    async def work(self) -> None:
        while True:
            trouble = await self._listen()
            if trouble != self._why and trouble is not None:
                _LOG.warning("meter %s: %s", self.name, trouble)
            self._why = trouble
            await self.seams.sleep(self._backoff.wait_s())

    async def _listen(self) -> Trouble | None:
        """Until the socket fails, or nothing came for long; why it can't be listened, None for silence."""
        loop = asyncio.get_running_loop()
        try:
            opened = _opened(self.options)
        except OSError as error:
            return _cannot_listen(self.options, error)
        transport, receiver = await loop.create_datagram_endpoint(lambda: _Receiver(self), sock=opened)
        self._sockets += 1
        self._why = None
        began = self.seams.now()
        try:
            wait_s = _SILENCE_S
            while wait_s > 0:
                done, _ = await asyncio.wait({receiver.lost}, timeout=wait_s)
                if done:
                    lost = receiver.lost.result()
                    return _cannot_listen(self.options, lost) if isinstance(lost, OSError) else None
                wait_s = _SILENCE_S - (self.seams.now() - max(began, self._heard_t or 0.0))
            return None
        finally:
            transport.close()

    def received(self, data: bytes, sender: str) -> None:
        """In the callback that read it."""
        now, options = self.seams.now(), self.options
        if options.host is not None and sender != options.host:
            return
        try:
            datagram = decoded(data)
        except ValueError:
            self._broken += 1
            return
        if datagram is None:
            return
        self._backoff.reset()
        if options.serial is not None and datagram.serial != options.serial:
            self._others[datagram.serial] = now
            return
        self._heard_t = self._heard[datagram.serial] = now
        if len(self._present(self._heard)) == 1 and self._is_news(datagram):
            self.deliver(now, **datagram.values)

    def _is_news(self, datagram: Datagram) -> bool:
        """One that comes by two ways, comes twice."""
        is_old = datagram.ticker_ms == self._ticker_ms
        self._ticker_ms = datagram.ticker_ms
        self._repeated += is_old
        return not is_old

    def _present(self, serials: dict[int, float]) -> list[int]:
        return sorted(serial for serial, t in serials.items() if self.seams.now() - t <= _HEARD_S)

    def described(self) -> str:
        heard = ", ".join(map(str, self._present(self._heard))) or self.options.serial or "any"
        return f"SMA Speedwire, serial number {heard}"

    def health(self) -> Health:
        return self.counted(short_frames=self._broken, late_frames=self._repeated, reconnects=max(0, self._sockets - 1))

    def trouble(self, quiet_s: float | None) -> Trouble | None:
        if self._why is not None:
            return self._why
        if len(several := self._present(self._heard)) > 1:
            problem = (
                f"several SMA meters are heard, and which one is meant is not known: {', '.join(map(str, several))}"
            )
            return Trouble(Kind.MISCONFIGURED, problem, "Write the serial number of the right one as serial")
        if quiet_s is None:
            return None
        if others := self._present(self._others):
            problem = f"the meter {self.options.serial} is not heard, but {', '.join(map(str, others))}"
            return Trouble(Kind.SILENT, problem, "Compare serial with the meter's label")
        if self._broken:
            problem = "the datagrams are broken off"
            return Trouble(Kind.GARBLED, problem, "Check for something in between that cuts them, such as a tunnel")
        remedy = (
            "Check that the meter is in the same network, that switches let multicast through (IGMP snooping), and "
            "that the gateway listens at the right interface. In a container, use the host's network"
        )
        if self.options.unicast:
            remedy = "Check that the gateway's address is among the unicast receivers that the meter sends to"
        return Trouble(Kind.SILENT, f"nothing came for {quiet_s:.0f} s", remedy)


def _opened(options: SpeedwireOptions) -> socket.socket:
    """Bound, and a member of the group unless the meter sends to us alone. Raises OSError."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        if options.unicast:
            made.bind((options.interface or "", options.udp_port))
            return made
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Bound to the group, so that nothing else comes.
        made.bind((_GROUP, options.udp_port))
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(options.interface))
    except OSError:
        made.close()
        raise
    return made


def _membership(interface: str | None) -> bytes:
    group = socket.inet_aton(_GROUP)
    if interface is None:
        return struct.pack("=4sI", group, socket.INADDR_ANY)
    if interface.replace(".", "").isdigit():
        return struct.pack("=4s4s", group, socket.inet_aton(interface))
    return struct.pack("=4sIi", group, socket.INADDR_ANY, socket.if_nametoindex(interface))


def _cannot_listen(options: SpeedwireOptions, error: OSError) -> Trouble:
    where = options.interface or "the network"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Trouble(Kind.NO_PERMISSION, f"the gateway may not listen at {where}", "Check the firewall")
    if error.errno == errno.EADDRINUSE:
        problem = f"UDP port {options.udp_port} is in use by another program that does not share it"
        return Trouble(Kind.IN_USE, problem, "Stop that program; `ss -ulpn` names it")
    if options.interface is not None:
        problem = f"there is no network interface {options.interface}, or it is down"
        return Trouble(Kind.UNREACHABLE, problem, "Take one that `ip address` shows; the gateway goes on by itself")
    problem = f"there is no network to listen at ({error.strerror or error})"
    return Trouble(Kind.UNREACHABLE, problem, "Write interface: the name or address of the one the meter is behind")
