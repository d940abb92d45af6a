"""Authorization without the CSMS: the table of D5."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.clock import Clock
from gateway.core.authorize import AuthorizationOptions, Facts, authorize
from gateway.core.tokens import Shown
from gateway.model.ids import StationId, TransactionKey
from gateway.model.local_list import ListEntry
from gateway.model.records import Put, RemoteStart, Reservation, TokenRecord
from gateway.model.token import (
    AuthorizationStatus,
    Decision,
    IdToken,
    OfflineMode,
    Proof,
    Reason,
    Tag,
    Verdict,
)
from gateway.model.transaction import Transaction
from gateway.site import Site
from gateway.site_options import SiteOptions

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


# -- list, tags file, cache ------------------------------------------------------------------------------------------

MINE = AuthorizationOptions()
EMAID = IdToken("DE-8AA-CA2B3C4D5-L", "eMAID")


def listed(status: AuthorizationStatus = A.ACCEPTED, **more: Any) -> ListEntry:
    return ListEntry(IdToken("Tag"), Verdict(status, **more))


def judge(
    facts: Facts,
    token: IdToken = IdToken("Tag"),  # noqa: B008  frozen
    mode: OfflineMode = KNOWN_ONLY,
    options: AuthorizationOptions = MINE,
) -> tuple[AuthorizationStatus, Reason]:
    decision = authorize(token, facts, mode=mode, options=options, now=NOW)
    return decision.status, decision.reason


@pytest.mark.parametrize(
    ("entry", "record", "status", "reason"),
    [
        (listed(), None, A.ACCEPTED, Reason.LOCAL_LIST),
        (listed(), known("Blocked"), A.ACCEPTED, Reason.LOCAL_LIST),
        (listed(A.CONCURRENT_TX), None, A.ACCEPTED, Reason.LOCAL_LIST),
        (listed(A.CONCURRENT_TX, expiry=PAST), None, A.EXPIRED, Reason.EXPIRED),
        (listed(A.BLOCKED), known(), A.BLOCKED, Reason.REFUSED_BY_LIST),
        (listed(A.EXPIRED), known(), A.EXPIRED, Reason.REFUSED_BY_LIST),
        (listed(expiry=PAST), known(), A.EXPIRED, Reason.EXPIRED),
        (listed(expiry=FUTURE), known("Invalid"), A.ACCEPTED, Reason.LOCAL_LIST),
    ],
)
@pytest.mark.parametrize("mode", [KNOWN_ONLY, ALLOW])
def test_the_local_list_goes_before_the_cache(
    entry: ListEntry, record: TokenRecord | None, status: AuthorizationStatus, reason: Reason, mode: OfflineMode
) -> None:
    assert judge(Facts(CP, listed=entry, cached=record), mode=mode) == (status, reason)


@pytest.mark.parametrize("mode", OfflineMode)
def test_the_installer_s_own_tags_go_before_all_that_the_csms_says(mode: OfflineMode) -> None:
    for until, is_good in ((None, True), (NOW + timedelta(seconds=1), True), (NOW, False)):
        facts = Facts(CP, tag=Tag(IdToken("Tag"), until=until), listed=listed(A.BLOCKED), is_charging=True)
        assert (judge(facts, mode=mode)[1] is Reason.TAGS_FILE) is is_good


def test_a_tag_of_the_installer_may_stop_what_its_group_began() -> None:
    facts = Facts(CP, tag=Tag(IdToken("Tag"), "FLEET"), running=[running("x", "fleet")])
    assert judge(facts) == (A.ACCEPTED, Reason.SAME_GROUP)


@pytest.mark.parametrize(
    ("evses", "station", "evse", "status", "reason"),
    [
        ((1, 2), CP, 1, A.ACCEPTED, Reason.KNOWN),
        ((1, 2), CP, None, A.ACCEPTED, Reason.KNOWN),
        ((1, 2), CP, 3, A.NOT_ALLOWED_TYPE_EVSE, Reason.OTHER_EVSE),
        ((1, 2), StationId("CP-2"), 1, A.INVALID, Reason.UNKNOWN_REFUSED),
        ((), StationId("CP-2"), 1, A.ACCEPTED, Reason.KNOWN),
    ],
)
def test_a_token_may_be_good_for_some_evses_only(
    evses: tuple[int, ...], station: StationId, evse: int | None, status: AuthorizationStatus, reason: Reason
) -> None:
    record = replace(known(), station=CP, evses=evses)
    assert judge(Facts(station, evse=evse, cached=record)) == (status, reason)


@pytest.mark.parametrize(("days", "status"), [(29, A.ACCEPTED), (31, A.INVALID)])
def test_a_token_not_used_for_long_is_unknown_again(days: int, status: AuthorizationStatus) -> None:
    record = replace(known(), used=NOW - timedelta(days=days))
    assert judge(Facts(CP, cached=record))[0] is status
    assert judge(Facts(CP, cached=record), options=AuthorizationOptions(cache_lifetime=None))[0] is A.ACCEPTED


def test_a_refusal_does_not_get_old() -> None:
    record = replace(known("Blocked"), used=NOW - timedelta(days=3000))
    assert judge(Facts(CP, cached=record), mode=ALLOW) == (A.BLOCKED, Reason.REFUSED_BEFORE)


# -- circumstances ---------------------------------------------------------------------------------------------------


def test_a_token_that_charges_starts_no_second_session() -> None:
    facts = Facts(CP, cached=known(), is_charging=True)
    assert judge(facts) == (A.ACCEPTED, Reason.KNOWN), "shown, it may be about to stop"
    starting = replace(facts, is_start=True)
    assert judge(starting) == (A.CONCURRENT_TX, Reason.CONCURRENT)
    assert judge(starting, options=AuthorizationOptions(refuses_concurrent=False)) == (A.ACCEPTED, Reason.KNOWN)
    assert judge(replace(starting, cached=None)) == (A.INVALID, Reason.UNKNOWN_REFUSED)
    assert judge(replace(starting, remote_start=remote(1)))[1] is Reason.REMOTE_START


@pytest.mark.parametrize("is_start", [True, False])
def test_a_reservation_for_somebody_else_is_honoured(is_start: bool) -> None:
    kept = Reservation(CP, 1, 1, "other", None, NOW + timedelta(hours=1))
    facts = Facts(CP, is_start=is_start, cached=known(), reservation=kept)
    assert judge(facts) == (A.NOT_AT_THIS_TIME, Reason.RESERVED)
    assert judge(replace(facts, cached=known("Blocked"))) == (A.BLOCKED, Reason.REFUSED_BEFORE)


def test_a_master_pass_stops_everything_and_starts_nothing() -> None:
    staff = AuthorizationOptions(master_group="staff")
    for group in ("STAFF", "Staff|ISO14443"):
        facts = Facts(CP, running=[running()], cached=known(group=group))
        assert judge(facts, options=staff) == (A.ACCEPTED, Reason.MASTER_PASS)
        for starting in (replace(facts, is_start=True), replace(facts, running=())):
            assert judge(starting, options=staff) == (A.INVALID, Reason.MASTER_PASS_STARTS_NOTHING)
        assert judge(replace(facts, running=()))[0] is A.ACCEPTED, "where no group is the master pass"
    assert judge(Facts(CP, running=[running()], cached=known(group=None)), options=staff)[1] is Reason.KNOWN


@pytest.mark.parametrize(
    ("proof", "is_known", "accepts", "reason"),
    [
        (Proof.NONE, False, True, Reason.UNKNOWN_REFUSED),
        (Proof.NONE, True, False, Reason.KNOWN),
        (Proof.HASHES, False, True, Reason.UNKNOWN_REFUSED),
        (Proof.HASHES, True, False, Reason.CONTRACT_NOT_CHECKED),
        (Proof.HASHES, True, True, Reason.KNOWN),
        (Proof.CERTIFICATE, True, True, Reason.CONTRACT_NOT_CHECKED),
        (Proof.CERTIFICATE, False, True, Reason.UNKNOWN_REFUSED),
    ],
)
def test_a_contract_is_never_accepted_blindly(proof: Proof, is_known: bool, accepts: bool, reason: Reason) -> None:
    """Whatever is let in else: a contract has to be known, and checked by somebody."""
    facts = Facts(CP, cached=known() if is_known else None)
    options = AuthorizationOptions(accepts_contracts=accepts)
    decision = authorize(replace(EMAID, proof=proof), facts, mode=ALLOW, options=options, now=NOW)
    assert decision.reason is reason
    assert decision.vouches == (proof is Proof.HASHES and decision.is_accepted)


def test_a_pin_or_a_contract_is_no_card() -> None:
    assert IdToken("1234").key == IdToken("1234", "ISO14443").key == IdToken("1234", "Central").key
    assert len({IdToken("1234", kind).key for kind in ("", "KeyCode", "eMAID", "MacAddress", "Local")}) == 5
    assert EMAID.key == IdToken(EMAID.value.lower(), "EMAID").key
