"""What the configuration says of the whole site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.authorize import AuthorizationOptions
from gateway.core.outbox import RetryRule
from gateway.dialects.base import Budget
from gateway.model.circuit import Circuit
from gateway.model.ids import MeterId
from gateway.model.space import StorageLimits
from gateway.model.token import OfflineMode
from gateway.plan import Plan
from gateway.station import ModelOptions, StationOptions
from gateway.timekeeper import TimeOptions


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """`budgets`: seconds to wait for the CSMS; `suspect_s`: the same while its link is suspect.

    `after_boot_s`, `after_reconnect_s`: how long a station is asked nothing after the answer to its boot, or after it
    came back without one.
    `retry`: by dialect name, else `RetryRule()`. `messages_per_s`: of the site's backlog; 0 = no limit.
    `kept_days`: of a transaction that is over and delivered, in the file.
    """

    name: str = "site"
    offline: OfflineMode = OfflineMode.KNOWN_ONLY
    authorization: AuthorizationOptions = field(default_factory=AuthorizationOptions)
    budgets: Mapping[Budget, float] = field(
        default_factory=lambda: {Budget.AUTHORIZE: 4.0, Budget.START: 8.0, Budget.OTHER: 5.0}
    )
    suspect_s: float = 0.5
    call_timeout_s: float = 30.0
    after_boot_s: float = 1.0
    after_reconnect_s: float = 5.0
    time: TimeOptions = field(default_factory=TimeOptions)
    stations: Mapping[str, StationOptions] = field(default_factory=dict)
    models: Sequence[ModelOptions] = ()
    meters: Sequence[MeterId] = ()
    circuits: Sequence[Circuit] = ()
    plan: Plan | None = None
    retry: Mapping[str, RetryRule] = field(default_factory=dict)
    messages_per_s: float = 50.0
    limits: StorageLimits = field(default_factory=StorageLimits)
    kept_days: int = 90

    def patience_s(self, station: StationOptions, budget: Budget) -> float:
        """How long the CSMS is waited for while its link is good; never above 60 % of the station's own patience."""
        seconds, own = self.budgets[budget], station.call_timeout_s
        return seconds if own is None else min(seconds, 0.6 * own)
