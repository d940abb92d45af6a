"""Charging profiles in parsed JSON: one lenient reader for all versions, whose names differ little.

What can't be understood raises CallError with the member's path; whether a profile is acceptable is decided elsewhere.
"""

import math
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

from gateway.dialects.base import Json
from gateway.dialects.payloads import integer, member, read_answer, text, tx_id
from gateway.model.profile import (
    ChargingProfile,
    CompositeSchedule,
    Kind,
    Period,
    Purpose,
    RateUnit,
    Recurrency,
    Schedule,
)
from gateway.rpc.codes import CallError, ErrorCode

_Word = TypeVar("_Word", Purpose, Kind, Recurrency, RateUnit)

_PURPOSES = {
    **{purpose.casefold(): purpose for purpose in Purpose},
    "chargepointmaxprofile": Purpose.STATION_MAX,
    "txdefault": Purpose.TX_DEFAULT,
    "tx": Purpose.TX,
}
_KINDS = {kind.casefold(): kind for kind in Kind}
_RECURRENCIES = {one.casefold(): one for one in Recurrency}
_UNITS = {
    **dict.fromkeys(("a", "amp", "amps", "ampere", "amperes", "current"), RateUnit.A),
    **dict.fromkeys(("w", "watt", "watts", "power"), RateUnit.W),
}
_ASKS_MORE = (
    *(f"{name}{phase}" for name in ("setpoint", "setpointReactive", "dischargeLimit") for phase in ("", "_L2", "_L3")),
    *("v2xBaseline", "v2xFreqWattCurve", "v2xSignalWattCurve"),
)
_SEPARATORS = {ord(character): None for character in " -_."}
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?\s*", re.ASCII)
_FURTHEST_S = 10**10
"""Longest offset or duration in s, some 300 years."""


def missing(where: str) -> CallError:
    return CallError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, f"{where} is missing")


def wrong(where: str, value: Any) -> CallError:
    return CallError(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, f"{where} is {str(value)[:40]!r}")


def number(value: Any) -> float | None:
    """A finite number, also as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value) else None
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:
        return None


def moment(value: Any) -> datetime | None:
    """A time as UTC; without an offset it is taken as UTC. None if it can't be read."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip().upper())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def flag(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.strip().casefold() in ("true", "1"))


def purpose(value: Any, where: str) -> Purpose | None:
    return _word(value, _PURPOSES, where)


def unit(value: Any, where: str) -> RateUnit | None:
    return _word(value, _UNITS, where)


def whole(found: Json, name: str, where: str) -> int | None:
    """A whole number, None where it is absent. Raises CallError for anything else."""
    value = found.get(name)
    if value is None:
        return None
    if (read := integer(value)) is None:
        raise wrong(f"{where}{name}", value)
    return read


def needed(found: Json, name: str, where: str = "") -> int:
    """As `whole`, but it must be there."""
    read = whole(found, name, where)
    if read is None:
        raise missing(f"{where}{name}")
    return read


def the_object(found: Json, name: str) -> Json:
    """An object, or the only one of a list. Raises CallError."""
    value = found.get(name)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        raise missing(name)
    if not isinstance(value, dict):
        raise wrong(name, value)
    return value


def read_profile(found: Json, where: str) -> ChargingProfile:
    """Read a profile of any version; `where` is the path of what it stands in. Raises CallError."""
    where = f"{where}."
    profile_id = whole(found, "chargingProfileId", where)
    read_purpose = purpose(found.get("chargingProfilePurpose"), f"{where}chargingProfilePurpose")
    kind = _word(found.get("chargingProfileKind"), _KINDS, f"{where}chargingProfileKind")
    if read_purpose is None or kind is None:
        raise missing(f"{where}chargingProfile{'Purpose' if read_purpose is None else 'Kind'}")
    return ChargingProfile(
        id=needed(found, "id", where) if profile_id is None else profile_id,
        stack_level=needed(found, "stackLevel", where),
        purpose=read_purpose,
        kind=kind,
        schedules=_schedules(found.get("chargingSchedule"), f"{where}chargingSchedule"),
        recurrency=_word(found.get("recurrencyKind"), _RECURRENCIES, f"{where}recurrencyKind"),
        valid_from=_time(found, "validFrom", where),
        valid_to=_time(found, "validTo", where),
        transaction=tx_id(found.get("transactionId")),
        max_offline_s=_seconds(found, "maxOfflineDuration", where),
        ends_offline=flag(found.get("invalidAfterOfflineDuration")),
        update_interval_s=_seconds(found, "dynUpdateInterval", where),
        updated=_time(found, "dynUpdateTime", where),
    )


def asks_more(found: Json) -> tuple[str, ...]:
    """Members of a period, or of an update of one, that are no limits."""
    return tuple([name for name in _ASKS_MORE if name in found and found[name] is not None])


def limit(found: Json, name: str, where: str) -> float | None:
    value = found.get(name)
    if value is None:
        return None
    if (read := number(value)) is None:
        raise wrong(f"{where}{name}", value)
    return read


