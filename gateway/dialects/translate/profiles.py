"""Charging profiles and composite schedules between the versions, every digit kept that the other side can hold."""

from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from gateway.dialects.payloads import integer, member, objects, text, wire_time
from gateway.dialects.translate import passed
from gateway.dialects.translate.base import Command, Edit, Facts, Json, Outcome, Reply, Steps, Tx, answered
from gateway.dialects.translate.parts import (
    as_status,
    ask,
    failed,
    inner,
    kept,
    needed,
    present,
    renamed,
    said,
    unsupported,
    whole,
    wrong,
)
from gateway.dialects.translate.places import place_of

_PURPOSES_TO_16 = {
    "ChargingStationMaxProfile": "ChargePointMaxProfile",
    "TxDefaultProfile": "TxDefaultProfile",
    "TxProfile": "TxProfile",
}
_PURPOSES_TO_201 = {here: there for there, here in _PURPOSES_TO_16.items()}
_TENTH = Decimal("0.1")
_SAME = ("stackLevel", "chargingProfileKind", "recurrencyKind", "validFrom", "validTo")
_KINDS = ("Absolute", "Recurring", "Relative")
_PROFILE_MEMBERS = frozenset(
    (*_SAME, "id", "transactionId", "chargingProfilePurpose", "chargingSchedule", "customData")
)
_SCHEDULE_MEMBERS = frozenset(
    ("id", "duration", "startSchedule", "chargingRateUnit", "chargingSchedulePeriod", "minChargingRate", "customData")
)
_PERIOD_MEMBERS = frozenset(("startPeriod", "limit", "numberPhases", "customData"))
_CLEARED = ("Accepted", "Unknown")
_SET = ("Accepted", "Rejected")
_MOST_PERIODS = 1024


class NotExpressible(Exception):
    """A profile that the other version has no form for. `reason`: a reason code of 2.x."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(f"{reason}: {what}")
        self.reason = reason
        self.what = what


def tenths(value: Any) -> int | Decimal | None:
    """A limit with the one decimal that 1.6 has, rounded down: a limit may only become lower. None for no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = Decimal(str(value))
        number = number.quantize(_TENTH, ROUND_FLOOR)
    except ArithmeticError:
        return None
    return int(number) if number == number.to_integral_value() else number


def _limit(period: Json) -> int | Decimal:
    limit = tenths(period.get("limit"))
    if limit is None:
        raise NotExpressible("InvalidSchedule", "OCPP 1.6 needs a limit in every period")
    return limit


# -- 2.0.1 -> 1.6 ------------------------------------------------------------------------------------------------------


def to_16(profile: Json, transaction: int | None) -> Json:
    """A profile of 2.0.1 for a station of 1.6. Raises NotExpressible, CallError."""
    purpose = text(profile.get("chargingProfilePurpose")) or ""
    if purpose not in _PURPOSES_TO_16:
        raise NotExpressible("InvalidProfile", f"OCPP 1.6 has no {purpose[:50]}")
    if profile.get("chargingProfileKind") not in _KINDS:
        raise NotExpressible(
            "InvalidProfile", f"OCPP 1.6 has no profiles that are {profile.get('chargingProfileKind')}"
        )
    schedules = objects(profile, "chargingSchedule")
    if len(schedules) != 1:
        raise NotExpressible("TooManyElements", f"OCPP 1.6 takes one schedule, here are {len(schedules)}")
    _check(profile, _PROFILE_MEMBERS)
    return {
        "chargingProfileId": needed(profile, "id"),
        **({} if transaction is None else {"transactionId": transaction}),
        **kept(profile, *_SAME),
        "chargingProfilePurpose": _PURPOSES_TO_16[purpose],
        "chargingSchedule": _schedule_to_16(schedules[0]),
    }


def _check(found: Json, known: frozenset[str]) -> None:
    """Refuse what 1.6 has no member for: left out, it would allow more, or mean something else."""
    for name, value in found.items():
        if name not in known and value not in (None, False, "ChargingOnly"):
            raise NotExpressible(
                "PhaseConflict" if name == "phaseToUse" else "UnsupportedParam", f"OCPP 1.6 has no {name}"
            )


def _schedule_to_16(schedule: Json) -> Json:
    periods = _periods(schedule)
    for found, known in ((schedule, _SCHEDULE_MEMBERS), *((period, _PERIOD_MEMBERS) for period in periods)):
        _check(found, known)
    written = {
        **kept(schedule, "duration", "startSchedule", "chargingRateUnit"),
        "chargingSchedulePeriod": [
            {**kept(period, "startPeriod", "numberPhases"), "limit": _limit(period)} for period in periods
        ],
        "minChargingRate": tenths(schedule.get("minChargingRate")),
    }
    return present(written)


def losses_to_16(profile: Json) -> tuple[str, ...]:
    """The keys of what a profile loses on its way to 1.6."""
    limits = [period.get("limit") for schedule in objects(profile, "chargingSchedule") for period in _periods(schedule)]
    return ("profile-digits",) if any(tenths(limit) != limit for limit in limits) else ()


