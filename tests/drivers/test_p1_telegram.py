"""Telegrams from bytes to values: real ones, broken ones, and ones with values missing."""

import importlib
import itertools
import math
import random
from typing import Any

import pytest
from dsmr_parser import telegram_specifications
from hypothesis import given
from hypothesis import strategies as st

from drivers import p1_telegram
from drivers.api import NO_PHASES, DriverError, Kind, Quality, Reason, Signed
from drivers.derive import Telegram
from drivers.p1_telegram import SPECS, Decoder
from tests.drivers.push_rig import CODES, LUXEMBOURGS_KEY, changed, telegram, with_checksum

V5, V42 = telegram("v5"), telegram("v4.2")
PARTS = (Reason.CURRENT_MISSING, Reason.VOLTAGE_MISSING, Reason.POWER_MISSING)


def decoded(data: bytes, spec: str = "v5") -> Telegram:
    (found,) = Decoder(spec).feed(data, 5.0)
    return found


def near(values: Any) -> Any:
    return pytest.approx(values, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "spec", "expected", "reasons"),
    [
        (
            "v5",
            "v5",
            {
                "current_a": (0.48, 0.44, 0.86),
                "voltage_v": (230.0, 230.0, 229.0),
                "power_w": (70.0, 32.0, 142.0),
                "power_total_w": 244.0,
                "energy_import_kwh": 6.825,
                "energy_export_kwh": 2.444,
                "resolution_a": 0.01,
                "phases": 3,
            },
            set(),
        ),
        (
            "v4.2",
            "v5",
            {
                "current_a": (0.0, 6.0, 2.0),
                "voltage_v": NO_PHASES,
                "power_w": (170.0, 1247.0, 209.0),
                "power_total_w": 2027.0,
                "resolution_a": 1.0,
            },
            {Reason.VOLTAGE_MISSING},
        ),
        ("v2.2", "v2.2", {"current_a": NO_PHASES, "power_total_w": 1010.0, "phases": 3}, {*PARTS, Reason.NO_CHECKSUM}),
        ("v3", "v3", {"current_a": NO_PHASES, "power_total_w": 1190.0, "phases": 3}, {*PARTS, Reason.NO_CHECKSUM}),
        (
            "q3d",
            "q3d",
            {"current_a": NO_PHASES, "power_w": (747.85, 737.28, 639.73), "energy_import_kwh": 52185.7825309},
            {Reason.CURRENT_MISSING, Reason.VOLTAGE_MISSING, Reason.NO_CHECKSUM},
        ),
        (
            "fluvius",
            "fluvius",
            {
                "current_a": (1.66, 1.38, -2.69),
                "voltage_v": (236.7, 236.4, 238.1),
                "power_w": (319.0, 237.0, -581.0),
                "power_total_w": -23.0,
                "energy_import_kwh": 714.174,
            },
            set(),
        ),
        (
            "luxembourg",
            "luxembourg",
            {
                "current_a": (-319 / 231, -300 / 229, -277 / 230),
                "power_w": (-319.0, -300.0, -277.0),
                "power_total_w": -897.0,
                "energy_import_kwh": 273.764,
                "energy_export_kwh": 112743.03,
                "resolution_a": 1.0,
            },
            set(),
        ),
        (
            "austria",
            "austria",
            {"current_a": NO_PHASES, "power_total_w": 286.0, "energy_import_kwh": 6545.766},
            set(PARTS),
        ),
        (
            "sweden",
            "sweden",
            {
                "current_a": (-0.6, -0.6, 0.3),
                "power_w": (-12.0, -71.0, 63.0),
                "power_total_w": -20.0,
                "energy_import_kwh": 896.02,
                "resolution_a": 0.1,
            },
            set(),
        ),
        (
            "hungary",
            "hungary",
            {
                "current_a": (3.0, 4.0, 3.0),
                "voltage_v": (240.4, 239.1, 241.2),
                "power_total_w": -2601.0,
                "frequency_hz": 50.0,
                "current_signed": Signed.UNKNOWN,
                "resolution_a": 1.0,
            },
            {Reason.POWER_MISSING, Reason.SIGN_UNKNOWN},
        ),
        (
            "ireland",
            "ireland",
            {
                "current_a": (-10 / 242.5, -10 / 241.7, -10 / 243.3),
                "power_w": (-10.0, -10.0, -10.0),
                "energy_import_kwh": 20.363,
            },
            set(),
        ),
    ],
)
def test_public_telegrams(name: str, spec: str, expected: dict[str, Any], reasons: set[Reason]) -> None:
    values = decoded(telegram(name), spec).values
    wanted = {key: value if isinstance(value, str) else near(value) for key, value in expected.items()}
    assert {key: values[key] for key in expected} == wanted
    assert values["reasons"] == reasons


def test_the_meter_says_its_time_and_name() -> None:
    found = decoded(V5)
    assert found.identification == "ISk5\\2MT382-1000"
    assert found.values["device_time"].isoformat() == "2017-01-02T18:20:02+00:00"


