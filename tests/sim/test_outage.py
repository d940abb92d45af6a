"""A small version of `python -m tests.sim.outage` in every run of the tests."""

import random
from dataclasses import replace

from tests.sim import outage


def test_a_long_outage_loses_nothing_and_drains_fast() -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    outcome = outage.run(outage.Plan(stations=5, hours=6, sessions=60, crashes=2, reboots=4, seed=seed))
    print(outcome)
    assert outcome.findings == []
    assert outcome.is_good
    assert outcome.sessions == 60
    assert outcome.queued > 200
    assert not replace(outcome, lost=1).is_good
    assert not replace(outcome, drain_per_s=9.9).is_good
    assert not replace(outcome, status_p99_s=2.0).is_good
