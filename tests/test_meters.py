"""The board of meters: nobody who waits misses anything."""

import asyncio

from gateway.meters import Meters
from gateway.model.circuit import Circuit
from gateway.model.ids import CircuitId, MeterId
from gateway.model.metering import Freshness, Held, MeterState, MissingReason

GRID, MAIN = MeterId("grid"), CircuitId("main")


async def test_all_who_wait_are_woken_and_who_comes_late_does_not_wait() -> None:
    meters = Meters([GRID])
    waiting = [asyncio.create_task(meters.changed(meters.revision)) for _ in range(3)]
    done, _ = await asyncio.wait(waiting, timeout=0.01)
    assert not done
    meters.put(MeterState(meter=GRID, interval_s=1.0))
    assert await asyncio.gather(*waiting) == [1, 1, 1]
    meters.put(MeterState(meter=GRID, interval_s=2.0))
    assert await meters.changed(1) == 2
    assert meters.states[GRID].interval_s == 2.0


def test_a_circuit_is_known_before_its_meter_says_anything() -> None:
    meters = Meters([GRID], [Circuit(MAIN, 63.0, meter=GRID)])
    (missing,) = meters.loads(0.0)[MAIN].missing
    assert (missing.meter, missing.reason) == (GRID, MissingReason.NO_READING)
    held = Held(1.0, 5.0)
    meters.put(MeterState(meter=GRID, current_a=(held, held, held), interval_s=1.0))
    load = meters.loads(6.0)[MAIN]
    assert (load.current_a, load.freshness) == ((1.0, 1.0, 1.0), Freshness.FRESH)
