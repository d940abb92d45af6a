"""Charging profiles in OCPP 2.0.1 and 2.1, which adds to them and takes nothing away."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.dialects import schema
from gateway.dialects.base import Json
from gateway.dialects.payloads import encode, integer, member, objects, read, read_answer, text, wire_time
from gateway.dialects.profile_payloads import (
    asks_more,
    flag,
    is_refused,
    limit,
    missing,
    needed,
    plain,
    present,
    purpose,
    read_limit,
    read_profile,
    read_told,
    the_object,
    unit,
    whole,
    wrong,
)
from gateway.model.profile import (
    AskedProfile,
    AskedSchedule,
    ChargingProfile,
    CompositeSchedule,
    DynamicUpdate,
    Period,
    PriorityStatus,
    ProfileFilter,
    Refusal,
    Refused,
    ReportedProfile,
    Schedule,
    StartProfile,
)
from gateway.rpc.codes import CallError, ErrorCode

_ACCEPTED = b'{"status":"Accepted"}'
_LONGEST_INFO = 512


class Profiles20x:
    """Stateless. `version`: 2.0.1 or 2.1."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._is_first = version == "2.0.1"

    def read_set(self, payload: bytes) -> AskedProfile:
        found = read(payload)
        profile = read_profile(the_object(found, "chargingProfile"), "chargingProfile")
        return AskedProfile(needed(found, "evseId"), profile, self._wire("SetChargingProfile", payload))

    def read_start(self, payload: bytes) -> StartProfile | None:
        """The profile of a RequestStartTransaction."""
        found = read(payload)
        if found.get("chargingProfile") is None:
            return None
        token = found.get("idToken")
        value = text(token.get("idToken") if isinstance(token, dict) else token) or ""
        return StartProfile(
            whole(found, "evseId", ""),
            value.casefold(),
            read_profile(the_object(found, "chargingProfile"), "chargingProfile"),
            whole(found, "remoteStartId", ""),
            self._wire("RequestStartTransaction", payload),
        )

    def read_clear(self, payload: bytes) -> ProfileFilter:
        found = read(payload)
        profile_id, criteria = whole(found, "chargingProfileId", ""), member(found, "chargingProfileCriteria")
        return _filter(criteria, "chargingProfileCriteria.", () if profile_id is None else (profile_id,))

    def read_get(self, payload: bytes) -> tuple[int, ProfileFilter]:
        """requestId and criteria of a GetChargingProfiles."""
        found = read(payload)
        criteria = member(found, "chargingProfile")
        listed = criteria.get("chargingProfileId")
        ids = [integer(one) for one in (listed if isinstance(listed, list) else [listed] if listed is not None else [])]
        if None in ids:
            raise wrong("chargingProfile.chargingProfileId", listed)
        sources = criteria.get("chargingLimitSource")
        names = tuple(one for one in sources if isinstance(one, str)) if isinstance(sources, list) else ()
        known = tuple(one for one in ids if one is not None)
        asked = _filter({**criteria, "evseId": found.get("evseId")}, "chargingProfile.", known, names)
        return needed(found, "requestId"), asked

    def read_composite(self, payload: bytes) -> AskedSchedule:
        found = read(payload)
        asked_unit = unit(found.get("chargingRateUnit"), "chargingRateUnit")
        return AskedSchedule(needed(found, "evseId"), needed(found, "duration"), asked_unit)

    def read_update(self, payload: bytes) -> DynamicUpdate:
        """An UpdateDynamicSchedule (2.1)."""
        found = read(payload)
        return _update(needed(found, "chargingProfileId"), the_object(found, "scheduleUpdate"))

    def read_use_priority(self, payload: bytes) -> tuple[str, bool]:
        """Transaction id and wish of a UsePriorityCharging (2.1)."""
        return _priority(payload, "activate")

    def answer_set(self, refusal: Refusal | None) -> bytes:
        """Raises CallError for a station without smart charging (K01.FR.29)."""
        if refusal is None:
            return _ACCEPTED
        if refusal.reason is Refused.NO_SMART_CHARGING:
            raise CallError(ErrorCode.NOT_SUPPORTED, refusal.what)
        return _refused(refusal)

    def answer_start_refused(self, refusal: Refusal) -> bytes:
        return _refused(refusal)

    def answer_clear(self, found: bool) -> bytes:
        return _ACCEPTED if found else b'{"status":"Unknown"}'

    def answer_get(self, found: bool) -> bytes:
        return _ACCEPTED if found else b'{"status":"NoProfiles"}'

    def answer_composite(self, told: CompositeSchedule | Refusal) -> bytes:
        if isinstance(told, Refusal):
            return _refused(told)
        written = {
            "evseId": told.evse,
            "duration": told.duration_s,
            "scheduleStart": wire_time(told.start),
            "chargingRateUnit": told.unit.value,
            "chargingSchedulePeriod": [self._period(period) for period in told.periods],
        }
        return encode({"status": "Accepted", "schedule": written})

    def answer_use_priority(self, status: PriorityStatus) -> bytes:
        return encode({"status": status.value})

    def report(
        self,
        request: int,
        evse: int,
        source: str,
        profiles: Sequence[tuple[ChargingProfile, str | None]],
        more_follow: bool,
    ) -> tuple[str, bytes]:
        """A part of a report. A profile that comes with its JSON as received goes out unchanged."""
        written = [
            self.write_profile(profile) if wire is None else msgspec.Raw(wire.encode()) for profile, wire in profiles
        ]
        part: Json = {
            "requestId": request,
            "chargingLimitSource": source,
            "evseId": evse,
            "chargingProfile": written,
            "tbc": more_follow,
        }
        return "ReportChargingProfiles", encode(part)

    def notify_limit(
        self, evse: int, source: str, schedule: Schedule | None, is_grid_critical: bool = False
    ) -> tuple[str, bytes] | None:
        found: Json = {"evseId": evse, "chargingLimit": {"chargingLimitSource": source}}
        if is_grid_critical:
            found["chargingLimit"]["isGridCritical"] = True
        if schedule is not None:
            found["chargingSchedule"] = [self._schedule(schedule)]
        return "NotifyChargingLimit", encode(found)

    def cleared_limit(self, evse: int, source: str) -> tuple[str, bytes] | None:
        return "ClearedChargingLimit", encode({"chargingLimitSource": source, "evseId": evse})

    def pull_update(self, profile: int) -> tuple[str, bytes]:
        """2.1."""
        return "PullDynamicScheduleUpdate", encode({"chargingProfileId": profile})

    def read_pulled(self, profile: int, payload: bytes | None) -> DynamicUpdate | None:
        """The CSMS's answer to `pull_update`; None if it has none, or one that can't be read."""
        found = read_answer(payload)
        if not self.is_accepted(payload) or not isinstance(found.get("scheduleUpdate"), dict):
            return None
        try:
            return _update(profile, found["scheduleUpdate"])
        except CallError:
            return None

    def set_profile(self, evse: int, profile: ChargingProfile) -> tuple[str, bytes]:
        payload = encode({"evseId": evse, "chargingProfile": self.write_profile(profile)})
        if problems := schema.validate(self._version, "SetChargingProfile", "request", payload):
            raise ValueError(f"OCPP {self._version} can't express it: {problems[0]}")
        return "SetChargingProfile", payload

    def clear_profiles(self, asked: ProfileFilter) -> tuple[str, bytes]:
        """Raises ValueError for more than one id."""
        if len(asked.ids) > 1:
            raise ValueError("one id at a time")
        if asked.ids:
            return "ClearChargingProfile", encode({"chargingProfileId": asked.ids[0]})
        criteria = {
            "evseId": asked.evse,
            "chargingProfilePurpose": asked.purpose,
            "stackLevel": asked.stack_level,
        }
        return "ClearChargingProfile", encode({"chargingProfileCriteria": present(criteria)})

    def get_profiles(self, request: int, asked: ProfileFilter) -> tuple[str, bytes] | None:
        criteria = {
            "chargingProfilePurpose": asked.purpose,
            "stackLevel": asked.stack_level,
            "chargingProfileId": asked.ids or None,
            "chargingLimitSource": asked.sources or None,
        }
        wanted = {"requestId": request, "evseId": asked.evse, "chargingProfile": present(criteria)}
        return "GetChargingProfiles", encode(present(wanted))

    def get_composite(self, asked: AskedSchedule) -> tuple[str, bytes]:
        wanted = {"evseId": asked.evse, "duration": asked.duration_s, "chargingRateUnit": asked.unit}
        return "GetCompositeSchedule", encode(present(wanted))

    def is_accepted(self, payload: bytes | None) -> bool:
        return (text(read_answer(payload).get("status")) or "").casefold() == "accepted"

    def is_refused(self, payload: bytes | None) -> bool:
        return is_refused(payload)

    def read_composite_answer(self, payload: bytes | None) -> CompositeSchedule | None:
        found = read_answer(payload)
        written = member(found, "schedule")
        return read_told(found, integer(written.get("evseId")), written)

    def read_report(self, payload: bytes) -> tuple[int | None, tuple[ReportedProfile, ...], bool]:
        """requestId, profiles (of one that can't be read, only its id), and whether more follow."""
        found = read(payload)
        evse, source = integer(found.get("evseId")) or 0, text(found.get("chargingLimitSource")) or ""
        reported = tuple(
            ReportedProfile(evse, source, integer(one.get("id")) or 0, _read_or_none(one))
            for one in objects(found, "chargingProfile")
        )
        return integer(found.get("requestId")), reported, flag(found.get("tbc"))

    def read_limit(self, payload: bytes) -> tuple[int, str, Schedule | None]:
        """EVSE, source and schedule of a limit that a station has from elsewhere, or has no more."""
        return read_limit(read(payload))

    def read_notify_priority(self, payload: bytes) -> tuple[str, bool]:
        """Transaction id and state, as a station tells them (2.1)."""
        return _priority(payload, "activated")

    def _wire(self, action: str, payload: bytes) -> str | None:
        """The profile's own JSON, if the command is valid: then it may be reported as it came."""
        if schema.validate(self._version, action, "request", payload):
            return None
        return bytes(msgspec.json.decode(payload, type=dict[str, msgspec.Raw])["chargingProfile"]).decode()

    def write_profile(self, profile: ChargingProfile) -> Json:
        """The profile alone, as it stands in a message."""
        written: Json = {
            "id": profile.id,
            "stackLevel": profile.stack_level,
            "chargingProfilePurpose": profile.purpose.value,
            "chargingProfileKind": profile.kind.value,
            "recurrencyKind": profile.recurrency,
            "validFrom": _time(profile.valid_from),
            "validTo": _time(profile.valid_to),
            "chargingSchedule": [self._schedule(schedule) for schedule in profile.schedules],
            "transactionId": profile.transaction,
        }
        if not self._is_first:
            written["maxOfflineDuration"] = profile.max_offline_s
            written["invalidAfterOfflineDuration"] = profile.ends_offline or None
            written["dynUpdateInterval"] = profile.update_interval_s
            written["dynUpdateTime"] = _time(profile.updated)
        return present(written)

    def _schedule(self, schedule: Schedule) -> Json:
        return present(
            {
                "id": schedule.id,
                "startSchedule": _time(schedule.start),
                "duration": schedule.duration_s,
                "chargingRateUnit": schedule.unit.value,
                "chargingSchedulePeriod": [self._period(period) for period in schedule.periods],
                "minChargingRate": None if schedule.min_rate is None else plain(schedule.min_rate),
            }
        )

    def _period(self, period: Period) -> Json:
        written: dict[str, Any] = {
            "startPeriod": period.start_s,
            "limit": None if period.limit is None else plain(period.limit),
            "numberPhases": period.phases,
            "phaseToUse": period.phase_to_use,
        }
        if not self._is_first:
            written["limit_L2"] = None if period.limit_l2 is None else plain(period.limit_l2)
            written["limit_L3"] = None if period.limit_l3 is None else plain(period.limit_l3)
            written["operationMode"] = period.mode
        elif period.limit is None:
            raise ValueError("OCPP 2.0.1 needs a limit in every period")
        return present(written)


