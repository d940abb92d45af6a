"""The OCPP 2.0.1 half of a simulated station."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ocpp.v201 import ChargePoint, call

from gateway.demo.obey_v201 import Obey201
from gateway.demo.physics import VOLTAGE_V, Connector, Transaction
from gateway.demo.station_wire import QueuedMessage, Wire, wire_payload

if TYPE_CHECKING:
    from gateway.demo.station import SimulatedStation

END_TRIGGERS = {
    "Local": "StopAuthorized",
    "Remote": "RemoteStop",
    "EVDisconnected": "EVDeparted",
    "DeAuthorized": "Deauthorized",
    "ImmediateReset": "ResetCommand",
}
SAMPLE_TRIGGERS = {"Sample.Periodic": "MeterValuePeriodic", "Sample.Clock": "MeterValueClock", "Trigger": "Trigger"}


class Wire201(Wire):
    subprotocol = "ocpp2.0.1"
    has_station_status = False
    peer_class = ChargePoint

    def __init__(self, station: "SimulatedStation") -> None:
        super().__init__(station)
        self._obey = Obey201(station)

    @property
    def stops_on_invalid_id(self) -> bool:
        return self._obey.variables["TxCtrlr", "StopTxOnInvalidId"] == "true"

    def boot(self, reason: str) -> Any:
        return call.BootNotification(
            charging_station={
                "model": "Simulated 22",
                "vendor_name": "Demo",
                "serial_number": self.station.identity[:25],
                "firmware_version": "1.0.0",
            },
            reason=reason,
        )

    def heartbeat(self) -> Any:
        return call.Heartbeat()

    def authorize(self, token: str) -> Any:
        return call.Authorize(id_token={"id_token": token, "type": "ISO14443"})

    def authorization_status(self, answer: Any) -> str:
        return str(answer.id_token_info["status"])

    def connector_status(self, connector: Connector) -> str:
        if connector.is_inoperative:
            return "Unavailable"
        if connector.transaction or connector.car:
            return "Occupied"
        return "Reserved" if connector.reservation else "Available"

    def status(self, connector: int, status: str) -> Any:
        return call.StatusNotification(self.station.timestamp(), status, evse_id=connector, connector_id=1)

    def _event(self, kind: str, trigger: str, connector: Connector, transaction: Transaction, **more: Any) -> Any:
        """The next TransactionEvent; `offline` tells what was so when it occurred."""
        info = {"transaction_id": transaction.name, "charging_state": transaction.charging_state or "EVConnected"}
        info |= more.pop("info", {})
        context = {"Started": "Transaction.Begin", "Ended": "Transaction.End"}.get(kind, "Sample.Periodic")
        timestamp = self.station.timestamp()
        event = call.TransactionEvent(
            event_type=kind,
            timestamp=timestamp,
            trigger_reason=trigger,
            seq_no=transaction.seq_no,
            transaction_info=info,
            meter_value=[self._meter_value(connector, more.pop("context", context), timestamp)],
            offline=None if self.station.is_connected else True,
            **more,
        )
        transaction.seq_no += 1
        return event

    def _meter_value(self, connector: Connector, context: str, timestamp: str) -> dict[str, Any]:
        def sample(value: float, measurand: str, unit: str, phase: str | None = None) -> dict[str, Any]:
            member = {"value": value, "context": context, "measurand": measurand, "location": "Outlet"}
            return {**member, "unit_of_measure": {"unit": unit}} | ({"phase": phase} if phase else {})

        samples = [
            sample(round(connector.energy_wh, 1), "Energy.Active.Import.Register", "Wh"),
            sample(round(connector.power_w, 1), "Power.Active.Import", "W"),
            sample(VOLTAGE_V, "Voltage", "V"),
        ]
        samples += [
            sample(round(connector.current_a, 3), "Current.Import", "A", f"L{phase}")
            for phase in range(1, connector.used_phases + 1)
        ]
        if connector.car and connector.car.soc is not None:
            samples.append({**sample(round(connector.car.soc, 1), "SoC", "Percent"), "location": "EV"})
        return {"timestamp": timestamp, "sampled_value": samples}

    def started(self, connector: Connector, transaction: Transaction) -> Any:
        is_remote = transaction.remote_start_id is not None
        return self._event(
            "Started",
            "RemoteStart" if is_remote else "Authorized",
            connector,
            transaction,
            info={"remote_start_id": transaction.remote_start_id},
            evse={"id": connector.number, "connector_id": 1},
            id_token={"id_token": transaction.token, "type": "Central" if is_remote else "ISO14443"},
            reservation_id=transaction.reservation_id,
        )

    def sampled(self, connector: Connector, transaction: Transaction, context: str) -> Any:
        return self._event("Updated", SAMPLE_TRIGGERS[context], connector, transaction, context=context)

    def meter_values(self, connector: Connector, context: str) -> Any:
        return call.MeterValues(connector.number, [self._meter_value(connector, context, self.station.timestamp())])

    def state_changed(self, connector: Connector, transaction: Transaction) -> Any | None:
        return self._event("Updated", "ChargingStateChanged", connector, transaction, context="Other")

    def ended(self, connector: Connector, transaction: Transaction, reason: str) -> Any:
        return self._event(
            "Ended",
            END_TRIGGERS.get(reason, "AbnormalCondition"),
            connector,
            transaction,
            info={"charging_state": "EVConnected", "stopped_reason": reason},
            id_token={"id_token": transaction.token, "type": "ISO14443"} if reason == "Local" else None,
        )

    def content(self, message: QueuedMessage) -> dict[str, Any]:
        return wire_payload(message.call)

    def to_send(self, message: QueuedMessage) -> Any:
        return message.call

    def take_answer(self, message: QueuedMessage, answer: Any) -> str | None:
        info = answer.id_token_info
        return str(info["status"]) if info and message.kind != "Ended" else None

    def handlers(self) -> dict[str, Callable[..., Any]]:
        return self._obey.handlers()
