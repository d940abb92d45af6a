"""The messages of the load: built once, with one number in each that makes every message a new one."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BOOT: dict[str, Any] = {
    "chargePointModel": "Bench 22",
    "chargePointVendor": "Bench",
    "chargePointSerialNumber": "0001",
    "firmwareVersion": "1.0.0",
}
_AT = "2026-01-01T12:00:00Z"
_NUMBER = "@NUMBER@"
_PHASES = ("L1", "L2", "L3")


def encode(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Template:
    """A CALL's payload around its running number."""

    action: str
    before: bytes
    after: bytes

    def payload(self, number: int) -> bytes:
        return b"%b%012d%b" % (self.before, number, self.after)


def _template(action: str, payload: dict[str, Any]) -> Template:
    before, after = encode(payload).split(_NUMBER.encode())
    return Template(action, before, after)


def start(connector: int, token: str) -> dict[str, Any]:
    return {"connectorId": connector, "idTag": token, "meterStart": 1000, "timestamp": _AT}


def meter_values(transaction_id: int) -> Template:
    """About 1.25 kB: the register, then voltage, current and power of each phase, in the order of the 1.6 schema."""
    samples = [_sample("Energy.Active.Import.Register", "Wh", _NUMBER)]
    for phase in _PHASES:
        samples += [
            _sample("Voltage", "V", "230.1", f"{phase}-N"),
            _sample("Current.Import", "A", "15.98", phase),
            _sample("Power.Active.Import", "W", "3677.0", phase),
        ]
    values = [{"timestamp": _AT, "sampledValue": samples}]
    return _template("MeterValues", {"connectorId": 1, "meterValue": values, "transactionId": transaction_id})


def status() -> Template:
    """About 370 B: a StatusNotification, relayed upstream and not stored while the CSMS answers."""
    return _template(
        "StatusNotification",
        {
            "connectorId": 1,
            "errorCode": "NoError",
            "status": "Charging",
            "timestamp": _AT,
            "info": "charging, contactor closed, cable locked",
            "vendorId": "com.example.bench " + "x" * 100,
            "vendorErrorCode": f"0x{_NUMBER}",
        },
    )


def _sample(measurand: str, unit: str, value: str, phase: str | None = None) -> dict[str, str]:
    sample = {"value": value, "context": "Sample.Periodic", "format": "Raw", "measurand": measurand}
    return {**sample, **({"phase": phase} if phase else {}), "location": "Outlet", "unit": unit}


Picker = Callable[[int], bool]
"""Whether message number n is a MeterValues; else it is a status."""

MIXES: dict[str, Picker] = {"meter": lambda _: True, "mixed": lambda number: number % 2 == 0}
