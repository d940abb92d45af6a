"""The reaction bench on a few stations. No time is judged here."""

import json

from click.testing import CliRunner

from bench import reaction


def test_every_station_is_commanded_after_the_reading_that_shows_the_load() -> None:
    asked = ["--connectors", "3", "--cycles", "1", "--json"]
    outcome = CliRunner().invoke(reaction.main, asked, catch_exceptions=False, standalone_mode=False)
    found = json.loads(outcome.stdout)
    assert found["connectors"] == 3
    assert 0.0 < found["p99_s"] <= found["last_s"][0]


def test_a_budget_that_is_not_met_is_told() -> None:
    slow, quick = reaction.Figures(54, [0.3] * 54, [0.3]), reaction.Figures(54, [0.2] * 54, [0.2])
    assert ("OVER BUDGET" in str(slow), "OVER BUDGET" in str(quick)) == (True, False)
    assert (slow.is_within, quick.is_within) == (False, True)
    assert reaction.Figures(500, [0.3] * 500, [0.3]).is_within