UNSURE = {Reason.POWER_MISSING, Reason.SIGN_UNKNOWN}
ALL = (0.48, 0.44, 0.86)


def without(*kinds: str, phases: tuple[int, ...] = (1, 2, 3)) -> dict[str, str | None]:
    return {f"{kind}{phase}": None for kind in kinds for phase in phases}


SIGNS: dict[str, tuple[dict[str, str | None], Any, str, set[Reason]]] = {
    "export": ({"i1": "5.00*A", "p1": "00.000*kW", "out1": "01.100*kW"}, (-5.0, 0.44, 0.86), "from-power", set()),
    "whole amperes: no less than the active power needs": (
        {"i1": "005*A", "i2": "000*A", "i3": "002*A", "out1": "01.100*kW", "p1": "00.000*kW", "p2": "00.170*kW"},
        (-5.0, 170 / 230, 2.0),
        "from-power",
        set(),
    ),
    "no power": ({"p2": None, "out2": None}, ALL, "from-power", UNSURE),
    "nothing comes in, what goes out is unknown": ({"p2": "00.000*kW", "out2": None}, ALL, "from-power", UNSURE),
    "no current": ({"i2": None}, (0.48, None, 0.86), "from-power", {Reason.CURRENT_MISSING}),
    "empty value": ({"i2": "*A"}, (0.48, None, 0.86), "from-power", {Reason.CURRENT_MISSING}),
    "no number": ({"i2": "0.4.4*A"}, (0.48, None, 0.86), "from-power", {Reason.CURRENT_MISSING}),
    "wrong unit": ({"i2": "0.44*kvar"}, (0.48, None, 0.86), "from-power", {Reason.CURRENT_MISSING}),
    "no phase has a power": (without("p", "out"), ALL, "unknown", UNSURE),
    "one phase": (without("p", "out", "i", "u", phases=(2, 3)), (0.48, None, None), "from-power", set()),
    "one phase has the sign of the total": (
        {**without("p", "out", "i", "u", phases=(2, 3)), **without("p", "out", phases=(1,)), "out": "00.900*kW"},
        (-0.48, None, None),
        "from-power",
        set(),
    ),
}


@pytest.mark.parametrize(("lines", "current", "signed", "reasons"), SIGNS.values(), ids=SIGNS)
def test_currents_and_their_signs(
    lines: dict[str, str | None], current: Any, signed: str, reasons: set[Reason]
) -> None:
    values = decoded(changed(V5, **lines)).values
    assert values["current_a"] == near(current)
    assert values["current_signed"] is Signed(signed)
    assert values["reasons"] == reasons
    assert values["quality"] is (Quality.PARTIAL if reasons else Quality.GOOD)
    assert values["resolution_a"] == (1.0 if lines.get("i1") == "005*A" else 0.01)


def test_a_meter_of_three_phases_stays_one_when_lines_are_gone() -> None:
    decoder = Decoder("v5")
    decoder.feed(V5, 1.0)
    (found,) = decoder.feed(
        changed(V5, i2=None, i3=None, u2=None, u3=None, p2=None, p3=None, out2=None, out3=None), 2.0
    )
    assert found.values["phases"] == 3
    assert found.values["reasons"] == set(PARTS)


