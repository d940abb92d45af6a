"""A short kill -9 storm in every run of the tests; `make storm` plays the long ones."""

import random

from tests.storm import kills


async def test_ten_kills_lose_nothing() -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    outcome = await kills.play(seed, 10)
    assert outcome.report["findings"] == []
    total: dict[str, int] = {}
    kills.add(total, outcome)
    assert (total["lost"], total["duplicated"], total["out_of_order"]) == (0, 0, 0)
    assert total["kills_in_flight"] >= 0.8 * total["kills"]
    assert total["acked"] > 50
