"""The profiles a CSMS has given the virtual station, and what its commands do to them.

Everything returns an `Outcome`: the set as it is now, and the changes that make it durable. The gateway's own profiles
are never in here, so no command of the CSMS can touch them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from gateway.model.ids import TransactionKey
from gateway.model.profile import (
    AskedProfile,
    ChargingProfile,
    Kind,
    ProfileFilter,
    Purpose,
    Refusal,
    StartProfile,
)
from gateway.smartcharging.held import Held, Place, Running, Supply
from gateway.smartcharging.profile_rules import Candidate, Limits, refuse

_A_PART = 4
START_WAITS = timedelta(minutes=10)
"""How long a RemoteStart's profile waits for its transaction."""


@dataclass(frozen=True, slots=True)
class Profiles:
    """Of one station. `priority`: transactions that charge with priority."""

    held: tuple[Held, ...] = ()
    priority: frozenset[TransactionKey] = frozenset()

    def place(
        self, evse: int, supply: Supply, running: Running | None = None, offline_since: datetime | None = None
    ) -> Place:
        """Where a composite is asked for; says itself whether priority is in use."""
        has_priority = running is not None and running.transaction in self.priority
        return Place(evse, supply, running, has_priority, offline_since)


@dataclass(frozen=True, slots=True)
class PutProfile:
    """Insert it, or replace the one with its key."""

    held: Held


@dataclass(frozen=True, slots=True)
class DropProfile:
    key: str


@dataclass(frozen=True, slots=True)
class SetPriority:
    transaction: TransactionKey
    is_on: bool


ProfileChange = PutProfile | DropProfile | SetPriority


@dataclass(frozen=True, slots=True)
class Outcome:
    profiles: Profiles
    changes: tuple[ProfileChange, ...] = ()
    refusal: Refusal | None = None


def to_json(held: Held) -> bytes:
    """A profile as JSON text, for a row of the store."""
    return msgspec.json.encode(held)


def from_json(row: bytes) -> Held:
    """What `to_json` wrote. Raises ValueError for anything else."""
    return _decode(row)


_decode = msgspec.json.Decoder(Held).decode


def put(
    profiles: Profiles,
    asked: AskedProfile,
    limits: Limits,
    running: Running | None,
    now: datetime,
    *,
    dialect: str = "",
) -> Outcome:
    """Take in a SetChargingProfile, or say why not. `running`: the transaction at its EVSE."""
    profile, wire = asked.profile, asked.wire
    if profile.kind is Kind.DYNAMIC:
        profile, wire = replace(profile, updated=now), None  # the station's own time counts
    if profile.purpose is not Purpose.TX and profile.transaction is not None:
        profile, wire = replace(profile, transaction=None), None  # it means nothing there
    refusal = refuse(Candidate(asked.evse, profile, running), _beside(profiles, asked.evse, profile, limits), limits)
    if refusal:
        return Outcome(profiles, refusal=refusal)
    transaction = running.transaction if running and profile.purpose is Purpose.TX else None
    key = _key(asked.evse, profile, limits)
    return with_profile(profiles, Held(key, asked.evse, profile, now, transaction, dialect=dialect, wire=wire))


def put_at_start(profiles: Profiles, asked: StartProfile, limits: Limits, now: datetime, dialect: str = "") -> Outcome:
    """Keep the profile of a RemoteStart until its transaction begins, or say why the start is refused."""
    key = _start_key(asked)
    others = [held for held in profiles.held if held.key != key]
    evse = asked.evse or 0
    refusal = refuse(Candidate(evse, asked.profile, is_remote_start=True), others, limits)
    if refusal:
        return Outcome(profiles, refusal=refusal)
    profile = replace(asked.profile, transaction=None)
    return with_profile(
        profiles,
        Held(
            key,
            evse,
            profile,
            now,
            waits_until=now + START_WAITS,
            token=asked.token,
            remote_start_id=asked.remote_start_id,
            dialect=dialect,
            wire=asked.wire,
        ),
    )


def start_refused(profiles: Profiles, asked: StartProfile) -> Outcome:
    """The station refused the RemoteStart, or never heard of it."""
    key = _start_key(asked)
    return _drop(profiles, lambda held: held.key == key)


def started(
    profiles: Profiles,
    evse: int,
    running: Running,
    limits: Limits,
    now: datetime,
    *,
    token: str | None = None,
    remote_start_id: int | None = None,
) -> Outcome:
    """A transaction began: the RemoteStart's profile becomes its own. `token` is folded.

    A start that names its remoteStartId is told by it, any other by its token.
    """
    waiting = [held for held in profiles.held if _is_for(held, evse, token, remote_start_id, now)]
    if not waiting:
        return Outcome(profiles)
    found = max(waiting, key=lambda held: (held.evse, held.received))
    profile = replace(found.profile, transaction=running.wire_id)
    key = _key(evse, profile, limits)
    bound = Held(key, evse, profile, found.received, running.transaction, dialect=found.dialect)
    dropped = _drop(profiles, lambda held: held is found)
    added = with_profile(dropped.profiles, bound)
    return Outcome(added.profiles, dropped.changes + added.changes)


