"""The storm suite's parts on a few chargers. No time is judged here."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench import __main__ as command
from bench import crowd as crowds
from bench import proc, storm, storm_report, wire
from bench.crowd import Crowd, Storm
from bench.proc import Proxy
from bench.relay import Cores
from bench.storm import GATEWAY, STORM_ROWS, Options, Run, Sample
from bench.watch import HEARTBEAT, Seen, Watcher

_BY_NAME = {row.name: row for row in STORM_ROWS}


async def test_the_whole_suite_loses_nobody() -> None:
    run = await storm.run(Options(chargers=3, repeats=1, calm_s=0.1, settle_s=0.1))
    found = storm_report.as_json(run)
    for name, row in found["rows"].items():
        assert row["booted"] == 6, name
        assert row["lost"] == row["mismatches"] == 0, (name, run.repeats[0][name].complaint)
        assert row["heartbeat_ms"]["calm"]["count"] > 0, name
    assert found["goals"]["lost"]["met"]
    assert found["goals"]["connected before and thrown out"]["met"]
    base = {name: found["rows"][name]["base_mib"]["median"] for name in (GATEWAY, "websockets")}
    assert base[GATEWAY] > base["websockets"] > 5


@asynccontextmanager
async def _door(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    """A listener that treats every connection so."""
    server = await asyncio.start_server(answer, crowds.HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_who_is_turned_away_is_lost_and_not_waited_for() -> None:
    crowd = Crowd(4)
    await crowd.open_csms()
    turned_away = 0

    async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turned_away
        turned_away += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    try:
        async with _door(turn_away) as port:
            found = await crowd.storm(port)
            assert (found.booted, await crowd.served(), turned_away) == (0, 0, 4)
            assert found.took_s < 30
    finally:
        await crowd.close()
    assert "503" in (crowd.first_complaint or "")


async def test_who_gets_no_answer_is_lost_at_the_limit() -> None:
    crowd = Crowd(2, limit_s=0.2)
    csms_port = await crowd.open_csms()
    crowd.note_boot = lambda name, payload: 1 / 0  # type: ignore[assignment,method-assign]
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # the CSMS of this test falls over
    try:
        found = await crowd.storm(csms_port)
        assert found.booted == await crowd.served() == 0
    finally:
        await crowd.close()
    assert crowd.complaints > 0


async def test_a_charger_that_is_gone_after_its_boot_is_not_served() -> None:
    crowd = Crowd(3)
    port = await crowd.open_csms()
    try:
        assert (await crowd.storm(port)).booted == 3
        next(iter(crowd.sockets)).transport.abort()
        assert await crowd.served() == 2
    finally:
        await crowd.close()


def test_a_boot_that_was_changed_on_its_way_is_noticed() -> None:
    crowd = Crowd.__new__(Crowd)
    crowd.complaints, crowd.first_complaint, crowd.boots = 0, None, Counter()
    payload = crowds.boot_payload("STORM-0001")
    crowd.note_boot("STORM-0001", payload)
    assert crowd.complaints == 0
    crowd.note_boot("STORM-0001", payload.replace(b"Bench", b"bench", 1))
    assert crowd.complaints == 1


class _Transport(asyncio.Transport):
    """Takes what is written; `abort` is remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.is_aborted = True


async def test_a_heartbeat_that_had_to_wait_counts_from_when_it_was_due() -> None:
    seen: list[Seen] = []
    watcher, transport = Watcher("W", HEARTBEAT, seen), _Transport()
    watcher.connection_made(transport)
    watcher.data_received(b"HTTP/1.1 101 x\r\n\r\n")
    now = perf_counter()
    sent = len(transport.written)
    for ago in (5.0, 3.0, 1.0):
        watcher.ask(now - ago)
    assert len(transport.written) == sent + 1, "one CALL at a time"
    watcher.data_received(wire.frame(b'[3,"ask",{}]', masked=False))
    watcher.data_received(wire.frame(b'[3,"ask",{}]', masked=False))
    assert len(transport.written) == sent + 3
    watcher.give_up()
    watcher.connection_lost(None)
    assert [round(now - one.due) for one in seen] == [5, 3, 1]
    assert all(one.took >= now - one.due for one in seen)
    assert transport.is_aborted


async def test_a_watcher_that_is_thrown_out_waits_for_ever() -> None:
    seen: list[Seen] = []
    watcher = Watcher("W", HEARTBEAT, seen)
    watcher.connection_made(_Transport())
    watcher.data_received(b"HTTP/1.1 101 x\r\n\r\n" + wire.frame(b'[3,"boot",{"status":"Accepted"}]', masked=False))
    assert watcher.booted.done()
    watcher.connection_lost(None)
    assert [one.took for one in seen] == [float("inf")]


def _sample(name: str, took_s: float = 1.0, kb: float = 30.0, lost: int = 0, latency_s: float = 0.01) -> Sample:
    found = Storm(0.0, took_s, took_s / 2, 500, 0.1)
    row = _BY_NAME[name]
    return Sample(row, found, found, cpu_ms=took_s, again_cpu_ms=1.0, kb=kb, lost=lost, calm_s=[latency_s] * 3)


@pytest.mark.parametrize(
    ("ours", "missed"),
    [
        (_sample(GATEWAY, 2.4, 59.0), set()),
        (_sample(GATEWAY, 2.6), {"time: pass_through / websockets", "CPU: pass_through / websockets"}),
        (_sample(GATEWAY, kb=61.0), {"kB per charger"}),
        (_sample(GATEWAY, lost=1), {"lost"}),
        (_sample(GATEWAY, latency_s=float("inf")), {"connected before and thrown out"}),
    ],
)
def test_a_goal_that_is_missed_is_said(ours: Sample, missed: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(options: Options) -> Run:
        samples = {"direct": _sample("direct"), "websockets": _sample("websockets"), GATEWAY: ours}
        return Run(options, Cores(0, 1), [samples])

    monkeypatch.setattr(storm, "run", run)
    result = CliRunner().invoke(command.main, ["storm", "--json"])
    found = json.loads(result.output)
    assert {name for name, goal in found["goals"].items() if not goal["met"]} == missed
    assert result.exit_code == (1 if missed else 0)
    console = Console(width=120)
    with console.capture() as captured:
        storm_report.show(asyncio.run(run(Options())), console)
    assert captured.get().count("MISSED") == len(missed)


async def test_a_proxy_counts_its_descriptors_and_memory(tmp_path: Any) -> None:
    crowd = Crowd(5)
    csms_port, port = await crowd.open_csms(), proc.free_port()
    arguments = _BY_NAME["websockets"].arguments
    assert arguments is not None
    try:
        async with Proxy(arguments(port, csms_port, tmp_path), port, tmp_path, None) as proxy:
            empty = proc.descriptors(proxy.pid)
            await crowd.storm(port)
            # The connection that looked whether it listens may have been counted before.
            assert empty + 9 <= proc.descriptors(proxy.pid) <= empty + 10
            assert 5 * 2**20 < proc.rss_bytes(proxy.pid) < 200 * 2**20
    finally:
        await crowd.close()
