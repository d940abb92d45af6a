"""What would happen if a token were shown at a station now, with the CSMS and without it. Reads, never changes."""

from typing import Any

from gateway.core.authorize import Facts
from gateway.core.tokens import PRE_AUTHORIZING, Shown
from gateway.dialects.base import Budget
from gateway.model.token import Decision, IdToken, Reason
from gateway.site import Site
from gateway.station import Station

BECAUSE = {
    Reason.CSMS: "the CSMS said so",
    Reason.KNOWN: "the CSMS accepted it before",
    Reason.LOCAL_LIST: "it is on the local list",
    Reason.TAGS_FILE: "it is in the installer's tags file",
    Reason.RUNNING_TRANSACTION: "it charges at this station, and may end that",
    Reason.SAME_GROUP: "one of its group charges at this station, and it may end that",
    Reason.MASTER_PASS: "it is a master pass, which may end every transaction",
    Reason.REMOTE_START: "the CSMS has just asked this station to start with it",
    Reason.UNKNOWN_ALLOWED: "nobody knows it, and unknown tokens are accepted here (allow-unknown)",
    Reason.UNKNOWN_REFUSED: "nobody knows it",
    Reason.REFUSED_BEFORE: "the CSMS refused it before",
    Reason.REFUSED_BY_LIST: "the local list refuses it",
    Reason.EXPIRED: "it is known, but has expired",
    Reason.OFFLINE_DENIED: "nobody is accepted without the CSMS here (deny)",
    Reason.OFFLINE_OFF: "the CSMS has switched offline authorization off here (LocalAuthorizeOffline)",
    Reason.CONCURRENT: "it charges already at this site",
    Reason.RESERVED: "the place is reserved for somebody else",
    Reason.OTHER_EVSE: "it is good for other EVSEs of this station only",
    Reason.MASTER_PASS_STARTS_NOTHING: "it is a master pass, which may start nothing",
    Reason.CONTRACT_NOT_CHECKED: "its contract certificate can't be checked without the CSMS",
}
"""The reasons in words, for people."""


def explain(site: Site, station: Station, token: IdToken, evse: int | None) -> dict[str, Any]:
    """The gateway's verdicts on a card that is shown and on a start, and what they rest on."""
    shown, facts = site.judge(Shown(station.id, token, evse=evse, evses=station.evses))
    started, _ = site.judge(Shown(station.id, token, is_start=True, evse=evse, evses=station.evses))
    policy = site.policy(station.id)
    is_before = policy.options.pre_authorize and shown.is_accepted and shown.reason in PRE_AUTHORIZING
    return {
        "station": station.id,
        "token": token.value,
        "type": token.type or None,
        "evse": evse,
        "online": {
            "link": site.uplink.state(station.id).value,
            "asks_csms": site.can_ask(station),
            "waits_s": site.options.budgets[Budget.AUTHORIZE],
            "answers_before": is_before,
        },
        "offline": {"mode": policy.mode.value, "authorize": _decision(shown), "start": _decision(started)},
        "known": _known(site, station, facts),
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "accepted": decision.is_accepted,
        "status": decision.status.value,
        "reason": decision.reason.value,
        "because": BECAUSE[decision.reason],
        "group": decision.group,
        "expiry": decision.expiry,
    }


def _known(site: Site, station: Station, facts: Facts) -> dict[str, Any]:
    state, listed, cached = site.tokens.lists.of(station.id), facts.listed, facts.cached
    verdict = listed.verdict if listed else None
    return {
        "tags_file": facts.tag is not None,
        "local_list": {
            "status": verdict.status.value,
            "group": verdict.group,
            "expiry": verdict.expiry,
            "version": state.version,
            "is_own": state.version is not None,
        }
        if verdict
        else None,
        "cache": {
            "status": cached.status,
            "group": cached.group,
            "expiry": cached.expiry,
            "seen": cached.seen.isoformat(timespec="seconds"),
            "used": cached.used.isoformat(timespec="seconds"),
        }
        if cached
        else None,
        "charging": facts.is_charging,
        "remote_start_until": facts.remote_start.until.isoformat(timespec="seconds") if facts.remote_start else None,
        "reserved_until": facts.reservation.until.isoformat(timespec="seconds") if facts.reservation else None,
    }
