from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.model.ids import TransactionKey
from gateway.model.profile import (
    AskedProfile,
    ChargingProfile,
    Kind,
    LimitSource,
    ProfileFilter,
    Purpose,
    Refused,
    StartProfile,
)
from gateway.smartcharging import profiles as store
from gateway.smartcharging.composite import composite
from gateway.smartcharging.held import Held, Running, Supply
from gateway.smartcharging.merge import Slot, own_id
from gateway.smartcharging.profile_rules import Limits
from gateway.smartcharging.profiles import DropProfile, Outcome, Profiles, PutProfile, SetPriority
from tests.smartcharging.kit import LIMITS_16, LIMITS_21, NOW, RUNNING, TX, after, held, profile, schedule

TX_DEFAULT = Purpose.TX_DEFAULT
NO_PROFILES = Profiles()


def put(before: Profiles, evse: int, one: ChargingProfile, limits: Limits = LIMITS_16) -> Outcome:
    return store.put(before, AskedProfile(evse, one, "{}"), limits, RUNNING if evse == 1 else None, NOW, dialect="x")


def test_a_profile_is_kept_with_what_belongs_to_it() -> None:
    outcome = put(NO_PROFILES, 1, profile(Purpose.TX, transaction="55"))
    (kept,) = outcome.profiles.held
    assert outcome.changes == (PutProfile(kept),)
    assert (kept.evse, kept.transaction, kept.received, kept.dialect, kept.wire) == (1, TX, NOW, "x", "{}")
    (default,) = put(NO_PROFILES, 1, profile(TX_DEFAULT, transaction="55")).profiles.held
    assert (default.transaction, default.profile.transaction, default.wire) == (None, None, None)


def test_a_refused_one_changes_nothing() -> None:
    before = put(NO_PROFILES, 1, profile(TX_DEFAULT)).profiles
    outcome = put(before, 2, profile(Purpose.TX))
    assert (outcome.profiles, outcome.changes) == (before, ())
    assert outcome.refusal is not None
    assert outcome.refusal.reason is Refused.TRANSACTION


def test_in_1_6_place_purpose_and_level_tell_profiles_apart() -> None:
    first = put(NO_PROFILES, 1, profile(TX_DEFAULT, 6.0, id=1)).profiles
    same_place = put(first, 1, profile(TX_DEFAULT, 7.0, id=2))
    assert [one.profile.id for one in same_place.profiles.held] == [2]
    for evse, other in ((2, profile(TX_DEFAULT, id=1)), (1, profile(TX_DEFAULT, id=1, level=1))):
        assert len(put(first, evse, other).profiles.held) == 2
    assert len(put(first, 1, profile(Purpose.TX, id=1)).profiles.held) == 2


def test_in_2_x_the_id_tells_them_apart() -> None:
    first = put(NO_PROFILES, 1, profile(TX_DEFAULT, 6.0, id=1), LIMITS_21).profiles
    moved = put(first, 2, profile(TX_DEFAULT, 7.0, id=1, level=2), LIMITS_21)
    assert [(one.evse, one.profile.stack_level) for one in moved.profiles.held] == [(2, 2)]
    assert len(put(first, 2, profile(TX_DEFAULT, id=2), LIMITS_21).profiles.held) == 2


def test_a_replacement_does_not_count_twice() -> None:
    full = NO_PROFILES
    for level in range(4):
        full = put(full, 1, profile(TX_DEFAULT, level=level)).profiles
    full = put(full, 2, profile(TX_DEFAULT)).profiles
    assert put(full, 2, profile(TX_DEFAULT, level=1)).refusal is not None
    assert put(full, 2, profile(TX_DEFAULT, 9.0)).refusal is None


def test_the_time_of_a_dynamic_one_is_the_stations() -> None:
    one = profile(Purpose.TX, kind=Kind.DYNAMIC, transaction="55", updated=after(-999))
    (kept,) = put(NO_PROFILES, 1, one, LIMITS_21).profiles.held
    assert kept.profile.updated == NOW
    assert kept.wire is None


def start(evse: int | None = 1, **more: object) -> StartProfile:
    found = StartProfile(evse, "tag", profile(Purpose.TX, 8.0, id=4, transaction="old"))
    return replace(found, **more)  # type: ignore[arg-type]


