"""What a task of a station sleeps on."""

import asyncio


class Wake:
    """As `asyncio.Event`, a tenth of its size: there are seven for every station, and hardly ever one waits on each."""

    __slots__ = ("_is_set", "_sleepers")

    def __init__(self) -> None:
        self._is_set = False
        self._sleepers: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Wake all who wait, and whoever comes before `clear` need not wait."""
        self._is_set = True
        for sleeper in self._sleepers or ():
            if not sleeper.done():
                sleeper.set_result(None)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        """Returns when it is, or was, set."""
        if self._is_set:
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._sleepers is None:
            self._sleepers = []
        self._sleepers.append(sleeper)
        try:
            await sleeper
        finally:
            self._sleepers.remove(sleeper)
            if not self._sleepers:
                self._sleepers = None
