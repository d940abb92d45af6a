"""Seeded storms on virtual time in every run of the tests; `make storm` plays more of them."""

import random

from tests.sim import storm


def test_thirty_storms_of_six_hours_lose_nothing() -> None:
    first = random.randrange(1_000_000)
    print(f"seeds from {first}")
    for seed in range(first, first + 30):
        report = storm.run(seed, hours=6, stations=5)
        assert report.findings == [], f"seed {seed}"
        assert report.messages > 100