def _filter(criteria: Json, where: str, ids: tuple[int, ...], sources: tuple[str, ...] = ()) -> ProfileFilter:
    return ProfileFilter(
        ids=ids,
        evse=whole(criteria, "evseId", where),
        purpose=purpose(criteria.get("chargingProfilePurpose"), f"{where}chargingProfilePurpose"),
        stack_level=whole(criteria, "stackLevel", where),
        sources=sources,
    )


def _update(profile: int, found: Json) -> DynamicUpdate:
    l1, l2, l3 = (limit(found, name, "scheduleUpdate.") for name in ("limit", "limit_L2", "limit_L3"))
    return DynamicUpdate(profile, l1, l2, l3, asks_more(found))


def _priority(payload: bytes, name: str) -> tuple[str, bool]:
    found = read(payload)
    transaction = text(found.get("transactionId"))
    if not transaction:
        raise missing("transactionId")
    if found.get(name) is None:
        raise missing(name)
    return transaction, flag(found.get(name))


def _refused(refusal: Refusal) -> bytes:
    info = {"reasonCode": refusal.reason.value, "additionalInfo": refusal.what[:_LONGEST_INFO]}
    return encode({"status": "Rejected", "statusInfo": info})


def _read_or_none(found: Json) -> ChargingProfile | None:
    try:
        return read_profile(found, "chargingProfile")
    except CallError:
        return None


def _time(value: datetime | None) -> str | None:
    return None if value is None else wire_time(value)