@given(at=st.integers(0, len(V5) - 3), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_through(at: int, bit: int) -> None:
    """A checksum in small letters would not be one: no bit of the line end is flipped."""
    broken = bytearray(V5)
    broken[at] ^= 1 << bit
    decoder = Decoder("v5")
    assert decoder.feed(bytes(broken), 1.0) == []
    (after,) = decoder.feed(V5, 2.0)
    assert after == Telegram(2.0, after.identification, decoded(V5).values)
    assert decoder.crc_errors + decoder.without_checksum + decoder.short_frames <= 2


@given(cuts=st.lists(st.integers(0, 3 * len(V5)), max_size=12), skip=st.integers(1, len(V5) - 1))
def test_pieces_do_not_matter_and_a_partial_first_telegram_is_skipped(cuts: list[int], skip: int) -> None:
    stream = V5[skip:] + V5 + V42
    decoder, found, begun_at = Decoder("v5"), [], []
    edges = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    for t, (start, end) in enumerate(itertools.pairwise(edges)):
        begun_at += [float(t)] * stream[start:end].count(b"/")
        found += decoder.feed(stream[start:end], float(t))
    assert [each.identification for each in found] == ["ISk5\\2MT382-1000", "KFM5KAIFA-METER"]
    assert [each.t for each in found] == begun_at
    assert (decoder.crc_errors, decoder.short_frames, decoder.without_checksum) == (0, 0, 0)


def test_a_telegram_that_does_not_end_is_counted_and_forgotten() -> None:
    decoder = Decoder("v5")
    decoder.feed(V5[:300], 1.0)
    decoder.interrupted()
    assert decoder.feed(V5[300:], 2.0) == []
    assert len(decoder.feed(V5[:200] + V5, 3.0)) == 1
    assert decoder.short_frames == 2
    decoder.feed(b"/" + b"x" * 20_000, 4.0)
    assert decoder.short_frames == 3
    assert len(decoder.feed(V5, 5.0)) == 1


def test_a_missing_checksum_is_no_right_one() -> None:
    decoder = Decoder("v5")
    assert decoder.feed(telegram("v2.2") + V5.replace(b"!6EEE", b"!6EE") + V5.replace(b"!6EEE", b"!"), 1.0) == []
    assert decoder.without_checksum == 3


def test_where_no_checksum_is_due_one_that_is_there_is_checked() -> None:
    decoder = Decoder("v3")
    assert len(decoder.feed(V5, 1.0)) == 1
    assert decoder.feed(V5.replace(b"0.48", b"4.48"), 2.0) == []
    assert decoder.crc_errors == 1


def test_nonsense_without_a_checksum_is_dropped_or_missing_but_no_value() -> None:
    decoder = Decoder("v2.2")
    old = telegram("v2.2")
    assert decoder.feed(old.replace(b"0001.01*kW", b"00x1.01*kW"), 1.0) == []
    assert decoder.feed(old.replace(b"0001.01*kW", b"1E400*kW"), 1.0) == []
    assert decoder.feed(old.replace(b"1-0:1.7.0(0001.01*kW)\r\n", b""), 1.0) == []
    assert decoder.short_frames == 3


@given(seed=st.integers(0, 2**32))
def test_zero_is_never_invented(seed: int) -> None:
    """Random lines fall out. What is left has the values of the whole telegram, never others."""
    dice = random.Random(seed)
    # Never as much out as in: that would be a zero (seed 50).
    whole = {name: f"{dice.uniform(16, 30) if name[0] == 'o' else dice.uniform(0.5, 15):.2f}" for name in CODES}
    units = {"i": "A", "u": "V", "p": "kW", "o": "kW"}
    full = changed(
        V5, **{name: f"{value}*{units.get(name[0]) if '_' not in name else 'kWh'}" for name, value in whole.items()}
    )
    gone: dict[str, str | None] = {name: None for name in CODES if dice.random() < 0.4}
    wanted, decoder = decoded(full).values, Decoder("v5")
    decoder.feed(full, 1.0)
    found = decoder.feed(changed(full, **gone), 2.0)
    if not found:
        assert {name for name in CODES if name[:-1] in ("i", "u", "p")} <= {*gone}
        return
    (values,) = (each.values for each in found)
    for phase in (1, 2, 3):
        assert values["voltage_v"][phase - 1] == (None if f"u{phase}" in gone else wanted["voltage_v"][phase - 1])
        power = values["power_w"][phase - 1]
        assert (power is None) == (f"p{phase}" in gone)
        current = values["current_a"][phase - 1]
        assert (current is None) == (f"i{phase}" in gone)
        assert current is None or math.isclose(abs(current), float(whole[f"i{phase}"]))
    assert (values["energy_import_kwh"] is None) == ("in_t1" in gone or "in_t2" in gone)
    assert (values["power_total_w"] is None) == ("p" in gone)
    assert 0.0 not in (*values["current_a"], *values["power_w"], *values["voltage_v"], values["power_total_w"])


def test_every_specification_reads_what_is_common_to_all() -> None:
    for name in SPECS:
        if name != "q3d":
            assert decoded(V5, name).values["power_total_w"] == near(244.0), name


def test_every_specification_has_a_published_telegram() -> None:
    """All that dsmr-parser has, but those that are others' names, or a part of another."""
    known = {
        name
        for name, value in vars(telegram_specifications).items()
        if name.isupper() and isinstance(value, dict) and "objects" in value
    }
    assert known - {"MSN", "AUSTRIA_ENERGIENETZE_STEIERMARK"} == {spec.parser for spec in SPECS.values()}
    assert telegram_specifications.MSN["authentication_key"] == LUXEMBOURGS_KEY.hex().upper()


def test_what_a_meter_sends_beyond_its_specification_is_read() -> None:
    """E.ON's has no power of phases; the meters of other Hungarian operators send it."""
    added = b"1-0:21.7.0(00.000*kW)\r\n1-0:22.7.0(00.700*kW)\r\n!"
    text = with_checksum(telegram("hungary").replace(b"!", added, 1))
    assert decoded(text, "hungary").values["current_a"] == near((-3.0, 4.0, 3.0))


def test_a_power_failure_log_does_not_make_the_parser_grow() -> None:
    """In dsmr-parser its parser keeps all it ever read."""
    parser: Any = Decoder("v5")._library._parser
    assert not any("FAILURE_LOG" in each["value_name"] for each in parser.telegram_specification["objects"])


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name.startswith("dsmr_parser"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, package)

    monkeypatch.setattr(p1_telegram, "import_module", absent)
    with pytest.raises(DriverError) as caught:
        Decoder("v5")
    assert caught.value.trouble.kind is Kind.NOT_INSTALLED
    assert "ocpp-gateway[p1]" in caught.value.trouble.remedy
