"""Charging profiles of a CSMS of 2.x at a station of 1.6, which tells none of its own: what was passed on is kept here.

Where the gateway shares the station's current it holds them itself, and knows more.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from msgspec.structs import replace as replaced

from gateway.dialects.payloads import member, moment, text
from gateway.dialects.profiles import REPORTING
from gateway.dialects.translate.base import (
    AskedStart,
    Edit,
    Facts,
    HeldProfile,
    Json,
    Loss,
    Memory,
    Message,
    PassedProfile,
    Reply,
    Steps,
    Tx,
    answered,
    encode,
    read,
)
from gateway.dialects.translate.parts import ACCEPTED, needed, whole
from gateway.model.profile import LimitSource, ProfileFilter

LOSSES = (
    Loss("profiles-passed", "1.6 -> 2.0.1", "profiles, which a station of 1.6 does not tell",
         "those that the gateway passed on and the station accepted; where current is shared, those it holds"),
)  # fmt: skip

MOST = 64
"""Profiles of one station; the oldest gives way."""

_A_PART = 4
_TX = "TxProfile"


# -- what is kept ------------------------------------------------------------------------------------------------------


def accepted(evse: int, profile: Json, tx: Tx | None, now: datetime) -> Edit:
    """The station has taken it: in place of what has its id, or its purpose and stack level at that EVSE."""
    made = PassedProfile(
        id=needed(profile, "id"),
        evse=evse,
        purpose=text(profile.get("chargingProfilePurpose")) or "",
        stack_level=whole(profile.get("stackLevel")) or 0,
        text=encode(profile).decode(),
        tx="" if tx is None else tx.station_id,
    )
    return lambda memory: _put(memory, made, now)


def _put(memory: Memory, made: PassedProfile, now: datetime) -> Memory:
    others = [one for one in memory.profiles.values() if _lasts(one, memory, now) and not _is_instead(made, one)]
    newest = sorted(others, key=lambda one: one.order)[-(MOST - 1) :]
    order = newest[-1].order + 1 if newest else 1
    return replaced(memory, profiles={str(one.id): one for one in (*newest, replaced(made, order=order))})


def _is_instead(made: PassedProfile, other: PassedProfile) -> bool:
    place = made.evse, made.purpose, made.stack_level
    return made.id == other.id or place == (other.evse, other.purpose, other.stack_level)


def _lasts(one: PassedProfile, memory: Memory, now: datetime) -> bool:
    """Whether it can still hold."""
    if one.purpose == _TX:
        tx = memory.transactions.get(one.tx)
        if tx is None or tx.is_ended:
            return False
    until = moment(text(read(one.text.encode()).get("validTo")) or "")
    return until is None or until > now


def began(tx: Tx, asked: AskedStart | None, now: datetime) -> Edit:
    """A transaction began: what was for an earlier one is gone, and the profile of its remote start is its own."""

    def edit(memory: Memory) -> Memory:
        memory = _without(memory, lambda one: one.purpose == _TX and one.evse == tx.evse)
        if asked is None or not asked.profile:
            return memory
        profile = {**read(asked.profile.encode()), "transactionId": tx.csms_id}
        return accepted(tx.evse, profile, tx, now)(memory)

    return edit


def ended(tx: Tx) -> Edit:
    """A transaction has ended, and its profiles with it."""
    return lambda memory: _without(memory, lambda one: one.tx == tx.station_id)


def cleared(payload: Json) -> Edit:
    """What a ClearChargingProfile means is not there any more."""
    number, criteria = whole(payload.get("chargingProfileId")), member(payload, "chargingProfileCriteria")
    evse, level = whole(criteria.get("evseId")), whole(criteria.get("stackLevel"))
    purpose = text(criteria.get("chargingProfilePurpose"))

    def is_gone(one: PassedProfile) -> bool:
        if number is not None:
            return one.id == number
        return evse in (None, one.evse) and level in (None, one.stack_level) and purpose in (None, one.purpose)

    return lambda memory: _without(memory, is_gone)


def _without(memory: Memory, is_gone: Callable[[PassedProfile], bool]) -> Memory:
    left = {key: one for key, one in memory.profiles.items() if not is_gone(one)}
    return memory if len(left) == len(memory.profiles) else replaced(memory, profiles=left)


# -- what is told ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """A profile as it is reported."""

    evse: int
    source: str
    purpose: str
    stack_level: int
    payload: Json

    def is_asked(self, asked: ProfileFilter) -> bool:
        return (
            (not asked.ids or self.payload.get("id") in asked.ids)
            and asked.evse in (None, self.evse)
            and asked.purpose in (None, self.purpose)
            and asked.stack_level in (None, self.stack_level)
            and (not asked.sources or self.source in asked.sources)
        )


def get_on_16(payload: Json, facts: Facts) -> Steps:
    """GetChargingProfiles: a station of 1.6 is not asked."""
    request, asked = REPORTING[facts.csms].read_get(encode(payload))
    held = facts.keeper.profiles()
    known = _passed(facts) if held is None else _held(held, facts)
    found = [one for one in known if one.is_asked(asked)]
    losses = ("profiles-passed",)
    if not found:
        return answered(Reply({"status": "NoProfiles"}, losses=losses))
    return answered(Reply(ACCEPTED, then=_reports(request, found), losses=losses))


def _passed(facts: Facts) -> Iterator[_Told]:
    for one in sorted(facts.memory.profiles.values(), key=lambda one: one.order):
        if _lasts(one, facts.memory, facts.now):
            profile = read(one.text.encode())
            yield _Told(one.evse, LimitSource.CSO, one.purpose, one.stack_level, profile)


def _held(held: Sequence[HeldProfile], facts: Facts) -> Iterator[_Told]:
    """Those of the CSMS in its own words, as far as they are kept."""
    as_given = {(one.payload["id"], one.evse, one.purpose, one.stack_level): one.payload for one in _passed(facts)}
    codec = REPORTING[facts.csms]
    for one in held:
        profile, purpose, level = one.profile, one.profile.purpose.value, one.profile.stack_level
        tx = facts.memory.transactions.get(profile.transaction or "")
        written = codec.write_profile(replace(profile, transaction=tx.csms_id if tx is not None else None))
        key = profile.id, one.evse, purpose, level
        is_given = one.source == LimitSource.CSO and key in as_given
        yield _Told(one.evse, one.source, purpose, level, as_given[key] if is_given else written)


def _reports(request: int, found: list[_Told]) -> tuple[Message, ...]:
    """Each is about one EVSE and one source, and none is long."""
    groups: dict[tuple[int, str], list[Json]] = {}
    for one in found:
        groups.setdefault((one.evse, one.source), []).append(one.payload)
    parts = [
        {
            "requestId": request,
            "chargingLimitSource": source,
            "evseId": evse,
            "chargingProfile": group[at : at + _A_PART],
        }
        for (evse, source), group in sorted(groups.items())
        for at in range(0, len(group), _A_PART)
    ]
    more = [{**part, "tbc": True} for part in parts[:-1]]
    return tuple(Message("ReportChargingProfiles", part) for part in (*more, {**parts[-1], "tbc": False}))
