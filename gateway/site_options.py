"""What the configuration says of the whole site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.authorize import AuthorizationOptions
from gateway.dialects.base import Budget
from gateway.model.circuit import Circuit
from gateway.model.ids import MeterId
from gateway.model.token import OfflineMode
from gateway.station import ModelOptions, StationOptions


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """`budgets`: seconds to wait for the CSMS; `suspect_s`: the same while its link is suspect."""

    name: str = "site"
    offline: OfflineMode = OfflineMode.KNOWN_ONLY
    authorization: AuthorizationOptions = field(default_factory=AuthorizationOptions)
    budgets: Mapping[Budget, float] = field(
        default_factory=lambda: {Budget.AUTHORIZE: 4.0, Budget.START: 8.0, Budget.OTHER: 5.0}
    )
    suspect_s: float = 0.5
    call_timeout_s: float = 30.0
    stations: Mapping[str, StationOptions] = field(default_factory=dict)
    models: Sequence[ModelOptions] = ()
    meters: Sequence[MeterId] = ()
    circuits: Sequence[Circuit] = ()

    def patience_s(self, station: StationOptions, budget: Budget) -> float:
        """How long the CSMS is waited for while its link is good; never above 60 % of the station's own patience."""
        seconds, own = self.budgets[budget], station.call_timeout_s
        return seconds if own is None else min(seconds, 0.6 * own)
