"""700 random sets a version against the oracle; many more by `python -m tests.smartcharging.composite_storm`."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.smartcharging import composite, profiles
from tests.smartcharging.composite_storm import VERSIONS, play

SETS = 700


@pytest.mark.parametrize("version", VERSIONS)
def test_the_code_says_what_the_oracle_says(version: str, seed: int) -> None:
    instants, findings = play(version, range(seed, seed + SETS))
    assert not findings, f"{len(findings)} of {SETS} sets differ (seed {seed}), the first: {findings[0]}"
    assert instants > 20 * SETS


def _round_up(was: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *asked: None if (found := was(*asked)) is None else found + Decimal("0.1")


def _a_second_late(was: Callable[..., Any]) -> Callable[..., Any]:
    def late(*asked: Any) -> Any:
        return [one._replace(end=one.end + 1_000_000) for one in was(*asked)]

    return late


def _forget(was: Callable[..., Any]) -> Callable[..., Any]:
    return lambda held, place: was(tuple(held)[1:], place)


def _keep_twice(was: Callable[..., Any]) -> Callable[..., Any]:
    def put(before: profiles.Profiles, held: Any) -> profiles.Outcome:
        found = was(before, held)
        return replace(found, profiles=replace(before, held=(*before.held, held)))  # type: ignore[no-any-return]

    return put


@pytest.mark.parametrize(
    ("module", "name", "spoil"),
    [
        (composite, "amps", _round_up),
        (composite, "_round", _a_second_late),
        (composite, "_relevant", _forget),
        (profiles, "with_profile", _keep_twice),
    ],
)
def test_a_mistake_in_the_code_is_found(
    module: Any, name: str, spoil: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(module, name, spoil(getattr(module, name)))
    assert any(play("2.1", [one])[1] for one in range(seed, seed + 400))
