"""Whose message goes next on the one link of a site."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.schedule import PATIENCE_S, TURNS, Schedule, Urgency, Waiting
from gateway.model.ids import StationId

CP = [StationId(f"CP-{n}") for n in range(4)]
ORDERED = (Urgency.TRANSACTION, Urgency.SAMPLES)
_message = st.tuples(st.sampled_from(CP), st.sampled_from(Urgency), st.booleans(), st.floats(0, 30), st.integers(0, 3))


def waiting(station: StationId, urgency: Urgency, item: Any = "", since: float = 0.0, **more: Any) -> Waiting[Any]:
    return Waiting(station, urgency, item, since, is_ordered=urgency in ORDERED, **more)


def samples(station: StationId, item: Any, since: float = 0.0, series: str = "tx", **more: Any) -> Waiting[Any]:
    return waiting(station, Urgency.SAMPLES, item, since, series=series, **more)


def drained(schedule: Schedule[Any], now: float = 0.0) -> list[Any]:
    found = []
    while (one := schedule.next(now)) is not None:
        found.append(one.item)
    return found


@settings(deadline=None, max_examples=100)
@given(st.lists(_message, max_size=60))
def test_nothing_but_samples_is_lost_and_no_station_s_order_changes(messages: list[tuple[Any, ...]]) -> None:
    """Puts and turns in any order, with and without pressure."""
    schedule: Schedule[int] = Schedule(pressure_s=1.0)
    schedule.answered(0.2)
    put: dict[int, Waiting[int]] = {}
    out: list[Waiting[int]] = []
    thinned: list[Waiting[int]] = []
    now = 0.0
    for number, (station, urgency, is_first, pause, turns) in enumerate(messages):
        now += pause
        series = "tx" if urgency is Urgency.SAMPLES else None
        put[number] = waiting(station, urgency, number, now, series=series, keeps_first=is_first)
        thinned += schedule.put(put[number])
        out += [one for _ in range(turns) if (one := schedule.next(now)) is not None]
        assert len(schedule) == len(put) - len(out) - len(thinned)
    while (one := schedule.next(now)) is not None:
        out.append(one)
    assert all(one.series for one in thinned)
    assert sorted(one.item for one in [*out, *thinned]) == sorted(put)
    for station in CP:
        own = [one.item for one in out if one.station == station and one.is_ordered]
        assert own == sorted(own)
    newest = {one.station: one.item for one in put.values() if one.series}
    assert set(newest.values()) <= {one.item for one in out}


def test_the_urgent_first_and_stations_in_turn() -> None:
    schedule: Schedule[str] = Schedule()
    for station in CP[:2]:
        for n in range(2):
            schedule.put(waiting(station, Urgency.STATUS, f"status {station} {n}"))
    schedule.put(waiting(CP[2], Urgency.TRANSACTION, "start"))
    schedule.put(waiting(CP[2], Urgency.AUTHORIZE, "authorize"))
    schedule.put(waiting(CP[3], Urgency.COMMAND, "report"))
    assert drained(schedule) == [
        *("report", "authorize", "start"),
        *("status CP-0 0", "status CP-1 0", "status CP-0 1", "status CP-1 1"),
    ]


def test_a_stop_pulls_the_samples_before_it_along() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.put(samples(CP[0], "sample 0"))
    schedule.put(samples(CP[1], "sample 1"))
    schedule.put(waiting(CP[2], Urgency.STATUS, "status"))
    schedule.put(waiting(CP[1], Urgency.TRANSACTION, "stop 1"))
    assert drained(schedule) == ["sample 1", "stop 1", "status", "sample 0"]


def test_one_station_does_not_take_the_link() -> None:
    """A thousand messages of one, one of another: the other waits for one turn."""
    schedule: Schedule[str] = Schedule()
    for n in range(1000):
        schedule.put(waiting(CP[0], Urgency.TRANSACTION, f"{n}", float(n)))
    assert [schedule.next(1000.0) for _ in range(TURNS * 2)]
    schedule.put(waiting(CP[1], Urgency.TRANSACTION, "other", 1000.0))
    assert "other" in [one.item for _ in range(2) if (one := schedule.next(1000.0))]


def test_nothing_starves_under_what_is_more_urgent() -> None:
    """Authorize never ends, and a sample still goes when its patience is over; until then it does not."""
    schedule: Schedule[str] = Schedule()
    schedule.put(samples(CP[0], "sample"))
    now, patience, turns = 0.0, PATIENCE_S[Urgency.SAMPLES], 0
    while True:
        schedule.put(waiting(CP[1], Urgency.AUTHORIZE, "authorize", now))
        one = schedule.next(now)
        assert one is not None
        if one.item == "sample":
            break
        turns += now >= patience
        now += 0.2
        assert turns <= TURNS
    assert now >= patience


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.randoms(use_true_random=False))
def test_of_a_pressed_series_first_and_last_remain(count: int, source: Any) -> None:
    schedule: Schedule[int] = Schedule(pressure_s=0.0)
    gone: list[int] = []
    for number in range(count):
        gone += [one.item for one in schedule.put(samples(CP[0], number))]
    left = drained(schedule)
    assert left == sorted({0, count - 1})
    assert sorted(gone + left) == list(range(count))


def test_only_one_transaction_s_own_samples_give_way_and_only_under_pressure() -> None:
    calm, pressed = Schedule[str](), Schedule[str](pressure_s=0.0)
    for schedule in (calm, pressed):
        for item, series in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("a4", "a"), ("a5", "a")):
            schedule.put(samples(CP[0], item, series=series))
    assert drained(calm) == ["a1", "a2", "b1", "a3", "a4", "a5"]
    assert drained(pressed) == ["a1", "a2", "b1", "a3", "a5"]
    schedule = Schedule(pressure_s=0.0)
    for item in ("begin", "s1", "s2", "s3", "end"):
        is_sample = item.startswith("s")
        schedule.put(samples(CP[0], item) if is_sample else waiting(CP[0], Urgency.TRANSACTION, item))
    assert drained(schedule) == ["begin", "s1", "s3", "end"]


def test_what_belongs_to_no_transaction_leaves_only_the_newest() -> None:
    schedule: Schedule[str] = Schedule(pressure_s=0.0)
    for item in ("1", "2", "3"):
        schedule.put(samples(CP[0], item, keeps_first=False))
    assert drained(schedule) == ["3"]


def test_samples_that_can_be_joined_are() -> None:
    schedule: Schedule[str] = Schedule(lambda first, second: first + second if len(first) < 3 else None, pressure_s=0.0)
    assert [schedule.put(samples(CP[0], item)) for item in "abcd"] == [[], [], [], []]
    assert drained(schedule) == ["abc", "d"]


def test_drain_time_and_pressure() -> None:
    schedule: Schedule[str] = Schedule(pressure_s=1.0)
    assert (schedule.drain_s(), schedule.is_pressed) == (0.0, False)
    schedule.answered(0.2)
    for n in range(5):
        schedule.put(waiting(CP[0], Urgency.STATUS, f"{n}"))
    assert (schedule.drain_s(), schedule.is_pressed) == (1.0, True)
    assert round(schedule.drain_s(more=45), 6) == 10.0
    for _ in range(100):
        schedule.answered(0.1)
    assert 0.4 < schedule.drain_s() < 0.6
    schedule.next(0.0)
    assert not schedule.is_pressed


def test_what_is_too_late_is_not_sent() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.put(waiting(CP[0], Urgency.AUTHORIZE, "late", send_by=4.0))
    schedule.put(waiting(CP[0], Urgency.AUTHORIZE, "in time", send_by=9.0))
    assert schedule.deadline() == 4.0
    assert [one.item for one in schedule.expire(4.0)] == ["late"]
    assert schedule.deadline() == 9.0
    assert [one.item for one in schedule.clear()] == ["in time"]
    assert (schedule.next(0.0), len(schedule), schedule.deadline()) == (None, 0, float("inf"))
