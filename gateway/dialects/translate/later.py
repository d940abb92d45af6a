"""What a 1.6 station below a CSMS of 2.x has coming later, without anyone asking.

To be looked at after each message of the station and each command, and at the time that `next_look` tells.
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.dialects.translate.admin import due_reset
from gateway.dialects.translate.base import Edit, Facts, Message, Steps
from gateway.dialects.translate.charging import next_end, reservations_over


@dataclass(frozen=True, slots=True)
class Due:
    """`remember` is on disk before anything leaves. `then`: CALLs to the CSMS. `steps`: what the station is asked, by
    nobody's command: the reply's edit is kept, its payload goes nowhere."""

    then: tuple[Message, ...] = ()
    remember: Edit | None = None
    steps: Steps | None = None


def due(facts: Facts) -> Due | None:
    """What is to be done now; None if there is nothing."""
    over, reset = reservations_over(facts), due_reset(facts)
    if over is None and reset is None:
        return None
    then, remember = over if over is not None else ((), None)
    return Due(then, remember, reset)


def next_look(facts: Facts) -> datetime | None:
    """When something is due though nothing happens: the next end of a reservation."""
    return next_end(facts.memory)
