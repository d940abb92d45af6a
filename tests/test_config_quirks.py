"""Quirks in the configuration: of stations and of models, and the mistakes one can make there."""

from pathlib import Path
from typing import get_args

import pytest

from gateway.app import _site_options
from gateway.config_values import Quirk
from gateway.dialects import quirks
from gateway.station import ModelOptions, StationOptions
from tests.config_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_quirks_reach_the_site(bench: Bench) -> None:
    bench.more = """[[station]]
id = "CP-01"
min_answer_delay_ms = 200
quirks = ["strip-nulls", "empty-values"]
[[station]]
id = "CP-02"
[[model]]
vendor = "Volt*"
model = "One"
quirks = ["capitalised-keys"]
min_answer_delay_ms = 500
ping = false
[[model]]
vendor = "Ampere"
quirks = ["long-id-tag"]"""
    options = _site_options(bench.load())
    assert options.stations == {
        "CP-01": StationOptions(None, 0.2, quirks.of(["strip-nulls", "empty-values"])),
        "CP-02": StationOptions(),
    }
    assert options.models == [
        ModelOptions("Volt*", "One", quirks.of(["capitalised-keys"]), 0.5, ping=False),
        ModelOptions("Ampere", "*", quirks.of(["long-id-tag"])),
    ]


def test_there_are_no_models_unless_written_down(bench: Bench) -> None:
    assert bench.load().models == ()


def test_every_quirk_can_be_named(bench: Bench) -> None:
    bench.more = f'[[station]]\nid = "a"\nquirks = {list(get_args(Quirk))}'
    assert bench.load().stations[0].quirks == quirks.NAMES


def test_a_model_of_which_nothing_is_said_is_warned_of(bench: Bench) -> None:
    bench.more = '[[model]]\nvendor = "Volt"'
    (warning,) = [text for text in bench.load().warnings if text.startswith("model")]
    assert "model[0]: says nothing" in warning


@pytest.mark.parametrize(
    ("text", "path", "problem", "remedy"),
    [
        ('[[station]]\nid = "a"\nquirks = ["Strip-nulls"]', 'station "a".quirks[0]', "Strip", '"long-id-tag"'),
        ('[[station]]\nid = "a"\nquirks = ["strip-nulls", 5]', 'station "a".quirks[1]', "cannot be 5", '"strip-nulls"'),
        ('[[station]]\nid = "a"\nquirks = "strip-nulls"', 'station "a".quirks', '"strip-nulls"', "a list"),
        ('[[station]]\nid = "a"\nquirks = ["strip-nulls", "strip-nulls"]', 'station "a".quirks', "twice", "once"),
        ("[[model]]\nquirks = []\nping = false", "model[0].vendor", "is missing", "BootNotification"),
        ('[[model]]\nvendor = ""\nping = false', "model[0].vendor", "empty", "BootNotification"),
        ('[[model]]\nvendor = "V"\nmodel = 5\nping = false', "model[0].model", "cannot be 5", "BootNotification"),
        ('[[model]]\nvendor = "V"\nquirks = ["no-pong"]', "model[0].quirks[0]", "no-pong", '"empty-values"'),
        ('[[model]]\nvendor = "V"\nping = 1', "model[0].ping", "cannot be 1", "true or false"),
        ('[[model]]\nvendor = "V"\nmin_answer_delay_ms = -1', "model[0].min_answer_delay_ms", "-1", "0 to 10000"),
        ('[[model]]\nvendor = "V"\nping = false\nid = "x"', "model[0].id", "not a known key", "known ones"),
        ('[model]\nvendor = "V"\nping = false', "model", "single brackets", "[[model]]"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_remedy(bench: Bench, text: str, path: str, problem: str, remedy: str) -> None:
    bench.more = text
    (mistake,) = bench.mistakes()
    assert mistake.path == path
    assert problem in mistake.problem
    assert remedy in mistake.remedy
