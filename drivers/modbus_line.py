"""A serial line, TCP connection or UDP socket with Modbus on it. The thin shell over pymodbus."""

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeVar

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient, AsyncModbusUdpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusException

from drivers import port_trouble
from drivers.api import Trouble
from drivers.late_replies import FUNCTIONS, Heard, Question, ReplyGuard
from drivers.options import serial_place

T = TypeVar("T")
_CONNECT_S: Final = 3.0
_NO_LIMIT_S: Final = 60.0
"""pymodbus's own time-out; ours come first."""
_GIVE_UP: Final = 1_000_000
"""pymodbus closes a connection after so many time-outs; when to do that is decided by the bus."""

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it has to say is in our counters, in our words


@dataclass(frozen=True, slots=True)
class SerialLine:
    port: str
    baud: int
    parity: str
    stop_bits: int

    is_rtu: Literal[True] = True
    if_silent: ClassVar[str] = "Check the meter's power, address and line settings, and the wires A and B"

    def __str__(self) -> str:
        return f"{self.port} ({self.baud} 8{self.parity}{self.stop_bits})"

    @property
    def name(self) -> str:
        return self.port

    @property
    def place(self) -> str:
        return serial_place(self.port)

    @property
    def settings(self) -> tuple[object, ...]:
        """What all who use the line have to agree on."""
        return self.baud, self.parity, self.stop_bits

    def seconds(self, size: int) -> float:
        """How long so many bytes are on the line."""
        return size * (9 + self.stop_bits + (self.parity != "N")) / self.baud

    def device(self) -> object:
        """Which adapter the name stands for now."""
        try:
            return os.stat(self.port).st_rdev
        except OSError:
            return None

    def trouble(self, error: OSError | None) -> Trouble:
        return port_trouble.of_serial(self.port, error)

    def client(self, **hooks: Any) -> ModbusBaseClient:
        return AsyncModbusSerialClient(
            self.port,
            baudrate=self.baud,
            parity=self.parity,
            stopbits=self.stop_bits,
            timeout=_NO_LIMIT_S,
            retries=0,
            reconnect_delay=0,
            **hooks,
        )


@dataclass(frozen=True, slots=True)
class TcpLine:
    host: str
    port: int
    is_rtu: bool = False
    """RTU frames over TCP, as plain serial servers carry them."""
    if_silent: ClassVar[str] = (
        "Check the meter's power and its address (unit); if it is behind a gateway, its wires too"
    )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def name(self) -> str:
        return self.place

    @property
    def place(self) -> str:
        return tcp_place(self.host, self.port)

    @property
    def settings(self) -> tuple[object, ...]:
        return (self.is_rtu,)

    def seconds(self, size: int) -> float:
        return 0.0

    def device(self) -> object:
        return None

    def trouble(self, error: OSError | None) -> Trouble:
        return port_trouble.of_host(self.host, self.port, error)

    def client(self, **hooks: Any) -> ModbusBaseClient:
        framer = FramerType.RTU if self.is_rtu else FramerType.SOCKET
        return AsyncModbusTcpClient(
            self.host,
            port=self.port,
            framer=framer,
            timeout=_NO_LIMIT_S,
            retries=0,
            reconnect_delay=0,
            **hooks,
        )


@dataclass(frozen=True, slots=True)
class UdpLine:
    """A datagram each question and answer. Nothing tells whether anybody is there but the answers."""

    host: str
    port: int

    is_rtu: Literal[False] = False
    if_silent: ClassVar[str] = "Check the meter's power and network, and that no firewall keeps UDP from it"

    def __str__(self) -> str:
        return f"{self.host}:{self.port} (UDP)"

    @property
    def name(self) -> str:
        return self.place

    @property
    def place(self) -> str:
        return f"udp:{self.host.lower()}:{self.port}"

    @property
    def settings(self) -> tuple[object, ...]:
        return ()

    def seconds(self, size: int) -> float:
        return 0.0

    def device(self) -> object:
        return None

    def trouble(self, error: OSError | None) -> Trouble:
        return port_trouble.of_host(self.host, self.port, error)

    def client(self, **hooks: Any) -> ModbusBaseClient:
        return AsyncModbusUdpClient(
            self.host, port=self.port, timeout=_NO_LIMIT_S, retries=0, reconnect_delay=0, **hooks
        )