def ended(profiles: Profiles, transaction: TransactionKey) -> Outcome:
    """A transaction ended: its TxProfiles are gone, and so is its priority."""
    dropped = _drop(profiles, lambda held: held.transaction == transaction)
    return with_priority(dropped, transaction, False)


def expire(profiles: Profiles, now: datetime, offline_since: datetime | None = None) -> Outcome:
    """Forget what can never hold again: past its validity, a start that never came, offline for too long.

    To be asked now and then, and before the CSMS counts as reachable again.
    """

    def is_over(held: Held) -> bool:
        profile = held.profile
        if profile.valid_to is not None and profile.valid_to <= now:
            return True
        if held.waits_until is not None and held.waits_until <= now:
            return True
        lasts = profile.max_offline_s
        if offline_since is None or lasts is None or not profile.ends_offline:
            return False
        return now - offline_since >= timedelta(seconds=lasts)

    return _drop(profiles, is_over)


def clear(profiles: Profiles, asked: ProfileFilter) -> Outcome:
    """Take out what matches; an id alone decides if there is one. Without changes the answer is Unknown."""
    wanted = ProfileFilter(ids=asked.ids) if asked.ids else asked
    return _drop(profiles, lambda held: matches(held.evse, held.profile, held.source, wanted))


def select(held: Iterable[Held], asked: ProfileFilter) -> tuple[Held, ...]:
    """What a GetChargingProfiles asks for. A profile that waits for its transaction is not installed yet."""
    installed = (one for one in held if one.waits_until is None)
    return tuple(one for one in installed if matches(one.evse, one.profile, one.source, asked))


@dataclass(frozen=True, slots=True)
class ReportPart:
    """One ReportChargingProfiles; a profile comes with its JSON as received where that may go out unchanged."""

    evse: int
    source: str
    profiles: tuple[tuple[ChargingProfile, str | None], ...]
    more_follow: bool


def report(found: Iterable[Held], dialect: str) -> list[ReportPart]:
    """Profiles as messages: each is about one EVSE and one source, and none is long."""
    groups: dict[tuple[int, str], list[tuple[ChargingProfile, str | None]]] = {}
    for held in found:
        wire = held.wire if held.dialect == dialect else None
        groups.setdefault((held.evse, held.source), []).append((held.profile, wire))
    parts = [
        ReportPart(evse, source, tuple(group[at : at + _A_PART]), True)
        for (evse, source), group in sorted(groups.items())
        for at in range(0, len(group), _A_PART)
    ]
    return [*parts[:-1], replace(parts[-1], more_follow=False)] if parts else []


def matches(evse: int, profile: ChargingProfile, source: str, asked: ProfileFilter) -> bool:
    return (
        (not asked.ids or profile.id in asked.ids)
        and asked.evse in (None, evse)
        and asked.purpose in (None, profile.purpose)
        and asked.stack_level in (None, profile.stack_level)
        and (not asked.sources or source in asked.sources)
    )


def _key(evse: int, profile: ChargingProfile, limits: Limits) -> str:
    return str(profile.id) if limits.by_id else f"{evse}/{profile.purpose}/{profile.stack_level}"


def _start_key(asked: StartProfile) -> str:
    return f"start/{asked.evse or 0}/{asked.token if asked.remote_start_id is None else asked.remote_start_id}"


def _beside(profiles: Profiles, evse: int, profile: ChargingProfile, limits: Limits) -> Iterable[Held]:
    """What stays when this one comes in."""
    key = _key(evse, profile, limits)
    return [held for held in profiles.held if held.key != key]


def with_profile(profiles: Profiles, held: Held) -> Outcome:
    """Put it in, in place of the one with its key."""
    others = tuple(other for other in profiles.held if other.key != held.key)
    return Outcome(replace(profiles, held=(*others, held)), (PutProfile(held),))


def _drop(profiles: Profiles, is_gone: Callable[[Held], bool]) -> Outcome:
    gone = [held for held in profiles.held if is_gone(held)]
    if not gone:
        return Outcome(profiles)
    kept = tuple(held for held in profiles.held if not any(held is other for other in gone))
    return Outcome(replace(profiles, held=kept), tuple(DropProfile(held.key) for held in gone))


def with_priority(before: Outcome, transaction: TransactionKey, is_on: bool) -> Outcome:
    """What was decided before, and the transaction's priority."""
    profiles = before.profiles
    if (transaction in profiles.priority) is is_on:
        return before
    priority = profiles.priority | {transaction} if is_on else profiles.priority - {transaction}
    return Outcome(replace(profiles, priority=priority), (*before.changes, SetPriority(transaction, is_on)))


def _is_for(held: Held, evse: int, token: str | None, remote_start_id: int | None, now: datetime) -> bool:
    if held.evse not in (0, evse) or held.waits_until is None or held.waits_until <= now:
        return False
    if remote_start_id is not None and held.remote_start_id is not None:
        return held.remote_start_id == remote_start_id
    return token is not None and held.token == token
