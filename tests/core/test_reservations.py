"""Reservations: whom they keep away, and when they are over."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.core.reservations import Reservations
from gateway.model.ids import StationId
from gateway.model.records import Drop, Reservation
from gateway.model.token import IdToken

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
CP = StationId("CP")


def kept(number: int, evse: int | None, token: str = "kept", group: str | None = None, hours: int = 1) -> Reservation:
    return Reservation(CP, number, evse, token, group, NOW + timedelta(hours=hours))


def book(*reservations: Reservation) -> Reservations:
    made = Reservations()
    for reservation in reservations:
        made.put(reservation)
    return made


@pytest.mark.parametrize(
    ("reservations", "evse", "free", "in_the_way"),
    [
        ([], 1, {1}, None),
        ([kept(1, 1)], 1, {1, 2}, 1),
        ([kept(1, 1)], 2, {1, 2}, None),
        ([kept(1, 1)], 1, set(), 1),
        ([kept(1, 1, hours=0)], 1, {1}, None),
        ([kept(1, 1, "TAG".casefold())], 1, {1}, None),
        ([kept(1, 1, group="fleet")], 1, {1}, None),
        ([kept(1, 1, group="other")], 1, {1}, 1),
        # Shown before it is known where: only if there is no place left.
        ([kept(1, 1)], None, {1, 2}, None),
        ([kept(1, 1)], None, {1}, 1),
        ([kept(1, 1), kept(2, 2)], None, {1, 2}, 1),
        ([kept(1, 1)], None, set(), None),
        # Any one of the station: as many are kept free as there are such reservations.
        ([kept(1, None)], 1, {1, 2}, None),
        ([kept(1, None)], 1, {1}, 1),
        ([kept(1, None), kept(2, None)], 1, {1, 2}, 1),
        ([kept(1, None), kept(2, None)], 1, {1, 2, 3}, None),
        ([kept(1, None), kept(2, 2)], 1, {1, 2}, 1),
        ([kept(1, None), kept(2, 2)], 1, {1, 2, 3}, None),
        ([kept(1, None)], None, {1}, 1),
        ([kept(1, None)], 1, set(), None),
    ],
)
def test_who_is_kept_away(reservations: list[Reservation], evse: int | None, free: set[int], in_the_way: int) -> None:
    found = book(*reservations).in_the_way(CP, evse, IdToken("Tag"), "FLEET", free=free, now=NOW)
    assert (found.id if found else None) == in_the_way


def test_another_station_s_reservation_is_none_here() -> None:
    assert book(kept(1, 1)).in_the_way(StationId("CP-2"), 1, IdToken("Tag"), None, free={1}, now=NOW) is None


def test_a_start_uses_up_the_one_for_its_token_at_its_evse() -> None:
    held = book(kept(1, 1), kept(2, 2), kept(3, None), kept(4, 1, "other", "fleet"))
    assert held.used_up(CP, 1, IdToken("KEPT"), None) == [Drop(kept(1, 1))]
    assert held.used_up(CP, 1, IdToken("x"), "FLEET") == [Drop(kept(4, 1, "other", "fleet"))]
    assert held.used_up(CP, 3, IdToken("KEPT"), None) == []
    assert held.over(CP, 3) == [Drop(kept(3, None))]
    assert held.over(CP, 9) == held.over(CP, None) == held.over(StationId("CP-2"), 1) == []


def test_a_reservation_is_over_at_its_time() -> None:
    held = book(kept(1, 1, hours=0), kept(2, 1, hours=1))
    assert held.expired(NOW) == [Drop(kept(1, 1, hours=0))]


def test_the_same_id_again_replaces_it() -> None:
    held = book(kept(1, 1), kept(1, 2))
    assert held.at(CP) == [kept(1, 2)]
    held.drop(kept(1, 2))
    assert held.at(CP) == []
