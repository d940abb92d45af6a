"""The pump: frames in and out of one socket, one timer, and nobody who gives up takes another one's frame along."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.clock import Clock
from gateway.dialects import registry
from gateway.downlink.station import StationConnection
from gateway.errors import SocketClosed, StoreNotReady
from gateway.pump import Pump
from gateway.rpc import frame
from gateway.rpc.codes import FRAMING_J21, FRAMING_J201
from gateway.rpc.frame import Call, ResultRefused, Send
from gateway.rpc.session import (
    MAX_SENDS,
    Answered,
    Outcome,
    Priority,
    RefusedResult,
    Request,
    Session,
    Silence,
    Unanswered,
)
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.transport import Listener
from tests.sim import loop


class _Socket:
    """The near end of a socket in memory. A frame is written at once; `room`: frames until the peer is too slow."""

    subprotocol = "ocpp2.0.1"

    def __init__(self) -> None:
        self.written: list[Any] = []
        self.room = 10**9
        self.is_paused = False
        self._listener: Listener | None = None
        self._inbox: list[bytes] = []
        self._closed: SocketClosed | None = None

    @property
    def is_full(self) -> bool:
        return self.room <= 0

    def listen(self, listener: Listener) -> None:
        self._listener = listener
        self._hand_over()

    def pause(self) -> None:
        assert not self.is_paused
        self.is_paused = True

    def resume(self) -> None:
        assert self.is_paused
        self.is_paused = False
        self._hand_over()

    def send(self, data: bytes) -> None:
        if self._closed is None:
            self.written.append(json.loads(data))
            self.room -= 1

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.cut(SocketClosed(code, reason))

    def abort(self) -> None:
        self.cut(SocketClosed())

    async def ping(self) -> None:
        return

    def come(self, *frames: bytes) -> None:
        self._inbox += frames
        self._hand_over()

    def make_room(self, frames: int) -> None:
        self.room = frames
        assert self._listener
        self._listener.on_writable()

    def cut(self, why: SocketClosed) -> None:
        self._closed = self._closed or why
        self._hand_over()

    def ids(self) -> list[str]:
        return [parts[1] for parts in self.written]

    def _hand_over(self) -> None:
        while self._listener and self._inbox and not self.is_paused:
            self._listener.on_message(self._inbox.pop(0))
        if self._listener and self._closed:
            self._listener.on_closed(self._closed)


class _Rig:
    """A pump at work on a socket."""

    def __init__(self) -> None:
        self.socket = _Socket()
        self.calls: list[Call] = []
        self.heard = 0
        self.timeouts: list[float] = []
        self.outcomes: dict[str, Outcome] = {}
        self.pump = Pump(
            "CP",
            self.socket,
            Session(FRAMING_J201),
            Clock(),
            self.calls.append,
            on_activity=self._hear,
            on_timeout=lambda: self.timeouts.append(_now()),
        )

    def _hear(self) -> None:
        self.heard += 1

    def ask(
        self,
        message_id: str,
        timeout_s: float = 30.0,
        send_by: float = float("inf"),
        priority: Priority = Priority.COMMAND,
    ) -> asyncio.Task[Outcome]:
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            assert message_id not in self.outcomes
            self.outcomes[message_id] = outcome
            if not answer.done():
                answer.set_result(outcome)

        async def asking() -> Outcome:
            self.pump.post(Request(message_id, "A", b"{}", done, priority, timeout_s, send_by))
            return await answer

        return asyncio.create_task(asking())


def _now() -> float:
    return asyncio.get_running_loop().time()


def _play(script: Callable[[_Rig], Awaitable[None]]) -> _Rig:
    async def main() -> _Rig:
        rig = _Rig()
        running = asyncio.create_task(rig.pump.run())
        async with asyncio.timeout(10_000):
            await script(rig)
            rig.socket.cut(SocketClosed(1000, "done"))
            assert (await running).code == 1000
        assert rig.pump.session.is_idle
        return rig

    return loop.run(main())


async def _settled() -> None:
    """Let everything that can run now, run."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_question_gets_its_answer() -> None:
    async def script(rig: _Rig) -> None:
        task = rig.ask("a")
        await _settled()
        assert rig.socket.written == [[2, "a", "A", {}]]
        rig.socket.come(frame.result("a", b'{"x":1}'))
        assert await task == Answered(b'{"x":1}') == rig.outcomes["a"]

    assert _play(script).heard == 1