Line = SerialLine | TcpLine | UdpLine


def tcp_place(host: str, port: int) -> str:
    return f"tcp:{host.lower()}:{port}"


async def _cancellable(work: Awaitable[T]) -> T:
    """pymodbus waits with asyncio.wait_for, which up to Python 3.11 loses a cancellation that comes with the result."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    result = await work
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return result


class ConnectionLost(Exception):
    """Nothing can be asked any more."""


class NotAnAnswer(Exception):
    """Something came that does not answer the question."""


class Connection:
    """One opening of a line. Used once; a new one is made after it was lost."""

    def __init__(self, line: Line, guard: ReplyGuard, on_idle: Callable[[], None]) -> None:
        """`on_idle` is called for bytes that come while no question is open."""
        self._line = line
        self._guard = guard
        self._on_idle = on_idle
        self._made = asyncio.Event()
        self._error: OSError | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._is_asking = False
        self._device = line.device()
        self.heard = Heard()
        """What came while the last question was open."""
        self._client = line.client(trace_packet=self._heard, trace_connect=self._changed)
        self._client.set_max_no_responses(_GIVE_UP)
        self._create = self._client.ctx.call_create
        self._client.ctx.call_create = self._created

    @property
    def is_open(self) -> bool:
        return self._made.is_set() and self._client.connected

    @property
    def is_replaced(self) -> bool:
        """Whether the port's name stands for another adapter by now."""
        return self._line.device() != self._device

    async def open(self) -> Trouble | None:
        """None: open. Otherwise why not."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                if await _cancellable(self._client.connect()):
                    await self._made.wait()
        except TimeoutError:
            pass
        return None if self.is_open else self._line.trouble(self._error)

    async def _created(self) -> Any:
        """pymodbus tells nobody why it could not connect, and pyserial has errors of many kinds."""
        try:
            created = await self._create()
        except Exception as error:
            self._error = error if isinstance(error, OSError) else OSError(errno.EINVAL, str(error))
            raise self._error from error
        self._transport = created[0]
        return created

    def close(self) -> None:
        """Frees the descriptor at once, so that a replugged adapter gets its number again."""
        if self._made.is_set() or self._transport is None:
            self._close()
        else:  # the transport of pymodbus sets itself up in the loop's next turn, and can't be closed before
            asyncio.get_running_loop().call_soon(self._close)

    def _close(self) -> None:
        self._client.close()
        if self._transport is not None:
            self._transport.close()

    async def ask(self, question: Question) -> tuple[int, ...] | int:
        """Registers, or the code of the meter's refusal. Waits without limit: the caller has a time-out.

        Raises ConnectionLost, NotAnAnswer.
        """
        is_holding = question.function == FUNCTIONS["holding"]
        read = self._client.read_holding_registers if is_holding else self._client.read_input_registers
        self._is_asking = True
        self._guard.ask(question)
        try:
            reply = await _cancellable(read(question.at, count=question.count, device_id=question.unit))
            is_answer = self._guard.is_answer(reply.dev_id, reply.function_code, len(reply.registers))
        except (ModbusException, OSError) as error:
            if self._client.connected:
                raise NotAnAnswer(str(error)) from error
            raise ConnectionLost(str(error)) from error
        finally:
            self._is_asking = False
            self.heard = self._guard.done()
        if not is_answer:
            raise NotAnAnswer(str(reply))
        return reply.exception_code if reply.isError() else tuple(reply.registers)

    def _heard(self, is_sent: bool, content: bytes) -> bytes:
        if is_sent:
            return content
        if not self._is_asking:
            self._on_idle()
        return self._guard.passed(content) if self._line.is_rtu else content

    def _changed(self, is_connected: bool) -> None:
        if is_connected:
            self._made.set()
