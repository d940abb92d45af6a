"""[storage] and [replay] in the configuration file."""

from pathlib import Path

import pytest

from tests.config_bench import Bench

MISTAKES = [
    # text, place, problem, part of the remedy
    ("[storage]\nbudget_mb = 1", "storage.budget_mb", "cannot be 1", "16 to 1048576"),
    ("[storage]\nqueue_messages = 1e5", "storage.queue_messages", "cannot be 100000.0", "a whole number"),
    ("[storage]\nkeep_transactions_days = 7", "storage.keep_transactions_days", "cannot be 7", "31 to 3650"),
    ("[replay]\nmessages_per_s = -1", "replay.messages_per_s", "cannot be -1", "0 = no limit"),
    ("[replay]\nattempts = 0", "replay.attempts", "cannot be 0", "1 to 100"),
    (
        '[replay]\nattempts_by_version = { "1.6" = 0 }',
        'replay.attempts_by_version."1.6"',
        "cannot be 0",
        "a version, and a whole number",
    ),
    (
        '[replay]\nattempt_interval_s_by_version = { "3.0" = 5 }',
        'replay.attempt_interval_s_by_version."3.0"',
        'cannot be "3.0"',
        'Write "1.6", "2.0.1" or "2.1"',
    ),
]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(("text", "place", "problem", "remedy"), MISTAKES)
def test_a_mistake_is_named_with_its_remedy(bench: Bench, text: str, place: str, problem: str, remedy: str) -> None:
    bench.more = text
    [found] = bench.mistakes()
    assert (found.path, found.problem) == (place, problem)
    assert remedy in found.remedy


def test_a_version_may_have_attempts_and_an_interval_of_its_own(bench: Bench) -> None:
    bench.more = "[replay]\nattempts = 4\nattempt_interval_s = 30\nattempts_by_version = { '1.6' = 7 }"
    assert bench.load().replay.rules == {"1.6": (7, 30.0), "2.0.1": (4, 30.0), "2.1": (4, 30.0)}
