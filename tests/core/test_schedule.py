"""Whose message goes next on the one link of a site."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.schedule import PATIENCE_S, TURNS, Schedule, Urgency, Waiting
from gateway.model.ids import StationId

CP = [StationId(f"CP-{n}") for n in range(4)]
ORDERED = (Urgency.TRANSACTION, Urgency.SAMPLES)
_message = st.tuples(st.sampled_from(CP), st.sampled_from(Urgency), st.floats(0, 30), st.integers(0, 3))


def waiting(station: StationId, urgency: Urgency, item: Any = "", since: float = 0.0, **more: Any) -> Waiting[Any]:
    return Waiting(station, urgency, item, since, is_ordered=urgency in ORDERED, **more)


def samples(station: StationId, item: Any, since: float = 0.0) -> Waiting[Any]:
    return waiting(station, Urgency.SAMPLES, item, since)


def drained(schedule: Schedule[Any], now: float = 0.0) -> list[Any]:
    found = []
    while (one := schedule.next(now)) is not None:
        found.append(one.item)
    return found


@settings(deadline=None, max_examples=100)
@given(st.lists(_message, max_size=60))
def test_nothing_is_lost_and_no_station_s_order_changes(messages: list[tuple[Any, ...]]) -> None:
    """Puts and turns in any order."""
    schedule: Schedule[int] = Schedule()
    out: list[Waiting[int]] = []
    now = 0.0
    for number, (station, urgency, pause, turns) in enumerate(messages):
        now += pause
        schedule.put(waiting(station, urgency, number, now))
        out += [one for _ in range(turns) if (one := schedule.next(now)) is not None]
        assert len(schedule) == number + 1 - len(out)
    while (one := schedule.next(now)) is not None:
        out.append(one)
    assert sorted(one.item for one in out) == list(range(len(messages)))
    for station in CP:
        own = [one.item for one in out if one.station == station and one.is_ordered]
        assert own == sorted(own)


def test_the_urgent_first_and_stations_in_turn() -> None:
    schedule: Schedule[str] = Schedule()
    for station in CP[:2]:
        for n in range(2):
            schedule.put(waiting(station, Urgency.STATUS, f"status {station} {n}"))
    schedule.put(waiting(CP[2], Urgency.TRANSACTION, "start"))
    schedule.put(waiting(CP[2], Urgency.AUTHORIZE, "authorize"))
    assert drained(schedule) == [
        *("authorize", "start"),
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
        assert turns <= 2 * TURNS
    assert now >= patience


def test_drain_time() -> None:
    schedule: Schedule[str] = Schedule()
    assert schedule.drain_s() == 0.0
    schedule.answered(0.2)
    for n in range(5):
        schedule.put(waiting(CP[0], Urgency.STATUS, f"{n}"))
    assert schedule.drain_s() == 1.0
    assert round(schedule.drain_s(more=45), 6) == 10.0
    for _ in range(100):
        schedule.answered(0.1)
    assert 0.4 < schedule.drain_s() < 0.6


def test_what_is_too_late_is_not_sent() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.put(waiting(CP[0], Urgency.AUTHORIZE, "late", send_by=4.0))
    schedule.put(waiting(CP[0], Urgency.AUTHORIZE, "in time", send_by=9.0))
    assert schedule.deadline() == 4.0
    assert [one.item for one in schedule.expire(4.0)] == ["late"]
    assert schedule.deadline() == 9.0
    assert [one.item for one in schedule.clear()] == ["in time"]
    assert (schedule.next(0.0), len(schedule), schedule.deadline()) == (None, 0, float("inf"))
