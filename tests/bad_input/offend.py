"""The offenders, in a process of their own: `python -m tests.bad_input.offend PORT SEED FRAMES RATE bad|good|burst`.

Many connections of a few stations send mutated frames, or (`good`) well-formed ones of the same number and sizes over
connections that end as often. `RATE`: frames a second, 0 = as fast as they are taken. `burst`: one station sends the
tiniest frames there are, answers to nothing, and waits for nothing. Prints one JSON object.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

from tests.bad_input.mutator import EVERYONE, WORKERS, Batch, Mutator
from tests.bad_input.pace import pause
from tests.bad_input.rig import TEXT, Gone, RawStation, WsFrame

BATCH = 25
TINY = WsFrame(TEXT, b'[3,"x",{}]')


@dataclass
class Offence:
    """What was done. `began`, `ended`: on the system's monotonic clock. `closed`: by the gateway, with this code."""

    began: float = 0.0
    ended: float = 0.0
    frames: int = 0
    kib: float = 0.0
    connections: int = 0
    closed: dict[str, int] = field(default_factory=dict)
    kinds: int = 0


class Offenders:
    """One run of them."""

    def __init__(self, port: int, seed: int, frames: int, rate: float, *, orderly: bool) -> None:
        self.done = Offence()
        self._port = port
        self._mutator = Mutator(seed)
        self._left = frames
        self._rate = rate
        self._orderly = orderly
        self._closed: Counter[str] = Counter()
        self._due = 0.0

    async def play(self) -> Offence:
        self.done.began = self._due = time.perf_counter()
        async with asyncio.TaskGroup() as workers:
            for worker in range(WORKERS):
                workers.create_task(self._offend(worker))
        self.done.ended = time.perf_counter()
        self.done.closed, self.done.kinds = dict(sorted(self._closed.items())), len(self._mutator.made)
        return self.done

    async def burst(self) -> Offence:
        """One station, all at once; over when the gateway has come to the end of it."""
        blob, done = TINY.encode(masks=True) * BATCH, self.done
        done.began, done.connections = time.perf_counter(), 1
        async with await RawStation.connect(self._port, *EVERYONE[0]) as station:
            while self._left > 0:
                station.write(blob * 200)
                await station.drain()
                done.frames += 200 * BATCH
                self._left -= 200 * BATCH
            await station.ask("Heartbeat")
        done.ended = time.perf_counter()
        done.kib = done.frames * len(TINY.payload) / 1024
        return done

    async def _offend(self, worker: int) -> None:
        while self._left > 0:
            name, version = self._mutator.station(worker)
            self.done.connections += 1
            async with await RawStation.connect(self._port, name, version) as station:
                try:
                    await self._talk(station)
                except Gone as gone:
                    self._closed[str(gone.code)] += 1

    async def _talk(self, station: RawStation) -> None:
        """Batches, each followed by a good question, until the gateway hangs up, or we do."""
        while self._left > 0:
            batch, hangs_up = self._mutator.batch(BATCH), self._mutator.hangs_up()
            await self._pace(batch)
            station.send(*(batch.twin() if self._orderly else batch).frames)
            if hangs_up:
                station.reset()
                return
            await station.drain()
            station.send(WsFrame(TEXT, b'[2,"good","Heartbeat",{}]'))
            while (await station.message())[:2] != [3, "good"]:
                pass

    async def _pace(self, batch: Batch) -> None:
        """Count a batch, and wait until it is due."""
        frames = batch.frames
        self._left -= len(frames)
        self.done.frames += len(frames)
        self.done.kib += sum(len(frame.payload) for frame in frames) / 1024
        if self._rate:
            due, self._due = self._due, max(self._due, time.perf_counter() - 1) + len(frames) / self._rate
            await pause(due - time.perf_counter())


def main() -> None:
    port, seed, frames, rate, mode = sys.argv[1:]
    offenders = Offenders(int(port), int(seed), int(frames), float(rate), orderly=mode == "good")
    print(json.dumps(asdict(asyncio.run(offenders.burst() if mode == "burst" else offenders.play()))))


if __name__ == "__main__":
    main()
