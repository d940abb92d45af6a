"""Stations that nobody has put into a circuit: where they count, and what is to be said of them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from gateway.config_connector import Connector
from gateway.config_meters import Circuit
from gateway.config_mistakes import Mistake, quoted
from gateway.model.ids import StationId
from gateway.plan import Lodging


class InTree(Protocol):
    """A `[[station]]` as far as it matters here."""

    id: StationId
    circuit: str | None
    connectors: tuple[Connector, ...]
    family: str | None
    proven: bool
    limit_a: float | None
    elsewhere: bool


class Listener(Protocol):
    """A `[[downlink]]` likewise."""

    circuit: str | None
    rating_a: float


def of_no_circuit(
    circuits: Sequence[Circuit], stations: Iterable[InTree], lodgings: Sequence[Lodging], *, is_shared: bool
) -> Iterator[str]:
    """What becomes of stations that nobody has put into a circuit."""
    if not circuits:
        return
    names = [station.id for station in stations if station.circuit is None and not station.elsewhere]
    is_open = is_shared and any(lodging.circuit is None for lodging in lodgings)
    blind = [one.id for one in circuits if one.meter is None]
    for name in names:
        where = f"station {quoted(name)}: it is in no circuit"
        if is_open and blind:
            yield f"{where}, and waits: name its circuit, or that of its listener ({quoted(blind[0])} has no meter)"
        elif not is_shared or is_open or not lodgings:
            yield f"{where}, and its load counts as background"
        else:
            yield f"{where}, is not limited, and counts at its rating in its listener's"
    if is_open and blind and not names:
        yield f"downlink: stations in no circuit wait: {quoted(blind[0])} has no meter; name a circuit for them"


def mistakes_of_listeners(circuits: Sequence[Circuit], listeners: Iterable[Listener]) -> Iterator[Mistake]:
    """Circuits that listeners name, and that are not there."""
    names = [one.id for one in circuits]
    for index, listener in enumerate(listeners):
        if listener.circuit is not None and listener.circuit not in names:
            remedy = f"Write one of {', '.join(map(quoted, names))}." if names else "Add a section [circuit.NAME]."
            yield Mistake(f"downlink[{index}].circuit", f"there is no circuit {quoted(listener.circuit)}", remedy)


def rating_of(station: InTree) -> float:
    """Amperes a phase that a station can draw at most."""
    most = sum(connector.max_a for connector in station.connectors)
    return most if station.limit_a is None else min(most, station.limit_a)
