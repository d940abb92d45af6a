"""What the gateway knows of a 1.6 station and 2.x shows as variables: members of its boot, states of its connectors."""

from collections.abc import Iterator

from gateway.dialects.translate.base import Json, Memory
from gateway.dialects.translate.key_table import Variable
from gateway.dialects.translate.parts import fitting
from gateway.dialects.translate.places import status_20

_BOOT = {
    "chargePointModel": Variable("ChargingStation", "Model"),
    "chargePointVendor": Variable("ChargingStation", "VendorName"),
    "chargePointSerialNumber": Variable("ChargingStation", "SerialNumber"),
    "chargeBoxSerialNumber": Variable("Controller", "SerialNumber"),
    "firmwareVersion": Variable("Controller", "FirmwareVersion"),
    "meterType": Variable("FiscalMetering", "Model"),
    "meterSerialNumber": Variable("FiscalMetering", "SerialNumber"),
    "iccid": Variable("DataLink", "ICCID"),
    "imsi": Variable("DataLink", "IMSI"),
}
_FIXED = {
    # 1.6 begins a transaction when token and cable are there, and ends it when either is gone.
    Variable("TxCtrlr", "TxStartPoint"): "PowerPathClosed",
    Variable("TxCtrlr", "TxStopPoint"): "EVConnected,Authorized",
}
_STATE = "AvailabilityState"
_NAMES = frozenset((one.component, one.name) for one in (*_BOOT.values(), *_FIXED))
COMPONENTS = frozenset(("EVSE", "Connector", *(variable.component for variable in _BOOT.values())))
_LONGEST = 100


def boot_notes(boot: Json) -> dict[str, str]:
    """What is kept of a BootNotification of 1.6, for `Memory.notes`."""
    said = {name: fitting(boot.get(name), _LONGEST) for name in _BOOT}
    return {f"boot.{name}": value for name, value in said.items() if value}


def is_told(variable: Variable) -> bool:
    """Whether it is one of these, which nobody can set."""
    return (variable.component, variable.name) in _NAMES or variable.name == _STATE


def inventory(memory: Memory) -> Iterator[tuple[Variable, str]]:
    """Variables that no configuration key holds, with their values."""
    yield from _FIXED.items()
    for name, variable in _BOOT.items():
        value = memory.notes.get(f"boot.{name}")
        if value:
            yield variable, value
    for name, place in memory.places.items():
        evse, _, connector = name.partition("/")
        if not place.status or not (evse.isdecimal() and connector.isdecimal()):
            continue
        state = status_20(place.status)
        if evse == "0":
            yield Variable("ChargingStation", _STATE), state
            continue
        yield Variable("EVSE", _STATE, evse=int(evse)), state
        yield Variable("Connector", _STATE, evse=int(evse), connector=int(connector)), state
