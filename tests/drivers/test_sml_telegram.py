"""SML files from bytes to values: published ones, broken ones, and ones with values missing."""

import importlib
import itertools
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import sml_telegram
from drivers.api import NO_PHASES, DriverError, Kind, Quality, Reason, Signed
from drivers.derive import Telegram
from drivers.sml_telegram import Decoder
from tests.drivers.stream_frames import SML_ESCAPE, published, sml_file

HLY, EFR, LOGAREX = published("sml-hly"), published("sml-efr"), published("sml-logarex")
WHOLE = {"i1": (214, -2), "i2": (300, -2), "i3": (1, -2), "p1": (-400, 0), "p2": (600, 0), "p3": (2, 0), "p": (202, 0)}


def decoded(data: bytes) -> Telegram:
    (found,) = Decoder().feed(data, 5.0)
    return found


def near(values: Any) -> Any:
    return pytest.approx(values, abs=1e-9)


@pytest.mark.parametrize(
    ("data", "meter", "expected"),
    [
        (
            HLY,
            "1 HLY02 0027 1520",
            {"current_a": (0.41, 0.78, 0.46), "voltage_v": (234.4, 234.5, 233.8), "power_w": NO_PHASES,
             "power_total_w": 137.0, "frequency_hz": 50.0, "energy_import_kwh": 4499.8962, "energy_export_kwh": 0.0,
             "resolution_a": 0.01, "phases": 3},
        ),
        (
            EFR,
            "1 EFR21 4715 3263",
            {"current_a": (-2.19, -1.95, -3.43), "voltage_v": (225.0, 230.0, 229.9), "power_w": NO_PHASES,
             "power_total_w": -1557.0, "energy_import_kwh": 6959.6694, "energy_export_kwh": 953.2515},
        ),
        (
            LOGAREX,
            "1 LOG00 9229 9690",
            {"current_a": (-0.3, 1.14, 0.37), "voltage_v": (232.2, 231.3, 232.3), "power_w": (-130.0, 234.0, 84.0),
             "power_total_w": 188.0},
        ),
    ],
)  # fmt: skip
def test_published_files(data: bytes, meter: str, expected: dict[str, Any]) -> None:
    """The phase angles of the second one show export on all phases, as its total power does."""
    found = decoded(data)
    assert found.identification == meter
    assert {key: found.values[key] for key in expected} == {key: near(value) for key, value in expected.items()}
    assert (found.values["current_signed"], found.values["quality"]) == (Signed.FROM_POWER, Quality.GOOD)


def test_a_meter_without_its_pin_has_counters_and_nothing_else() -> None:
    values = decoded(published("sml-dzg")).values
    assert (values["energy_import_kwh"], values["energy_export_kwh"]) == (13391.0, 0.0)
    assert (values["current_a"], values["voltage_v"], values["power_total_w"]) == (NO_PHASES, NO_PHASES, None)
    assert values["reasons"] == {Reason.CURRENT_MISSING}


def test_a_message_with_a_wrong_checksum_is_dropped_though_the_frame_has_a_right_one() -> None:
    decoder = Decoder()
    assert decoder.feed(published("sml-ebz"), 1.0) == []
    assert (decoder.crc_errors, decoder.short_frames) == (1, 0)


