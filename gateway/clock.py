"""The only clock. Timers and budgets run on monotonic time; wall time is for records and answers."""

import asyncio
import ctypes
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

_TIMEX_BYTES = 512
_STATUS_AT = struct.calcsize("i0lllll")
"""Where `status` stands in struct timex: after `modes` and four longs (adjtimex(2))."""
_UNSYNC = 0x40
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_RTCS = Path("/sys/class/rtc")


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class Clock:
    """`monotonic` is the event loop's own time, so that a loop with virtual time moves everything.

    `wall` is the system's clock. `vouched` says who vouches for it: "ntp", "rtc" or None. `boot` names the boot of the
    box, within which monotonic times can be compared. `anchor`: the epoch seconds at monotonic 0, once set
    (`timekeeper`); from then on no step of the system's clock moves `now`.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = _loop_time,
        vouched: Callable[[], str | None] = lambda: "ntp",
        boot: str = "boot",
    ) -> None:
        self.wall = wall
        self.monotonic = monotonic
        self.vouched = vouched
        self.boot = boot
        self.anchor: float | None = None

    def now(self) -> datetime:
        """The time as it is known, aware, UTC."""
        anchor = self.anchor
        return datetime.fromtimestamp(self.wall() if anchor is None else anchor + self.monotonic(), UTC)


def system() -> Clock:
    """The system's clocks. The monotonic one is that of asyncio's own loop, without its call."""
    return Clock(time.time, time.monotonic, _vouched, _boot_id())


def _vouched() -> str | None:
    """The kernel knows whether NTP keeps its clock, and whether a clock with a battery set it."""
    try:
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)
        state = ctypes.CDLL(None).adjtimex(timex)  # modes 0: reads only, which needs no privilege
        if state >= 0 and not struct.unpack_from("i", timex.raw, _STATUS_AT)[0] & _UNSYNC:
            return "ntp"
    except (OSError, AttributeError):
        pass
    return "rtc" if any(_text(rtc) == "1" for rtc in _RTCS.glob("*/hctosys")) else None


def _boot_id() -> str:
    """Without one, every start counts as a boot of the box."""
    return _text(_BOOT_ID) or f"started {time.time():.6f}"


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
