"""What the virtual station takes of profiles: all that the gateway can hold, whatever the charger behind it can."""

from gateway.balancer import Balancer
from gateway.model.ids import StationId
from gateway.model.profile import Kind, Purpose, RateUnit
from gateway.smartcharging.profile_rules import Limits

_FIRST = frozenset((Purpose.STATION_MAX, Purpose.TX_DEFAULT, Purpose.TX))
_LATER = frozenset((Purpose.PRIORITY, Purpose.LOCAL_GENERATION))
_KINDS = frozenset((Kind.ABSOLUTE, Kind.RECURRING, Kind.RELATIVE))


def limits_of(balancer: Balancer, station: StationId, *, by_id: bool, is_dynamic: bool = False) -> Limits:
    """`by_id`: OCPP 2.x; `is_dynamic`: its later version."""
    keys = balancer.plan.keys_of(station) if balancer.plan else ()
    return Limits(
        evses=max((key.evse for key in keys), default=1),
        max_stack_level=1000,
        max_periods=1024,
        max_profiles=200,
        units=frozenset(RateUnit),
        purposes=_FIRST | _LATER if is_dynamic else _FIRST,
        kinds=frozenset((*_KINDS, Kind.DYNAMIC)) if is_dynamic else _KINDS,
        by_id=by_id,
        max_schedules=3 if by_id else 1,
    )