def _periods(schedule: Json) -> list[Json]:
    return objects(schedule, "chargingSchedulePeriod")


def set_on_16(payload: Json, facts: Facts) -> Steps:
    """SetChargingProfile of 2.0.1 to a station of 1.6."""
    profile, own, evse = inner(payload, "chargingProfile"), None, needed(payload, "evseId")
    asked, tx = text(profile.get("transactionId")), facts.memory.tx_at(evse) if _is_tx(profile) else None
    if asked is not None:
        tx = facts.memory.tx_of_csms(asked)
        own = None if tx is None or tx.is_ended else whole(tx.station_id)
        if own is None:
            return answered(Reply(said("Rejected", "UnknownTxId", f"no transaction {asked}")))
    try:
        written = to_16(profile, own)
    except NotExpressible as reason:
        return answered(Reply(said("Rejected", reason.reason, reason.what), losses=("profile-refused",)))
    command = Command("SetChargingProfile", {"connectorId": evse, "csChargingProfiles": written})
    return _set_16(command, passed.accepted(evse, profile, tx, facts.now), losses_to_16(profile))


def _set_16(command: Command, taken: Edit, losses: tuple[str, ...]) -> Steps:
    outcome = yield command
    if outcome.payload is None:
        return failed(outcome)
    if outcome.status == "NotSupported":
        return unsupported("the station has no smart charging")
    is_taken = outcome.status == "Accepted"
    return Reply(as_status(outcome, _SET, "Rejected"), remember=taken if is_taken else None, losses=losses)


def clear_on_16(payload: Json, facts: Facts) -> Steps:
    """ClearChargingProfile of 2.0.1: what 1.6 can't hold is not there to be cleared."""
    criteria = member(payload, "chargingProfileCriteria")
    purpose = text(criteria.get("chargingProfilePurpose"))
    if purpose is not None and purpose not in _PURPOSES_TO_16:
        return answered(Reply({"status": "Unknown"}))
    asked = renamed(criteria, {"evseId": "connectorId", "stackLevel": "stackLevel"})
    if purpose is not None:
        asked["chargingProfilePurpose"] = _PURPOSES_TO_16[purpose]
    if payload.get("chargingProfileId") is not None:
        asked = {"id": needed(payload, "chargingProfileId")}
    return _clear_16(Command("ClearChargingProfile", asked), passed.cleared(payload))


def _clear_16(command: Command, forget: Edit) -> Steps:
    """A station that knows no such profile has none either."""
    outcome = yield command
    if outcome.payload is None:
        return failed(outcome)
    return Reply(as_status(outcome, _CLEARED, "Unknown"), remember=forget)


def composite_on_16(payload: Json, facts: Facts) -> Steps:
    """GetCompositeSchedule of 2.0.1."""
    asked = {**kept(payload, "duration", "chargingRateUnit"), "connectorId": needed(payload, "evseId")}

    def answer(outcome: Outcome) -> Json:
        told = outcome.payload or {}
        written = member(told, "chargingSchedule")
        periods = [
            present(
                {
                    "startPeriod": whole(period.get("startPeriod")),
                    "limit": tenths(period.get("limit")),
                    "numberPhases": _phases(period),
                }
            )
            for period in _periods(written)
        ]
        if outcome.status != "Accepted":
            return {"status": "Rejected"}
        if not periods or any("limit" not in one or "startPeriod" not in one for one in periods):
            return said("Rejected", "InvalidSchedule", "the station accepted, and told no schedule")
        start = text(told.get("scheduleStart")) or text(written.get("startSchedule")) or wire_time(facts.now)
        duration = whole(written.get("duration"))
        schedule = {
            "evseId": asked["connectorId"],
            "duration": needed(payload, "duration") if duration is None else duration,
            "scheduleStart": start,
            "chargingRateUnit": "W" if written.get("chargingRateUnit") == "W" else "A",
            "chargingSchedulePeriod": periods,
        }
        return {"status": "Accepted", "schedule": schedule}

    return ask(Command("GetCompositeSchedule", asked), answer)


def _phases(period: Json) -> int | None:
    phases = whole(period.get("numberPhases"))
    return phases if phases in (1, 2, 3) else None


# -- 1.6 -> 2.0.1 ------------------------------------------------------------------------------------------------------


def to_201(profile: Json, transaction: str | None) -> Json:
    """A profile of 1.6 for a station of 2.0.1. Raises CallError."""
    schedule, purpose = inner(profile, "chargingSchedule"), text(profile.get("chargingProfilePurpose")) or ""
    if purpose not in _PURPOSES_TO_201:
        raise wrong("chargingProfilePurpose", purpose)
    written = kept(schedule, "duration", "startSchedule", "chargingRateUnit", "minChargingRate")
    written["chargingSchedulePeriod"] = [
        kept(one, "startPeriod", "limit", "numberPhases") for one in _periods(schedule)
    ]
    return {
        "id": needed(profile, "chargingProfileId"),
        **kept(profile, *_SAME),
        "chargingProfilePurpose": _PURPOSES_TO_201[purpose],
        "chargingSchedule": [{"id": 1, **written}],
        **({} if transaction is None else {"transactionId": transaction}),
    }