def test_a_remote_starts_profile_waits_for_its_transaction() -> None:
    waiting = store.put_at_start(NO_PROFILES, start(), LIMITS_16, NOW).profiles
    where = waiting.place(1, Supply(), RUNNING)
    assert composite(waiting.held, where, NOW, 60).now.limit_a is None
    assert store.select(waiting.held, ProfileFilter()) == ()
    outcome = store.started(waiting, 1, RUNNING, LIMITS_16, after(9), token="tag")
    assert composite(outcome.profiles.held, where, NOW, 60).now.limit_a == 8.0
    (kept,) = outcome.profiles.held
    assert (kept.profile.transaction, kept.transaction, kept.waits_until) == ("55", TX, None)
    assert outcome.changes == (DropProfile(waiting.held[0].key), PutProfile(kept))


@pytest.mark.parametrize(
    ("asked", "evse", "said", "later_s", "is_found"),
    [
        (start(), 1, {"token": "tag"}, 0, True),
        (start(), 2, {"token": "tag"}, 0, False),
        (start(None), 2, {"token": "tag"}, 0, True),
        (start(0), 2, {"token": "tag"}, 0, True),
        (start(), 1, {"token": "other"}, 0, False),
        (start(), 1, {}, 0, False),
        (start(remote_start_id=9), 1, {"remote_start_id": 9}, 0, True),
        (start(remote_start_id=9), 1, {"remote_start_id": 9, "token": "other"}, 0, True),
        (start(remote_start_id=9), 1, {"remote_start_id": 8, "token": "tag"}, 0, False),
        (start(remote_start_id=9), 1, {"token": "tag"}, 0, True),
        (start(), 1, {"token": "tag"}, 599, True),
        (start(), 1, {"token": "tag"}, 600, False),
    ],
)
def test_which_transaction_it_was_meant_for(
    asked: StartProfile, evse: int, said: dict[str, Any], later_s: int, is_found: bool
) -> None:
    waiting = store.put_at_start(NO_PROFILES, asked, LIMITS_21, NOW).profiles
    outcome = store.started(waiting, evse, RUNNING, LIMITS_21, after(later_s), **said)
    assert bool(outcome.changes) is is_found
    assert (outcome.profiles.held[0].evse == evse and outcome.profiles.held[0].key == "4") is is_found


def test_starts_at_two_connectors_with_one_tag_do_not_mix() -> None:
    both = store.put_at_start(NO_PROFILES, start(1), LIMITS_16, NOW).profiles
    both = store.put_at_start(both, start(2), LIMITS_16, NOW).profiles
    assert len(both.held) == 2
    outcome = store.started(both, 2, RUNNING, LIMITS_16, NOW, token="tag")
    assert sorted((one.evse, one.waits_until is None) for one in outcome.profiles.held) == [(1, False), (2, True)]


def test_a_start_that_names_the_connector_goes_before_one_that_does_not() -> None:
    for order in ((start(None), start(1)), (start(1), start(None))):
        both = NO_PROFILES
        for asked in order:
            both = store.put_at_start(both, asked, LIMITS_16, NOW).profiles
        (left, _) = store.started(both, 1, RUNNING, LIMITS_16, NOW, token="tag").profiles.held
        assert (left.evse, left.waits_until is None) == (0, False)


def test_a_remote_start_with_a_wrong_profile_is_refused() -> None:
    wrong = start(profile=profile(TX_DEFAULT))
    outcome = store.put_at_start(NO_PROFILES, wrong, LIMITS_16, NOW)
    assert outcome.refusal is not None
    assert outcome.profiles is NO_PROFILES


def test_a_refused_start_leaves_nothing() -> None:
    waiting = store.put_at_start(NO_PROFILES, start(), LIMITS_16, NOW).profiles
    assert store.start_refused(waiting, start()).profiles == NO_PROFILES
    assert store.start_refused(waiting, start(2)).profiles == waiting


def test_the_end_of_a_transaction_takes_its_profiles_and_its_priority() -> None:
    mine, default = held(profile(Purpose.TX)), held(profile(TX_DEFAULT, id=2))
    others = held(profile(Purpose.TX, id=3), 2, transaction=TransactionKey(8))
    before = Profiles((mine, default, others), frozenset((TX, TransactionKey(8))))
    outcome = store.ended(before, TX)
    assert outcome.profiles == Profiles((default, others), frozenset((TransactionKey(8),)))
    assert outcome.changes == (DropProfile(mine.key), SetPriority(TX, False))
    assert store.ended(outcome.profiles, TX).changes == ()


