"""Late replies on purpose: `python -m tests.drivers.late_reply_stress --reads 1000`.

A slave on a pseudo terminal sends a share of its replies after the time-out, some of them so late that the line was
quiet in between. Each reply tells which question it answers, so that a silently wrong one is known. Exit status 1 if
there is one.
"""

import asyncio
import random
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import click

from drivers import bus as buses
from drivers.bus import Bus, BusError, Read
from drivers.late_replies import ReplyGuard
from drivers.modbus_line import SerialLine
from tests.drivers.modbus_rig import Reply, Request, Slave, real_seams, with_crc

BLOCKS = ((0x00, 18), (0x34, 2), (0x3E, 14), (0x80, 4), (0x90, 6))
"""Of different lengths, as the plan of a meter has them."""
TIMEOUT_S = 0.02


class NoGuard(ReplyGuard):
    """What pymodbus does by itself: the first sound frame of the unit is the answer."""

    quiet_s = 0.0
    quiet_if_alike_s = 0.0

    def passed(self, content: bytes) -> bytes:
        return content

    def is_answer(self, unit: int, function: int, registers: int) -> bool:
        return True


class QuickGuard(ReplyGuard):
    """As in production, but quiet for less long: for a slave that is less late."""

    quiet_s = 0.03


@dataclass(slots=True)
class Tally:
    right: int = 0
    failed: int = 0
    wrong: int = 0
    """Registers of another question."""
    too_fresh: int = 0
    """The right registers, but said to be measured later than they were."""
    asked_at: list[float] = field(default_factory=list)
    """When the slave got each question."""


@dataclass(slots=True)
class Lateness:
    """A script for the slave: the first register says which question it was, the others their addresses."""

    source: random.Random
    share: float
    longest_s: float
    tally: Tally

    def __call__(self, request: Request, _answer: bytes) -> Reply:
        registers = [len(self.tally.asked_at), *range(request.at + 1, request.at + request.count)]
        self.tally.asked_at.append(asyncio.get_running_loop().time())
        content = b"".join(register.to_bytes(2, "big") for register in registers)
        frame = with_crc(bytes((request.unit, request.function, len(content))) + content)
        is_late = self.source.random() < self.share
        return Reply(frame, TIMEOUT_S + self.source.uniform(0.002, self.longest_s) if is_late else 0.0)


async def run(guard: ReplyGuard, reads: int, seed: int, share: float = 0.25, longest_s: float | None = None) -> Tally:
    """Without `longest_s`, replies are up to twice as late as the line is kept quiet."""
    tally, source, seams = Tally(), random.Random(seed), real_seams(seed)
    longest_s = 2 * (guard.quiet_s or QuickGuard.quiet_s) if longest_s is None else longest_s
    with tempfile.TemporaryDirectory() as folder:
        slave = Slave(Path(folder) / "adapter", {1: {}}, Lateness(source, share, longest_s, tally))
        with slave:
            bus = buses.lease(seams, SerialLine(str(slave.link), 115_200, "N", 1), lambda: guard)
            for _ in range(reads):
                at, count = source.choice(BLOCKS)
                await _read(bus, Read(1, "input", at, count, TIMEOUT_S), tally)
            buses.release(bus, seams)
    return tally


async def _read(bus: Bus, read: Read, tally: Tally) -> None:
    try:
        answer = await bus.read(read)
    except BusError:
        tally.failed += 1
        return
    number, *others = answer.registers
    if others != list(range(read.at + 1, read.at + read.count)):
        tally.wrong += 1
    elif answer.t_mono > tally.asked_at[number]:
        tally.too_fresh += 1
    else:
        tally.right += 1


@click.command()
@click.option("--reads", default=1000, show_default=True)
@click.option("--share", default=0.25, show_default=True, help="Of replies that come late.")
@click.option("--seed", default=1, show_default=True)
def main(reads: int, share: float, seed: int) -> None:
    """The guard of the bus against late replies, and the same without it."""
    tallies = {}
    for name, guard in (("guarded", ReplyGuard()), ("plain", NoGuard())):
        tally = tallies[name] = asyncio.run(run(guard, reads, seed, share))
        read = f"{tally.right} right, {tally.wrong} wrong, {tally.too_fresh} older than said"
        click.echo(f"{name}: {read}, {tally.failed} failed")
    sys.exit(1 if tallies["guarded"].wrong + tallies["guarded"].too_fresh else 0)


if __name__ == "__main__":
    main()
