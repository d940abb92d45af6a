"""The storms of `storm`, with the whole site on one socket: the same history checker, the same verdict."""

import random
from pathlib import Path

import pytest

from gateway.core.numbering import Numbering
from gateway.model.ids import StationId
from tests.sim import loop, one_station, storm

VERSIONS = [pytest.param("1.6", id="1.6"), pytest.param("2.0.1", id="2.0.1")]


@pytest.mark.parametrize("version", VERSIONS)
def test_storms_on_one_link_lose_nothing(tmp_path: Path, version: str) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    _, report = loop.run(storm.storm(tmp_path, seed, 2, 5, one_station.of(version)), debug=False)
    assert report.findings == [], f"seed {seed}"
    assert report.messages > 20


def test_a_message_under_another_station_s_number_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above rests on."""
    true = Numbering.number
    monkeypatch.setattr(
        Numbering,
        "number",
        lambda self, station, evse: true(self, StationId("CP-0"), evse) or true(self, station, evse),
    )
    _, report = loop.run(storm.storm(tmp_path, 1, 0.5, 3, one_station.of("1.6")), debug=False)
    assert report.findings != []
