"""Verdicts that come after ours: which end a session, and how."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.core.late_verdict import ENERGY_WAIT_S, Action, Delivered, act, ends_session, is_deauthorized, judged
from gateway.model.ids import StationId, TransactionKey
from gateway.model.local_list import InvalidIdSettings
from gateway.model.token import AuthorizationStatus, LateRefusal
from gateway.model.transaction import Transaction, TransactionState

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
PAST, FUTURE = "2026-03-01T07:59:59Z", "2026-03-01T08:00:01Z"
A = AuthorizationStatus


@pytest.mark.parametrize(
    ("status", "ends"),
    [(status, status in (A.BLOCKED, A.INVALID, A.UNKNOWN, A.EXPIRED)) for status in AuthorizationStatus],
)
def test_which_late_verdicts_end_a_session(status: AuthorizationStatus, ends: bool) -> None:
    assert ends_session(status, None, None) is ends


@pytest.mark.parametrize(
    ("expiry", "started", "ends"),
    [
        (PAST, NOW, True),
        (FUTURE, NOW, False),
        (None, NOW, True),
        ("", NOW, True),
        (PAST, None, True),
    ],
)
def test_expired_ends_a_session_only_if_it_was_so_at_the_start(
    expiry: str | None, started: datetime | None, ends: bool
) -> None:
    assert ends_session(A.EXPIRED, expiry, started) is ends


def test_the_expiry_of_a_blocked_token_does_not_save_its_session() -> None:
    assert ends_session(A.BLOCKED, FUTURE, NOW)


@pytest.mark.parametrize(
    ("change", "policy", "status", "stops"),
    [
        ({}, LateRefusal.STATION, A.BLOCKED, True),
        ({"status": "Accepted"}, LateRefusal.LIMIT_TO_ZERO, A.INVALID, True),
        ({"status": "Blocked"}, LateRefusal.STOP, A.BLOCKED, False),
        ({"state": TransactionState.ENDED}, LateRefusal.STOP, A.BLOCKED, False),
        ({"state": TransactionState.UNCLOSED}, LateRefusal.STOP, A.BLOCKED, False),
        ({}, LateRefusal.REPORT, A.BLOCKED, False),
        ({}, LateRefusal.STOP, A.CONCURRENT_TX, False),
        ({"deauthorized": True}, LateRefusal.STOP, A.CONCURRENT_TX, True),
    ],
)
def test_a_late_refusal_is_noted_and_stops_what_still_runs_as_accepted(
    change: Any, policy: LateRefusal, status: AuthorizationStatus, stops: bool
) -> None:
    transaction = replace(Transaction(TransactionKey(1), StationId("CP-1"), 1, 1, "s"), **change)
    after = judged(transaction, status, None, policy)
    assert after == replace(transaction, late_status=status, deauthorized=stops)


# -- what is done ----------------------------------------------------------------------------------------------------

NOTHING_SAID = InvalidIdSettings()
STATION, STOP, LIMIT = LateRefusal.STATION, LateRefusal.STOP, LateRefusal.LIMIT_TO_ZERO


@pytest.mark.parametrize(
    ("policy", "says", "wh", "action"),
    [
        (STOP, InvalidIdSettings(stops=False, energy_wh=500), 0, Action.STOP),
        (LIMIT, InvalidIdSettings(stops=True, energy_wh=500), 0, Action.LIMIT),
        (STATION, NOTHING_SAID, None, Action.STOP),
        (STATION, InvalidIdSettings(stops=True), 0, Action.STOP),
        (STATION, InvalidIdSettings(stops=False), 0, Action.LIMIT),
        (STATION, InvalidIdSettings(stops=True, energy_wh=0), 0, Action.STOP),
        (STATION, InvalidIdSettings(stops=True, energy_wh=-1), 0, Action.STOP),
        (STATION, InvalidIdSettings(stops=True, energy_wh=500), None, Action.WAIT),
        (STATION, InvalidIdSettings(stops=True, energy_wh=500), 499, Action.WAIT),
        (STATION, InvalidIdSettings(stops=True, energy_wh=500), 500, Action.STOP),
        (STATION, InvalidIdSettings(stops=False, energy_wh=500), 500, Action.LIMIT),
        (STATION, InvalidIdSettings(energy_wh=500), 600, Action.STOP),
    ],
)
def test_policy_and_the_station_s_own_settings(
    policy: LateRefusal, says: InvalidIdSettings, wh: int | None, action: Action
) -> None:
    assert act(policy, says, Delivered(wh, 1)) is action


@pytest.mark.parametrize("wh", [None, 10])
def test_a_station_that_is_silent_about_its_meter_has_used_its_allowance_up(wh: int | None) -> None:
    says = InvalidIdSettings(stops=True, energy_wh=500)
    assert act(STATION, says, Delivered(wh, ENERGY_WAIT_S - 1)) is Action.WAIT
    assert act(STATION, says, Delivered(wh, ENERGY_WAIT_S)) is Action.STOP


@pytest.mark.parametrize(
    ("reason", "is_ours"),
    [("Remote", True), ("Local", True), ("DeAuthorized", True), ("EVDisconnected", False), ("PowerLoss", False)],
)
def test_only_an_end_of_our_doing_is_reported_so(reason: str, is_ours: bool) -> None:
    ended = Transaction(TransactionKey(1), StationId("CP"), 1, 1, "s", stopped_reason=reason, deauthorized=True)
    assert is_deauthorized(ended) is is_ours
    assert not is_deauthorized(replace(ended, deauthorized=False))
