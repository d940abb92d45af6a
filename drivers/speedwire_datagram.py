"""Datagrams of SMA's energy meters and home managers (Speedwire, protocol 0x6069) to values. Pure.

Layout and OBIS indices: SMA, "EMETER-Protokoll-TI-en". All numbers are big-endian and unsigned.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from drivers.api import NO_PHASES, Phases, Reason, Signed
from drivers.derive import quality, signed, three

_HEAD: Final = struct.Struct(">4sHHIHHHHII")
"""SMA\\0, length and kind of the group tag, group, length and kind of the data, protocol; SUSy id, serial, ticker."""
_DATA_TAG, _PROTOCOL = 0x0010, 0x6069
_BEFORE_DATA: Final = 16
_ACTUAL, _COUNTER = 4, 8
_POWER, _CURRENT, _VOLTAGE, _ENERGY = 0.1, 0.001, 0.001, 1 / 3_600_000
_FACTOR, _FREQUENCY = 0.001, 0.001
_NOT_THERE: Final = {_ACTUAL: 0xFFFF_FFFF, _COUNTER: 0xFFFF_FFFF_FFFF_FFFF}

Key = tuple[int, int]
"""OBIS index and type."""


@dataclass(frozen=True, slots=True)
class Datagram:
    serial: int
    ticker_ms: int
    """The meter's own clock. The same again is the same datagram again."""
    values: Mapping[str, Any]
    """Fields of `Reading`."""


def decoded(data: bytes) -> Datagram | None:
    """None: another kind of Speedwire datagram. Raises ValueError: one of ours that is broken off or senseless."""
    if len(data) < _HEAD.size or data[:4] != b"SMA\0":
        return None
    _, _, _, _, length, tag, protocol, _, serial, ticker = _HEAD.unpack_from(data)
    if tag != _DATA_TAG or protocol != _PROTOCOL:
        return None
    if len(data) < _BEFORE_DATA + length:
        raise ValueError("the datagram is broken off")
    said = dict(_entries(data[_HEAD.size : _BEFORE_DATA + length]))
    if not any(kind == _ACTUAL for _, kind in said):
        raise ValueError("the datagram has no values")
    return Datagram(serial, ticker, _values(said))


def _entries(data: bytes) -> Iterator[tuple[Key, int]]:
    """Raises ValueError if one is cut."""
    at = 0
    while at + 4 <= len(data):
        channel, index, kind, _ = data[at : at + 4]
        size = _COUNTER if kind == _COUNTER else 4
        raw = data[at + 4 : at + 4 + size]
        if len(raw) < size:
            raise ValueError("a value is broken off")
        value = int.from_bytes(raw, "big")
        if channel == 0 and kind in _NOT_THERE and value != _NOT_THERE[kind]:
            yield (index, kind), value
        at += 4 + size


def _values(said: Mapping[Key, int]) -> dict[str, Any]:
    def number(index: int, factor: float, kind: int = _ACTUAL) -> float | None:
        value = said.get((index, kind))
        return None if value is None else round(value * factor, 6)

    def net(index: int) -> float | None:
        """One of the two is always zero; both have to be there."""
        plus, minus = number(index, _POWER), number(index + 1, _POWER)
        return None if plus is None or minus is None else round(plus - minus, 1)

    magnitude = three(number(index, _CURRENT) for index in (31, 51, 71))
    voltage = three(number(index, _VOLTAGE) for index in (32, 52, 72))
    power = three(net(index) for index in (21, 41, 61))
    current, is_unsure = signed(magnitude, power)
    reasons = _reasons(magnitude, voltage, power, is_unsure)
    return {
        "current_a": current,
        "current_signed": Signed.UNKNOWN if power == NO_PHASES else Signed.FROM_POWER,
        "voltage_v": voltage,
        "power_w": power,
        "power_total_w": net(1),
        "power_factor": number(13, _FACTOR),
        "frequency_hz": number(14, _FREQUENCY),
        "energy_import_kwh": number(1, _ENERGY, _COUNTER),
        "energy_export_kwh": number(2, _ENERGY, _COUNTER),
        "resolution_a": _CURRENT,
        "phases": 3,
        "reasons": reasons,
        "quality": quality(reasons),
    }


def _reasons(current: Phases, voltage: Phases, power: Phases, is_unsure: bool) -> frozenset[Reason]:
    missing = {
        Reason.CURRENT_MISSING: None in current,
        Reason.VOLTAGE_MISSING: None in voltage,
        Reason.POWER_MISSING: None in power,
        Reason.SIGN_UNKNOWN: is_unsure,
    }
    return frozenset(reason for reason, is_so in missing.items() if is_so)
