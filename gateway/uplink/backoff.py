"""The specification's reconnect back-off (OCPP 2.0.1 Part 4, 5.3 as corrected by the 2025 errata, 4.12)."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """RetryBackOffWaitMinimum, RetryBackOffRandomRange (seconds) and RetryBackOffRepeatTimes."""

    wait_minimum_s: float = 10.0
    random_range_s: float = 10.0
    repeat_times: int = 5

    def delay_s(self, failures: int, source: random.Random) -> float:
        """Wait before the next attempt after so many failures in a row: doubled each time, then constant."""
        doublings = min(max(failures - 1, 0), self.repeat_times)
        return self.wait_minimum_s * float(2**doublings) + source.uniform(0, self.random_range_s)