NATIVE, UNKNOWN, FROM_POWER = Signed.NATIVE, Signed.UNKNOWN, Signed.FROM_POWER
CASES: dict[str, tuple[dict[str, tuple[int, int]], Any, Signed, set[Reason]]] = {
    "power of phases": (WHOLE, (-2.14, 3.0, 0.01), FROM_POWER, set()),
    "import and export apart": (
        {"i1": (2, 0), "i2": (3, 0), "i3": (4, 0), "in1": (0, 0), "out1": (400, 0), "in2": (0, 0), "in3": (9, 0)},
        (-2.0, 3.0, 4.0), FROM_POWER, {Reason.POWER_MISSING, Reason.SIGN_UNKNOWN},
    ),
    "angles": (
        {"i1": (2, 0), "i2": (3, 0), "i3": (4, 0), "angle1": (181, 0), "angle2": (15, 0), "angle3": (91, 0)},
        (-2.0, 3.0, -4.0), FROM_POWER, set(),
    ),
    "total only": (
        {"i1": (2, 0), "i2": (3, 0), "i3": (4, 0), "p": (-900, 0)}, (2.0, 3.0, 4.0), UNKNOWN, {Reason.SIGN_UNKNOWN},
    ),
    "one phase has the sign of the total": ({"i1": (25, -1), "p": (-500, 0)}, (-2.5, None, None), FROM_POWER, set()),
    "a sign of its own": (
        {"i1": (-2, 0), "i2": (3, 0), "i3": (4, 0), "p": (-900, 0)}, (-2.0, 3.0, 4.0), NATIVE, set(),
    ),
    "a current of none": (
        {name: value for name, value in WHOLE.items() if name != "i2"}, (-2.14, None, 0.01), FROM_POWER,
        {Reason.CURRENT_MISSING},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("values", "current", "signed", "reasons"), CASES.values(), ids=CASES)
def test_currents_and_their_signs(
    values: dict[str, tuple[int, int]], current: Any, signed: Signed, reasons: set[Reason]
) -> None:
    found = decoded(sml_file(values)).values
    assert found["current_a"] == near(current)
    assert (found["current_signed"], found["reasons"]) == (signed, reasons)


def test_whole_amperes_are_known_by_never_seeing_another() -> None:
    decoder = Decoder()
    whole = {**WHOLE, "i1": (1, 0), "i2": (2, 0), "i3": (0, 0), "u1": (2300, -1), "u2": (2300, -1), "u3": (2300, -1)}
    (first,) = decoder.feed(sml_file(whole), 1.0)
    assert first.values["resolution_a"] == 1.0
    assert first.values["current_a"] == near((-400 / 230, 600 / 230, 2 / 230)), "no less than the active power needs"
    decoder.feed(sml_file({**whole, "i1": (12, -1)}), 2.0)
    (third,) = decoder.feed(sml_file(whole), 3.0)
    assert (third.values["resolution_a"], third.values["current_a"]) == (0.1, near((-1.0, 2.0, 0.0)))


def test_what_was_there_before_is_missed_and_not_repeated() -> None:
    decoder = Decoder()
    decoder.feed(sml_file({**WHOLE, "u1": (2300, -1), "u2": (2300, -1), "u3": (2300, -1)}), 1.0)
    (found,) = decoder.feed(sml_file({"i1": (214, -2)}), 2.0)
    assert found.values["current_a"] == near((2.14, None, None))
    assert (found.values["voltage_v"], found.values["power_w"], found.values["phases"]) == (NO_PHASES, NO_PHASES, 3)
    assert found.values["reasons"] == {
        Reason.CURRENT_MISSING, Reason.VOLTAGE_MISSING, Reason.POWER_MISSING, Reason.SIGN_UNKNOWN,
    }  # fmt: skip


@given(at=st.integers(0, len(HLY) - 1), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_through(at: int, bit: int) -> None:
    """If it hits the beginning or the end, the frame is not seen as one, or ends with the next."""
    broken = bytearray(HLY)
    broken[at] ^= 1 << bit
    decoder = Decoder()
    assert decoder.feed(bytes(broken), 1.0) == []
    found = decoder.feed(EFR, 2.0)
    found += decoder.feed(EFR, 3.0)
    assert [each.values for each in found][-1] == decoded(EFR).values
    assert decoder.crc_errors + decoder.short_frames <= 2


@given(cuts=st.lists(st.integers(0, 1500), max_size=8), skip=st.integers(1, len(HLY) - 1))
def test_pieces_do_not_matter_and_a_partial_first_file_is_skipped(cuts: list[int], skip: int) -> None:
    stream = HLY[skip:] + EFR + HLY
    decoder, found = Decoder(), []
    edges = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    pieces = list(itertools.pairwise(edges))
    for t, (start, end) in enumerate(pieces):
        found += decoder.feed(stream[start:end], float(t))
    begins = [len(HLY) - skip, len(HLY) - skip + len(EFR)]
    assert [each.identification[:5] for each in found] == ["1 EFR", "1 HLY"]
    assert [each.t for each in found] == [
        next(float(t) for t, (start, end) in enumerate(pieces) if start <= at < end) for at in begins
    ], "a file is as old as its first byte"
    assert (decoder.crc_errors, decoder.short_frames) == (0, 0)


def test_files_that_do_not_end_are_counted_and_forgotten() -> None:
    decoder = Decoder()
    decoder.feed(HLY[:300], 1.0)
    decoder.interrupted()
    assert decoder.feed(HLY[300:], 2.0) == []
    assert len(decoder.feed(HLY[:200] + EFR, 3.0)) == 1
    assert decoder.short_frames == 2
    decoder.feed(HLY[:100] + b"x" * 20_000, 4.0)
    assert len(decoder.feed(EFR, 5.0)) == 1
    assert decoder.short_frames == 3


def test_escaped_bytes_in_a_value_are_a_value() -> None:
    data = sml_file({"i1": (100, -2), "p1": (0x1B1B1B1B, -6)})
    assert data.count(SML_ESCAPE * 2) == 1
    assert decoded(data).values["power_w"][0] == near(0x1B1B1B1B / 1e6)


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name == "sml":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, package)

    monkeypatch.setattr(sml_telegram, "import_module", absent)
    with pytest.raises(DriverError) as caught:
        Decoder()
    assert caught.value.trouble.kind is Kind.NOT_INSTALLED
    assert 'pip install "ocpp-gateway[sml]"' in caught.value.trouble.remedy


def test_parsers_are_not_imported_before_they_are_needed() -> None:
    code = (
        "import sys, drivers.sml, drivers.han, drivers.p1, drivers.speedwire;"
        "print(sorted({'sml', 'han', 'bitstring', 'construct', 'cryptography', 'dsmr_parser'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
