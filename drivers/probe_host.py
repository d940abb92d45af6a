"""Asks a host in the network for Modbus meters, over TCP, UDP or RTU frames in TCP, whatever its models speak."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from drivers import bus as buses
from drivers import registry
from drivers.api import Seams, Trouble
from drivers.bus import Bus, BusError, Down, Read, Refused
from drivers.modbus_options import ModbusOptions
from drivers.model_file import MeterModel
from drivers.options import OptionsError, Places
from drivers.probe_fit import Fit, identify
from drivers.probe_scan import Ask, Reply, common_asks, first_value, is_sunspec, sunspec_asks

T = TypeVar("T")
_NO_PATH: Final = {0x0A, 0x0B}
"""Refusals of a gateway: nobody has this address behind it."""
_TRIES: Final = 2


@dataclass(frozen=True, slots=True)
class Host:
    """`port`: None for that of Modbus."""

    name: str
    port: int | None = None

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"

    @property
    def table(self) -> dict[str, Any]:
        return {"host": self.name} if self.port is None else {"host": self.name, "tcp_port": self.port}


@dataclass(frozen=True, slots=True)
class HostUnit:
    """A unit that answers at a host; `table` says how it is reached."""

    number: int
    table: Mapping[str, Any]
    fits: tuple[Fit, ...]
    is_sunspec: bool = False


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to ask a host, and the models that can be reached so."""

    framing: str | None
    options: ModbusOptions
    models: tuple[MeterModel, ...]

    @property
    def table(self) -> dict[str, Any]:
        return {} if self.framing is None else {"framing": self.framing}


def _ways(host: Host, models: Sequence[MeterModel], places: Places) -> list[_Way]:
    """What each model speaks by itself first, then RTU frames in TCP, as plain serial servers have."""
    found: dict[object, _Way] = {}
    for framing in (None, "rtu"):
        for model in models:
            table = {"driver": "modbus", "model": model.id, **host.table, **({"framing": framing} if framing else {})}
            try:
                options = registry.checked(table, places)
            except OptionsError:
                continue  # not this model in this way
            assert isinstance(options, ModbusOptions)
            known = found.get(options.line, _Way(framing, options, ()))
            found[options.line] = _Way(known.framing, known.options, (*known.models, model))
    return list(found.values())


@dataclass(frozen=True, slots=True)
class HostProbe:
    """One look at a host. `said` is told what is done, for a person who waits."""

    host: Host
    seams: Seams
    places: Places
    silent_s: float
    said: Callable[[str], None]

    async def run(
        self, models: Sequence[MeterModel], units: Sequence[int], *, every_unit: bool
    ) -> tuple[list[HostUnit], Trouble | None]:
        """Units that answer, in the first way that works; where none does, what kept a question from being asked.

        Most devices answer to every unit in the same way, so the first is taken for all unless `every_unit`.
        """
        trouble = None
        open_ways = []
        # The first unit in every way, before all else in one: most hosts have nothing but that.
        for way in _ways(self.host, models, self.places):
            self.said(f"asking {way.options.line}")
            try:
                found = await self._units(way, units[:1], common_asks(way.models), every_unit=False)
                if found and every_unit:
                    found += await self._units(way, units[1:], common_asks(way.models), every_unit=True)
            except Down as error:
                trouble = trouble or error.trouble
                continue
            if found:
                return found, None
            open_ways.append(way)
        # Where one way is shut, another that is merely silent (UDP always is) is not worth more time.
        for way in open_ways if trouble is None else ():
            self.said(f"asking {way.options.line} for all else")
            common = common_asks(way.models)
            others = dict.fromkeys(first_value(model) for model in way.models)
            with suppress(Down):
                for some, asks in ((units[1:], common), (units[:1], [ask for ask in others if ask not in common])):
                    if found := await self._units(way, some, asks, every_unit=every_unit):
                        return found, None
        return [], trouble

    async def _units(self, way: _Way, units: Sequence[int], asks: Sequence[Ask], *, every_unit: bool) -> list[HostUnit]:
        """Raises Down."""
        bus = buses.lease(self.seams, way.options.line)
        found = []
        try:
            asker = _Asker(bus, self.silent_s)
            for unit in units:
                if await asker.answers(unit, asks):
                    found.append(await self._unit(asker, way, unit))
                if found and not every_unit:
                    break
        finally:
            buses.release(bus, self.seams)
        return found

    async def _unit(self, asker: "_Asker", way: _Way, unit: int) -> HostUnit:
        fits: list[Fit] = await asker.driven(unit, identify(way.models, None))
        has_sunspec = False
        if not any(fit.is_identified for fit in fits):
            for ask in sunspec_asks():
                has_sunspec = has_sunspec or is_sunspec(await asker.ask(unit, ask))
        return HostUnit(unit, {**self.host.table, **way.table}, tuple(fits), has_sunspec)


class _Asker:
    """Questions through a bus. Raises Down if there is no connection."""

    def __init__(self, bus: Bus, silent_s: float) -> None:
        self._bus = bus
        self._silent_s = silent_s

    async def answers(self, unit: int, asks: Sequence[Ask]) -> bool:
        for ask in asks:
            if await self._once(unit, ask) is not None:
                return True
        return False

    async def driven(self, unit: int, asking: Generator[Ask, Reply, T]) -> T:
        reply: Reply = None
        question = next(asking)
        while True:
            reply = await self.ask(unit, question)
            try:
                question = asking.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result

    async def ask(self, unit: int, ask: Ask) -> Reply:
        for _ in range(_TRIES):
            if (reply := await self._once(unit, ask)) is not None:
                return reply
        return None

    async def _once(self, unit: int, ask: Ask) -> Reply:
        try:
            answer = await self._bus.read(Read(unit, ask.function, ask.at, ask.count, self._silent_s))
        except Down:
            raise
        except Refused as error:
            return None if error.code in _NO_PATH else error.code
        except BusError:
            return None
        return answer.registers
