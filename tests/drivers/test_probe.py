"""Finding meters on pseudo terminals, without being told what they are."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.api import Kind
from drivers.model_file import files
from drivers.options import Places
from drivers.probe import Meter, Outcome, at_host, at_port, read_with
from drivers.probe_host import Host
from drivers.probe_scan import USUAL_UNITS
from drivers.probe_sound import Settings
from tests.drivers.modbus_fixtures import load
from tests.drivers.modbus_rig import Unit, lock, tcp_server, with_crc, words
from tests.drivers.probe_rig import Line, fixtures, noted_parity
from tests.drivers.push_rig import telegram

__all__ = ["noted_parity"]

pytestmark = pytest.mark.usefixtures("noted_parity")

OWN_MODEL = """
schema = 1
id = "acme-em3"
name = "Acme EM3"
sources = ["its manual"]
verified = false
[modbus]
function = "holding"
word_order = "little"
serial = { baud = 19200, parity = "N", stop = 2 }
[points]
voltage = { at = 0x700, type = "uint32", phases = 3, scale = 0.01, unit = "V" }
current = { at = 0x710, type = "int32", phases = 3, scale = 0.001, unit = "A" }
frequency = { at = 0x720, type = "uint32", scale = 0.001, unit = "Hz" }
"""
OWN_UNIT = Unit(
    holding=dict.fromkeys(range(0x700, 0x730), 0)
    | dict(enumerate(words([23_150, 23_010, 22_990], ">I", "little"), 0x700))
    | dict(enumerate(words([5500, -1250, 0], ">i", "little"), 0x710))
    | dict(enumerate(words([49_980], ">I", "little"), 0x720))
)
SML = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01\x76\x05\x03\x2b\x18\x0f\x62\x00\x62\x00\x72\x63\x01\x01"
HDLC = b"\x7e\xa0\x0d\x41\x08\x83\x13\x12\x34\xe6\xe7\x00\x56\x78\x7e"


@dataclass(frozen=True)
class Case:
    """A meter, and what has to be written for it. `problem` is part of what is said where it can't be read."""

    name: str
    settings: Settings
    units: dict[int, Unit] = field(default_factory=dict)
    telegram: bytes = b""
    is_silent_to_unknown: bool = False
    tables: tuple[dict[str, Any], ...] = ()
    amps: float | None = None
    """Of L1."""
    problem: str = ""
    words: str = ""
    asked: tuple[int, ...] = USUAL_UNITS


def _modbus(model: str, unit: int = 1, **more: object) -> dict[str, Any]:
    return {"driver": "modbus", "model": model, "unit": unit, **more}


