"""Authorization without the CSMS: the table of D5 and the late verdicts of D4."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from gateway.clock import Clock
from gateway.core.authorize import AuthorizationOptions, Facts, authorize
from gateway.core.late_verdict import ends_session
from gateway.core.tokens import Shown
from gateway.model.ids import StationId, TransactionKey
from gateway.model.records import Put, RemoteStart, TokenRecord
from gateway.model.token import AuthorizationStatus, Decision, IdToken, OfflineMode, Reason
from gateway.model.transaction import Transaction
from gateway.site import Site, SiteOptions

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
PAST, FUTURE = "2026-03-01T07:59:59Z", "2026-03-01T08:00:01Z"
CP = StationId("CP")
A = AuthorizationStatus
KNOWN_ONLY, ALLOW, DENY = OfflineMode.KNOWN_ONLY, OfflineMode.ALLOW_UNKNOWN, OfflineMode.DENY


def known(status: str = "Accepted", group: str | None = None, expiry: str | None = None) -> TokenRecord:
    return TokenRecord("tag", status, group, expiry, NOW, NOW)


def running(token: str | None = "OTHER", group: str | None = None) -> Transaction:
    return Transaction(TransactionKey(1), CP, 1, 1, "s", token=token, group=group)


def ask(
    mode: OfflineMode = KNOWN_ONLY,
    record: TokenRecord | None = None,
    *transactions: Transaction,
    remote_start: RemoteStart | None = None,
    token: str = "Tag",
) -> Decision:
    facts = Facts(CP, running=transactions, remote_start=remote_start, cached=record)
    return authorize(IdToken(token), facts, mode=mode, options=AuthorizationOptions(), now=NOW)


# -- modes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "record", "status", "reason"),
    [
        (KNOWN_ONLY, None, A.INVALID, Reason.UNKNOWN_REFUSED),
        (KNOWN_ONLY, known(), A.ACCEPTED, Reason.KNOWN),
        (KNOWN_ONLY, known("Blocked"), A.BLOCKED, Reason.REFUSED_BEFORE),
        (KNOWN_ONLY, known("NoCredit"), A.NO_CREDIT, Reason.REFUSED_BEFORE),
        (KNOWN_ONLY, known("NewStatusOf3.0"), A.INVALID, Reason.REFUSED_BEFORE),
        (KNOWN_ONLY, known(""), A.INVALID, Reason.REFUSED_BEFORE),
        (ALLOW, None, A.ACCEPTED, Reason.UNKNOWN_ALLOWED),
        (ALLOW, known("Blocked"), A.BLOCKED, Reason.REFUSED_BEFORE),
        (ALLOW, known(expiry=PAST), A.EXPIRED, Reason.EXPIRED),
        (DENY, None, A.INVALID, Reason.OFFLINE_DENIED),
        (DENY, known(), A.INVALID, Reason.OFFLINE_DENIED),
    ],
)
def test_modes(mode: OfflineMode, record: TokenRecord | None, status: AuthorizationStatus, reason: Reason) -> None:
    decision = ask(mode, record)
    assert (decision.status, decision.reason) == (status, reason)
    assert decision.is_accepted == (status is A.ACCEPTED)


def test_an_unknown_one_that_is_let_in_is_let_in_for_a_short_while() -> None:
    expiry = ask(ALLOW).expiry
    assert expiry is not None
    assert timedelta(0) < datetime.fromisoformat(expiry) - NOW <= timedelta(hours=1)


def test_a_known_one_hears_what_the_csms_said_of_it() -> None:
    assert ask(KNOWN_ONLY, known(group="G", expiry=FUTURE)) == Decision(A.ACCEPTED, Reason.KNOWN, "G", FUTURE)


# -- expiry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expiry", "status"),
    [
        (None, A.ACCEPTED),
        ("", A.ACCEPTED),
        (FUTURE, A.ACCEPTED),
        (PAST, A.EXPIRED),
        ("2026-03-01T08:00:00Z", A.EXPIRED),
        ("2026-03-01T09:00:00+01:00", A.EXPIRED),
        ("2026-03-01T09:00:00.001+01:00", A.ACCEPTED),
        ("2026-03-01T02:59:59-05:00", A.EXPIRED),
        ("2026-02-28T08:00:00", A.ACCEPTED),
        ("2026-02-30T08:00:00Z", A.ACCEPTED),
        ("yesterday", A.ACCEPTED),
        ("0001-01-01T00:00:00+14:00", A.EXPIRED),
        ("9999-12-31T23:59:59-14:00", A.ACCEPTED),
        ("2026-03-01T07:59:59.123456789Z", A.EXPIRED),
    ],
)
def test_expiry(expiry: str | None, status: AuthorizationStatus) -> None:
    assert ask(KNOWN_ONLY, known(expiry=expiry)).status is status


def test_an_expiry_does_not_change_a_refusal() -> None:
    assert ask(KNOWN_ONLY, known("Blocked", expiry=PAST)).status is A.BLOCKED


# -- what runs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", OfflineMode)
@pytest.mark.parametrize("record", [None, known("Blocked"), known(expiry=PAST)])
def test_a_running_transaction_s_token_may_always_stop_it(mode: OfflineMode, record: TokenRecord | None) -> None:
    decision = ask(mode, record, running("x"), running("TAG"))
    assert (decision.status, decision.reason) == (A.ACCEPTED, Reason.RUNNING_TRANSACTION)


@pytest.mark.parametrize("mode", OfflineMode)
def test_so_may_one_of_its_group(mode: OfflineMode) -> None:
    decision = ask(mode, known("Invalid", group="G"), running("x", "H"), running("y", "G"))
    assert decision == Decision(A.ACCEPTED, Reason.SAME_GROUP, "G")


def test_no_group_is_not_the_same_group() -> None:
    assert ask(KNOWN_ONLY, known("Blocked"), running("x", None)).status is A.BLOCKED
    assert ask(KNOWN_ONLY, None, running(None, None)).status is A.INVALID


def test_groups_compare_without_regard_to_case() -> None:
    assert ask(KNOWN_ONLY, known("Accepted", group="fleet-1"), running("x", "FLEET-1")).reason is Reason.SAME_GROUP


def test_what_may_stop_a_transaction_may_not_start_one_for_it() -> None:
    """A blocked token of the same group plugs in at the next connector."""
    site = Site(SiteOptions(), Clock(wall=NOW.timestamp), random.Random(1))
    site.apply(Put(TokenRecord("blocked", "Blocked", "G", None, NOW, NOW)))
    site.ledger.put_transaction(running("GOOD", "G"))
    assert site.authorize(Shown(CP, IdToken("BLOCKED"), is_start=True)).status is A.BLOCKED
    assert site.authorize(Shown(CP, IdToken("BLOCKED"))).reason is Reason.SAME_GROUP
    assert site.authorize(Shown(CP, IdToken("good"), is_start=True)).status is A.INVALID


# -- remote start ---------------------------------------------------------------------------------------------------


def remote(seconds: float) -> RemoteStart:
    return RemoteStart(CP, "tag", NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("mode", OfflineMode)
@pytest.mark.parametrize("record", [None, known("Blocked")])
def test_a_remote_start_counts_until_its_time_is_over(mode: OfflineMode, record: TokenRecord | None) -> None:
    decision = ask(mode, record, remote_start=remote(0.001))
    assert (decision.status, decision.reason) == (A.ACCEPTED, Reason.REMOTE_START)
    for seconds in (0, -1):
        late = ask(mode, record, remote_start=remote(seconds))
        assert late.reason is not Reason.REMOTE_START
        assert late.is_accepted == (mode is ALLOW and record is None)


# -- late verdicts --------------------------------------------------------------------------------------------------


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
