"""Slaves on real pseudo terminals: one that does what a script says, and a wire that is pulled and plugged."""

import asyncio
import fcntl
import os
import pty
import random
import struct
import termios
import tty
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerRTU
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.api import Seams
from drivers.late_replies import FUNCTIONS
from drivers.modbus_options import ModbusOptions
from drivers.options import Places
from drivers.registry import checked
from gateway.clock import Clock
from gateway.demo.gateway_process import free_port

Registers = Mapping[int, int]
"""Address -> content."""


def real_seams(seed: int = 1) -> Seams:
    clock = Clock()
    return Seams(clock.monotonic, clock.now, asyncio.sleep, random.Random(seed))


def fast_seams(seed: int = 1, factor: float = 10.0) -> Seams:
    """Everything a driver waits for by itself takes a tenth; replies and time-outs take what they take."""
    clock = Clock()

    async def rest(seconds: float) -> None:
        woken = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(seconds / factor, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    return Seams(lambda: clock.monotonic() * factor, clock.now, rest, random.Random(seed))


def options(**table: Any) -> ModbusOptions:
    table = {"driver": "modbus", "model": "eastron-sdm630", **table}
    made = checked(table, Places())
    assert isinstance(made, ModbusOptions)
    return made


def with_crc(frame: bytes) -> bytes:
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Request:
    unit: int
    function: int
    at: int
    count: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What the slave sends, how long after the request. b"": it says nothing."""

    content: bytes
    delay_s: float = 0.0


Script = Callable[[Request, bytes], Reply]
"""Gets a request and the right answer to it."""


def obedient(_request: Request, answer: bytes) -> Reply:
    return Reply(answer)


@dataclass(slots=True)
class Slave:
    """Meters behind one pseudo terminal, which a link names like an adapter. `unplug` and `plug` at will."""

    link: Path
    units: dict[int, dict[int, int]]
    script: Script = obedient
    largest: int = 125
    """More registers than this are refused."""
    code: int = 3
    """The exception for that."""
    requests: list[Request] = field(default_factory=list)
    _master: int = -1
    _slave: int = -1
    _content: bytes = b""
    _later: set[asyncio.TimerHandle] = field(default_factory=set)

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()

    def plug(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.link.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def unplug(self) -> None:
        if self._master < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        for handle in self._later:
            handle.cancel()
        self._later.clear()
        self.link.unlink()
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1
        self._content = b""

    def say(self, content: bytes) -> None:
        """Unasked."""
        if self._master >= 0 and content:
            os.write(self._master, content)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            self._content += os.read(self._master, 4096)
        while len(self._content) >= 8:
            frame, self._content = self._content[:8], self._content[8:]
            assert with_crc(frame[:6]) == frame, frame.hex()
            self._answer(frame)

    def _answer(self, frame: bytes) -> None:
        at, count = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
        request = Request(frame[0], frame[1], at, count)
        self.requests.append(request)
        if request.unit not in self.units:
            return
        reply = self.script(request, self._right(request))
        loop = asyncio.get_running_loop()
        self._later = {handle for handle in self._later if handle.when() > loop.time()}
        self._later.add(loop.call_later(reply.delay_s, self.say, reply.content))

    def _right(self, request: Request) -> bytes:
        registers = self.units[request.unit]
        wanted = range(request.at, request.at + request.count)
        head = bytes((request.unit, request.function))
        if request.count > self.largest:
            return with_crc(bytes((head[0], head[1] | 0x80, self.code)))
        if any(address not in registers for address in wanted):
            return with_crc(bytes((head[0], head[1] | 0x80, 2)))
        content = b"".join(registers[address].to_bytes(2, "big") for address in wanted)
        return with_crc(head + bytes((len(content),)) + content)


@contextmanager
def wire() -> Iterator[tuple[Path, Path]]:
    """Two pseudo terminals, each getting what goes into the other."""
    (master_a, slave_a), (master_b, slave_b) = pty.openpty(), pty.openpty()
    loop = asyncio.get_running_loop()
    for slave in (slave_a, slave_b):
        tty.setraw(slave)
    for here, there in ((master_a, master_b), (master_b, master_a)):
        os.set_blocking(here, False)
        loop.add_reader(here, _pass_on, here, there)
    try:
        yield Path(os.ttyname(slave_a)), Path(os.ttyname(slave_b))
    finally:
        for master in (master_a, master_b):
            loop.remove_reader(master)
        for descriptor in (master_a, slave_a, master_b, slave_b):
            os.close(descriptor)


def _pass_on(here: int, there: int) -> None:
    os.write(there, os.read(here, 4096))


@dataclass(frozen=True, slots=True)
class Unit:
    """What pymodbus's server has at one address.

    `alone`: input registers with another content when read alone. `borders`: first and last register of values of so
    many registers each; reads that begin or end within one are refused.
    """

    holding: Registers = field(default_factory=dict)
    input: Registers = field(default_factory=dict)
    alone: Registers = field(default_factory=dict)
    borders: tuple[Sequence[int], ...] = ()

    def device(self, unit: int) -> SimDevice:
        parts = ([_NOTHING], [_NOTHING], _blocks(self.holding), _blocks(self.input))
        return SimDevice(unit, parts, action=self._action if self.alone or self.borders else None)

    async def _action(
        self, function: int, start: int, at: int, count: int, registers: list[int], _new: object
    ) -> ExcCodes | None:
        for first, last, width in self.borders:
            if first <= at <= last and ((at - first) % width or count % width or at + count - 1 > last):
                return ExcCodes.ILLEGAL_ADDRESS
        for address, content in self.alone.items() if function == FUNCTIONS["input"] else ():
            registers[address - start] = content if (at, count) == (address, 1) else self.input[address]
        return None


Units = Mapping[int, Unit]


def _devices(units: Units) -> list[SimDevice]:
    return [unit.device(number) for number, unit in units.items()]


_NOTHING = SimData(0, values=False, datatype=DataType.BITS)


def _blocks(registers: Registers) -> list[SimData]:
    found: list[tuple[int, list[int]]] = []
    for address in sorted(registers):
        if found and found[-1][0] + len(found[-1][1]) == address:
            found[-1][1].append(registers[address])
        else:
            found.append((address, [registers[address]]))
    return [SimData(at, values=values, datatype=DataType.REGISTERS) for at, values in found] or [
        SimData(0xFFFF, values=0, datatype=DataType.REGISTERS)
    ]


@asynccontextmanager
async def tcp_server(units: Units, *, is_rtu: bool = False) -> AsyncIterator[int]:
    """pymodbus's, on 127.0.0.1; the port it has."""
    port = free_port()
    framer = FramerType.RTU if is_rtu else FramerType.SOCKET
    server = ModbusTcpServer(_devices(units), framer=framer, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield port
    finally:
        await server.shutdown()


@asynccontextmanager
async def udp_server(units: Units, port: int | None = None) -> AsyncIterator[int]:
    """pymodbus's, on 127.0.0.1; the port it has."""
    port = port or free_port()
    server = ModbusUdpServer(_devices(units), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield port
    finally:
        await server.shutdown()


@asynccontextmanager
async def serial_server(port: Path, units: Units) -> AsyncIterator[None]:
    server = ModbusSerialServer(_devices(units), port=str(port), baudrate=9600)
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()


def lock(path: Path) -> int:
    """What another program does that keeps the port to itself. The descriptor, to be closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.ioctl(descriptor, termios.TIOCEXCL)
    return descriptor


def words(values: Sequence[float], kind: str, order: str = "big") -> list[int]:
    """Numbers as registers."""
    found: list[int] = []
    for value in values:
        content = struct.pack(kind, value if kind in (">f", ">d") else int(value))
        some = [int.from_bytes(content[i : i + 2], "big") for i in range(0, len(content), 2)]
        found += some if order == "big" else some[::-1]
    return found
