"""The contract between a meter driver and whoever reads it.

A driver is a decoder (pure) times a transport (thin). It hands over what the meter said, and nothing else: it never
invents, repeats or zero-fills a value. What is not there is None; when nothing came, nothing is yielded. How old a
value is follows from `Reading.t_mono` alone, so that no step of the wall clock makes old data fresh.

    async with registry.build("grid", options, seams) as driver:
        async for reading in driver:
            ...

Drivers reconnect by themselves, for ever. What is wrong meanwhile stands in `health().trouble`, in words.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from random import Random
from types import TracebackType
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

from drivers.options import Options

Phases = tuple[float | None, float | None, float | None]
"""L1, L2, L3. None: not measured, or not there this time."""
NO_PHASES: Final[Phases] = (None, None, None)


class Signed(StrEnum):
    """Where the sign of the currents comes from."""

    NATIVE = "native"
    """The meter sends signed currents."""
    FROM_POWER = "from-power"
    """The meter sends magnitudes; each phase has the sign of its own active power."""
    UNKNOWN = "unknown"
    """Magnitudes only: export looks like import."""


class Quality(StrEnum):
    """Ordered from best to worst, see `worst`."""

    GOOD = "good"
    PARTIAL = "partial"
    """What is there is right; something that this meter should send is missing."""
    SUSPECT = "suspect"
    """May be wrong: no reason to raise anything."""
    BAD = "bad"
    """Wrong, or not of now: for display only."""


class Reason(StrEnum):
    """Why a reading is not good. The first group is given by drivers, the second by the checks of whoever reads."""

    CURRENT_MISSING = "current-missing"
    VOLTAGE_MISSING = "voltage-missing"
    POWER_MISSING = "power-missing"
    VALUE_MISSING = "value-missing"
    """One that balancing does not need: energy, power factor, frequency."""
    SIGN_UNKNOWN = "sign-unknown"
    """The power that gives the current its sign is missing; the current is shown as import."""
    PARTS_APART = "parts-apart"
    """The parts of this reading were measured at rather different times; `t_mono` is that of the oldest."""
    RETAINED = "retained"
    """The broker kept it: nobody knows since when."""
    DEVICE_CLOCK = "device-clock"
    """The meter dates it long before its arrival."""
    NO_CHECKSUM = "no-checksum"
    """The protocol has none: a flipped bit would not be noticed."""

    VOLTAGE_RANGE = "voltage-range"
    CURRENT_RANGE = "current-range"
    POWER_MISMATCH = "power-mismatch"
    """Active power exceeds voltage times current."""
    SUM_MISMATCH = "sum-mismatch"
    """The phases do not add up to the total."""
    FROZEN = "frozen"
    """Values that always move have not moved."""
    SIGN_WRONG = "sign-wrong"
    PHASE_WRONG = "phase-wrong"


_ORDER = tuple(Quality)


def worst(qualities: Iterable[Quality]) -> Quality:
    return max(qualities, key=_ORDER.index, default=Quality.GOOD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a meter said at one moment. Plus is import, minus is export. Not finite, or no reason given: ValueError.

    Already as wired on site: the options `invert`, `phase_map` and `ct_ratio` are in it. What a driver reads less often
    than the rest (energy, power factor, frequency) is there in the reading it was read for, and None in the others.
    """

    meter: str
    sequence: int
    """Counts up by at least one; a gap is a reading that a newer one replaced."""
    t_mono: float
    """`Seams.now` when the oldest part was measured at the latest: request sent, first byte, first topic."""
    t_wall: datetime
    """`Seams.wall` at the same moment, UTC. For people and records, never for the age."""
    interval_s: float
    """Seconds between readings of this source, as far as the driver knows."""
    current_a: Phases = NO_PHASES
    current_signed: Signed = Signed.UNKNOWN
    voltage_v: Phases = NO_PHASES
    """Phase to neutral."""
    power_w: Phases = NO_PHASES
    power_total_w: float | None = None
    power_factor: float | None = None
    frequency_hz: float | None = None
    energy_import_kwh: float | None = None
    energy_export_kwh: float | None = None
    resolution_a: float = 0.01
    """Step of the currents: 1 means whole amperes, so that the truth may be up to 1 A more."""
    phases: int = 3
    """How many phases this meter measures. A single-phase one has its values at L1, or where `phase_map` puts it."""
    device_time: datetime | None = None
    """The meter's own clock, if it sends one."""
    quality: Quality = Quality.GOOD
    reasons: frozenset[Reason] = frozenset()

    def __post_init__(self) -> None:
        singles = (self.power_total_w, self.power_factor, self.frequency_hz, self.energy_import_kwh)
        values = (*self.current_a, *self.voltage_v, *self.power_w, *singles, self.energy_export_kwh)
        if not all(value is None or math.isfinite(value) for value in (*values, self.t_mono, self.interval_s)):
            raise ValueError("a reading has a value that is not finite")
        if (self.quality is Quality.GOOD) == bool(self.reasons):
            raise ValueError("a reading is good, or it has reasons")

    def age_s(self, now: float) -> float:
        """Seconds since the oldest part was measured; `now` as from `Seams.now`."""
        return now - self.t_mono

    @property
    def has_currents(self) -> bool:
        """Whether every phase that this meter measures has a current."""
        return sum(value is not None for value in self.current_a) >= self.phases

    def degraded(self, quality: Quality, *reasons: Reason) -> "Reading":
        """At least this bad, for these reasons too."""
        return replace(self, quality=worst((self.quality, quality)), reasons=self.reasons.union(reasons))


