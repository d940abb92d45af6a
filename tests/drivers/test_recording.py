"""Recordings as text."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import NO_PHASES, Reading, Signed
from drivers.recording import RecordingError, line_of, parsed

CSV = """\
t, current_a_l1, current_a_l2, current_a_l3, power_total_w
0, 6.1, -5.9, , 100
1.5, , , , 120.5
2,1,2,3,
"""


def test_csv_cells_that_are_empty_stay_empty() -> None:
    rows = parsed(CSV)
    assert [row.t for row in rows] == [0.0, 1.5, 2.0]
    assert [row.current_a for row in rows] == [(6.1, -5.9, None), NO_PHASES, (1.0, 2.0, 3.0)]
    assert [row.power_total_w for row in rows] == [100.0, 120.5, None]


maybe = st.none() | st.floats(-1e4, 1e4)


@given(st.tuples(maybe, maybe, maybe), maybe, st.sampled_from(Signed))
def test_what_is_written_is_read_again(current: Any, power: float | None, signed: Signed) -> None:
    reading = Reading(
        meter="grid",
        sequence=1,
        t_mono=5.0,
        t_wall=datetime(2026, 1, 1, tzinfo=UTC),
        interval_s=1.0,
        current_a=current,
        current_signed=signed,
        power_total_w=power,
        resolution_a=1.0,
    )
    (row,) = parsed(line_of(reading, 0.25))
    assert row.t == 0.25
    assert {name: getattr(reading, name) for name in row.fields()} == row.fields()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "no readings"),
        ("t,current_a_l1\n", 1, "no readings"),
        ('{"t": 0}\n{"t": 0}\n', 2, "not later"),
        ('{"t": 0}\n{"t": \n', 2, "is not JSON"),
        ('{"t": 0}\n[1]\n', 2, "is no object"),
        ('{"t": 0, "amps": 1}\n', 1, "amps"),
        ('{"t": 0, "current_a": [1, 2]}\n', 1, "current_a"),
        ('{"t": 0, "power_total_w": NaN}\n', 1, "power_total_w"),
        ("t,current_a_l1\n0,1\n1,2,3\n", 3, "has not 2 cells"),
        ("t,current_a_l1\n0\n", 2, "has not 2 cells"),
        ("t,current_a_l4\n0,1\n", 2, "current_a_l4"),
        ("t,power_total_w\n0,many\n", 2, "power_total_w"),
        ("power_total_w\n1\n", 2, "t: Field required"),
    ],
)
def test_a_broken_recording_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(RecordingError, match=words) as caught:
        parsed(text)
    assert caught.value.line == line
