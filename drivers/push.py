"""What drivers of meters that send by themselves have in common. Their decoders are pure and know none of this."""

import asyncio
import logging
from abc import abstractmethod
from datetime import timedelta
from typing import Any, ClassVar, Final, TypeVar

from drivers.api import Driver, DriverError, Found, Health, Kind, Reading, Seams, Trouble
from drivers.options import Options
from drivers.pace import Newest

_LOG = logging.getLogger(__name__)
_SHORTEST_SILENCE_S: Final = 3.0

O = TypeVar("O", bound=Options)  # noqa: E741  # options


class PushDriver(Driver[O]):
    """Readings are delivered from the callback that received them."""

    listen_s: float = 12.0
    """How long `probe` waits for a reading."""
    comes_in_parts: ClassVar[bool] = False
    """Whether the currents may come a little later than the rest."""

    def __init__(self, name: str, options: O, seams: Seams) -> None:
        super().__init__(name, options, seams)
        self._mailbox: Newest[Reading] = Newest()
        self._fatal: DriverError | None = None
        self._sequence = 0
        self._handed_over = 0
        self._last_good_t: float | None = None
        self._currents_t: float | None = None
        self._opened_t = seams.now()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def work(self) -> None:
        """Read, for ever."""

    @abstractmethod
    def trouble(self, quiet_s: float | None) -> Trouble | None:
        """What is wrong; `quiet_s` is how long no reading came, if that is too long, or None."""

    def no_currents(self) -> Trouble:
        """What is wrong if readings come, but without currents."""
        remedy = "Take a meter, or a setting of this one, that sends the current of each phase"
        return Trouble(Kind.NO_CURRENTS, f"{self.described()}: no currents, so nothing can be balanced by it", remedy)

    @property
    @abstractmethod
    def interval_s(self) -> float: ...

    async def open(self) -> None:
        self._opened_t = self.seams.now()
        self._task = asyncio.create_task(self._run(), name=f"meter {self.name}")

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._mailbox.close()

    async def _run(self) -> None:
        try:
            await self.work()
        except DriverError as error:
            self._fatal = error
        except Exception as error:
            _LOG.exception("meter %s: the driver has a fault", self.name)
            self._fatal = DriverError(Kind.MISCONFIGURED, f"the driver has a fault ({error!r})", "Report it")
        self._mailbox.close()

    def deliver(self, t_mono: float, **values: Any) -> None:
        """From the callback that received the last of it."""
        self._sequence += 1
        age = timedelta(seconds=self.seams.now() - t_mono)
        stamps: dict[str, Any] = {"t_mono": t_mono, "t_wall": self.seams.wall() - age, "interval_s": self.interval_s}
        reading = Reading(meter=self.name, sequence=self._sequence, **stamps, **values)
        self._mailbox.put(reading)
        self._last_good_t = self.seams.now()
        if any(value is not None for value in reading.current_a):
            self._currents_t = self._last_good_t

    @property
    def has_currents(self) -> bool:
        """Whether there was a reading with a current of late."""
        if self._last_good_t is None or (self._currents_t is None and not self.comes_in_parts):
            return False
        since = self._opened_t if self._currents_t is None else self._currents_t
        return self._last_good_t - since <= max(3 * self.interval_s, _SHORTEST_SILENCE_S)

    async def next_reading(self) -> Reading | None:
        reading = await self._mailbox.take()
        if reading is None and self._fatal is not None:
            raise self._fatal
        self._handed_over += reading is not None
        return reading

    def counted(self, **counters: Any) -> Health:
        """The driver's health with what all of them count."""
        now = self.seams.now()
        since = self._opened_t if self._last_good_t is None else self._last_good_t
        quiet_s = now - since if now - since > max(3 * self.interval_s, _SHORTEST_SILENCE_S) else None
        return Health(
            readings=self._handed_over,
            replaced=self._mailbox.replaced,
            last_good_t=self._last_good_t,
            trouble=self._fatal.trouble if self._fatal else self.trouble(quiet_s) or self._without_currents(),
            **counters,
        )

    def _without_currents(self) -> Trouble | None:
        return None if self._last_good_t is None or self.has_currents else self.no_currents()

    @abstractmethod
    def described(self) -> str:
        """What sends the readings, for `probe`."""

    @classmethod
    async def probe(cls, options: O, seams: Seams) -> Found | None:
        driver = cls("probe", options, seams)
        async with driver:
            try:
                async with asyncio.timeout(driver.listen_s):
                    reading = await anext(driver)
            except TimeoutError:
                _unless_merely_silent(driver.health().trouble)
                return None
            except StopAsyncIteration:
                return None
            return Found(driver.described(), reading)


def _unless_merely_silent(trouble: Trouble | None) -> None:
    if trouble is not None and trouble.kind is not Kind.SILENT:
        raise DriverError(trouble.kind, trouble.problem, trouble.remedy)
