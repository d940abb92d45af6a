"""Meter values: text with a unit (1.6) against number, unit and multiplier (2.x). Exact: Decimal, never float.

A signed value travels as it is written. Where the other version has no place for it, it goes along unchanged in
`customData`; it is never taken apart and never left out.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Context, Decimal, DecimalException
from typing import Any

from gateway.dialects.payloads import integer, member, objects, text
from gateway.dialects.translate.base import Json, Loss

REGISTER = "Energy.Active.Import.Register"
VENDOR = "ocpp-gateway"
"""`vendorId` of what goes along in customData."""

LOSSES = (
    Loss("measurand-16", "1.6 -> 2.0.1", "Temperature and RPM", "left out, said in the log"),
    Loss("measurand-20", "2.0.1 -> 1.6", "Energy.Active.Net, Energy.Reactive.Net, Energy.Apparent", "left out, logged"),
    Loss("sample-text", "1.6 -> 2.0.1", "a value that is no number", "left out, said in the log"),
    Loss("unit", "2.0.1 -> 1.6", "a unit 1.6 has no name for",
         "MWh and the like as kWh; otherwise the sample is left out, and logged"),
    Loss("spelling", "both", "a number written with a sign, an exponent or as text", "the same number, plainly"),
    Loss("multiplier", "2.0.1 -> 1.6", "a multiplier", "multiplied out, exactly"),
    Loss("signed-16", "1.6 -> 2.0.1", "SignedData, which names no method and no key",
         "signedMeterData, as Base64 of the text as it came, both names empty"),
    Loss("signed-20", "2.0.1 -> 1.6", "signedMeterValue",
         "a second sample, of format SignedData: the same members as JSON"),
    Loss("register-fraction", "2.0.1 -> 1.6", "fractions of a Wh in meterStart and meterStop",
         "cut; the samples keep them"),
)  # fmt: skip

_CONTEXTS = frozenset(
    (
        "Interruption.Begin",
        "Interruption.End",
        "Other",
        "Sample.Clock",
        "Sample.Periodic",
        "Transaction.Begin",
        "Transaction.End",
        "Trigger",
    )
)
_PHASES = frozenset(("L1", "L2", "L3", "N", "L1-N", "L2-N", "L3-N", "L1-L2", "L2-L3", "L3-L1"))
_LOCATIONS = frozenset(("Body", "Cable", "EV", "Inlet", "Outlet"))
_SHARED = frozenset(
    f"{kind}.{way}"
    for kind, ways in {
        "Energy.Active": "Export.Register Import.Register Export.Interval Import.Interval",
        "Energy.Reactive": "Export.Register Import.Register Export.Interval Import.Interval",
        "Power": "Active.Export Active.Import Offered Reactive.Export Reactive.Import Factor",
        "Current": "Import Export Offered",
    }.items()
    for way in ways.split()
) | {"Voltage", "Frequency", "SoC"}
"""Measurands that both versions have."""

_UNITS_16 = frozenset(
    [
        *("Wh", "kWh", "varh", "kvarh", "W", "kW", "VA", "kVA", "var", "kvar", "A", "V", "K"),
        *("Celcius", "Celsius", "Fahrenheit", "Percent"),
    ]
)
_LARGER = {"MWh": "kWh", "Mvarh": "kvarh", "MW": "kW", "MVA": "kVA", "Mvar": "kvar"}
_MAX_SIGNED = {"2.0.1": 2500, "2.1": 32768}
_SIGNED_MEMBERS = ("signedMeterData", "signingMethod", "encodingMethod", "publicKey")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_MOST_DIGITS = 40
_MOST_POWER = 12
_EXACT = Context(prec=100)
_AS_16 = {"vendorId": VENDOR, "format": "1.6"}
"""Marks signed data that came from a 1.6 station, so that nobody takes it for more than text."""


@dataclass(slots=True)
class Found:
    """Translated meter values, and the keys of the losses met on the way.

    `beside`: meter values of 1.6 that hold the signed data 2.x has no place for; they go along in customData.
    """

    values: list[Json] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    beside: list[Json] = field(default_factory=list)

    def custom(self) -> Json:
        """The member customData of a message; nothing if there is no need."""
        return {"customData": {"vendorId": VENDOR, "signed": self.beside}} if self.beside else {}


def number(value: Any) -> Decimal | None:
    """A finite number, with the digits it is written with."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        made = Decimal(value)
    elif isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        try:
            made = Decimal(value.strip())
        except DecimalException:
            return None
    else:
        return None
    is_sane = made.is_finite() and abs(made.adjusted()) < _MOST_DIGITS and len(made.as_tuple().digits) < _MOST_DIGITS
    return made if is_sane else None


