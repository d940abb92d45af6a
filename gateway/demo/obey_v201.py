"""The commands an OCPP 2.0.1 station obeys."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ocpp.v201 import call, call_result

from gateway.demo.history import iso, utc_now
from gateway.demo.physics import VOLTAGE_V, Connector
from gateway.demo.profiles import try_parse

if TYPE_CHECKING:
    from gateway.demo.station import SimulatedStation

READ_ONLY = {("SmartChargingCtrlr", "ProfileStackLevel"), ("SmartChargingCtrlr", "RateUnit")}
WRITE_ONLY = {("SecurityCtrlr", "BasicAuthPassword")}
MAX_STACK_LEVEL = 8


class Obey201:
    """Handlers take the payload's members as the `ocpp` package hands them over, and return its answer dataclass."""

    def __init__(self, station: "SimulatedStation") -> None:
        self.station = station
        self.local_list: dict[str, Any] = {}
        self.local_list_version = 0
        self.variables: dict[tuple[str, str], str] = {
            ("OCPPCommCtrlr", "HeartbeatInterval"): "300",
            ("OCPPCommCtrlr", "MessageTimeout"): str(round(station.options.call_timeout_s)),
            ("SampledDataCtrlr", "TxUpdatedInterval"): str(round(station.options.meter_interval_s)),
            ("TxCtrlr", "StopTxOnInvalidId"): "true",
            ("TxCtrlr", "TxStartPoint"): "PowerPathClosed",
            ("TxCtrlr", "TxStopPoint"): "EVConnected,Authorized",
            ("SmartChargingCtrlr", "ProfileStackLevel"): str(MAX_STACK_LEVEL),
            ("SmartChargingCtrlr", "RateUnit"): "A,W",
            ("SecurityCtrlr", "BasicAuthPassword"): "",
        }

    def handlers(self) -> dict[str, Callable[..., Any]]:
        return {
            "RequestStartTransaction": self.request_start,
            "RequestStopTransaction": self.request_stop,
            "SetChargingProfile": self.set_profile,
            "ClearChargingProfile": self.clear_profile,
            "GetCompositeSchedule": self.composite_schedule,
            "SetVariables": self.set_variables,
            "GetVariables": self.get_variables,
            "GetBaseReport": self.base_report,
            "GetTransactionStatus": self.transaction_status,
            "Reset": self.reset,
            "ChangeAvailability": self.change_availability,
            "UnlockConnector": self.unlock,
            "TriggerMessage": self.trigger,
            "ReserveNow": self.reserve,
            "CancelReservation": self.cancel_reservation,
            "UpdateFirmware": self.update_firmware,
            "GetLog": self.get_log,
            "SendLocalList": self.send_local_list,
            "GetLocalListVersion": lambda **_: call_result.GetLocalListVersion(self.local_list_version),
            "DataTransfer": lambda **_: call_result.DataTransfer("UnknownVendorId"),
            "ClearCache": lambda **_: call_result.ClearCache("Accepted"),
        }

    def request_start(
        self, id_token: dict[str, Any], remote_start_id: int, evse_id: int | None = None, **more: Any
    ) -> Any:
        token = id_token["id_token"]
        free = [c for c in self.station.connectors.values() if not c.transaction and not c.is_inoperative]
        chosen = next((c for c in free if evse_id in (None, c.number)), None)
        if chosen is None or (chosen.reservation and chosen.reservation[1] != token):
            return call_result.RequestStartTransaction("Rejected")
        if more.get("charging_profile"):
            profile = try_parse(more["charging_profile"], chosen.phases)
            if profile is None:
                return call_result.RequestStartTransaction("Rejected")
            self.station.profiles.put(chosen.number, profile)
        self.station.later(lambda: self.station.begin(chosen.number, token, remote_start_id))
        return call_result.RequestStartTransaction("Accepted")

    def request_stop(self, transaction_id: str, **_: Any) -> Any:
        connector = self._with_transaction(transaction_id)
        if connector is None:
            return call_result.RequestStopTransaction("Rejected")
        self.station.later(lambda: self.station.end(connector.number, "Remote"))
        return call_result.RequestStopTransaction("Accepted")

    def _with_transaction(self, transaction_id: str) -> Connector | None:
        running = (c for c in self.station.connectors.values() if c.transaction)
        return next((c for c in running if c.transaction and c.transaction.name == transaction_id), None)

    def set_profile(self, evse_id: int, charging_profile: dict[str, Any], **_: Any) -> Any:
        connector = self.station.connectors.get(evse_id)
        if connector is None and evse_id != 0:
            return call_result.SetChargingProfile("Rejected")
        profile = try_parse(charging_profile, connector.phases if connector else self.station.options.phases)
        if profile is None:
            return call_result.SetChargingProfile("Rejected")
        may_hold = 0 <= profile.stack_level <= MAX_STACK_LEVEL and (
            profile.purpose == "TxDefault" or (profile.purpose == "Max" and connector is None)
        )
        if profile.purpose == "Tx":
            running = connector.transaction if connector else None
            may_hold = running is not None and profile.transaction == running.name
        if not may_hold:
            return call_result.SetChargingProfile("Rejected")
        self.station.profiles.put(evse_id, profile)
        return call_result.SetChargingProfile("Accepted")

    def clear_profile(
        self,
        charging_profile_id: int | None = None,
        charging_profile_criteria: dict[str, Any] | None = None,
        **_: Any,
    ) -> Any:
        criteria = charging_profile_criteria or {}
        went = self.station.profiles.clear(
            charging_profile_id,
            criteria.get("evse_id"),
            criteria.get("charging_profile_purpose"),
            criteria.get("stack_level"),
        )
        return call_result.ClearChargingProfile("Accepted" if went else "Unknown")

    def composite_schedule(self, duration: int, evse_id: int, charging_rate_unit: str | None = None, **_: Any) -> Any:
        connector = self.station.connectors.get(evse_id)
        if connector is None:
            return call_result.GetCompositeSchedule("Rejected")
        unit = charging_rate_unit or "A"
        now = utc_now()
        tx_start = connector.transaction.started if connector.transaction else None
        rated_w = connector.max_a * VOLTAGE_V * connector.phases
        periods = self.station.profiles.composite(evse_id, now, duration, tx_start, rated_w)
        per_unit = 1.0 if unit == "W" else VOLTAGE_V * connector.phases
        schedule = {
            "evse_id": evse_id,
            "duration": duration,
            "schedule_start": iso(now),
            "charging_rate_unit": unit,
            "charging_schedule_period": [
                {"start_period": start, "limit": round(watts / per_unit, 1), "number_phases": connector.phases}
                for start, watts in periods
            ],
        }
        return call_result.GetCompositeSchedule("Accepted", schedule=schedule)

    def set_variables(self, set_variable_data: list[dict[str, Any]], **_: Any) -> Any:
        return call_result.SetVariables([self._set_variable(entry) for entry in set_variable_data])

    def _set_variable(self, entry: dict[str, Any]) -> dict[str, Any]:
        name = (entry["component"]["name"], entry["variable"]["name"])
        value = entry["attribute_value"]
        is_number = name[1].endswith("Interval")
        if not any(name[0] == component for component, _ in self.variables):
            status = "UnknownComponent"
        elif name not in self.variables:
            status = "UnknownVariable"
        elif name in READ_ONLY or (is_number and not value.isdigit()):
            status = "Rejected"
        else:
            status = "Accepted"
            self.variables[name] = value
            self._apply(name[1], value)
        return {"attribute_status": status, "component": entry["component"], "variable": entry["variable"]}

    def _apply(self, variable: str, value: str) -> None:
        if variable == "HeartbeatInterval":
            self.station.link.heartbeat_s = float(value)
        elif variable == "TxUpdatedInterval":
            self.station.meter_interval_s = float(value)
        elif variable == "BasicAuthPassword":
            self.station.password = value

    def get_variables(self, get_variable_data: list[dict[str, Any]], **_: Any) -> Any:
        return call_result.GetVariables([self._get_variable(entry) for entry in get_variable_data])

    def _get_variable(self, entry: dict[str, Any]) -> dict[str, Any]:
        name = (entry["component"]["name"], entry["variable"]["name"])
        answer = {"component": entry["component"], "variable": entry["variable"]}
        if not any(name[0] == component for component, _ in self.variables):
            return {**answer, "attribute_status": "UnknownComponent"}
        if name not in self.variables:
            return {**answer, "attribute_status": "UnknownVariable"}
        if name in WRITE_ONLY:
            return {**answer, "attribute_status": "Rejected"}
        return {**answer, "attribute_status": "Accepted", "attribute_value": self.variables[name]}

    def base_report(self, request_id: int, **_: Any) -> Any:
        report = [
            {
                "component": {"name": component},
                "variable": {"name": variable},
                "variable_attribute": [{"value": value}]
                if (component, variable) not in WRITE_ONLY
                else [{"mutability": "WriteOnly"}],
            }
            for (component, variable), value in self.variables.items()
        ]
        self.station.notify_in_turn([call.NotifyReport(request_id, self.station.timestamp(), 0, report, tbc=False)])
        return call_result.GetBaseReport("Accepted")

    def transaction_status(self, transaction_id: str | None = None, **_: Any) -> Any:
        queued = {m.transaction.name for m in self.station.link.queue}
        if transaction_id is None:
            return call_result.GetTransactionStatus(bool(queued))
        return call_result.GetTransactionStatus(
            transaction_id in queued, self._with_transaction(transaction_id) is not None
        )

    def reset(self, type: str, evse_id: int | None = None, **_: Any) -> Any:  # noqa: A002 (OCPP's own name)
        if evse_id is not None:
            return call_result.Reset("Rejected")
        if type == "OnIdle" and self.station.running:
            self.station.reset_when_idle = True
            return call_result.Reset("Scheduled")
        self.station.later(lambda: self.station.reset("ImmediateReset", "RemoteReset"))
        return call_result.Reset("Accepted")

    def change_availability(self, operational_status: str, evse: dict[str, Any] | None = None, **_: Any) -> Any:
        number = evse["id"] if evse else 0
        chosen = [c for c in self.station.connectors.values() if number in (0, c.number)]
        if not chosen:
            return call_result.ChangeAvailability("Rejected")
        status = self.station.set_availability(chosen, operational_status == "Operative")
        return call_result.ChangeAvailability(status)

    def unlock(self, evse_id: int, **_: Any) -> Any:
        connector = self.station.connectors.get(evse_id)
        if connector is None:
            return call_result.UnlockConnector("UnknownConnector")
        if connector.transaction:
            return call_result.UnlockConnector("OngoingAuthorizedTransaction")
        self.station.later(lambda: self.station.unplug(evse_id))
        return call_result.UnlockConnector("Unlocked")

    def trigger(self, requested_message: str, evse: dict[str, Any] | None = None, **_: Any) -> Any:
        station = self.station
        evse_id = evse["id"] if evse else None
        acts: dict[str, Callable[[], object]] = {
            "BootNotification": station.link.boot_now,
            "Heartbeat": lambda: station.notify(call.Heartbeat()),
            "StatusNotification": lambda: station.link.report_status_again(evse_id),
            "MeterValues": lambda: self._triggered_meter_values(evse_id),
            "TransactionEvent": lambda: self._triggered_events(evse_id),
            "FirmwareStatusNotification": lambda: station.notify(call.FirmwareStatusNotification("Idle")),
            "LogStatusNotification": lambda: station.notify(call.LogStatusNotification("Idle")),
        }
        is_unknown = evse_id is not None and evse_id not in station.connectors
        if is_unknown or (requested_message == "BootNotification" and station.is_accepted):
            return call_result.TriggerMessage("Rejected")
        if requested_message not in acts:
            return call_result.TriggerMessage("NotImplemented")
        station.later(acts[requested_message])
        return call_result.TriggerMessage("Accepted")

    def _triggered_meter_values(self, evse_id: int | None) -> None:
        for connector in self.station.connectors.values():
            if evse_id in (None, connector.number):
                self.station.notify(self.station.wire.meter_values(connector, "Trigger"))

    def _triggered_events(self, evse_id: int | None) -> None:
        for number in self.station.connectors:
            if evse_id in (None, number):
                self.station.sample(number, "Trigger")

    def reserve(
        self,
        id: int,  # noqa: A002 (OCPP's own name)
        id_token: dict[str, Any],
        evse_id: int | None = None,
        **_: Any,
    ) -> Any:
        chosen = [c for c in self.station.connectors.values() if evse_id in (None, c.number)]
        if not chosen:
            return call_result.ReserveNow("Rejected")
        free = [c for c in chosen if not (c.transaction or c.car or c.is_inoperative)]
        free = [c for c in free if c.reservation is None or c.reservation[0] == id]
        if not free:
            return call_result.ReserveNow("Occupied")
        free[0].reservation = (id, id_token["id_token"])
        self.station.touch()
        return call_result.ReserveNow("Accepted")

    def cancel_reservation(self, reservation_id: int, **_: Any) -> Any:
        went = self.station.cancel_reservation(reservation_id)
        return call_result.CancelReservation("Accepted" if went else "Rejected")

    def update_firmware(self, request_id: int, **_: Any) -> Any:
        statuses = ("Downloading", "Downloaded", "Installing", "Installed")
        self.station.notify_in_turn(call.FirmwareStatusNotification(status, request_id) for status in statuses)
        return call_result.UpdateFirmware("Accepted")

    def get_log(self, request_id: int, **_: Any) -> Any:
        self.station.notify_in_turn(
            call.LogStatusNotification(status, request_id) for status in ("Uploading", "Uploaded")
        )
        return call_result.GetLog("Accepted", filename="log.txt")

    def send_local_list(
        self, version_number: int, update_type: str, local_authorization_list: list[Any] | None = None, **_: Any
    ) -> Any:
        entries = {
            entry["id_token"]["id_token"]: entry.get("id_token_info") for entry in local_authorization_list or []
        }
        if update_type == "Differential" and version_number <= self.local_list_version:
            return call_result.SendLocalList("VersionMismatch")
        held = {} if update_type == "Full" else self.local_list
        self.local_list = {token: info for token, info in {**held, **entries}.items() if info is not None}
        self.local_list_version = version_number
        return call_result.SendLocalList("Accepted")