CASES = [
    Case(
        "sdm630-factory", Settings(9600), fixtures(u1="eastron-sdm630"), tables=(_modbus("eastron-sdm630"),), amps=10.5
    ),
    Case(
        "sdm630-at-2400", Settings(2400), fixtures(u7="eastron-sdm630"), is_silent_to_unknown=True,
        tables=(_modbus("eastron-sdm630", 7, baud=2400),), amps=10.5,
    ),
    Case("b23-factory", Settings(19_200, parity="E"), fixtures(u1="abb-b23"), tables=(_modbus("abb-b23"),), amps=12.34),
    Case(
        "b24-at-9600", Settings(9600, parity="E"), fixtures(u3="abb-b24"),
        tables=(_modbus("abb-b24", 3, baud=9600),), amps=12.34,
    ),
    Case(
        "em340-no-parity", Settings(19_200), fixtures(u5="carlo-gavazzi-em340"),
        tables=(_modbus("carlo-gavazzi-em340", 5, baud=19_200),),
    ),
    Case(
        "em540-fast", Settings(115_200), fixtures(u101="carlo-gavazzi-em540"),
        tables=(_modbus("carlo-gavazzi-em540", 101, baud=115_200),), amps=63.25,
    ),
    Case(
        "two-on-a-line", Settings(9600, parity="E"), fixtures(u2="carlo-gavazzi-em340", u9="eastron-sdm630"),
        tables=(_modbus("carlo-gavazzi-em340", 2, parity="E"), _modbus("eastron-sdm630", 9, parity="E")),
    ),
    Case(
        "own-model", Settings(19_200, stop=2), {4: OWN_UNIT}, is_silent_to_unknown=True,
        tables=(_modbus("acme-em3", 4),), amps=5.5, asked=(1, 4),
    ),
    Case("p1-v5", Settings(115_200), telegram=telegram("v5"), tables=({"driver": "p1"},), amps=0.48),
    Case("p1-v4.2", Settings(115_200), telegram=telegram("v4.2"), tables=({"driver": "p1"},)),
    Case(
        "p1-v2.2", Settings(9600, 7, "E"), telegram=telegram("v2.2"), tables=({"driver": "p1", "spec": "v2.2"},),
        problem="no currents of phases", words="P1 telegrams",
    ),
    Case("sml", Settings(9600), telegram=SML, words="an SML meter sends here"),
    Case("hdlc", Settings(2400, 8, "E"), telegram=HDLC, words="Nordic HAN"),
    Case("nothing", Settings(9600), words="nobody speaks or answers here", asked=(1, 2)),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "meter-models").mkdir()
    (tmp_path / "meter-models" / "acme-em3.toml").write_text(OWN_MODEL)
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_meter_is_found_without_being_told(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # SML and HDLC are known by how they begin; whether there is a driver for them does not matter here.
    monkeypatch.setattr(registry, "names", lambda: ["modbus", "p1"])
    with Line(folder / case.name, case.settings, case.telegram, case.units, case.is_silent_to_unknown) as line:
        found = await at_port(str(line.link), replace(line.search(folder), usual_units=case.asked))
    assert case.words in found.words
    assert found.trouble is None
    if case.tables:
        tables = [dict(meter.candidates[0].table) for meter in found.meters]
        assert tables == [{**table, "port": str(line.link)} for table in case.tables]
        assert all(meter.is_clear for meter in found.meters if not case.telegram)
        readings = [meter.reading for meter in found.meters]
        assert all(reading is not None for reading in readings), found
        assert case.amps is None or (readings[0] and readings[0].current_a[0] == pytest.approx(case.amps))
        assert all(case.problem in meter.problem if case.problem else not meter.problem for meter in found.meters)
    if case.telegram:
        assert line.written == b"", "who sends by itself is not written to"
    else:
        assert found.sent == len(line.written) > 0


async def test_nothing_is_written_where_another_master_was_heard(folder: Path) -> None:
    """With whatever line settings it speaks; also where it cannot be understood."""
    asks = with_crc(bytes((17, 3, 0, 0, 0, 6)))
    answers = with_crc(bytes((17, 3, 12)) + bytes(12))
    for settings, talk, words_ in (
        (Settings(9600), asks + answers, "another master speaks on this line (9600 8N1, with unit 17)"),
        (Settings(19_200, parity="E"), asks, "another master"),
        (Settings(57_600), asks, "nothing here understands"),
        (Settings(9600), answers[:7], "nothing here understands"),
    ):
        link = folder / f"{settings.baud}-{len(talk)}"
        with Line(link, settings, talk, fixtures(u1="eastron-sdm630")) as line:
            found = await at_port(str(line.link), line.search(folder))
        assert words_ in found.words, settings
        assert (line.written, found.sent, found.meters) == (b"", 0, ())


@pytest.mark.parametrize("after", [1, 4, 30])
async def test_a_master_that_begins_later_stops_the_probe(folder: Path, after: int) -> None:
    units = fixtures(u2="eastron-sdm630")
    with Line(folder / "line", Settings(9600), units=units, talks_after=after) as line:
        found = await at_port(str(line.link), line.search(folder))
    assert "another master speaks on this line" in found.words
    assert "unit 44" in found.words
    assert line.written_at_talk is not None
    assert len(line.written) == line.written_at_talk == found.sent


@pytest.mark.parametrize("what", [b"\x00", b"\x00\xff", b"echo"])
async def test_what_adapters_add_is_no_master(folder: Path, what: bytes) -> None:
    """Stray bytes, or all that is sent once more."""
    with Line(folder / "line", Settings(9600), units=fixtures(u2="eastron-sdm630"), glitch=what) as line:
        found = await at_port(str(line.link), replace(line.search(folder), usual_units=(1, 2, 3)))
    assert [meter.candidates[0].table["unit"] for meter in found.meters] == [2]


async def test_a_port_in_use_or_gone_is_told_in_words(folder: Path) -> None:
    with Line(folder / "used", Settings(9600)) as line:
        descriptor = lock(line.link)
        try:
            found = await at_port(str(line.link), line.search(folder))
        finally:
            os.close(descriptor)
        assert found.trouble is not None
        assert found.trouble.kind is Kind.IN_USE
        gone = await at_port(str(folder / "gone"), line.search(folder))
    assert gone.trouble is not None
    assert gone.trouble.kind is Kind.UNPLUGGED
    assert line.written == b""


async def test_a_unit_that_no_model_fits_is_told(folder: Path) -> None:
    """Its numbers are those of no building."""
    unit = Unit(input=dict.fromkeys(range(0x60), 0x1234), holding=dict.fromkeys(range(0x60), 0x1234))
    with Line(folder / "line", Settings(9600), units={1: unit}) as line:
        found = await at_port(str(line.link), line.search(folder))
    (meter,) = found.meters
    assert meter.candidates == ()
    assert "no known model fits" in meter.problem


async def test_a_host_is_asked_over_tcp(folder: Path) -> None:
    with Line(folder / "unused", Settings(9600)) as line:
        search = line.search(folder)
        for is_rtu in (False, True):
            async with tcp_server({1: load("abb-b23").unit}, is_rtu=is_rtu) as port:
                found = await at_host(Host("127.0.0.1", port), search)
            (meter,) = found.meters
            framing = {"framing": "rtu"} if is_rtu else {}
            assert dict(meter.candidates[0].table) == _modbus("abb-b23", host="127.0.0.1", tcp_port=port) | framing
            assert meter.reading is not None
        found = await at_host(Host("127.0.0.1", port), search)
    assert found.trouble is not None
    assert found.trouble.kind is Kind.UNREACHABLE


async def test_where_several_fit_each_can_be_read(folder: Path) -> None:
    other = OWN_MODEL.replace("em3", "em4").replace("EM3", "EM4").replace('scale = 0.001, unit = "A"', 'unit = "mA"')
    (folder / "meter-models" / "acme-em4.toml").write_text(other)
    with Line(folder / "line", Settings(19_200, stop=2), units={4: OWN_UNIT}) as line:
        search = replace(line.search(folder), usual_units=(4,))
        found = await at_port(str(line.link), search)
        (meter,) = found.meters
        assert [one.name for one in meter.candidates] == ["Acme EM3", "Acme EM4"]
        assert not meter.is_clear
        reading, problem = await read_with(meter.candidates[1], search)
    assert problem == ""
    assert reading is not None
    assert reading.current_a == (5.5, -1.25, 0.0)


def test_the_models_here_are_those_that_are_shipped() -> None:
    """So that no model is left out of the search by its name alone."""
    assert set(files(Places())) >= {case.tables[0]["model"] for case in CASES if case.units} - {"acme-em3"}
    assert Outcome("x", "y").meters == ()
    assert Meter("x").candidates == ()
