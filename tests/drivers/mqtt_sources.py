"""What meters publish over MQTT, for each shipped layout but Shelly's later ones, and what has to come of it."""

import json
from dataclasses import dataclass, field
from typing import Any

from drivers.api import Reason

Messages = dict[str, str]
PHASES = (1, 2, 3)


@dataclass
class Source:
    """What a meter publishes, in its order, and the reading that has to come of it."""

    table: dict[str, Any]
    messages: Messages
    expected: dict[str, Any]
    reasons: set[Reason] = field(default_factory=set)


def by_phase(topic: str, values: tuple[float, float, float], first: int = 0) -> Messages:
    return {topic.format(number + first): str(value) for number, value in enumerate(values)}


def valued(topic: str, *values: float) -> Messages:
    return {topic.format(phase): json.dumps({"value": value}) for phase, value in zip(PHASES, values, strict=True)}


ZIGBEE = {"current": 2.13, "current_phase_b": 0.4, "current_phase_c": 0, "power": -480, "power_phase_b": 91}
ZIGBEE |= {"power_phase_c": 0, "voltage": 231, "voltage_phase_b": 230, "voltage_phase_c": 232, "linkquality": 90}
ABC = {
    f"{name}_{letter}": value
    for name, values in (("current", (2.13, 0.4, 0)), ("power", (-480, 91, 0)), ("voltage", (231, 230, 232)))
    for letter, value in zip("abc", values, strict=True)
}
THREE = {"current_a": (-2.13, 0.4, 0.0), "power_w": (-480.0, 91.0, 0.0), "voltage_v": (231.0, 230.0, 232.0)}
SML = {"Power_curr": -389, "Total_in": 12.5, "Total_out": 3.25}

SOURCES = {
    "shelly-3em": Source(
        {"prefix": "shellies/shellyem3-A1"},
        {
            **by_phase("shellies/shellyem3-A1/emeter/{}/power", (-480.0, 91.0, 0.0)),
            **by_phase("shellies/shellyem3-A1/emeter/{}/voltage", (231.0, 230.0, 232.0)),
            **by_phase("shellies/shellyem3-A1/emeter/{}/current", (2.13, 0.40, 0.00)),
        },
        {**THREE, "interval_s": 30.0},
    ),
    "tasmota-energy": Source(
        {"prefix": "tele/meter"},
        {
            "tele/meter/SENSOR": json.dumps(
                {
                    "Time": "2026-03-01T10:00:00",
                    "ENERGY": {
                        "Total": [1.5, 2.5, 3.5],
                        "Power": [-480, 91, 0],
                        "Voltage": [231, 230, 232],
                        "Current": [2.13, 0.4, 0.0],
                        "Frequency": 50,
                    },
                }
            )
        },
        {**THREE, "frequency_hz": 50.0},
    ),
    "tasmota-sml": Source(
        {"prefix": "tele/sml"},
        {
            "tele/sml/SENSOR": json.dumps(
                {
                    "Time": "2026-03-01T10:00:00",
                    "SML": {
                        **SML,
                        "Power_p1": -480,
                        "Power_p2": 91,
                        "Power_p3": 0,
                        "Curr_p1": 2.13,
                        "Curr_p2": 0.4,
                        "Curr_p3": 0,
                        "Volt_p1": 231,
                        "Volt_p2": 230,
                        "Volt_p3": 232,
                    },
                }
            )
        },
        {**THREE, "power_total_w": -389.0, "energy_import_kwh": 12.5, "energy_export_kwh": 3.25},
    ),
    "tasmota-sml without currents": Source(
        {"prefix": "tele/sml2", "model": "tasmota-sml"},
        {"tele/sml2/SENSOR": json.dumps({"SML": SML})},
        {"current_a": (None, None, None), "power_total_w": -389.0},
        {Reason.CURRENT_MISSING, Reason.VOLTAGE_MISSING, Reason.POWER_MISSING},
    ),
    "zigbee2mqtt": Source(
        {"prefix": "zigbee2mqtt/meter"},
        {"zigbee2mqtt/meter": json.dumps({**ZIGBEE, "energy": 7.5, "last_seen": "2026-03-01T10:00:00+00:00"})},
        {**THREE, "energy_import_kwh": 7.5},
    ),
    "zigbee2mqtt-abc": Source(
        {"prefix": "zigbee2mqtt/abc"},
        {"zigbee2mqtt/abc": json.dumps({**ABC, "power": -389, "produced_energy": 1.5})},
        {**THREE, "power_total_w": -389.0, "energy_export_kwh": 1.5},
    ),
    "dsmr-reader": Source(
        {"prefix": "dsmr"},
        {
            **by_phase("dsmr/reading/phase_currently_delivered_l{}", (0.0, 0.091, 1.390), 1),
            **by_phase("dsmr/reading/phase_currently_returned_l{}", (0.480, 0.0, 0.0), 1),
            **by_phase("dsmr/reading/phase_voltage_l{}", (231.0, 230.0, 232.0), 1),
            "dsmr/reading/electricity_currently_delivered": "1.001",
            "dsmr/reading/electricity_currently_returned": "0.0",
            **by_phase("dsmr/reading/phase_power_current_l{}", (2, 0, 5), 1),
        },
        {
            "current_a": (-480 / 231, 91 / 230, 1390 / 232),
            "power_w": (-480.0, 91.0, 1390.0),
            "voltage_v": (231.0, 230.0, 232.0),
            "power_total_w": 1001.0,
            "resolution_a": 1.0,
        },
    ),
    "victron-venus": Source(
        {"names": {"portal": "c0619ab0", "instance": "30"}},
        {
            **valued("N/c0619ab0/grid/30/Ac/L{}/Voltage", 231.0, 230.0, 232.0),
            **valued("N/c0619ab0/grid/30/Ac/L{}/Power", -480.0, 91.0, 0.0),
            "N/c0619ab0/grid/30/Ac/Power": '{"value": -389.0}',
            "N/c0619ab0/grid/30/Ac/Energy/Forward": '{"value": 12.5}',
            **valued("N/c0619ab0/grid/30/Ac/L{}/Current", -2.13, 0.4, 0.0),
        },
        {**THREE, "power_total_w": -389.0},
    ),
}