def plain(value: Decimal) -> str:
    """Decimal text without an exponent."""
    return format(value, "f")


def register(wh: Any, context: str, timestamp: str) -> list[Json]:
    """The meterValue of 2.x that says what meterStart or meterStop says; empty where that is no number."""
    value = number(wh)
    if value is None:
        return []
    sample = {"value": value, "context": context, "measurand": REGISTER, "unitOfMeasure": {"unit": "Wh"}}
    return [{"timestamp": timestamp, "sampledValue": [sample]}]


# -- 1.6 -> 2.x --------------------------------------------------------------------------------------------------------


def to_20(values: Iterable[Json], version: str, now: str) -> Found:
    """The meterValue array of 1.6 (also transactionData) as that of 2.x."""
    found = Found()
    for value in values:
        made: Json = {"timestamp": text(value.get("timestamp")) or now, "sampledValue": []}
        signed: list[Json] = []
        for sample in objects(value, "sampledValue"):
            if sample.get("format") == "SignedData":
                signed.append(sample)
            elif (one := _sample_20(sample, found.losses)) is not None:
                made["sampledValue"].append(one)
        unplaced = [sample for sample in signed if not _attached(made, sample, version)]
        found.losses += ["signed-16"] * len(signed)
        if unplaced:
            found.beside.append({"timestamp": made["timestamp"], "sampledValue": unplaced})
        if made["sampledValue"]:
            found.values.append(made)
    return found


def _sample_20(sample: Json, losses: list[str]) -> Json | None:
    value = number(sample.get("value"))
    if value is None:
        losses.append("sample-text")
        return None
    measurand = text(sample.get("measurand"))
    if measurand is not None and measurand not in _SHARED:
        losses.append("measurand-16")
        return None
    made: Json = {"value": value}
    _copy(sample, made)
    unit = text(sample.get("unit"))
    if unit is not None:
        made["unitOfMeasure"] = {"unit": "Celsius" if unit == "Celcius" else unit[:20]}
    return made


def _copy(sample: Json, made: Json) -> None:
    """What both versions spell alike; an unknown word is left out, for it would make the whole message invalid."""
    for name, known in (
        ("context", _CONTEXTS),
        ("measurand", _SHARED),
        ("phase", _PHASES),
        ("location", _LOCATIONS),
    ):
        if sample.get(name) in known:
            made[name] = sample[name]


def _attached(value: Json, signed: Json, version: str) -> bool:
    """Signed data goes to the sample it proves. False: there is none, or the data is too long for this version."""
    wire = _signed_20(text(signed.get("value")) or "")
    if len(wire["signedMeterData"]) > _MAX_SIGNED.get(version, 2500) or len(wire["publicKey"]) > 2500:
        return False
    for sample in value["sampledValue"]:
        is_same = all(_said(sample, name) == _said(signed, name) for name in ("measurand", "context", "phase"))
        if is_same and "signedMeterValue" not in sample:
            sample["signedMeterValue"] = wire
            return True
    return False


def _said(sample: Json, name: str) -> object:
    return sample.get(name) or {"measurand": REGISTER, "context": "Sample.Periodic"}.get(name)


def _signed_20(data: str) -> Json:
    """Signed data of 1.6: the members of 2.x where a station writes them as JSON, else the text as it came."""
    try:
        written = json.loads(data)
    except (ValueError, RecursionError):
        written = None
    members = written if isinstance(written, dict) else {}
    is_whole = all(isinstance(members.get(name), str) for name in _SIGNED_MEMBERS)
    if is_whole and len(members["signingMethod"]) <= 50 and len(members["encodingMethod"]) <= 50:
        return {name: members[name] for name in _SIGNED_MEMBERS}
    wire = dict.fromkeys(_SIGNED_MEMBERS, "")
    return {**wire, "signedMeterData": base64.b64encode(data.encode()).decode(), "customData": _AS_16}


