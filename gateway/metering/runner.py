"""Keeps one task per meter: driver up, readings checked, state handed on. No meter holds up another."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from drivers import registry
from drivers.api import Driver, DriverError, Reading, Seams
from drivers.options import Options
from drivers.pace import Backoff
from drivers.simulated import SimulatedDriver
from gateway.clock import Clock
from gateway.core import freshness, meter_checks
from gateway.metering import translate
from gateway.metering.announce import Announcer, condition
from gateway.model.ids import MeterId
from gateway.model.metering import MeterHealth, MeterState, Quality, Trouble, TroubleKind
from gateway.ports import MeterPort

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the drivers are asked how they are."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Before a driver that failed is started again."""
HUNG_S = 60.0
"""At least this long a driver may say nothing and name no trouble, before it is started anew."""


@dataclass(frozen=True, slots=True)
class MeterOptions:
    """One meter of the configuration: `options` are its driver's, `rules` what its values are judged by."""

    id: MeterId
    options: Options
    rules: meter_checks.Rules


@dataclass(slots=True)
class _Meter:
    """What the shell remembers of one meter."""

    options: MeterOptions
    state: MeterState
    announcer: Announcer = field(default_factory=Announcer)
    still: meter_checks.Still | None = None
    driver: Driver[Any] | None = None
    failed: Trouble | None = None
    """Why there is no driver now."""
    broken: Trouble | None = None
    """The defect last told."""
    heard_at: float = 0.0
    patience: asyncio.Timeout | None = None
    """Ends the wait for a driver that hangs."""


class Metering:
    """All meters of the site."""

    def __init__(
        self,
        meters: Sequence[MeterOptions],
        port: MeterPort,
        clock: Clock,
        source: Random,
        cars: Callable[[MeterId], tuple[float, float, float]] | None = None,
    ) -> None:
        """`cars`: what a simulated meter has to see beside its building, per phase."""
        self._meters = [_Meter(options, MeterState(meter=options.id)) for options in meters]
        self._port = port
        self._cars = cars
        self._started_at = 0.0
        self._seams = Seams(now=clock.monotonic, wall=clock.now, sleep=asyncio.sleep, random=source)

    async def run(self) -> None:
        """Read the meters until cancelled."""
        if not self._meters:
            return
        self._started_at = self._seams.now()
        async with asyncio.TaskGroup() as group:
            for meter in self._meters:
                group.create_task(self._keep(meter), name=f"meter {meter.options.id}")
            group.create_task(self._watch(), name="meters")

    # -- one meter --------------------------------------------------------------------------------------------------

    async def _keep(self, meter: _Meter) -> None:
        """Start the driver again whenever it ends, but at the end of a recording."""
        backoff = Backoff(self._seams.random, FIRST_WAIT_S, LONGEST_WAIT_S)
        while True:
            meter.failed = await self._read(meter, backoff)
            if meter.failed.kind is TroubleKind.ENDED:
                return  # to play a recording twice would be to repeat old values
            await self._seams.sleep(backoff.wait_s())

    async def _read(self, meter: _Meter, backoff: Backoff) -> Trouble:
        """Hand on what the driver reads, until it ends; returns why."""
        name = meter.options.id
        try:
            driver = registry.build(name, meter.options.options, self._seams)
            async with asyncio.timeout(None) as meter.patience, driver:
                meter.driver, meter.heard_at = driver, self._seams.now()
                async for said in driver:
                    if self._hear(meter, said):
                        backoff.reset()
                trouble = self._health(meter).trouble
            return trouble or Trouble(TroubleKind.ENDED, "there is nothing more to read", "Restart the gateway")
        except DriverError as error:
            return translate.trouble(error)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            return self._broken(meter, "it was cancelled from inside")
        except Exception as error:
            if meter.patience and meter.patience.expired():
                return Trouble(
                    TroubleKind.SILENT, "the driver hung, and is started anew", "Report it, if it happens often"
                )
            return self._broken(meter, repr(error), error)
        finally:
            meter.driver = meter.patience = None

    def _broken(self, meter: _Meter, what: str, error: Exception | None = None) -> Trouble:
        """A defect of the driver: told in full, but not again and again."""
        trouble = Trouble(TroubleKind.BROKEN, f"the driver failed ({what[:200]})", "Report it, with the log")
        if trouble != meter.broken:
            log.error("meter %s: %s", meter.options.id, trouble.problem, exc_info=error)
        meter.broken = trouble
        return trouble

    def _hear(self, meter: _Meter, said: Reading) -> bool:
        """Check a reading and hand the state on. Whether it can be believed."""
        now = self._seams.now()
        rules = meter.options.rules
        reading, meter.still = meter_checks.check(translate.reading(said), rules, meter.still, now)
        meter.heard_at = now
        state = freshness.accept(meter.state, reading)
        self._put(meter, replace(state, health=self._health(meter)))
        self._announce(meter, now)
        return reading.quality is not Quality.BAD

    # -- all of them ------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Notice what no reading tells: silence, and trouble that drivers cure by themselves."""
        while True:
            await self._seams.sleep(LOOK_S)
            for meter in self._meters:
                if self._cars is not None and isinstance(meter.driver, SimulatedDriver):
                    meter.driver.cars_a = self._cars(meter.options.id)
            now = self._seams.now()
            for meter in self._meters:
                health = self._health(meter)
                if health != meter.state.health:
                    self._put(meter, replace(meter.state, health=health))
                self._announce(meter, now)
                self._wake_hung(meter, now)

    def _health(self, meter: _Meter) -> MeterHealth:
        if meter.driver is None:
            return replace(meter.state.health, trouble=meter.failed)
        try:
            return translate.health(meter.driver.health())
        except Exception as error:
            return MeterHealth(self._broken(meter, repr(error), error))

    def _announce(self, meter: _Meter, now: float) -> None:
        is_now = condition(meter.state, now, self._started_at)
        if meter.announcer.hear(is_now, now):
            log.log(
                logging.INFO if is_now.is_normal else logging.WARNING, "meter %s: %s", meter.options.id, is_now.words
            )

    def _wake_hung(self, meter: _Meter, now: float) -> None:
        """A driver that says what is wrong is at it; one that says nothing at all may wait for ever."""
        longest = max(HUNG_S, freshness.limits(meter.state.interval_s or 0).blind_s)
        if meter.patience and meter.state.health.trouble is None and now - meter.heard_at > longest:
            meter.patience.reschedule(now)

    def _put(self, meter: _Meter, state: MeterState) -> None:
        meter.state = state
        self._port.put(state)