def test_calls_of_the_peer_are_handed_over_and_answered() -> None:
    async def script(rig: _Rig) -> None:
        rig.socket.come(b'[2,"x","Reset",{}]', b'[2,"x","Reset",{}]', b"garbage", b'[2,"y","Clear",{}]')
        await _settled()
        assert [call.message_id for call in rig.calls] == ["x", "y"]
        rig.pump.answer(rig.calls[0], b"{}")
        rig.pump.refuse(rig.calls[1], "NotSupported", "no")
        assert [parts[:2] for parts in rig.socket.written] == [[4, "-1"], [3, "x"], [4, "y"]]

    assert _play(script).heard == 4


def test_at_the_end_everybody_hears_and_run_says_why() -> None:
    async def main() -> None:
        rig = _Rig()
        running = asyncio.create_task(rig.pump.run())
        tasks = [rig.ask("a"), rig.ask("b")]
        await _settled()
        rig.socket.cut(SocketClosed(1008, "policy"))
        closed = await running
        assert (closed.code, closed.reason) == (1008, "policy")
        assert await asyncio.gather(*tasks) == [
            Unanswered(Silence.CLOSED, was_sent=True),
            Unanswered(Silence.CLOSED, was_sent=False),
        ]
        assert await rig.ask("c") == Unanswered(Silence.NOT_CONNECTED, was_sent=False)
        rig.pump.flush()
        assert rig.timeouts == []

    loop.run(main())


def test_a_cancelled_reader_leaves_nobody_waiting() -> None:
    async def main() -> None:
        rig = _Rig()
        running = asyncio.create_task(rig.pump.run())
        task = rig.ask("a", timeout_s=5)
        await _settled()
        running.cancel()
        assert await task == Unanswered(Silence.CLOSED, was_sent=True)
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.sleep(60)
        assert rig.timeouts == []

    loop.run(main())


# -- time -----------------------------------------------------------------------------------------------------------


def test_a_timeout_ends_one_call_and_sends_the_next() -> None:
    async def script(rig: _Rig) -> None:
        first, second = rig.ask("a", timeout_s=10), rig.ask("b", timeout_s=5)
        assert await first == Unanswered(Silence.TIMEOUT, was_sent=True)
        assert _now() == pytest.approx(10)
        assert await second == Unanswered(Silence.TIMEOUT, was_sent=True)
        assert _now() == pytest.approx(15)
        assert rig.socket.ids() == ["a", "b"]
        assert rig.timeouts == pytest.approx([10, 15])

    _play(script)


def test_the_timer_is_brought_forward_by_a_shorter_wait() -> None:
    async def script(rig: _Rig) -> None:
        long = rig.ask("a", timeout_s=100)
        await asyncio.sleep(1)
        short = rig.ask("b", send_by=3)
        assert await short == Unanswered(Silence.TOO_LATE, was_sent=False)
        assert _now() == pytest.approx(3)
        assert await long == Unanswered(Silence.TIMEOUT, was_sent=True)
        assert _now() == pytest.approx(100)
        assert rig.timeouts == pytest.approx([100])

    _play(script)


def test_a_timer_that_is_too_early_looks_again() -> None:
    async def script(rig: _Rig) -> None:
        first = rig.ask("a", timeout_s=10)
        await asyncio.sleep(9)
        rig.socket.come(frame.result("a", b"{}"))
        await first
        second = rig.ask("b", timeout_s=10)
        assert await second == Unanswered(Silence.TIMEOUT, was_sent=True)
        assert _now() == pytest.approx(19)
        assert rig.timeouts == pytest.approx([19])

    _play(script)


def test_an_idle_pump_arms_no_timer() -> None:
    async def script(rig: _Rig) -> None:
        for number in range(3):
            task = rig.ask(f"{number}", timeout_s=10)
            await _settled()
            rig.socket.come(frame.result(f"{number}", b"{}"))
            await task
        await asyncio.sleep(1000)
        assert rig.timeouts == []

    _play(script)


# -- who gives up ---------------------------------------------------------------------------------------------------


def test_the_outcome_is_heard_even_if_the_caller_is_gone() -> None:
    async def script(rig: _Rig) -> None:
        task = rig.ask("a")
        await _settled()
        task.cancel()
        await _settled()
        assert rig.outcomes == {}
        rig.socket.come(frame.result("a", b"{}"))
        await _settled()
        assert rig.outcomes == {"a": Answered(b"{}")}
        assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError

    _play(script)


# -- a slow peer ----------------------------------------------------------------------------------------------------


