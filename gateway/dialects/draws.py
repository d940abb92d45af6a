"""What stations say of currents and cars, read from the messages that pass by. Whatever can't be read is not said."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from gateway.dialects import payloads
from gateway.dialects.base import Json
from gateway.dialects.payloads import integer, member, objects, read_answer, text
from gateway.model.draw import CarNeed, Draw
from gateway.model.site_tree import NOMINAL_V

_PHASES: Final = {name: phase for phase in range(3) for name in (f"L{phase + 1}", f"L{phase + 1}-N")}


class DrawReader(Protocol):
    """Stateless; `actions` are those worth reading."""

    actions: frozenset[str]

    def read(self, action: str, payload: bytes) -> Draw | None:
        """None if the message says nothing of a connector."""


class Draws16:
    """OCPP 1.6: MeterValues."""

    actions = frozenset({"MeterValues"})

    def read(self, action: str, payload: bytes) -> Draw | None:
        found = read_answer(payload)
        evse = integer(found.get("connectorId"))
        if not evse:
            return None
        amps, names, said = _currents(objects(found, "meterValue"))
        own = text(found.get("transactionId"))
        return Draw(evse=evse, station_tx_id=own, amps=amps, names_phases=names, said=payloads.moment(said))


class Draws2x:
    """OCPP 2.0.1 and 2.1: TransactionEvent, MeterValues, NotifyEVChargingNeeds."""

    actions = frozenset({"TransactionEvent", "MeterValues", "NotifyEVChargingNeeds"})

    def read(self, action: str, payload: bytes) -> Draw | None:
        found = read_answer(payload)
        if action == "NotifyEVChargingNeeds":
            evse = integer(found.get("evseId"))
            return Draw(evse=evse, need=_need(member(found, "chargingNeeds"))) if evse else None
        info = member(found, "transactionInfo")
        evse = integer(member(found, "evse").get("id")) or integer(found.get("evseId")) or 0
        amps, names, said = _currents(objects(found, "meterValue"))
        state = text(info.get("chargingState"))
        phases = integer(found.get("numberOfPhasesUsed"))
        return Draw(
            evse=evse,
            station_tx_id=text(info.get("transactionId")),
            amps=amps,
            names_phases=names,
            said=payloads.moment(said),
            is_suspended=None if state is None else state.casefold() == "suspendedev",
            phases=phases if phases in (1, 2, 3) else None,
            cable_a=_number(found.get("cableMaxCurrent")),
        )


def _currents(values: Iterable[Json]) -> tuple[dict[int, float] | None, bool, Any]:
    """The newest currents by phase, whether their phases are named, and when they were measured.

    Where there is no current, from the active power of a phase.
    """
    newest: dict[int, float] | None = None
    names, said = True, None
    for value in values:
        amps: dict[int, float] = {}
        watts: dict[int, float] = {}
        named = True
        for sample in objects(value, "sampledValue"):
            measurand, location = text(sample.get("measurand")), text(sample.get("location"))
            number = _scaled(sample)
            if number is None or location not in (None, "Outlet"):
                continue
            phase = text(sample.get("phase"))
            if measurand == "Current.Import":
                named = named and phase is not None
                for own in range(3) if phase is None else (_PHASES.get(phase),):
                    if own is not None:
                        amps[own] = max(0.0, number)
            elif measurand == "Power.Active.Import" and phase in _PHASES:
                watts[_PHASES[phase]] = max(0.0, number)
        if not amps and watts:
            amps = {own: power / NOMINAL_V for own, power in watts.items()}
        if amps:
            newest, names, said = amps, named, value.get("timestamp")
    return newest, names, said


def _scaled(sample: Json) -> float | None:
    number = _number(sample.get("value"))
    if number is None:
        return None
    unit = member(sample, "unitOfMeasure")
    number *= 10.0 ** max(-9, min(9, integer(unit.get("multiplier")) or 0))
    name = text(sample.get("unit")) or text(unit.get("unit")) or ""
    return number * 1000 if name.casefold() == "kw" else number


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e9 else None


def _need(found: Json) -> CarNeed:
    """AC by amperes; of DC only when it leaves and how much it wants."""
    ac, dc = member(found, "acChargingParameters"), member(found, "dcChargingParameters")
    energy = _number(ac.get("energyAmount")) or _number(dc.get("energyAmount"))
    return CarNeed(
        energy_wh=energy, max_a=_number(ac.get("evMaxCurrent")), departure=payloads.moment(found.get("departureTime"))
    )


_2X = Draws2x()
DRAW_READERS: Mapping[str, DrawReader] = MappingProxyType({"1.6": Draws16(), "2.0.1": _2X, "2.1": _2X})
"""By the dialect's name."""
