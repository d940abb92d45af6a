import pytest

from gateway.model.ids import TransactionKey
from gateway.model.profile import DynamicUpdate, Kind, Period, PriorityStatus, Purpose, Refused
from gateway.smartcharging.composite import composite
from gateway.smartcharging.held import Running
from gateway.smartcharging.profile_updates import due_updates, update_dynamic, use_priority
from gateway.smartcharging.profiles import Profiles, PutProfile, SetPriority
from tests.smartcharging.kit import NOW, RUNNING, TX, after, held, place, profile, schedule

DYNAMIC = held(
    profile(Purpose.TX, schedules=(schedule(8.0, duration_s=60),), kind=Kind.DYNAMIC, updated=after(-100), id=4),
    wire="{}",
)
DEFAULT = held(profile(Purpose.TX_DEFAULT, 6.0, id=5))


def test_an_update_changes_the_limit_and_revives_the_profile() -> None:
    before = Profiles((DYNAMIC, DEFAULT))
    assert composite(before.held, place(), NOW, 300).now.limit_a == 6.0
    outcome = update_dynamic(before, DynamicUpdate(4, 11.0), NOW)
    found = composite(outcome.profiles.held, place(), NOW, 300)
    assert [(step.at, step.limit_a) for step in found.steps] == [(NOW, 11.0), (after(60), 6.0)]
    (change,) = outcome.changes
    assert isinstance(change, PutProfile)
    assert change.held.wire is None


def test_what_an_update_leaves_out_stays() -> None:
    full = held(profile(Purpose.TX, Period(0, 8.0, 3, limit_l2=7.0, limit_l3=6.0), kind=Kind.DYNAMIC, id=4))
    outcome = update_dynamic(Profiles((full,)), DynamicUpdate(4, limit_l3=5.0), NOW)
    assert outcome.profiles.held[0].profile.schedules[0].periods == (Period(0, 8.0, 3, limit_l2=7.0, limit_l3=5.0),)


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        (DynamicUpdate(9, 1.0), Refused.NOT_FOUND),
        (DynamicUpdate(5, 1.0), Refused.NOT_FOUND),  # not a dynamic one
        (DynamicUpdate(4, -1.0), Refused.UNSUPPORTED),
        (DynamicUpdate(4, 1.0, needs=("setpoint",)), Refused.UNSUPPORTED),
        (DynamicUpdate(6, 1.0, limit_l2=1.0), Refused.PHASE_CONFLICT),
    ],
)
def test_updates_that_are_refused(update: DynamicUpdate, reason: Refused) -> None:
    station = held(profile(Purpose.STATION_MAX, 8.0, kind=Kind.DYNAMIC, id=6), 0)
    before = Profiles((DYNAMIC, DEFAULT, station))
    outcome = update_dynamic(before, update, NOW)
    assert outcome.refusal is not None
    assert (outcome.refusal.reason, outcome.profiles, outcome.changes) == (reason, before, ())


def test_a_station_wide_one_takes_a_limit_too_and_nothing_is_a_limit() -> None:
    station = held(profile(Purpose.STATION_MAX, 8.0, kind=Kind.DYNAMIC, id=6), 0)
    for limit in (0.0, 9.5):
        outcome = update_dynamic(Profiles((station,)), DynamicUpdate(6, limit), NOW)
        assert composite(outcome.profiles.held, place(), NOW, 60).now.limit_a == limit


def test_which_updates_are_due() -> None:
    def dynamic(number: int, interval_s: int | None) -> Profiles:
        one = profile(Purpose.TX, kind=Kind.DYNAMIC, updated=NOW, update_interval_s=interval_s, id=number)
        return Profiles((held(one),))

    every = Profiles((*dynamic(1, 60).held, *dynamic(2, 90).held, *dynamic(3, None).held, *dynamic(4, 0).held, DEFAULT))
    assert due_updates(every, after(59)) == ((), after(60))
    assert due_updates(every, after(60)) == ((1,), after(90))
    assert due_updates(every, after(90)) == ((1, 2), None)
    never_updated = held(profile(Purpose.TX, kind=Kind.DYNAMIC, update_interval_s=60), received=after(-20))
    assert due_updates(Profiles((never_updated,)), NOW) == ((), after(40))


def test_priority_needs_a_transaction_and_a_profile() -> None:
    grant = held(profile(Purpose.PRIORITY), 2)
    assert use_priority(Profiles((grant,)), 1, None, True)[1] is PriorityStatus.REJECTED
    assert use_priority(Profiles((grant,)), 1, RUNNING, True)[1] is PriorityStatus.NO_PROFILE
    outcome, status = use_priority(Profiles((grant,)), 2, RUNNING, True)
    assert status is PriorityStatus.ACCEPTED
    assert outcome.profiles.priority == {TX}
    assert outcome.changes == (SetPriority(TX, True),)
    again, status = use_priority(outcome.profiles, 2, RUNNING, True)
    assert (again.changes, status) == ((), PriorityStatus.ACCEPTED)
    # It can be taken back though its profile is gone.
    off, status = use_priority(Profiles((), outcome.profiles.priority), 2, RUNNING, False)
    assert (off.profiles.priority, status) == (frozenset(), PriorityStatus.ACCEPTED)
    assert use_priority(outcome.profiles, 2, Running(TransactionKey(9), NOW), False)[0].changes == ()
