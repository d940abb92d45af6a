"""What changes profiles of OCPP 2.1 while they are in force: new limits of dynamic ones, and priority."""

from dataclasses import replace
from datetime import datetime, timedelta

from gateway.model.profile import DynamicUpdate, Kind, PriorityStatus, Purpose, Refusal, Refused
from gateway.smartcharging.held import Running
from gateway.smartcharging.profiles import Outcome, Profiles, with_priority, with_profile


def update_dynamic(profiles: Profiles, update: DynamicUpdate, now: datetime) -> Outcome:
    """New limits of a dynamic profile, sent by the CSMS or pulled from it (OCPP 2.1 Part 2, K28)."""
    found = next((held for held in profiles.held if held.profile.id == update.profile), None)
    if found is None or found.profile.kind is not Kind.DYNAMIC:
        return Outcome(profiles, refusal=Refusal(Refused.NOT_FOUND, f"no dynamic profile {update.profile}"))
    limits = (update.limit, update.limit_l2, update.limit_l3)
    if update.needs or any(limit is not None and limit < 0 for limit in limits):
        what = f"{update.needs[0]} is not supported" if update.needs else "limit is negative"
        return Outcome(profiles, refusal=Refusal(Refused.UNSUPPORTED, what))
    if (update.limit_l2 is not None or update.limit_l3 is not None) and found.profile.purpose is not Purpose.TX:
        return Outcome(profiles, refusal=Refusal(Refused.PHASE_CONFLICT, "limit_L2 and limit_L3 need a TxProfile"))
    schedule = found.profile.schedules[0]
    period = schedule.periods[0]
    period = replace(
        period,
        limit=period.limit if update.limit is None else update.limit,
        limit_l2=period.limit_l2 if update.limit_l2 is None else update.limit_l2,
        limit_l3=period.limit_l3 if update.limit_l3 is None else update.limit_l3,
    )
    profile = replace(found.profile, schedules=(replace(schedule, periods=(period,)),), updated=now)
    return with_profile(profiles, replace(found, profile=profile, wire=None))


def due_updates(profiles: Profiles, now: datetime) -> tuple[tuple[int, ...], datetime | None]:
    """Ids of dynamic profiles whose update is to be pulled now, and when the next one is."""
    due: list[int] = []
    later: list[datetime] = []
    for held in profiles.held:
        profile = held.profile
        if profile.kind is not Kind.DYNAMIC or not profile.update_interval_s:
            continue
        at = (profile.updated or held.received) + timedelta(seconds=profile.update_interval_s)
        if at <= now:
            due.append(profile.id)
        else:
            later.append(at)
    return tuple(due), min(later, default=None)


def use_priority(profiles: Profiles, evse: int, running: Running | None, is_on: bool) -> tuple[Outcome, PriorityStatus]:
    """A UsePriorityCharging for the transaction at `evse`, or the driver's own wish as the station reports it."""
    if running is None:
        return Outcome(profiles), PriorityStatus.REJECTED
    of_priority = (held for held in profiles.held if held.profile.purpose is Purpose.PRIORITY)
    if is_on and not any(held.evse in (0, evse) for held in of_priority):
        return Outcome(profiles), PriorityStatus.NO_PROFILE
    return with_priority(Outcome(profiles), running.transaction, is_on), PriorityStatus.ACCEPTED
