"""SunSpec meters: found by themselves, read as the alliance's own library reads them, never guessed."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from drivers.api import DriverError, Kind, Quality, Reading, Reason, Signed
from drivers.options import Places
from drivers.registry import checked
from drivers.sunspec import SunspecDriver, SunspecOptions
from tests.drivers.modbus_rig import Reply, Slave, Unit, fast_seams, serial_server, tcp_server, wire, with_crc
from tests.drivers.sunspec_rig import INVERTER, device, float_model, random_model, whole_model

PATIENCE_S = 20.0
MODELS = (201, 202, 203, 204, 211, 212, 213, 214)
BASES = (40000, 0, 50000)
WYE = {
    "A": 250,
    "AphA": 1250,
    "AphB": 325,
    "AphC": -4,
    "A_SF": -2,
    "PhVphA": 2305,
    "PhVphB": 2298,
    "PhVphC": 2311,
    "V_SF": -1,
    "Hz": 4998,
    "Hz_SF": -2,
    "W": 2125,
    "WphA": 2880,
    "WphB": -745,
    "WphC": -10,
    "W_SF": 0,
    "PF": 985,
    "PF_SF": -1,
    "TotWhExp": 1234567,
    "TotWhImp": 7654321,
}


def sunspec(**table: object) -> SunspecOptions:
    made = checked({"driver": "sunspec", "interval_s": 0.1, "timeout_ms": 2000, **table}, Places())
    assert isinstance(made, SunspecOptions)
    return made


async def first(driver: SunspecDriver) -> Reading:
    async with asyncio.timeout(PATIENCE_S):
        return await anext(driver)


def at(slave: Slave, **table: object) -> SunspecDriver:
    return SunspecDriver("grid", sunspec(port=str(slave.link), **table), fast_seams())


def oracle(port: int, unit: int, model: int) -> Mapping[str, float | None]:
    """What pysunspec2 says."""
    there = SunSpecModbusClientDeviceTCP(slave_id=unit, ipaddr="127.0.0.1", ipport=port)
    try:
        there.scan()
        (meter,) = there.models[model]
        return {name: point.cvalue for name, point in meter.points.items()}
    finally:
        there.close()


def expected(model: int, said: Mapping[str, float | None]) -> dict[str, Any]:
    """In the words of a reading: magnitudes have the sign of their power, kWh, the power factor from -1 to 1."""
    count = {1: 1, 2: 2, 3: 3, 4: 3}[model % 10]

    def phases(stem: str) -> list[float | None]:
        found = [said[f"{stem}ph{phase}"] if n < count else None for n, phase in enumerate("ABC")]
        return [said[stem], None, None] if count == 1 and found[0] is None else found

    power = phases("W")
    current = [
        None if amps is None else -abs(amps) if watts is not None and watts < 0 else abs(amps)
        for amps, watts in zip(phases("A"), power, strict=True)
    ]
    factor = said["PF"]
    energies = {
        field: None if (wh := said[name]) is None else wh / 1000
        for field, name in (("energy_import_kwh", "TotWhImp"), ("energy_export_kwh", "TotWhExp"))
    }
    return {
        "current_a": current,
        "power_w": power,
        "voltage_v": phases("PhV"),
        "power_total_w": said["W"],
        "frequency_hz": said["Hz"],
        "power_factor": factor / 100 if factor is not None and model < 210 else factor,
        "phases": count,
        **energies,
    }


async def test_all_models_are_read_as_pysunspec2_reads_them(seed: int) -> None:
    source = random.Random(seed)
    units = {
        unit: Unit(holding=device(INVERTER, random_model(model, source), base=BASES[unit % 3]))
        for unit, model in enumerate(MODELS, 1)
    }
    async with tcp_server(units) as port:
        for unit, model in enumerate(MODELS, 1):
            wanted = expected(model, await asyncio.to_thread(oracle, port, unit, model))
            options = sunspec(host="127.0.0.1", tcp_port=port, unit=unit)
            async with SunspecDriver("grid", options, fast_seams()) as driver:
                reading = await first(driver)
            for name, value in wanted.items():
                found = getattr(reading, name)
                for one, other in zip(*map(_listed, (found, value)), strict=True):
                    assert one == (None if other is None else pytest.approx(other, rel=1e-9)), f"{model} {name}"
    assert sum(value is not None for value in wanted.values()) > 2


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


async def test_a_whole_device_on_a_serial_line() -> None:
    with wire() as (ours, theirs):
        unit = Unit(holding=device(INVERTER, whole_model(203, WYE, 1)))
        driver = SunspecDriver("grid", sunspec(port=str(ours)), fast_seams())
        async with serial_server(theirs, {1: unit}), driver:
            reading = await first(driver)
    assert reading.current_a == (12.5, -3.25, -0.04)
    assert reading.current_signed is Signed.FROM_POWER
    assert reading.voltage_v == (230.5, 229.8, 231.1)
    assert reading.power_w == (2880.0, -745.0, -10.0)
    assert (reading.power_total_w, reading.frequency_hz, reading.power_factor) == (2125, 49.98, 0.985)
    assert (reading.energy_import_kwh, reading.energy_export_kwh) == (76543.21, 12345.67)
    assert (reading.quality, reading.resolution_a, reading.phases) == (Quality.GOOD, 0.01, 3)
    assert driver.model_name == "Acme Meter 3 (SunSpec model 203)"


async def test_scale_factors_are_read_with_their_values_and_a_meter_that_moved_is_found_again(tmp_path: Path) -> None:
    with Slave(tmp_path / "adapter", {1: device(whole_model(203, WYE))}) as slave:
        async with at(slave) as driver:
            assert (await first(driver)).voltage_v[0] == 230.5
            slave.units[1] = device(whole_model(203, WYE | {"PhVphA": 23050, "PhVphB": 22980, "PhVphC": 0, "V_SF": -2}))
            assert (await first(driver)).voltage_v == (230.5, 229.8, 0.0)
            assert slave.requests[-1].count == 23
            slave.units[1] = device(INVERTER, whole_model(203, WYE))
            assert (await first(driver)).current_a == (12.5, -3.25, -0.04)
            slave.units[1] = device(float_model(213, {"AphA": 1.5, "AphB": 2.5, "AphC": 3.5}))
            reading = await first(driver)
            assert reading.current_a == (1.5, 2.5, 3.5)
            assert reading.current_signed is Signed.UNKNOWN
            assert {Reason.SIGN_UNKNOWN, Reason.VOLTAGE_MISSING, Reason.POWER_MISSING} == reading.reasons
            assert reading.energy_import_kwh is None, "read once a minute"


async def test_a_value_without_its_scale_factor_is_none(tmp_path: Path) -> None:
    for scale in (None, 11, -11):
        with Slave(tmp_path / "adapter", {1: device(whole_model(203, WYE | {"A_SF": scale, "W_SF": scale}))}) as slave:
            async with at(slave) as driver:
                reading = await first(driver)
        assert reading.current_a == reading.power_w == (None, None, None)
        assert reading.reasons == {Reason.CURRENT_MISSING, Reason.POWER_MISSING}
        assert reading.voltage_v == (230.5, 229.8, 231.1)


async def test_which_meter_and_what_plus_means_can_be_told(tmp_path: Path) -> None:
    second = whole_model(204, WYE | {"PhVphA": None, "PhVphB": None, "PhVphC": None})
    registers = device(whole_model(203, WYE), second, base=100)
    with Slave(tmp_path / "adapter", {1: registers}) as slave:
        async with at(slave, base=100, meter=2, plus="export") as driver:
            reading = await first(driver)
        assert reading.power_w == (-2880.0, 745.0, 10.0)
        assert reading.current_a == (-12.5, 3.25, 0.04)
        assert reading.voltage_v == (None, None, None)
        assert reading.quality is Quality.GOOD, "a delta meter has no neutral"
        for table, words in (
            ({"base": 100, "meter": 3}, "has 2 SunSpec meters"),
            ({}, 'no "SunS" at 40000, 0, 50000'),
        ):
            found = await SunspecDriver.probe(at(slave, **table).options, fast_seams())
            assert found is not None
            assert words in found.what


NO_METERS = {
    "too short": (device(INVERTER, [203, 20, *[0] * 20]), "has no meter (models: 1, 103, 203)"),
    "without an end": ({40000 + place: word for place, word in enumerate([0x5375, 0x6E53, *[0] * 300])}, "0, 0, 0"),
    "nothing of it": ({40000 + place: 0 for place in range(10)}, 'no "SunS" at 40000, 0, 50000'),
}


@pytest.mark.parametrize("name", NO_METERS)
async def test_what_is_no_meter_is_told(tmp_path: Path, name: str) -> None:
    registers, words = NO_METERS[name]
    with Slave(tmp_path / "adapter", {7: registers}) as slave:
        async with at(slave, unit=7) as driver:
            waiting = asyncio.ensure_future(anext(driver))
            async with asyncio.timeout(PATIENCE_S):
                while (trouble := driver.health().trouble) is None:
                    await asyncio.wait({waiting}, timeout=0.02)
            assert trouble.kind is Kind.WRONG_METER
            assert words in trouble.problem
            assert "unit" in trouble.remedy
            waiting.cancel()
            await asyncio.wait({waiting})


async def test_who_is_not_there_is_not_found(tmp_path: Path) -> None:
    with Slave(tmp_path / "adapter", {7: {}}) as slave:
        silent = at(slave, unit=8, timeout_ms=20)
        assert await SunspecDriver.probe(silent.options, fast_seams()) is None
        slave.script = lambda _request, _answer: Reply(with_crc(bytes((7, 0x83, 0x0B))))
        behind = await SunspecDriver.probe(at(slave, unit=7).options, fast_seams())
        assert behind is not None
        assert "does not reach unit 7" in behind.what
    with pytest.raises(DriverError, match="is not there"):
        await SunspecDriver.probe(silent.options, fast_seams())


async def test_without_its_slow_values_a_reading_comes_all_the_same(tmp_path: Path) -> None:
    with Slave(tmp_path / "adapter", {1: device(whole_model(203, WYE))}) as slave:
        slave.script = lambda request, answer: Reply(b"" if request.count == 22 else answer)
        async with at(slave, timeout_ms=200) as driver:
            reading = await first(driver)
            assert reading.reasons == frozenset({Reason.VALUE_MISSING})
            assert (reading.has_currents, reading.energy_import_kwh) == (True, None)
            assert driver.health().timeouts == 1
