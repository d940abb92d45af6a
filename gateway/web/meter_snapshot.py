"""Meters and the load of circuits as plain data. Phases are lists of L1, L2, L3; what is not known is null."""

from typing import Any

from gateway.core import freshness
from gateway.model.metering import WORDS, CircuitLoad, Held, MeterReading, MeterState, Quality
from gateway.site import Site


def meters(site: Site) -> list[dict[str, Any]]:
    now = site.clock.monotonic()
    return [meter(state, now) for _, state in sorted(site.meters.states.items())]


def meter(state: MeterState, now: float) -> dict[str, Any]:
    """One meter: `freshness` is of what is relied on, `reading` is what it said last, believed or not."""
    trouble = state.health.trouble
    return {
        "id": state.meter,
        "freshness": freshness.of_meter(state, now).value,
        "age_s": _rounded(freshness.age_s(state, now)),
        "interval_s": state.interval_s,
        "gives_room": state.interval_s is not None and freshness.gives_room(state.interval_s),
        "bad_in_a_row": state.bad_in_a_row,
        "reading": _reading(state.latest, now) if state.latest else None,
        "power_factor": _held(state.power_factor, now),
        "frequency_hz": _held(state.frequency_hz, now),
        "energy_import_kwh": _held(state.energy_import_kwh, now),
        "energy_export_kwh": _held(state.energy_export_kwh, now),
        "trouble": {"kind": trouble.kind.value, "problem": trouble.problem, "remedy": trouble.remedy}
        if trouble
        else None,
        "counters": dict(state.health.counters),
        "notes": list(state.health.notes),
    }


def is_relied_on(shown: dict[str, Any]) -> bool:
    """Whether what a meter says counts, by its snapshot."""
    believed = shown["reading"] is not None and shown["reading"]["quality"] in (Quality.GOOD, Quality.PARTIAL)
    return believed and shown["freshness"] in ("fresh", "late")


def circuits(site: Site) -> list[dict[str, Any]]:
    """The load of each circuit, in the order of the configuration."""
    loads = site.meters.loads(site.clock.monotonic())
    return [
        {
            "id": circuit.id,
            "parent": circuit.parent,
            "meter": circuit.meter,
            "limit_a": circuit.limit_a,
            "limit_w": circuit.limit_w,
            **_load(loads[circuit.id]),
        }
        for circuit in site.meters.circuits.values()
    ]


def _reading(reading: MeterReading, now: float) -> dict[str, Any]:
    return {
        "sequence": reading.sequence,
        "age_s": _rounded(now - reading.measured_at),
        "measured": reading.measured.isoformat(timespec="milliseconds"),
        "device_time": reading.device_time.isoformat() if reading.device_time else None,
        "quality": reading.quality.value,
        "reasons": [
            {"reason": one.reason.value, "phases": list(one.phases), "words": WORDS[one.reason]}
            for one in reading.findings
        ],
        "current_a": list(reading.current_a),
        "current_signed": reading.current_signed.value,
        "resolution_a": reading.resolution_a,
        "voltage_v": list(reading.voltage_v),
        "power_w": list(reading.power_w),
        "power_total_w": freshness.total_power_w(reading),
    }


def _load(load: CircuitLoad) -> dict[str, Any]:
    return {
        "current_a": list(load.current_a),
        "power_w": load.power_w,
        "freshness": load.freshness.value,
        "quality": load.quality.value,
        "missing": [
            {"circuit": one.circuit, "meter": one.meter, "phases": list(one.phases), "reason": one.reason.value}
            for one in load.missing
        ],
    }


def _held(held: Held | None, now: float) -> dict[str, float] | None:
    return {"value": held.value, "age_s": round(now - held.at, 3)} if held else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
