"""How fast a whole site replays: fifty stations must not fall upon a CSMS that has just come back."""

import random


class Pace:
    """Gives out moments to send, one after another; uneven, so that they don't beat in time with other sites."""

    def __init__(self, per_second: float, source: random.Random) -> None:
        """`per_second`: messages on average; 0 = no limit."""
        self._interval_s = 1 / per_second if per_second else 0.0
        self._source = source
        self._next = 0.0

    def take(self, now: float) -> float:
        """The moment (monotonic, not before `now`) at which the asker may send one message."""
        moment = max(self._next, now)
        self._next = moment + self._interval_s * self._source.uniform(0.5, 1.5)
        return moment
