"""The commands an OCPP 1.6 station obeys."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ocpp.v16 import call, call_result

from gateway.demo.history import iso, utc_now
from gateway.demo.physics import VOLTAGE_V, Connector
from gateway.demo.profiles import try_parse

if TYPE_CHECKING:
    from gateway.demo.station import SimulatedStation

READ_ONLY = {
    "NumberOfConnectors",
    "SupportedFeatureProfiles",
    "ChargeProfileMaxStackLevel",
    "ChargingScheduleAllowedChargingRateUnit",
    "ChargingScheduleMaxPeriods",
    "MaxChargingProfilesInstalled",
    "LocalAuthListMaxLength",
    "SendLocalListMaxLength",
}
MAX_STACK_LEVEL = 8


class Obey16:
    """Handlers take the payload's members as the `ocpp` package hands them over, and return its answer dataclass."""

    def __init__(self, station: "SimulatedStation") -> None:
        self.station = station
        self.local_list: dict[str, Any] = {}
        self.local_list_version = 0
        self.configuration = {
            "NumberOfConnectors": "",
            "SupportedFeatureProfiles": "Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,"
            "RemoteTrigger",
            "ChargeProfileMaxStackLevel": str(MAX_STACK_LEVEL),
            "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
            "ChargingScheduleMaxPeriods": "24",
            "MaxChargingProfilesInstalled": "20",
            "LocalAuthListMaxLength": "100",
            "SendLocalListMaxLength": "100",
            "HeartbeatInterval": "300",
            "MeterValueSampleInterval": str(round(station.options.meter_interval_s)),
            "AuthorizeRemoteTxRequests": "false",
            "StopTransactionOnInvalidId": "true",
            "LocalAuthorizeOffline": "true",
            "WebSocketPingInterval": "20",
        }

    def handlers(self) -> dict[str, Callable[..., Any]]:
        return {
            "RemoteStartTransaction": self.remote_start,
            "RemoteStopTransaction": self.remote_stop,
            "SetChargingProfile": self.set_profile,
            "ClearChargingProfile": self.clear_profile,
            "GetCompositeSchedule": self.composite_schedule,
            "ChangeConfiguration": self.change_configuration,
            "GetConfiguration": self.get_configuration,
            "Reset": self.reset,
            "ChangeAvailability": self.change_availability,
            "UnlockConnector": self.unlock,
            "TriggerMessage": self.trigger,
            "ReserveNow": self.reserve,
            "CancelReservation": self.cancel_reservation,
            "UpdateFirmware": self.update_firmware,
            "GetDiagnostics": self.get_diagnostics,
            "GetLog": self.get_log,
            "SendLocalList": self.send_local_list,
            "GetLocalListVersion": lambda **_: call_result.GetLocalListVersion(self.local_list_version),
            "DataTransfer": lambda **_: call_result.DataTransfer("UnknownVendorId"),
            "ClearCache": lambda **_: call_result.ClearCache("Accepted"),
        }

    def _with_transaction(self, transaction_id: int) -> Connector | None:
        running = (c for c in self.station.connectors.values() if c.transaction)
        return next((c for c in running if c.transaction and c.transaction.station_tx_id == transaction_id), None)

    def remote_start(self, id_tag: str, connector_id: int | None = None, **more: Any) -> Any:
        free = [c for c in self.station.connectors.values() if not c.transaction and not c.is_inoperative]
        chosen = next((c for c in free if connector_id in (None, c.number)), None)
        if chosen is None or (chosen.reservation and chosen.reservation[1] != id_tag):
            return call_result.RemoteStartTransaction("Rejected")
        if more.get("charging_profile"):
            profile = try_parse(more["charging_profile"], chosen.phases)
            if profile is None:
                return call_result.RemoteStartTransaction("Rejected")
            self.station.profiles.put(chosen.number, profile)
        self.station.later(lambda: self.station.begin(chosen.number, id_tag))
        return call_result.RemoteStartTransaction("Accepted")

    def remote_stop(self, transaction_id: int, **_: Any) -> Any:
        connector = self._with_transaction(transaction_id)
        if connector is None:
            return call_result.RemoteStopTransaction("Rejected")
        self.station.later(lambda: self.station.end(connector.number, "Remote"))
        return call_result.RemoteStopTransaction("Accepted")

    def set_profile(self, connector_id: int, cs_charging_profiles: dict[str, Any], **_: Any) -> Any:
        connector = self.station.connectors.get(connector_id)
        if connector is None and connector_id != 0:
            return call_result.SetChargingProfile("Rejected")
        phases = connector.phases if connector else self.station.options.phases
        profile = try_parse(cs_charging_profiles, phases)
        if profile is None:
            return call_result.SetChargingProfile("Rejected")
        if not self._may_hold(connector, profile.purpose, profile.transaction, profile.stack_level):
            return call_result.SetChargingProfile("Rejected")
        self.station.profiles.put(connector_id, profile)
        return call_result.SetChargingProfile("Accepted")

    def _may_hold(self, connector: Connector | None, purpose: str, transaction: str | None, level: int) -> bool:
        if not 0 <= level <= MAX_STACK_LEVEL:
            return False
        if purpose == "Tx":
            running = connector.transaction if connector else None
            return running is not None and transaction in (None, str(running.station_tx_id))
        return purpose == "TxDefault" or connector is None

    def clear_profile(
        self,
        id: int | None = None,  # noqa: A002 (OCPP's own name)
        connector_id: int | None = None,
        charging_profile_purpose: str | None = None,
        stack_level: int | None = None,
        **_: Any,
    ) -> Any:
        went = self.station.profiles.clear(id, connector_id, charging_profile_purpose, stack_level)
        return call_result.ClearChargingProfile("Accepted" if went else "Unknown")

    def composite_schedule(
        self, connector_id: int, duration: int, charging_rate_unit: str | None = None, **_: Any
    ) -> Any:
        connector = self.station.connectors.get(connector_id)
        if connector is None:
            return call_result.GetCompositeSchedule("Rejected")
        unit = charging_rate_unit or "A"
        now = utc_now()
        tx_start = connector.transaction.started if connector.transaction else None
        rated_w = connector.max_a * VOLTAGE_V * connector.phases
        periods = self.station.profiles.composite(connector_id, now, duration, tx_start, rated_w)
        per_unit = 1.0 if unit == "W" else VOLTAGE_V * connector.phases
        schedule = {
            "duration": duration,
            "charging_rate_unit": unit,
            "charging_schedule_period": [
                {"start_period": start, "limit": round(watts / per_unit, 1), "number_phases": connector.phases}
                for start, watts in periods
            ],
        }
        return call_result.GetCompositeSchedule("Accepted", connector_id, iso(now), schedule)

    def change_configuration(self, key: str, value: str, **_: Any) -> Any:
        station = self.station
        if key == "AuthorizationKey":
            station.password = bytes.fromhex(value)
        elif key not in self.configuration:
            return call_result.ChangeConfiguration("NotSupported")
        elif key in READ_ONLY:
            return call_result.ChangeConfiguration("Rejected")
        elif key in ("HeartbeatInterval", "MeterValueSampleInterval"):
            if not value.isdigit():
                return call_result.ChangeConfiguration("Rejected")
            if key == "HeartbeatInterval":
                station.link.heartbeat_s = float(value)
            else:
                station.meter_interval_s = float(value)
        if key != "AuthorizationKey":
            self.configuration[key] = value
        return call_result.ChangeConfiguration("Accepted")

    def get_configuration(self, key: list[str] | None = None, **_: Any) -> Any:
        held = {**self.configuration, "NumberOfConnectors": str(len(self.station.connectors))}
        known = [
            {"key": name, "readonly": name in READ_ONLY, "value": value}
            for name, value in held.items()
            if not key or name in key
        ]
        return call_result.GetConfiguration(known, [name for name in key or [] if name not in held] or None)

    def reset(self, type: str, **_: Any) -> Any:  # noqa: A002 (OCPP's own name)
        self.station.later(lambda: self.station.reset(f"{type}Reset", "RemoteReset"))
        return call_result.Reset("Accepted")

    def change_availability(self, connector_id: int, type: str, **_: Any) -> Any:  # noqa: A002 (OCPP's own name)
        chosen = [c for c in self.station.connectors.values() if connector_id in (0, c.number)]
        if not chosen:
            return call_result.ChangeAvailability("Rejected")
        status = self.station.set_availability(chosen, type == "Operative")
        return call_result.ChangeAvailability(status)

    def unlock(self, connector_id: int, **_: Any) -> Any:
        if connector_id not in self.station.connectors:
            return call_result.UnlockConnector("NotSupported")
        self.station.later(lambda: self._unlock(connector_id))
        return call_result.UnlockConnector("Unlocked")

    def _unlock(self, connector_id: int) -> None:
        self.station.end(connector_id, "UnlockCommand")
        self.station.unplug(connector_id)

    def trigger(self, requested_message: str, connector_id: int | None = None, **_: Any) -> Any:
        station = self.station
        acts: dict[str, Callable[[], object]] = {
            "BootNotification": station.link.boot_now,
            "Heartbeat": lambda: station.notify(call.Heartbeat()),
            "StatusNotification": lambda: station.link.report_status_again(connector_id),
            "MeterValues": lambda: self._triggered_meter_values(connector_id),
            "FirmwareStatusNotification": lambda: station.notify(call.FirmwareStatusNotification("Idle")),
            "DiagnosticsStatusNotification": lambda: station.notify(call.DiagnosticsStatusNotification("Idle")),
        }
        if connector_id is not None and connector_id not in (0, *station.connectors):
            return call_result.TriggerMessage("Rejected")
        if requested_message == "BootNotification" and station.is_accepted:
            return call_result.TriggerMessage("Rejected")
        if requested_message not in acts:
            return call_result.TriggerMessage("NotImplemented")
        station.later(acts[requested_message])
        return call_result.TriggerMessage("Accepted")

    def _triggered_meter_values(self, connector_id: int | None) -> None:
        for connector in self.station.connectors.values():
            if connector_id in (None, 0, connector.number) and not self.station.sample(connector.number, "Trigger"):
                self.station.notify(self.station.wire.meter_values(connector, "Trigger"))

    def reserve(self, connector_id: int, id_tag: str, reservation_id: int, **_: Any) -> Any:
        connector = self.station.connectors.get(connector_id)
        if connector is None:
            return call_result.ReserveNow("Rejected")
        if connector.is_inoperative:
            return call_result.ReserveNow("Unavailable")
        same = connector.reservation is not None and connector.reservation[0] == reservation_id
        if connector.transaction or connector.car or (connector.reservation and not same):
            return call_result.ReserveNow("Occupied")
        connector.reservation = (reservation_id, id_tag)
        self.station.touch()
        return call_result.ReserveNow("Accepted")

    def cancel_reservation(self, reservation_id: int, **_: Any) -> Any:
        went = self.station.cancel_reservation(reservation_id)
        return call_result.CancelReservation("Accepted" if went else "Rejected")

    def update_firmware(self, **_: Any) -> Any:
        self.station.notify_in_turn(
            call.FirmwareStatusNotification(status)
            for status in ("Downloading", "Downloaded", "Installing", "Installed")
        )
        return call_result.UpdateFirmware()

    def get_diagnostics(self, **_: Any) -> Any:
        self.station.notify_in_turn(call.DiagnosticsStatusNotification(status) for status in ("Uploading", "Uploaded"))
        return call_result.GetDiagnostics("diagnostics.txt")

    def get_log(self, request_id: int, **_: Any) -> Any:
        self.station.notify_in_turn(
            call.LogStatusNotification(status, request_id) for status in ("Uploading", "Uploaded")
        )
        return call_result.GetLog("Accepted", "log.txt")

    def send_local_list(
        self, list_version: int, update_type: str, local_authorization_list: list[Any] | None = None, **_: Any
    ) -> Any:
        entries = {entry["id_tag"]: entry.get("id_tag_info") for entry in local_authorization_list or []}
        if update_type == "Differential" and list_version <= self.local_list_version:
            return call_result.SendLocalList("VersionMismatch")
        held = {} if update_type == "Full" else self.local_list
        self.local_list = {tag: info for tag, info in {**held, **entries}.items() if info is not None}
        self.local_list_version = list_version
        return call_result.SendLocalList("Accepted")
