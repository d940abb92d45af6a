"""What an operator must know, and what was done to the queue: alarms, the audit trail, the replay's pace."""

import logging
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.core.pace import Pace
from gateway.model.ids import StationId
from gateway.model.reasons import AlarmKind, AuditKind
from gateway.model.records import AuditEntry, Change, Drop, Put

log = logging.getLogger(__name__)

AUDIT_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Alarm:
    kind: AlarmKind
    text: str
    since: datetime


class Upkeep:
    """Live, but for the audit trail. `not_kept`: meter values refused a place since the audit trail last said so."""

    def __init__(self, messages_per_s: float, source: random.Random) -> None:
        self.alarms: dict[AlarmKind, Alarm] = {}
        self.audit: deque[AuditEntry] = deque()
        self.pace = Pace(messages_per_s, source)
        self.not_kept = 0

    def raise_alarm(self, kind: AlarmKind, text: str, now: datetime) -> None:
        """Say what is wrong. It is logged when it begins; a newer text replaces the older one."""
        known = self.alarms.get(kind)
        if known is None:
            log.error("alarm %s: %s", kind, text)
        self.alarms[kind] = Alarm(kind, text, known.since if known else now)

    def clear_alarm(self, kind: AlarmKind) -> None:
        if self.alarms.pop(kind, None):
            log.warning("alarm %s is over", kind)

    def entries(
        self, now: datetime, kind: AuditKind, said: Sequence[tuple[StationId | None, str, bytes | None]]
    ) -> list[Change]:
        """The changes that add to the audit trail (station, text, detail); as many of the oldest give way."""
        newest = self.audit[-1].id if self.audit else 0
        added = [Put(AuditEntry(newest + 1 + number, now, kind, *one)) for number, one in enumerate(said)]
        surplus = max(0, min(len(self.audit), len(self.audit) + len(said) - AUDIT_KEPT))
        return [*added, *(Drop(self.audit[number]) for number in range(surplus))]

    def entry(self, now: datetime, kind: AuditKind, text: str) -> list[Change]:
        """One that is about no single station."""
        return self.entries(now, kind, [(None, text, None)])

    def apply(self, entry: AuditEntry, is_put: bool) -> None:
        """Apply one change of the audit trail to memory."""
        if is_put:
            self.audit.append(entry)
        elif self.audit and self.audit[0].id == entry.id:
            self.audit.popleft()
