"""What the CSMS's settings make of a site's offline authorization."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.core.authorize import AuthorizationOptions, Facts, authorize
from gateway.core.ledger import Ledger
from gateway.core.local_list import pack
from gateway.core.switches import Switches, policy
from gateway.core.tokens import Shown, Tokens
from gateway.model.ids import StationId
from gateway.model.local_list import ListEntry
from gateway.model.records import LocalList, RemoteStart, StationAuthorization, TokenRecord
from gateway.model.token import AuthorizationStatus, IdToken, OfflineMode, Reason, Tag, Verdict

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
CP, TAG = StationId("CP"), IdToken("Tag")
KNOWN_ONLY, ALLOW, DENY = OfflineMode.KNOWN_ONLY, OfflineMode.ALLOW_UNKNOWN, OfflineMode.DENY
CACHED = TokenRecord("tag", "Accepted", None, None, NOW - timedelta(days=40), NOW - timedelta(days=20))


@pytest.mark.parametrize(
    ("mode", "allow_unknown", "expected"),
    [
        (KNOWN_ONLY, None, KNOWN_ONLY),
        (KNOWN_ONLY, True, ALLOW),
        (ALLOW, False, KNOWN_ONLY),
        (ALLOW, True, ALLOW),
        (DENY, True, DENY),
        (DENY, False, DENY),
    ],
)
def test_unknown_tokens_are_the_csms_s_matter_unless_the_site_denies_all(
    mode: OfflineMode, allow_unknown: bool | None, expected: OfflineMode
) -> None:
    assert policy(mode, AuthorizationOptions(), Switches(allow_unknown=allow_unknown)).mode is expected


def test_what_was_never_set_changes_nothing() -> None:
    options = AuthorizationOptions(pre_authorize=True, master_group="M", cache_lifetime=None)
    assert policy(ALLOW, options, Switches()).options == options


def test_what_was_set_counts() -> None:
    said = Switches(pre_authorize=False, cache_lifetime_s=60, master_group="CSMS")
    options = policy(KNOWN_ONLY, AuthorizationOptions(pre_authorize=True, master_group="M"), said).options
    assert (options.pre_authorize, options.cache_lifetime, options.master_group) == (
        False,
        timedelta(minutes=1),
        "CSMS",
    )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Switches(), Reason.LOCAL_LIST),
        (Switches(local_list=True, cache=True, local_offline=True), Reason.LOCAL_LIST),
        (Switches(local_list=False), Reason.KNOWN),
        (Switches(local_list=False, cache_lifetime_s=1), Reason.UNKNOWN_REFUSED),
        (Switches(local_list=False, cache=False), Reason.UNKNOWN_REFUSED),
        (Switches(local_list=False, cache=False, allow_unknown=True), Reason.UNKNOWN_ALLOWED),
        (Switches(local_offline=False, allow_unknown=True), Reason.OFFLINE_OFF),
    ],
)
def test_lists_and_cache_count_as_far_as_they_are_switched_on(said: Switches, reason: Reason) -> None:
    tokens, by = Tokens(), policy(KNOWN_ONLY, AuthorizationOptions(), said)
    accepted = Verdict(AuthorizationStatus.ACCEPTED)
    listed = ListEntry(TAG, accepted)
    tokens.lists.put_list(LocalList("digest", pack({TAG.key: listed})))
    tokens.lists.put_state(StationAuthorization(CP, version=1, digest="digest"))
    tokens.apply(CACHED, True)
    facts = tokens.facts(Shown(CP, TAG), Ledger(), by.options, NOW)
    assert authorize(TAG, facts, mode=by.mode, options=by.options, now=NOW).reason is reason


def test_switched_off_a_remote_start_and_the_installers_own_tags_still_count() -> None:
    by = policy(KNOWN_ONLY, AuthorizationOptions(), Switches(local_offline=False))
    told = Facts(CP, remote_start=RemoteStart(CP, "tag", NOW + timedelta(minutes=5)))
    assert authorize(TAG, told, mode=by.mode, options=by.options, now=NOW).reason is Reason.REMOTE_START
    own = Facts(CP, tag=Tag(TAG))
    assert authorize(TAG, own, mode=by.mode, options=by.options, now=NOW).reason is Reason.TAGS_FILE