class Kind(StrEnum):
    """What keeps a driver from reading."""

    UNPLUGGED = "unplugged"
    NO_PERMISSION = "no-permission"
    IN_USE = "in-use"
    UNREACHABLE = "unreachable"
    """No connection to the host."""
    SILENT = "silent"
    """Connected, but no answer or message comes."""
    GARBLED = "garbled"
    """Bytes come that make no sense: line settings, wiring, another master."""
    REFUSED = "refused"
    """The other side answers with a refusal: credentials, a register it does not have."""
    NO_CURRENTS = "no-currents"
    """Readings come, but without currents: nothing can be balanced by them."""
    WRONG_METER = "wrong-meter"
    """Something else answers than the model that was configured."""
    NOT_INSTALLED = "not-installed"
    """A Python package is missing."""
    MISCONFIGURED = "misconfigured"
    ENDED = "ended"
    """A recording is at its end."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """For people: what is wrong, and what to do about it."""

    kind: Kind
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}. Remedy: {self.remedy}"


class DriverError(Exception):
    """The only exception a driver lets out: it cannot go on without somebody doing something, or a new start."""

    def __init__(self, kind: Kind, problem: str, remedy: str) -> None:
        self.trouble = Trouble(kind, problem, remedy)
        super().__init__(str(self.trouble))


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Counters since the driver was made, and what is wrong now."""

    readings: int = 0
    """Handed over."""
    replaced: int = 0
    """Never handed over, because a newer one came first."""
    timeouts: int = 0
    crc_errors: int = 0
    short_frames: int = 0
    """Replies or telegrams of a wrong length."""
    late_frames: int = 0
    """Discarded: they came after their time-out, or to no question."""
    refusals: int = 0
    """Modbus exceptions and the like."""
    reconnects: int = 0
    """Connections made after the first."""
    last_good_t: float | None = None
    """`Seams.now` at the last reading; None if there was none yet."""
    trouble: Trouble | None = None
    """None while readings come."""
    notes: tuple[str, ...] = ()
    """What was learned and is done differently since: smaller blocks, registers left out. In words."""


@dataclass(frozen=True, slots=True)
class Found:
    """What `probe` saw: for a person, who compares it with the meter's display."""

    what: str
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class Seams:
    """What a driver needs of the world, and must not take by itself. One for all drivers of a process."""

    now: Callable[[], float]
    """Monotonic seconds, the event loop's own clock."""
    wall: Callable[[], datetime]
    """UTC, aware. May step."""
    sleep: Callable[[float], Awaitable[None]]
    random: Random = field(default_factory=Random)
    shared: dict[object, Any] = field(default_factory=dict)
    """Where drivers keep what they share, such as the owner of a bus; keyed by themselves."""


O = TypeVar("O", bound=Options)  # noqa: E741  # options


class Driver(ABC, Generic[O]):
    """One meter. A subclass names its options and implements `next_reading`, `health`, `probe`, and what opens it.

    Push protocols hand over at arrival; polled ones read at fixed deadlines. The newest wins, there is no backlog
    (`drivers.pace` has the parts). One reader at a time; a cancelled wait may lose the reading in the making.
    """

    options_type: ClassVar[type[Options]]

    def __init__(self, name: str, options: O, seams: Seams) -> None:
        """`name` is the meter's in the configuration. Opens nothing."""
        self.name = name
        self.options = options
        self.seams = seams

    async def __aenter__(self) -> Self:
        """An unplugged or silent meter is no error: it is waited for. Raises DriverError if waiting can't help."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Reading:
        """Waits for the next reading, as long as it takes. Raises DriverError if there will be none."""
        reading = await self.next_reading()
        if reading is None:
            raise StopAsyncIteration
        return wired(reading, self.options)

    async def open(self) -> None:  # most have nothing to do here
        """Start what works in the background. Does not wait for the meter."""

    async def close(self) -> None:
        """Stop it. Safe to call twice."""

    @abstractmethod
    async def next_reading(self) -> Reading | None:
        """The newest reading not yet handed over, as the meter wires it; None: there will be no more."""

    @abstractmethod
    def health(self) -> Health: ...

    @classmethod
    @abstractmethod
    async def probe(cls, options: O, seams: Seams) -> Found | None:
        """One look at the place the options name: None if nothing answers. Raises DriverError if it can't be asked."""


def wired(reading: Reading, options: Options) -> Reading:
    """The reading in the building's phases, direction and size instead of the meter's."""
    order, ratio = options.phase_order, -options.ct_ratio if options.invert else options.ct_ratio
    if ratio == 1 and order == (0, 1, 2):
        return reading
    imported, exported = reading.energy_import_kwh, reading.energy_export_kwh
    if options.invert:
        imported, exported = exported, imported
    size = options.ct_ratio
    # Of magnitudes without direction nobody knows which way they went: turning them makes no sense.
    current_ratio = size if reading.current_signed is Signed.UNKNOWN else ratio
    return replace(
        reading,
        current_a=_mapped(reading.current_a, order, current_ratio),
        voltage_v=_mapped(reading.voltage_v, order, 1),
        power_w=_mapped(reading.power_w, order, ratio),
        power_total_w=_times(reading.power_total_w, ratio),
        power_factor=_times(reading.power_factor, -1 if options.invert else 1),
        energy_import_kwh=_times(imported, size),
        energy_export_kwh=_times(exported, size),
        resolution_a=reading.resolution_a * size,
    )


def _mapped(values: Phases, order: tuple[int, int, int], ratio: float) -> Phases:
    """`order[0]` is the building's phase at the meter's first input."""
    by_phase = dict(zip(order, values, strict=True))
    return _times(by_phase[0], ratio), _times(by_phase[1], ratio), _times(by_phase[2], ratio)


def _times(value: float | None, ratio: float) -> float | None:
    return None if value is None else value * ratio + 0.0
