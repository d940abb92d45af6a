"""Tells the service manager (systemd's notify protocol) that the gateway is ready, and that it is not stuck."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)


class ServiceManager:
    """Does nothing where no service manager listens. `watchdog_s`: how long it waits for a sign; None: it does not."""

    def __init__(self, environment: Mapping[str, str], pid: int | None = None) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec = environment.get("WATCHDOG_USEC", "")
        is_for_us = environment.get("WATCHDOG_PID", "") in ("", str(pid or os.getpid()))
        is_watched = bool(self._address) and usec.isdecimal() and int(usec) > 0 and is_for_us
        self.watchdog_s: float | None = int(usec) / 1e6 if is_watched else None

    def say(self, state: str) -> None:
        """Send one state, such as READY=1. A service manager that does not listen is no reason to stop."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.setblocking(False)
            notify.connect(self._address)
            notify.sendall(state.encode())

    async def feed(self, problem: Callable[[], str | None]) -> None:
        """Give a sign three times in the time there is, from the event loop itself, unless something else is stuck."""
        if self.watchdog_s is None:
            return
        while True:
            found = problem()
            if found is None:
                self.say("WATCHDOG=1")
            else:
                log.error("no sign of life is given to the service manager: %s", found)
            await asyncio.sleep(self.watchdog_s / 3)