def is_refused(payload: bytes | None) -> bool:
    """Whether a station's answer clearly says that it did not take a profile; one that can't be read says neither."""
    return (text(read_answer(payload).get("status")) or "").casefold() in {"rejected", "notsupported"}


def read_told(found: Json, evse: int | None, written: Json) -> CompositeSchedule | None:
    """A station's composite schedule, of any version; None if it was refused, or can't be read in full."""
    start = moment(found.get("scheduleStart") or written.get("scheduleStart") or written.get("startSchedule"))
    listed = written.get("chargingSchedulePeriod")
    if (text(found.get("status")) or "").casefold() != "accepted" or not isinstance(listed, list) or not listed:
        return None
    periods = tuple(_told_period(one) for one in listed)
    try:
        told_unit = unit(written.get("chargingRateUnit"), "chargingRateUnit")
    except CallError:
        return None
    if None in periods or start is None or told_unit is None or evse is None:
        return None
    known = tuple(period for period in periods if period is not None)
    return CompositeSchedule(evse, start, integer(written.get("duration")) or 0, told_unit, known)


def _told_period(found: Any) -> Period | None:
    if not isinstance(found, dict):
        return None
    start, limit = integer(found.get("startPeriod")), number(found.get("limit"))
    if start is None or limit is None:
        return None
    return Period(start, limit, integer(found.get("numberPhases")), integer(found.get("phaseToUse")))


def plain(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def present(written: Json) -> Json:
    return {name: value for name, value in written.items() if value is not None}


def read_limit(found: Json) -> tuple[int, str, Schedule | None]:
    """EVSE, source and schedule of a NotifyChargingLimit or ClearedChargingLimit. Raises CallError."""
    said = member(found, "chargingLimit")
    source = text(said.get("chargingLimitSource")) or text(found.get("chargingLimitSource")) or ""
    listed = found.get("chargingSchedule")
    schedules = _schedules(listed, "chargingSchedule") if listed else ()
    return integer(found.get("evseId")) or 0, source, schedules[0] if schedules else None


def _schedules(value: Any, where: str) -> tuple[Schedule, ...]:
    """1.6 has one, 2.x a list of up to three."""
    if value is None:
        raise missing(where)
    if isinstance(value, dict):
        return (_schedule(value, where),)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise wrong(where, value)
    return tuple(_schedule(one, f"{where}[{index}]") for index, one in enumerate(value))


def _schedule(found: Json, where: str) -> Schedule:
    where = f"{where}."
    read_unit = unit(found.get("chargingRateUnit"), f"{where}chargingRateUnit")
    if read_unit is None:
        raise missing(f"{where}chargingRateUnit")
    listed = found.get("chargingSchedulePeriod")
    if listed is None:
        raise missing(f"{where}chargingSchedulePeriod")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise wrong(f"{where}chargingSchedulePeriod", listed)
    schedule_id = integer(found.get("id"))
    return Schedule(
        unit=read_unit,
        periods=tuple(_period(one, f"{where}chargingSchedulePeriod[{at}].") for at, one in enumerate(listed)),
        id=1 if schedule_id is None else schedule_id,
        start=_time(found, "startSchedule", where),
        duration_s=_seconds(found, "duration", where),
        min_rate=limit(found, "minChargingRate", where),
        needs=tuple(dict.fromkeys(_needs(found, listed))),
    )


def _needs(found: Json, periods: list[Json]) -> list[str]:
    needs = [name for period in periods for name in asks_more(period)]
    needs += ["evseSleep" for period in periods if flag(period.get("evseSleep"))]
    if integer(found.get("randomizedDelay")) not in (None, 0):
        needs.append("randomizedDelay")
    if found.get("limitAtSoC") is not None:
        needs.append("limitAtSoC")
    if flag(found.get("useLocalTime")):
        needs.append("useLocalTime")
    return needs


def _period(found: Json, where: str) -> Period:
    start = _seconds(found, "startPeriod", where)
    if start is None:
        raise missing(f"{where}startPeriod")
    return Period(
        start_s=start,
        limit=limit(found, "limit", where),
        phases=whole(found, "numberPhases", where),
        phase_to_use=whole(found, "phaseToUse", where),
        limit_l2=limit(found, "limit_L2", where),
        limit_l3=limit(found, "limit_L3", where),
        mode=text(found.get("operationMode")) or None,
    )


def _seconds(found: Json, name: str, where: str) -> int | None:
    read = whole(found, name, where)
    if read is not None and abs(read) > _FURTHEST_S:
        raise wrong(f"{where}{name}", read)
    return read


def _time(found: Json, name: str, where: str) -> datetime | None:
    value = found.get(name)
    if value is None or value == "":
        return None
    if (read := moment(value)) is None:
        raise wrong(f"{where}{name}", value)
    return read


def _word(value: Any, words: dict[str, _Word], where: str) -> _Word | None:
    if value is None:
        return None
    read = words.get(value.translate(_SEPARATORS).casefold()) if isinstance(value, str) else None
    if read is None:
        raise wrong(where, value)
    return read