def set_on_201(payload: Json, facts: Facts) -> Steps:
    """SetChargingProfile of 1.6. A TxProfile without an id means the transaction of its connector."""
    profile, evse = inner(payload, "csChargingProfiles"), place_of(facts.memory, needed(payload, "connectorId"))[0]
    tx = _transaction_of(profile, evse, facts)
    if tx is None and (
        profile.get("transactionId") is not None or profile.get("chargingProfilePurpose") == "TxProfile"
    ):
        return answered(Reply({"status": "Rejected"}))
    written = to_201(profile, None if tx is None else tx.station_id)
    if not 1 <= len(written["chargingSchedule"][0]["chargingSchedulePeriod"]) <= _MOST_PERIODS:
        return answered(Reply({"status": "Rejected"}))
    return _set_201(Command("SetChargingProfile", {"evseId": evse, "chargingProfile": written}))


def _transaction_of(profile: Json, evse: int, facts: Facts) -> Tx | None:
    asked = profile.get("transactionId")
    if asked is not None:
        tx = facts.memory.tx_of_csms(str(whole(asked)))
        return None if tx is None or tx.is_ended else tx
    return facts.memory.tx_at(evse) if evse > 0 and _is_tx(profile) else None


def _is_tx(profile: Json) -> bool:
    return profile.get("chargingProfilePurpose") == "TxProfile"


def _set_201(command: Command) -> Steps:
    outcome = yield command
    if outcome.payload is None:
        is_lacking = outcome.code in ("NotSupported", "NotImplemented")
        return Reply({"status": "NotSupported"}) if is_lacking else failed(outcome)
    return Reply(as_status(outcome, _SET, "Rejected"))


def clear_on_201(payload: Json, facts: Facts) -> Steps:
    """ClearChargingProfile of 1.6. A filter that says nothing means all, which 2.0.1 has to be asked by purpose."""
    if payload.get("id") is not None:
        asked: list[Json] = [{"chargingProfileId": needed(payload, "id")}]
    else:
        criteria = kept(payload, "stackLevel")
        if payload.get("connectorId") is not None:
            criteria["evseId"] = place_of(facts.memory, needed(payload, "connectorId"))[0]
        purpose = text(payload.get("chargingProfilePurpose"))
        if purpose is not None and purpose not in _PURPOSES_TO_201:
            raise wrong("chargingProfilePurpose", purpose)
        purposes = [_PURPOSES_TO_201[purpose]] if purpose else list(_PURPOSES_TO_201.values()) if not criteria else []
        by_purpose = [{**criteria, "chargingProfilePurpose": one} for one in purposes]
        asked = [{"chargingProfileCriteria": one} for one in by_purpose or [criteria]]
    return _clear_all_201(asked)


def _clear_all_201(asked: list[Json]) -> Steps:
    is_any = False
    for one in asked:
        outcome = yield Command("ClearChargingProfile", one)
        if outcome.payload is None:
            return failed(outcome)
        is_any |= outcome.status == "Accepted"
    return Reply({"status": "Accepted" if is_any else "Unknown"})


def composite_on_201(payload: Json, facts: Facts) -> Steps:
    """GetCompositeSchedule of 1.6."""
    connector = needed(payload, "connectorId")
    asked = {**kept(payload, "duration", "chargingRateUnit"), "evseId": place_of(facts.memory, connector)[0]}

    def answer(outcome: Outcome) -> Json:
        told = member(outcome.payload or {}, "schedule")
        start, periods = text(told.get("scheduleStart")), _periods(told)
        limits = [tenths(period.get("limit")) for period in periods]
        if outcome.status != "Accepted" or start is None or not periods or None in limits:
            return {"status": "Rejected"}
        written = [
            {"startPeriod": integer(period.get("startPeriod")) or 0, "limit": limit, **kept(period, "numberPhases")}
            for period, limit in zip(periods, limits, strict=True)
        ]
        schedule = {
            **kept(told, "duration"),
            "startSchedule": start,
            "chargingRateUnit": "W" if told.get("chargingRateUnit") == "W" else "A",
            "chargingSchedulePeriod": written,
        }
        return {"status": "Accepted", "connectorId": connector, "scheduleStart": start, "chargingSchedule": schedule}

    return _composite_201(Command("GetCompositeSchedule", asked), answer)


def _composite_201(command: Command, answer: Callable[[Outcome], Json]) -> Steps:
    outcome = yield command
    if outcome.payload is None:
        return failed(outcome)
    periods = _periods(member(outcome.payload, "schedule"))
    losses: tuple[str, ...] = ("profile-phase",) if any(one.get("phaseToUse") is not None for one in periods) else ()
    losses += ("profile-digits",) if any(tenths(one.get("limit")) != one.get("limit") for one in periods) else ()
    return Reply(answer(outcome), losses=losses)
