"""The OCPP 1.6 half of a simulated station."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ocpp.v16 import ChargePoint, call

from gateway.demo.obey_v16 import Obey16
from gateway.demo.physics import VOLTAGE_V, Connector, Transaction
from gateway.demo.station_wire import QueuedMessage, Wire, wire_payload

if TYPE_CHECKING:
    from gateway.demo.station import SimulatedStation


class Wire16(Wire):
    subprotocol = "ocpp1.6"
    has_station_status = True
    peer_class = ChargePoint

    def __init__(self, station: "SimulatedStation") -> None:
        super().__init__(station)
        self._obey = Obey16(station)

    @property
    def stops_on_invalid_id(self) -> bool:
        return self._obey.configuration["StopTransactionOnInvalidId"] == "true"

    # Messages

    def boot(self, reason: str) -> Any:
        return call.BootNotification(
            charge_point_model="Simulated 22",
            charge_point_vendor="Demo",
            charge_point_serial_number=self.station.identity[:25],
            firmware_version="1.0.0",
        )

    def heartbeat(self) -> Any:
        return call.Heartbeat()

    def authorize(self, token: str) -> Any:
        return call.Authorize(id_tag=token)

    def authorization_status(self, answer: Any) -> str:
        return str(answer.id_tag_info["status"])

    def connector_status(self, connector: Connector) -> str:
        if connector.transaction:
            state = connector.transaction.charging_state
            return {"SuspendedEV": "SuspendedEV", "SuspendedEVSE": "SuspendedEVSE"}.get(state, "Charging")
        if connector.is_inoperative:
            return "Unavailable"
        if connector.car:
            return "Finishing" if connector.is_finished else "Preparing"
        return "Reserved" if connector.reservation else "Available"

    def status(self, connector: int, status: str) -> Any:
        return call.StatusNotification(connector, "NoError", status, self.station.timestamp())

    def started(self, connector: Connector, transaction: Transaction) -> Any:
        return call.StartTransaction(
            connector_id=connector.number,
            id_tag=transaction.token,
            meter_start=transaction.meter_start_wh,
            timestamp=self.station.timestamp(),
            reservation_id=transaction.reservation_id,
        )

    def _meter_value(self, connector: Connector, context: str) -> dict[str, Any]:
        def sample(value: float, measurand: str, unit: str, digits: int = 1, phase: str | None = None) -> Any:
            member = {"value": f"{value:.{digits}f}", "context": context, "measurand": measurand, "unit": unit}
            return {**member, "location": "Outlet"} | ({"phase": phase} if phase else {})

        samples = [
            sample(connector.energy_wh, "Energy.Active.Import.Register", "Wh", 0),
            sample(connector.power_w, "Power.Active.Import", "W"),
            sample(VOLTAGE_V, "Voltage", "V"),
        ]
        samples += [
            sample(connector.current_a, "Current.Import", "A", 2, f"L{phase}")
            for phase in range(1, connector.used_phases + 1)
        ]
        if connector.car and connector.car.soc is not None:
            samples.append({**sample(connector.car.soc, "SoC", "Percent"), "location": "EV"})
        return {"timestamp": self.station.timestamp(), "sampled_value": samples}

    def meter_values(self, connector: Connector, context: str) -> Any:
        return call.MeterValues(connector.number, [self._meter_value(connector, context)])

    def sampled(self, connector: Connector, transaction: Transaction, context: str) -> Any:
        return self.meter_values(connector, context)

    def state_changed(self, connector: Connector, transaction: Transaction) -> Any | None:
        return None

    def ended(self, connector: Connector, transaction: Transaction, reason: str) -> Any:
        return call.StopTransaction(
            meter_stop=round(connector.energy_wh),
            timestamp=self.station.timestamp(),
            transaction_id=0,
            reason=reason,
            id_tag=transaction.token if reason == "Local" else None,
        )

    def content(self, message: QueuedMessage) -> dict[str, Any]:
        payload = wire_payload(message.call)
        payload.pop("transactionId", None)
        return payload

    def to_send(self, message: QueuedMessage) -> Any:
        if message.kind == "Started":
            return message.call
        return replace(message.call, transaction_id=message.transaction.station_tx_id)

    def take_answer(self, message: QueuedMessage, answer: Any) -> str | None:
        if message.kind == "Started":
            message.transaction.station_tx_id = answer.transaction_id
        info = getattr(answer, "id_tag_info", None)
        return str(info["status"]) if info and message.kind == "Started" else None

    def handlers(self) -> dict[str, Callable[..., Any]]:
        return self._obey.handlers()
