"""Plays a recording: the same readings at the same distances, or faster."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, ValidationInfo

from drivers.api import Driver, DriverError, Found, Health, Kind, Quality, Reading, Reason, Seams, Trouble, wired
from drivers.options import Options, Places, fault
from drivers.recording import RecordingError, Row, parsed


def _file(value: str, info: ValidationInfo) -> str:
    folder = info.context.folder if isinstance(info.context, Places) else Path()
    path = folder / value
    if not path.is_file():
        raise fault("there is no such file")
    return str(path)


class ReplayOptions(Options):
    file: Annotated[
        str,
        AfterValidator(_file),
        Field(description="Give the path of a recording: JSON lines or CSV with a head line."),
    ]
    speed: Annotated[float, Field(gt=0, le=10_000, description="Write how many times faster, such as 1 or 60.")] = 1.0
    loop: Annotated[bool, Field(description="Write true to begin again at the end, else false.")] = False


class ReplayDriver(Driver[ReplayOptions]):
    """Hands over what is due; what was due while nobody asked is left out, but for the newest."""

    options_type: ClassVar[type[Options]] = ReplayOptions

    def __init__(self, name: str, options: ReplayOptions, seams: Seams) -> None:
        super().__init__(name, options, seams)
        self._rows: list[Row] = []
        self._interval_s = 1.0
        """Recorded."""
        self._began: float | None = None
        self._next = 0
        self._health = Health()
        self._is_closed = False

    async def open(self) -> None:
        self._rows = _read(self.options.file)
        gaps = [later.t - row.t for row, later in zip(self._rows, self._rows[1:], strict=False)]
        self._interval_s = median(gaps) if gaps else 1.0
        self._is_closed = False

    async def close(self) -> None:
        self._is_closed = True

    async def next_reading(self) -> Reading | None:
        if self._next >= len(self._rows) and not self.options.loop:
            remedy = "Add loop = true, or give a longer recording"
            trouble = Trouble(Kind.ENDED, f"the recording {self.options.file} is at its end", remedy)
            self._health = replace(self._health, trouble=trouble)
            return None
        now = self.seams.now()
        self._began = now if self._began is None else self._began
        await self.seams.sleep(max(0.0, self._due(self._next) - now))
        if self._is_closed:
            return None
        skipped, now = 0, self.seams.now()
        while self._has(self._next + 1) and self._due(self._next + 1) <= now:
            self._next, skipped = self._next + 1, skipped + 1
        due = self._due(self._next)
        reading = self._reading(self._next, due, now)
        self._next += 1
        health = self._health
        self._health = Health(readings=health.readings + 1, replaced=health.replaced + skipped, last_good_t=due)
        return reading

    def health(self) -> Health:
        return self._health

    @classmethod
    async def probe(cls, options: ReplayOptions, seams: Seams) -> Found | None:
        driver = cls("probe", options, seams)
        await driver.open()
        reading = driver._reading(0, seams.now(), seams.now())
        return Found(f"a recording of {len(driver._rows)} readings", wired(reading, options))

    def _has(self, number: int) -> bool:
        return self.options.loop or number < len(self._rows)

    def _due(self, number: int) -> float:
        """When reading `number` was measured, as if the recording had begun with the first wait for it."""
        rows = self._rows
        length = rows[-1].t - rows[0].t + self._interval_s
        rounds, place = divmod(number, len(rows))
        return (self._began or 0.0) + (rounds * length + rows[place].t - rows[0].t) / self.options.speed

    def _reading(self, number: int, due: float, now: float) -> Reading:
        reading = Reading(
            meter=self.name,
            sequence=number,
            t_mono=due,
            t_wall=self.seams.wall() - timedelta(seconds=now - due),
            interval_s=self._interval_s / self.options.speed,
            **self._rows[number % len(self._rows)].fields(),
        )
        return reading if reading.has_currents else reading.degraded(Quality.PARTIAL, Reason.CURRENT_MISSING)


def _read(path: str) -> list[Row]:
    try:
        return parsed(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        problem = f"the recording {path} cannot be read ({error.strerror})"
        raise DriverError(Kind.MISCONFIGURED, problem, "Check the file's path and permissions") from error
    except (RecordingError, UnicodeDecodeError) as error:
        problem = f"the recording {path} cannot be played ({error})"
        raise DriverError(Kind.MISCONFIGURED, problem, "Correct the line") from error
