"""Seeded storms on virtual time in every run of the tests, in pieces for two workers; `make storm` plays more."""

import random

import pytest

from tests.sim import storm

SEEDS_A_PIECE = 3


@pytest.mark.parametrize("piece", range(4))
def test_storms_of_six_hours_lose_nothing(piece: int) -> None:
    first = random.randrange(1_000_000)
    print(f"piece {piece}: seeds from {first}")
    for seed in range(first, first + SEEDS_A_PIECE):
        report = storm.run(seed, hours=6, stations=5)
        assert report.findings == [], f"seed {seed}"
        assert report.messages > 100


@pytest.mark.parametrize("csms", ["1.6", "2.0.1"])
def test_storms_with_translation_lose_nothing(csms: str) -> None:
    """Stations of both versions; half of them are translated."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    report = storm.run(seed, hours=6, stations=4, csms=csms)
    assert report.findings == [], f"seed {seed}"
    assert report.messages > 100
