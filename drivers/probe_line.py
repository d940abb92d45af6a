"""Listens on one serial port, and asks Modbus units only where nothing was heard. The shell of the probe."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, cast

from drivers import port_trouble, probe_sound
from drivers.api import Seams, Trouble
from drivers.late_replies import Question, answer_in
from drivers.model_file import MeterModel
from drivers.probe_fit import Asking, Fit, identify
from drivers.probe_scan import Ask, Reply, Trial, is_sunspec, sunspec_asks, trials
from drivers.probe_sound import Settings, Verdict, Window
from drivers.serial_port import Line, SerialPlace

_GAP_S: Final = 0.1
"""Between two questions to one meter: some choke on less."""
_TRIES: Final = 2
_SLOW: Final = 3.0
"""So many times the usual wait for a unit whose answer came late once."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the probe waits. Seconds."""

    listen_s: float = 12.0
    silent_s: float = 0.3
    """For the beginning of an answer on a line."""
    host_s: float = 1.0
    """For an answer out of the network."""


class Unusable(Exception):
    """The port cannot be used, or not any more."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(str(trouble))
        self.trouble = trouble


class OtherMaster(Exception):
    """Somebody else asks on this line."""

    def __init__(self, settings: Settings, units: tuple[int, ...]) -> None:
        super().__init__()
        self.settings = settings
        self.units = units


class Port(Protocol):
    """An open serial port."""

    line: Line

    def write(self, content: bytes) -> None: ...

    async def close(self) -> None: ...


class _SerialPort:
    """Opened for us alone."""

    def __init__(self, line: Line, transport: asyncio.Transport) -> None:
        self.line = line
        self._transport = transport

    def write(self, content: bytes) -> None:
        self._transport.write(content)

    async def close(self) -> None:
        self._transport.abort()
        await self.line.lost


Opener = Callable[[str, Settings, Callable[[bytes], None]], Awaitable[Port]]


async def open_port(port: str, settings: Settings, received: Callable[[bytes], None]) -> Port:
    """Raises Unusable. `received` is given the bytes as they come."""
    line = Line(received)
    parity = cast(Literal["N", "E", "O"], settings.parity)
    place = SerialPlace(port, settings.baud, settings.bits, parity, settings.stop)
    try:
        return _SerialPort(line, await place.connect(line))
    except OSError as error:
        raise Unusable(place.trouble(error)) from None


@dataclass(frozen=True, slots=True)
class Unit:
    """A Modbus unit that answers, and the models that fit it, the best first."""

    number: int
    settings: Settings
    fits: tuple[Fit, ...]
    is_sunspec: bool = False


@dataclass(slots=True)
class Probed:
    """One serial port."""

    verdict: Verdict
    units: list[Unit] = field(default_factory=list)
    sent: int = 0
    """Bytes that were written on the line."""


class LineProbe:
    """One look at one port. `said` is told what is done, for a person who waits."""

    def __init__(
        self, port: str, seams: Seams, patience: Patience, said: Callable[[str], None], opener: Opener = open_port
    ) -> None:
        self._name = port
        self._seams = seams
        self._patience = patience
        self._said = said
        self._opener = opener
        self._port: Port | None = None
        self._settings: Settings | None = None
        self._content = b""
        self._arrival: asyncio.Future[None] | None = None
        self._asked: set[int] = set()
        self._written: set[bytes] = set()
        self._late: set[int] = set()
        self.sent = 0

    async def run(self, models: Sequence[MeterModel], units: Sequence[int]) -> Probed:
        """Raises Unusable, OtherMaster."""
        try:
            verdict = await self._listen()
            if not verdict.is_silent:
                return Probed(verdict)
            return Probed(verdict, await self._scan(models, units), self.sent)
        finally:
            await self._close()

    # -- listening --------------------------------------------------------------------------------------------------

    async def _listen(self) -> Verdict:
        done: list[Window] = []
        while step := probe_sound.next_window(done, self._patience.listen_s):
            settings, seconds = step
            self._said(f"listening at {settings}")
            await self._open(settings)
            await self._until(lambda: probe_sound.is_enough(self._content), seconds)
            done.append(Window(settings, self._content))
        return probe_sound.verdict(done)

    # -- asking -----------------------------------------------------------------------------------------------------

    async def _scan(self, models: Sequence[MeterModel], units: Sequence[int]) -> list[Unit]:
        """All units on the first line settings at which one answers."""
        found: dict[int, Unit] = {}
        at: Settings | None = None
        for trial in trials(models, units):
            if (at or trial.settings) != trial.settings or trial.unit in found:
                continue
            if self._settings != trial.settings:
                self._said(f"asking at {trial.settings}")
                await self._open(trial.settings)
            answers = await self._is_there(trial)
            for unit in [trial.unit] if answers else [unit for unit in self._late if unit not in found]:
                at = trial.settings
                self._said(f"unit {unit} answers at {at}")
                found[unit] = await self._identified(unit, at, models)
        return list(found.values())

    async def _is_there(self, trial: Trial) -> bool:
        return await self._ask(trial.unit, trial.ask, self._patience.silent_s) is not None

    async def _identified(self, unit: int, settings: Settings, models: Sequence[MeterModel]) -> Unit:
        fits: list[Fit] = await self._answered(unit, identify(models, settings))
        has_sunspec = False
        if not any(fit.is_identified for fit in fits):
            for ask in sunspec_asks():
                has_sunspec = has_sunspec or is_sunspec(await self._asked_twice(unit, ask))
        return Unit(unit, settings, tuple(fits), has_sunspec)

    async def _answered(self, unit: int, asking: Asking) -> list[Fit]:
        reply: Reply = None
        question = next(asking)
        while True:
            reply = await self._asked_twice(unit, question)
            try:
                question = asking.send(reply)
            except StopIteration as end:
                fits: list[Fit] = end.value
                return fits

    async def _asked_twice(self, unit: int, ask: Ask) -> Reply:
        wait_s = self._patience.silent_s * (_SLOW if unit in self._late else 1)
        for _ in range(_TRIES):
            await self._until(lambda: False, _GAP_S)
            if (reply := await self._ask(unit, ask, wait_s)) is not None:
                return reply
        return None

    async def _ask(self, unit: int, ask: Ask, silent_s: float) -> Reply:
        """Raises OtherMaster before anything is written, if somebody was heard."""
        port, settings = self._port, self._settings
        assert port is not None
        assert settings is not None
        await self._judge(self._content, settings)
        self._content = b""
        question, frame = (
            Question(unit, ask.code, ask.at, ask.count),
            probe_sound.request(unit, ask.code, ask.at, ask.count),
        )
        self._asked.add(unit)
        self._written.add(frame)
        self.sent += len(frame)
        port.write(frame)
        seconds = silent_s + settings.seconds(len(frame) + 5 + 2 * ask.count)
        await self._until(lambda: bool(answer_in(self._rest(frame), question)), seconds)
        answer = answer_in(self._rest(frame), question)
        rest = self._rest(frame).replace(answer, b"", 1) if answer else self._rest(frame)
        self._content = b""
        await self._judge(rest, settings, may_be_noise=bool(answer) or len(rest) <= probe_sound.GLITCH)
        if not answer:
            return None
        if answer[1] & 0x80:
            return answer[2]
        words = answer[3:-2]
        return tuple(int.from_bytes(words[place : place + 2], "big") for place in range(0, len(words), 2))

    def _rest(self, frame: bytes) -> bytes:
        """What came, without what some adapters repeat of what is sent."""
        return self._content.removeprefix(frame)

    async def _judge(self, content: bytes, settings: Settings, *, may_be_noise: bool = False) -> None:
        """Whether bytes that answer nothing are another master's. Raises OtherMaster."""
        frames = [(unit, frame) for unit, frame in probe_sound.frames(content) if frame not in self._written]
        units = {unit for unit, _ in frames}
        strangers = {unit for unit, frame in frames if unit not in self._asked or probe_sound.is_question(frame)}
        if strangers:
            raise OtherMaster(settings, tuple(sorted(strangers)))
        self._late |= units
        if not content or units or may_be_noise:
            return
        # Maybe an answer with other line settings: if nobody speaks unasked now, it was one.
        self._content = b""
        await self._until(lambda: bool(self._content), self._patience.listen_s / 4)
        if self._content:
            raise OtherMaster(settings, tuple(sorted({unit for unit, _ in probe_sound.frames(self._content)})))

    # -- the port ---------------------------------------------------------------------------------------------------

    async def _open(self, settings: Settings) -> None:
        await self._close()
        self._content, self._settings = b"", settings
        self._port = await self._opener(self._name, settings, self._received)

    async def _close(self) -> None:
        if self._port is not None:
            port, self._port = self._port, None
            await port.close()

    def _received(self, data: bytes) -> None:
        self._content += data
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Until it is so, or the time is over. Raises Unusable if the port is lost."""
        assert self._port is not None
        lost = self._port.line.lost
        timer = asyncio.ensure_future(self._seams.sleep(seconds))
        try:
            while not is_so() and not timer.done():
                self._arrival = asyncio.get_running_loop().create_future()
                waited: set[asyncio.Future[Any]] = {timer, self._arrival, lost}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if lost.done():
                    raise Unusable(port_trouble.of_serial(self._name, OSError(errno.EIO, "lost")))
            if timer.done():
                timer.result()
        finally:
            timer.cancel()