def test_who_does_not_read_is_not_read_from() -> None:
    async def script(rig: _Rig) -> None:
        await _settled()
        rig.socket.room = 2
        rig.socket.come(*(b'[2,"%d","Reset",{}]' % number for number in range(5)))
        for call in rig.calls:
            rig.pump.answer(call, b"{}")
        assert rig.socket.ids() == ["0", "1"]
        rig.socket.come(b'[2,"5","Reset",{}]')
        assert (rig.socket.is_paused, len(rig.calls)) == (True, 5)
        rig.socket.make_room(1)
        assert rig.socket.ids() == ["0", "1", "2"]
        rig.socket.make_room(10)
        assert rig.socket.ids() == ["0", "1", "2", "3", "4"]
        assert (rig.socket.is_paused, len(rig.calls)) == (False, 6)

    _play(script)


def test_a_frame_nobody_can_handle_costs_the_connection_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        rig = _Rig()

        def fails(call: Call) -> None:
            raise ValueError("our own fault")

        rig.pump = Pump("CP-7", rig.socket, Session(FRAMING_J201), Clock(), fails)
        running = asyncio.create_task(rig.pump.run())
        await _settled()
        rig.socket.come(b'[2,"x","Reset",{}]')
        assert (await running).code == 1006

    loop.run(main())
    assert "CP-7: a frame of 18 bytes could not be handled" in caplog.text


# -- what stays unanswered ------------------------------------------------------------------------------------------


def test_a_call_left_unanswered_may_be_asked_again() -> None:
    """While the store is bad nothing is answered; a station that repeats its CALL under the same id must be heard."""

    async def main() -> None:
        tries: list[str] = []

        async def answer(call: Call, received: float) -> bytes:
            tries.append(call.message_id)
            if len(tries) == 1:
                raise StoreNotReady("not now")
            return b"{}"

        socket = _Socket()
        site = Site(SiteOptions(), Clock(), random.Random(1))
        dialect = registry.by_name("2.0.1")
        connection = StationConnection(site, "CP", socket, dialect, answer)
        running = asyncio.create_task(connection.run())
        try:
            for _ in range(2):
                socket.come(b'[2,"same","TransactionEvent",{}]')
                await asyncio.sleep(60)
            assert socket.written == [[3, "same", {}]]
        finally:
            socket.cut(SocketClosed())
            await running

    loop.run(main())


# -- what has no answer ---------------------------------------------------------------------------------------------


async def test_sends_wait_for_a_slow_socket_where_they_are_counted() -> None:
    """Nobody waits for them, and the oldest give way."""
    socket = _Socket()
    socket.room = 1
    pump = Pump("peer", socket, Session(FRAMING_J21), Clock(), lambda call: None)
    running = asyncio.create_task(pump.run())
    await _settled()
    for number in range(MAX_SENDS + 50):
        pump.send(f"{number}", "Notify", b"{}")
    assert socket.ids() == ["0"]
    assert len(pump.session.outgoing) == MAX_SENDS
    socket.make_room(MAX_SENDS)
    assert socket.ids() == ["0", *(f"{number}" for number in range(50, MAX_SENDS + 50))]
    socket.cut(SocketClosed())
    await running


async def test_what_has_no_answer_is_handed_over_in_the_reader() -> None:
    socket, heard = _Socket(), list[object]()
    pump = Pump("peer", socket, Session(FRAMING_J21), Clock(), lambda call: pump.session.answer(call, b'{"x":1}'),
                on_send=heard.append, on_refused_result=heard.append)  # fmt: skip
    running = asyncio.create_task(pump.run())
    socket.come(b'[2,"a","A",{}]', b'[6,"s","Notify",{}]', b'[5,"a","GenericError","why"]', b'[5,"b"]', b"[6]")
    await _settled()
    refused = ResultRefused("a", "GenericError", "why")
    assert heard == [Send("s", "Notify", b"{}"), RefusedResult(b'{"x":1}', refused)]
    assert socket.written == [[3, "a", {"x": 1}]]
    socket.cut(SocketClosed())
    await running


async def test_a_station_that_waits_for_approval_is_not_heard() -> None:
    socket = _Socket()

    async def answer(call: Call, received: float) -> bytes:
        return b"{}"

    site = Site(SiteOptions(), Clock(), random.Random(1))
    running = asyncio.create_task(StationConnection(site, "CP", socket, registry.by_name("2.1"), answer).run())
    socket.come(b'[6,"s","Notify",{}]', b'[5,"s"]', b'[2,"a","A",{}]')
    async with asyncio.timeout(5):
        while not socket.written:
            await _settled()
    assert socket.written == [[3, "a", {}]]
    socket.cut(SocketClosed())
    await running
