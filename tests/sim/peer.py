"""What scripted station and CSMS share: one CALL in flight, answers by message id. Knows nothing of the gateway."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.errors import SocketClosed
from tests.sim.network import SimSocket

Handler = Callable[[str, str, Any], Awaitable[Any]]
"""Message id, action, payload -> payload of the answer; None for no answer; raises Refusal for a CALLERROR."""


class Refusal(Exception):
    """Answer with a CALLERROR."""


class NoAnswer(Exception):
    """No CALLRESULT came: CALLERROR, time-out or cut."""


class Wire:
    """One socket spoken over by a scripted peer."""

    def __init__(self, socket: SimSocket, handler: Handler, timeout_s: float = 30.0) -> None:
        self.socket = socket
        self._handler = handler
        self._timeout_s = timeout_s
        self.is_deaf: Callable[[], bool] = lambda: False
        """Whether the next answer gets lost on its way here, the connection staying as it is."""
        self._lock = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Read until the socket closes."""
        try:
            while True:
                frame = json.loads(await self.socket.receive())
                if frame[0] == 2:
                    task = asyncio.create_task(self._answer(frame[1], frame[2], frame[3]))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                elif self.is_deaf():
                    continue
                elif (waiter := self._waiting.pop(frame[1], None)) and not waiter.done():
                    if frame[0] == 3:
                        waiter.set_result(frame[2])
                    else:
                        waiter.set_exception(NoAnswer(f"{frame[2]}: {frame[3]}"))
        except SocketClosed:
            pass
        finally:
            for waiter in self._waiting.values():
                if not waiter.done():
                    waiter.set_exception(NoAnswer("cut"))
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def call(self, message_id: str, action: str, payload: Any) -> Any:
        """Raises NoAnswer."""
        async with self._lock:
            if self.socket.closed:
                raise NoAnswer("cut")
            waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._waiting[message_id] = waiter
            try:
                self.socket.send(json.dumps([2, message_id, action, payload]).encode())
                async with asyncio.timeout(self._timeout_s):
                    return await waiter
            except TimeoutError as error:
                raise NoAnswer("no answer in time") from error
            finally:
                self._waiting.pop(message_id, None)

    async def _answer(self, message_id: str, action: str, payload: Any) -> None:
        try:
            answer = await self._handler(message_id, action, payload)
            frame = [3, message_id, answer] if answer is not None else None
        except Refusal as refusal:
            frame = [4, message_id, "InternalError", str(refusal), {}]
        if frame is not None:
            self.socket.send(json.dumps(frame).encode())
