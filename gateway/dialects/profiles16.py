"""Charging profiles in OCPP 1.6."""

from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from gateway.dialects import schema
from gateway.dialects.base import Json
from gateway.dialects.payloads import encode, integer, member, read, read_answer, text, wire_time
from gateway.dialects.profile_payloads import (
    is_refused,
    needed,
    plain,
    present,
    purpose,
    read_profile,
    read_told,
    the_object,
    unit,
    whole,
)
from gateway.model.profile import (
    AskedProfile,
    AskedSchedule,
    ChargingProfile,
    CompositeSchedule,
    Period,
    ProfileFilter,
    Purpose,
    RateUnit,
    Refusal,
    Refused,
    Schedule,
    StartProfile,
)

_TENTH = Decimal("0.1")
_PURPOSES = {
    Purpose.STATION_MAX: "ChargePointMaxProfile",
    Purpose.TX_DEFAULT: "TxDefaultProfile",
    Purpose.TX: "TxProfile",
}


class Profiles16:
    """Stateless."""

    def read_set(self, payload: bytes) -> AskedProfile:
        found = read(payload)
        profile = the_object(found, "csChargingProfiles")
        return AskedProfile(needed(found, "connectorId"), read_profile(profile, "csChargingProfiles"))

    def read_start(self, payload: bytes) -> StartProfile | None:
        found = read(payload)
        if found.get("chargingProfile") is None:
            return None
        profile = read_profile(the_object(found, "chargingProfile"), "chargingProfile")
        return StartProfile(whole(found, "connectorId", ""), (text(found.get("idTag")) or "").casefold(), profile)

    def read_clear(self, payload: bytes) -> ProfileFilter:
        found = read(payload)
        profile_id = whole(found, "id", "")
        return ProfileFilter(
            ids=() if profile_id is None else (profile_id,),
            evse=whole(found, "connectorId", ""),
            purpose=purpose(found.get("chargingProfilePurpose"), "chargingProfilePurpose"),
            stack_level=whole(found, "stackLevel", ""),
        )

    def read_composite(self, payload: bytes) -> AskedSchedule:
        found = read(payload)
        asked_unit = unit(found.get("chargingRateUnit"), "chargingRateUnit")
        return AskedSchedule(needed(found, "connectorId"), needed(found, "duration"), asked_unit)

    def answer_set(self, refusal: Refusal | None) -> bytes:
        """1.6 has no room for the reason."""
        if refusal is None:
            return b'{"status":"Accepted"}'
        is_lacking = refusal.reason is Refused.NO_SMART_CHARGING
        return b'{"status":"NotSupported"}' if is_lacking else b'{"status":"Rejected"}'

    def answer_start_refused(self, refusal: Refusal) -> bytes:
        return b'{"status":"Rejected"}'

    def answer_clear(self, found: bool) -> bytes:
        return b'{"status":"Accepted"}' if found else b'{"status":"Unknown"}'

    def answer_composite(self, told: CompositeSchedule | Refusal) -> bytes:
        if isinstance(told, Refusal):
            return b'{"status":"Rejected"}'
        start = wire_time(told.start)
        written = {
            "duration": told.duration_s,
            "startSchedule": start,
            "chargingRateUnit": told.unit.value,
            "chargingSchedulePeriod": [_period(period) for period in told.periods],
        }
        answer = {"status": "Accepted", "connectorId": told.evse, "scheduleStart": start, "chargingSchedule": written}
        return encode(answer)

    def notify_limit(
        self, evse: int, source: str, schedule: Schedule | None, is_grid_critical: bool = False
    ) -> tuple[str, bytes] | None:
        return None

    def cleared_limit(self, evse: int, source: str) -> tuple[str, bytes] | None:
        return None

    def set_profile(self, evse: int, profile: ChargingProfile) -> tuple[str, bytes]:
        payload = encode({"connectorId": evse, "csChargingProfiles": _profile(profile)})
        if problems := schema.validate("1.6", "SetChargingProfile", "request", payload):
            raise ValueError(f"OCPP 1.6 can't express it: {problems[0]}")
        return "SetChargingProfile", payload

    def clear_profiles(self, asked: ProfileFilter) -> tuple[str, bytes]:
        """Raises ValueError for more than one id, or a purpose that 1.6 lacks."""
        if len(asked.ids) > 1 or asked.purpose not in (None, *_PURPOSES):
            raise ValueError("OCPP 1.6 can't express this filter")
        written: Json = {
            "id": asked.ids[0] if asked.ids else None,
            "connectorId": asked.evse,
            "chargingProfilePurpose": _PURPOSES[asked.purpose] if asked.purpose else None,
            "stackLevel": asked.stack_level,
        }
        return "ClearChargingProfile", encode(present(written))

    def get_profiles(self, request: int, asked: ProfileFilter) -> tuple[str, bytes] | None:
        return None

    def get_composite(self, asked: AskedSchedule) -> tuple[str, bytes]:
        wanted = {"connectorId": asked.evse, "duration": asked.duration_s, "chargingRateUnit": asked.unit}
        return "GetCompositeSchedule", encode(present(wanted))

    def is_accepted(self, payload: bytes | None) -> bool:
        return (text(read_answer(payload).get("status")) or "").casefold() == "accepted"

    def is_refused(self, payload: bytes | None) -> bool:
        return is_refused(payload)

    def read_composite_answer(self, payload: bytes | None) -> CompositeSchedule | None:
        found = read_answer(payload)
        return read_told(found, integer(found.get("connectorId")), member(found, "chargingSchedule"))


def tenths(value: float) -> float | int:
    """A limit as 1.6 can hold it: one decimal, rounded down; whole numbers without one."""
    return plain(float(Decimal(repr(value)).quantize(_TENTH, ROUND_FLOOR)))


def _period(period: Period) -> Json:
    if period.limit is None:
        raise ValueError("OCPP 1.6 needs a limit in every period")
    lowest = min(one for one in (period.limit, period.limit_l2, period.limit_l3) if one is not None)
    return present({"startPeriod": period.start_s, "limit": tenths(lowest), "numberPhases": period.phases})


def _time(value: datetime | None) -> str | None:
    return None if value is None else wire_time(value)


def _profile(profile: ChargingProfile) -> Json:
    if profile.purpose not in _PURPOSES or len(profile.schedules) != 1:
        raise ValueError(f"OCPP 1.6 has no {profile.purpose} with {len(profile.schedules)} schedules")
    schedule = profile.schedules[0]
    if schedule.unit is RateUnit.W and any(p.limit_l2 is not None or p.limit_l3 is not None for p in schedule.periods):
        raise ValueError("OCPP 1.6 has no limits per phase")
    written = {
        "duration": schedule.duration_s,
        "startSchedule": _time(schedule.start),
        "chargingRateUnit": schedule.unit.value,
        "chargingSchedulePeriod": [_period(period) for period in schedule.periods],
        "minChargingRate": None if schedule.min_rate is None else tenths(schedule.min_rate),
    }
    transaction = profile.transaction
    return present(
        {
            "chargingProfileId": profile.id,
            "transactionId": None if transaction is None else int(transaction),
            "stackLevel": profile.stack_level,
            "chargingProfilePurpose": _PURPOSES[profile.purpose],
            "chargingProfileKind": profile.kind.value,
            "recurrencyKind": profile.recurrency,
            "validFrom": _time(profile.valid_from),
            "validTo": _time(profile.valid_to),
            "chargingSchedule": present(written),
        }
    )
