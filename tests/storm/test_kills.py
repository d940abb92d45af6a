"""A short kill -9 storm in every run of the tests; `make storm` plays the long ones."""

import asyncio
import random

from tests.storm import kills


async def test_ten_kills_lose_nothing() -> None:
    """Six with a link for each station, and at the same time four with one for the site; stations of both versions."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    rounds = ((6, kills.Scene()), (4, kills.one_station("2.0.1" if seed % 2 else "1.6", ("1.6", "2.0.1"))))
    total: dict[str, int] = {}
    for outcome in await asyncio.gather(*(kills.play(seed, count, scene) for count, scene in rounds)):
        assert outcome.report["findings"] == []
        assert outcome.report["acknowledged"] > 25
        kills.add(total, outcome)
    assert (total["lost"], total["duplicated"], total["out_of_order"]) == (0, 0, 0)
    assert total["kills_in_flight"] >= 7, "of ten; the long ones ask for 80 %"
