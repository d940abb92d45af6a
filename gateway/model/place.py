"""Where a connector (1.6) or EVSE (2.x) of a station stands in the numbering of the whole site."""

from dataclasses import dataclass

from gateway.model.ids import StationId


@dataclass(frozen=True, slots=True)
class Place:
    """`number` is what the CSMS calls the EVSE `evse` of this station (in 1.6, its connector).

    A place is never deleted and its number never given to another one but by replacement. `is_removed`: the station
    has left the site; the number stays, as Unavailable.
    """

    number: int
    station: StationId
    evse: int
    is_removed: bool = False