# -- 2.x -> 1.6 --------------------------------------------------------------------------------------------------------


def to_16(message: Json, now: str) -> Found:
    """The meterValue array of a 2.x message as that of 1.6."""
    found = Found()
    for value in objects(message, "meterValue"):
        samples: list[Json] = []
        for sample in objects(value, "sampledValue"):
            samples += _samples_16(sample, found.losses)
        if samples:
            found.values.append({"timestamp": text(value.get("timestamp")) or now, "sampledValue": samples})
    beside = member(message, "customData")
    if beside.get("vendorId") == VENDOR:
        found.values += objects(beside, "signed")
    return found


def _samples_16(sample: Json, losses: list[str]) -> list[Json]:
    plain_one = _sample_16(sample, losses)
    made = [] if plain_one is None else [plain_one]
    signed = member(sample, "signedMeterValue")
    if not signed:
        return made
    head = {name: one for name, one in (plain_one or {}).items() if name not in ("value", "unit")}
    if member(signed, "customData") == _AS_16:
        return [*made, {"value": _unwrapped(text(signed.get("signedMeterData")) or ""), **head, "format": "SignedData"}]
    losses.append("signed-20")
    data = json.dumps({name: one for name, one in signed.items() if name != "customData"}, ensure_ascii=False)
    return [*made, {"value": data, **head, "format": "SignedData"}]


def _unwrapped(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        return data


def _sample_16(sample: Json, losses: list[str]) -> Json | None:
    value = number(sample.get("value"))
    measurand = text(sample.get("measurand"))
    if value is None or (measurand is not None and measurand not in _SHARED):
        losses.append("measurand-20" if value is not None else "sample-text")
        return None
    measure = member(sample, "unitOfMeasure")
    unit, power = text(measure.get("unit")), integer(measure.get("multiplier")) or 0
    made: Json = {}
    if unit in _LARGER:
        power, unit = power + 3, _LARGER[unit]
    if abs(power) > _MOST_POWER:
        losses.append("unit")
        return None
    if unit in _UNITS_16:
        made["unit"] = unit
    elif unit not in (None, "Hz", "Hertz"):
        losses.append("unit")
        return None
    _copy(sample, made)
    return {"value": plain(_scaled(value, power)), **made}


# -- registers of a transaction ----------------------------------------------------------------------------------------


def register_wh(values: Iterable[Json], context: str) -> Decimal | None:
    """The import register among 2.x meter values, in Wh: the last one of that context, else the last one at all."""
    best: tuple[bool, Decimal] | None = None
    for value in values:
        for sample in objects(value, "sampledValue"):
            wh = _wh(sample)
            is_preferred = sample.get("context") == context
            if wh is not None and (best is None or is_preferred >= best[0]):
                best = is_preferred, wh
    return best[1] if best else None


def _wh(sample: Json) -> Decimal | None:
    is_total = sample.get("phase") is None and sample.get("location") in (None, "Outlet")
    if sample.get("measurand") not in (None, REGISTER) or not is_total:
        return None
    measure = member(sample, "unitOfMeasure")
    power = {"Wh": 0, "kWh": 3, "MWh": 6}.get(text(measure.get("unit")) or "Wh")
    value = number(sample.get("value"))
    multiplier = integer(measure.get("multiplier")) or 0
    if value is None or power is None or abs(multiplier) > _MOST_POWER:
        return None
    return _scaled(value, power + multiplier)


def _scaled(value: Decimal, power: int) -> Decimal:
    return value.scaleb(power, _EXACT) if power else value


def whole_wh(wh: Decimal) -> int:
    """As 1.6 counts: whole Wh, fractions cut."""
    return int(wh)


def is_only_register(value: Json, context: str) -> bool:
    """Whether this meter value says no more than meterStart or meterStop does."""
    samples = objects(value, "sampledValue")
    wh = _wh(samples[0]) if len(samples) == 1 else None
    return (
        wh is not None
        and wh == wh.to_integral_value()
        and samples[0].get("context") == context
        and "signedMeterValue" not in samples[0]
    )
