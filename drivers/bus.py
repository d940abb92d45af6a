"""The owner of a line: all meters on it are asked through it, one question at a time.

After a failed read the line is left alone until what may still come has come and gone (`late_replies`). A lost line
is opened again for ever, 0.2 s to 5 s apart, by whoever asks next.
"""

import asyncio
import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers.api import DriverError, Kind, Seams, Trouble
from drivers.late_replies import FUNCTIONS, Doubts, Question, ReplyGuard
from drivers.modbus_line import Connection, ConnectionLost, Line, NotAnAnswer
from drivers.pace import Backoff

_log = logging.getLogger(__name__)
_REOPEN_AFTER: Final = 5
"""Questions without an answer, of all meters on the line, after which it is opened anew."""
_NOISE_S: Final = 1.0
"""A line that is never quiet for so long belongs to somebody else."""
_REQUEST_BYTES: Final = 8
_NO_PATH: Final = {0x0A, 0x0B}
"""Modbus exceptions of a gateway that does not reach the meter."""

_BUSY: Final = {0x05, 0x06}
_NOT_SO: Final = {0x01, 0x02, 0x03}
"""Function, address or number of registers are not what the meter knows."""


class BusError(Exception):
    """A read that gave nothing."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(str(trouble))
        self.trouble = trouble


class Down(BusError):
    """The line is not open."""


class NoReply(BusError):
    """The meter did not answer in time."""


class Garbled(BusError):
    """What came was no answer."""


class Refused(BusError):
    """The meter answered with a Modbus exception."""

    def __init__(self, trouble: Trouble, code: int) -> None:
        super().__init__(trouble)
        self.code = code


@dataclass(frozen=True, slots=True)
class Read:
    """A question with its manners. `function` is "holding" or "input"."""

    unit: int
    function: str
    at: int
    count: int
    timeout_s: float
    gap_s: float = 0.0
    is_alike: bool = False
    """Another block of this meter has the same length."""

    @property
    def question(self) -> Question:
        return Question(self.unit, FUNCTIONS[self.function], self.at, self.count)


@dataclass(frozen=True, slots=True)
class Answer:
    registers: tuple[int, ...]
    t_mono: float
    """When the question was sent that this answers, at the latest."""


@dataclass(slots=True)
class Counters:
    """Of the line, all meters together."""

    timeouts: int = 0
    crc_errors: int = 0
    short_frames: int = 0
    late_frames: int = 0
    reconnects: int = 0


class Bus:
    """Opens nothing before the first read."""

    def __init__(self, line: Line, seams: Seams, guard: ReplyGuard) -> None:
        self.line = line
        self.counters = Counters()
        self.generation = 0
        """Counts openings: after a new one, another meter may be there."""
        self.users = 0
        """Without any, it opens nothing any more."""
        self._seams = seams
        self._guard = guard
        self._backoff = Backoff(seams.random)
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._retry_at = 0.0
        self._free_at = 0.0
        self._idle_since: float | None = None
        self._unanswered = 0
        self._doubts = Doubts()

    async def read(self, read: Read) -> Answer:
        """Raises BusError. Waits its turn, and for the line to be quiet; the time-out counts from the question."""
        async with self._lock:
            connection = await self._opened()
            await self._quiet(read)
            return await self._asked(connection, read)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _opened(self) -> Connection:
        if self._connection is not None and self._connection.is_open:
            return self._connection
        self.close()
        await self._seams.sleep(max(0.0, self._retry_at - self._seams.now()))
        if self.users == 0:
            raise self._lost()
        connection = Connection(self.line, self._guard, self._heard_idle)
        try:
            trouble = await connection.open()
        except BaseException:
            connection.close()
            raise
        if trouble is not None:
            connection.close()
            self._retry_at = self._seams.now() + self._backoff.wait_s()
            raise Down(trouble)
        self._connection = connection
        self.counters.reconnects += self.generation > 0
        self.generation += 1
        self._unanswered = 0
        self._free_at = self._seams.now() + self._guard.quiet_s  # for answers to what was asked before
        _log.debug("%s is open", self.line)
        return connection

    async def _quiet(self, read: Read) -> None:
        """Waits until nobody has been heard for long enough."""
        began = self._seams.now()
        while (wait := self._free_at + read.gap_s - self._seams.now()) > 0:
            if self._seams.now() - began > _NOISE_S + read.gap_s + self._guard.quiet_if_alike_s:
                problem = f"there is talk on {self.line} though nobody was asked"
                remedy = "Take the other master off the line, or the noise: a line has one master"
                raise Garbled(Trouble(Kind.GARBLED, problem, remedy))
            await self._seams.sleep(wait)

    def _heard_idle(self) -> None:
        now = self._seams.now()
        if self._idle_since is None or now - self._idle_since > self._guard.quiet_s / 2:
            self.counters.late_frames += 1
        self._idle_since = now
        self._free_at = max(self._free_at, now + self._guard.quiet_s)

    async def _asked(self, connection: Connection, read: Read) -> Answer:
        question, sent_at = read.question, self._seams.now()
        line_s = self.line.seconds(_REQUEST_BYTES + 5 + 2 * read.count)
        is_answered = False
        try:
            async with asyncio.timeout(read.timeout_s + line_s):
                answer = await connection.ask(question)
            is_answered = True
        except TimeoutError:
            raise self._without_answer(connection, read) from None
        except NotAnAnswer:
            self.counters.late_frames += 1
            raise Garbled(self._garbled()) from None
        except ConnectionLost:
            raise self._lost() from None
        finally:
            self._settle(connection, read, sent_at, is_answered, line_s)
        self._unanswered = 0
        self._backoff.reset()
        asked_at = self._doubts.answered(question, sent_at)
        if isinstance(answer, int):
            raise Refused(self._refusal(read, answer), answer)
        return Answer(answer, asked_at)

    def _settle(self, connection: Connection, read: Read, sent_at: float, is_answered: bool, line_s: float) -> None:
        """After each question, cancelled ones too: nothing of it may reach the next one."""
        self.counters.late_frames += connection.heard.foreign
        self.counters.short_frames += connection.heard.is_cut
        self.counters.crc_errors += connection.heard.is_noise
        if not is_answered:
            self._doubts.unanswered(read.question, sent_at)
        quiet_s = self._guard.quiet_if_alike_s if read.is_alike else self._guard.quiet_s
        is_doubtful = quiet_s > 0 and read.question in self._doubts
        self._free_at = self._seams.now() + (quiet_s + line_s if is_doubtful else 0.0)

    def _without_answer(self, connection: Connection, read: Read) -> BusError:
        if not connection.is_open or connection.is_replaced:
            return self._lost()
        self._unanswered += 1
        if self._unanswered >= _REOPEN_AFTER:
            self._leave()
        if connection.heard.is_cut or connection.heard.is_noise:
            return Garbled(self._garbled())
        self.counters.timeouts += 1
        problem = f"no answer from unit {read.unit} on {self.line}"
        return NoReply(Trouble(Kind.SILENT, problem, self.line.if_silent))

    def _lost(self) -> Down:
        self._leave()
        return Down(self.line.trouble(OSError(errno.EIO, "the connection was lost")))

    def _leave(self) -> None:
        self.close()
        self._retry_at = self._seams.now() + self._backoff.wait_s()

    def _garbled(self) -> Trouble:
        problem = f"what comes on {self.line} makes no sense"
        remedy = "Check baud rate and parity, the wires A and B, the terminators, and that there is one master only"
        return Trouble(Kind.GARBLED, problem, remedy)

    def _refusal(self, read: Read, code: int) -> Trouble:
        if code in _NO_PATH:
            problem = f"{self.line} does not reach unit {read.unit}"
            return Trouble(Kind.SILENT, problem, "Check the meter's power, address and wires behind the gateway")
        if code in _BUSY:
            return Trouble(Kind.SILENT, f"unit {read.unit} on {self.line} is busy", "Read it less often (interval_s)")
        if code not in _NOT_SO:
            problem = f"unit {read.unit} on {self.line} reports a failure of its own (exception {code})"
            return Trouble(Kind.REFUSED, problem, "Look at the meter's display, and switch it off and on")
        problem = f"unit {read.unit} on {self.line} refuses {read.count} registers at {read.at:#06x} (exception {code})"
        return Trouble(Kind.REFUSED, problem, "Check that the model in the configuration is that of the meter")


def lease(seams: Seams, line: Line, guard: Callable[[], ReplyGuard] = ReplyGuard) -> Bus:
    """The line's one bus, made by the first who asks. Raises DriverError if it is used with other settings."""
    buses: list[Bus] = seams.shared.setdefault(Bus, [])
    # By its name, too: an adapter that was replugged since has another place.
    bus = next((bus for bus in buses if bus.line.name == line.name or bus.line.place == line.place), None)
    if bus is None:
        bus = Bus(line, seams, guard())
        buses.append(bus)
    elif bus.line.settings != line.settings:
        remedy = "Give all meters on one line the same line settings"
        raise DriverError(Kind.MISCONFIGURED, f"{line} is used as {bus.line} already", remedy)
    bus.users += 1
    return bus


def release(bus: Bus, seams: Seams) -> None:
    """The last user closes the line."""
    bus.users -= 1
    if bus.users == 0:
        bus.close()
        seams.shared[Bus].remove(bus)
