"""What is known of the building's meters now: the live half of the site that the metering room writes."""

import asyncio
from collections.abc import Iterable

from gateway.core.site_load import site_load
from gateway.model.circuit import Circuit
from gateway.model.ids import CircuitId, MeterId
from gateway.model.metering import CircuitLoad, MeterState


class Meters:
    """Every configured meter's state, from the start on. Implements MeterPort."""

    def __init__(self, meters: Iterable[MeterId] = (), circuits: Iterable[Circuit] = ()) -> None:
        self.states: dict[MeterId, MeterState] = {meter: MeterState(meter=meter) for meter in meters}
        self.circuits: dict[CircuitId, Circuit] = {circuit.id: circuit for circuit in circuits}
        self.revision = 0
        """Counts what was put."""
        self._event = asyncio.Event()

    def put(self, state: MeterState) -> None:
        """A meter said something, or something about it changed: whoever waits is woken."""
        self.states[state.meter] = state
        self.revision += 1
        self._event.set()
        self._event = asyncio.Event()

    async def changed(self, since: int) -> int:
        """Wait until `revision` is no longer `since`; returns what it is then. Nothing is missed in between."""
        while self.revision == since:
            await self._event.wait()
        return self.revision

    def loads(self, now: float) -> dict[CircuitId, CircuitLoad]:
        """The load of every circuit, `now` in monotonic seconds."""
        return site_load(self.circuits.values(), self.states, now)
