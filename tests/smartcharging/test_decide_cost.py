"""The command that measures decisions works, and judges what it measures."""

from bench.allocator import BUDGET_MS, Figures, measure


def test_a_site_is_measured_and_its_writes_are_made() -> None:
    figures = measure(54, ticks=12)
    assert figures.writes >= 54
    for p50, p99, worst in (figures.allocator_ms, figures.decision_ms):
        assert 0 < p50 <= p99 <= worst


def test_a_figure_over_its_budget_is_a_failure() -> None:
    assert BUDGET_MS == {54: 3.0, 500: 25.0}
    assert Figures(54, 100, (1.0, 3.0, 99.0), (1.0, 10.0, 99.0), 0).is_within
    assert not Figures(54, 100, (1.0, 3.1, 3.2), (1.0, 9.0, 9.0), 0).is_within
    assert not Figures(500, 100, (1.0, 3.1, 3.2), (1.0, 101.0, 102.0), 0).is_within