def test_what_can_never_hold_again_is_forgotten() -> None:
    over = held(profile(TX_DEFAULT, valid_to=NOW, id=1))
    holds = held(profile(TX_DEFAULT, valid_to=after(1), id=2))
    ends = held(profile(TX_DEFAULT, max_offline_s=60, ends_offline=True, id=3))
    pauses = held(profile(TX_DEFAULT, max_offline_s=60, id=4))
    never_came = held(profile(Purpose.TX, id=5), waits_until=NOW)
    before = Profiles((over, holds, ends, pauses, never_came))
    assert store.expire(before, NOW).profiles.held == (holds, ends, pauses)
    assert store.expire(before, NOW, after(-59)).profiles.held == (holds, ends, pauses)
    assert store.expire(before, NOW, after(-60)).profiles.held == (holds, pauses)


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        (ProfileFilter(), []),
        (ProfileFilter(ids=(1,)), [2, 3, 4]),
        (ProfileFilter(ids=(1,), evse=2), [2, 3, 4]),  # an id decides alone
        (ProfileFilter(evse=0), [2, 3, 4]),
        (ProfileFilter(evse=1), [1, 4]),
        (ProfileFilter(purpose=TX_DEFAULT), [1, 3]),
        (ProfileFilter(purpose=TX_DEFAULT, stack_level=1), [1, 2, 3]),
        (ProfileFilter(evse=1, stack_level=1), [1, 2, 3, 4]),
        (ProfileFilter(ids=(9,)), [1, 2, 3, 4]),
        (ProfileFilter(ids=(own_id(Slot.FALLBACK, 1),)), [1, 2, 3, 4]),  # the gateway's own are not the CSMS's
    ],
)
def test_clear(asked: ProfileFilter, left: list[int]) -> None:
    all_of_them = (
        held(profile(Purpose.STATION_MAX, id=1), 0),
        held(profile(TX_DEFAULT, id=2)),
        held(profile(Purpose.TX, id=3)),
        held(profile(TX_DEFAULT, id=4, level=1), 2),
    )
    outcome = store.clear(Profiles(all_of_them), asked)
    assert [one.profile.id for one in outcome.profiles.held] == left
    assert len(outcome.changes) == 4 - len(left)


def test_a_report_is_split_by_place_and_source_and_length() -> None:
    mine = tuple(held(profile(TX_DEFAULT, id=one, level=one), dialect="v", wire="w") for one in range(5))
    ours = held(profile(Purpose.EXTERNAL, id=-2), source=LimitSource.EMS, wire="w", dialect="other")
    every = (*mine, ours, held(profile(TX_DEFAULT, id=9), 2))
    found = store.select(every, ProfileFilter())
    parts = store.report(found, "v")
    assert [(part.evse, part.source, len(part.profiles), part.more_follow) for part in parts] == [
        (1, "CSO", 4, True),
        (1, "CSO", 1, True),
        (1, "EMS", 1, True),
        (2, "CSO", 1, False),
    ]
    assert [wire for part in parts for _, wire in part.profiles] == ["w"] * 5 + [None, None]
    of_ems = store.select(every, ProfileFilter(sources=("EMS",)))
    assert of_ems == (ours,)
    assert store.report((), "v") == []


def test_every_profile_comes_back_from_its_row() -> None:
    full = Held(
        "k",
        2,
        profile(
            Purpose.TX,
            schedules=(schedule(6.0, (60, 7.5), start=after(0.25), duration_s=90, needs=("x",)),),
            valid_from=after(1),
            updated=after(2),
            transaction="ä",
        ),
        after(0.125),
        TX,
        waits_until=after(3),
        token="t",
        remote_start_id=5,
        source="SO",
        dialect="d",
        wire='{"a":"\\u00e4"}',
    )
    assert store.from_json(store.to_json(full)) == full
    with pytest.raises(ValueError, match="Object missing"):
        store.from_json(b"{}")


def test_a_place_knows_whether_priority_is_in_use() -> None:
    with_priority = Profiles(priority=frozenset((TX,)))
    assert with_priority.place(1, Supply(), RUNNING).has_priority
    assert not with_priority.place(1, Supply(), Running(TransactionKey(8), NOW)).has_priority
    assert not with_priority.place(1, Supply()).has_priority
    assert with_priority.place(2, Supply(), None, after(-5)).offline_since == NOW - timedelta(seconds=5)
