"""What a 1.6 station below a CSMS of 2.x has coming later, without anyone asking.

To be looked at after each message of the station and each command, and at the time that `next_look` tells.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.dialects.translate.admin import RESET_WHEN_IDLE, due_reset
from gateway.dialects.translate.base import Edit, Facts, Message, Steps
from gateway.dialects.translate.charging import has_reservations, next_end, reservations_over

SOON = timedelta(seconds=5)
"""When to look again while messages of the station wait: a start may be among them."""

AT_LEAST = timedelta(seconds=60)
"""How often to look when there is something to wait for: the time of day may be set."""


@dataclass(frozen=True, slots=True)
class Due:
    """`then`: CALLs to the CSMS. `remember` is kept when it has answered all of them: so they are said again after a
    power cut, and never lost. `steps`: what the station is asked, by nobody's command: the reply's edit is kept, its
    payload goes nowhere."""

    then: tuple[Message, ...] = ()
    remember: Edit | None = None
    steps: Steps | None = None


def due(facts: Facts) -> Due | None:
    """What is to be done now; None if there is nothing. While messages of the station wait, nobody knows."""
    if facts.is_offline:
        return None
    over, reset = reservations_over(facts), due_reset(facts)
    if over is None and reset is None:
        return None
    then, remember = over if over is not None else ((), None)
    return Due(then, remember, reset)


def next_look(facts: Facts) -> datetime | None:
    """When to look again though nothing happens; None if nothing is to come."""
    memory = facts.memory
    if not has_reservations(memory) and RESET_WHEN_IDLE not in memory.notes:
        return None
    if facts.is_offline:
        return facts.now + SOON
    latest = facts.now + AT_LEAST
    return min(next_end(memory) or latest, latest)
