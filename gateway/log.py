"""Log lines that always carry the station they are about."""

import json
import logging
from datetime import UTC, datetime


def setup(level: str = "INFO", form: str = "text") -> None:
    """Send everything to standard error; the service manager adds time and rotation."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("websockets", "uvicorn.error", "asyncio", "httpx"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


class Throttle:
    """Lets some lines through at once, then one in a while: a peer that talks nonsense does not fill the disk."""

    EVERY_S = 10.0

    def __init__(self, burst: int = 30) -> None:
        self._burst = burst
        self._left = float(burst)
        self._last = 0.0
        self._unsaid = 0

    def passes(self, now: float) -> str | None:
        """What to add to the line, if one may be written now (monotonic): how many were kept back before it."""
        self._left = min(self._burst, self._left + (now - self._last) / self.EVERY_S)
        self._last = now
        if self._left < 1:
            self._unsaid += 1
            return None
        self._left -= 1
        unsaid, self._unsaid = self._unsaid, 0
        return f"; {unsaid} more before it" if unsaid else ""


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127, 0x85, 0x2028, 0x2029)}


class _TextFormatter(logging.Formatter):
    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the base class's name
        """A peer's text must not make lines of its own."""
        record.message = record.message.translate(_CONTROLS)
        return super().formatMessage(record)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
