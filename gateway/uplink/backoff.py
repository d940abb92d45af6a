"""The specification's reconnect back-off (OCPP 2.0.1 Part 4, 5.3 as corrected by the 2025 errata, 4.12)."""

import random
from dataclasses import dataclass

from gateway.columns import SiteColumns
from gateway.model.ids import StationId
from gateway.model.settings import Key

LONGEST_S = 3600
MOST_DOUBLINGS = 16


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

    def as_set(self, columns: SiteColumns, station: StationId) -> "Backoff":
        """As the CSMS has set it for this station's link, within what the configuration would take."""

        def figure(key: Key, configured: float, least: int, most: int) -> float:
            own = columns.believed_number(station, key)
            return configured if own is None else min(max(own, least), most)

        return Backoff(
            figure(Key.RETRY_WAIT_MINIMUM, self.wait_minimum_s, 1, LONGEST_S),
            figure(Key.RETRY_RANDOM_RANGE, self.random_range_s, 0, LONGEST_S),
            int(figure(Key.RETRY_REPEAT_TIMES, self.repeat_times, 0, MOST_DOUBLINGS)),
        )
