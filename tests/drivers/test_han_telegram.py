"""Lists of Nordic meters from bytes to values: published ones, broken ones, short ones."""

import importlib
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import han_telegram
from drivers.api import NO_PHASES, DriverError, Kind, Quality, Reason, Signed
from drivers.derive import Telegram
from drivers.han_telegram import Decoder
from tests.drivers.stream_frames import hdlc_frame, published

KAMSTRUP, KAIFA, AIDON = published("han-kamstrup"), published("han-kaifa"), published("han-aidon")
SHORT = published("han-aidon-no-list1")
UNSURE = {Reason.SIGN_UNKNOWN}


def decoded(data: bytes) -> Telegram:
    (found,) = Decoder().feed(data, 5.0)
    return found


def near(values: Any) -> Any:
    return pytest.approx(values, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "meter", "expected", "reasons"),
    [
        (
            "han-kamstrup",
            "Kamstrup 6841138BN245101090 5706567326590407",
            {"current_a": (2.37, 0.89, 0.75), "voltage_v": (232.0, 233.0, 236.0), "power_w": NO_PHASES,
             "power_total_w": 826.0, "energy_import_kwh": None, "resolution_a": 0.01},
            UNSURE,
        ),
        (
            "han-kaifa",
            "Kaifa MA304H4 7340157030732044",
            {"current_a": (0.301, 1.385, 1.519), "voltage_v": (231.9, 231.1, 233.6), "power_total_w": 586.0,
             "energy_import_kwh": 17291.472, "energy_export_kwh": 0.0, "resolution_a": 0.001},
            UNSURE,
        ),
        (
            "han-aidon",
            "Aidon",
            {"current_a": (0.0, 7.5, 0.0), "voltage_v": (230.7, 249.9, 230.8), "power_w": (0.0, 1122.0, 0.0),
             "power_total_w": 1122.0, "energy_import_kwh": 10049.926, "resolution_a": 0.1},
            set(),
        ),
        (
            "han-aidon-no-list2",
            "Aidon 6525 7359992892587665",
            {"current_a": (1.3, None, 0.9), "voltage_v": (227.4, 230.1, 230.8), "power_total_w": 280.0},
            {Reason.CURRENT_MISSING, Reason.SIGN_UNKNOWN},
        ),
        (
            "han-kaifa-no-list3",
            "Kaifa MA304H3E 6970631402614476",
            {"current_a": (14.571, 15.643, 9.525), "voltage_v": (219.3, 0.0, 220.5), "energy_import_kwh": 79591.144},
            UNSURE,
        ),
    ],
)  # fmt: skip
def test_published_lists(name: str, meter: str, expected: dict[str, Any], reasons: set[Reason]) -> None:
    found = decoded(published(name))
    assert (found.identification, found.values["phases"]) == (meter, 3)
    assert {key: found.values[key] for key in expected} == {key: near(value) for key, value in expected.items()}
    assert found.values["reasons"] == reasons
    assert found.values["quality"] is (Quality.PARTIAL if reasons else Quality.GOOD)
    assert found.values["current_signed"] is (Signed.FROM_POWER if name == "han-aidon" else Signed.UNKNOWN)


def test_currents_have_the_sign_of_their_phases_power() -> None:
    """The second phase's power goes out instead of in."""
    content = AIDON[9:-3].replace(bytes.fromhex("0100290700ff0600000462"), bytes.fromhex("0100290700ff0600000000"))
    content = content.replace(bytes.fromhex("01002a0700ff0600000000"), bytes.fromhex("01002a0700ff0600000462"))
    values = decoded(hdlc_frame(content)).values
    assert (values["current_a"], values["power_w"]) == ((0.0, -7.5, 0.0), (0.0, -1122.0, 0.0))


def test_a_kamstrup_for_transformers_has_one_more_digit() -> None:
    content = KAMSTRUP[8:-3].replace(b"6841138BN", b"6851138BN")
    values = decoded(hdlc_frame(content)).values
    assert (values["current_a"], values["resolution_a"]) == (near((0.237, 0.089, 0.075)), 0.001)


def test_short_lists_are_left_out_while_full_ones_come_and_shown_when_they_do_not() -> None:
    decoder = Decoder()
    full = published("han-aidon-no-list2")
    moments = {0.0: SHORT, 2.5: SHORT, 10.0: full, 12.5: SHORT, 20.0: full, 49.0: SHORT, 51.0: SHORT, 60.0: full}
    found = {t: decoder.feed(data, t) for t, data in moments.items()}
    assert [t for t, telegrams in found.items() if telegrams] == [10.0, 20.0, 51.0, 60.0]
    late = found[51.0][0].values
    assert (late["power_total_w"], late["current_a"]) == (280.0, NO_PHASES)
    assert Reason.CURRENT_MISSING in late["reasons"]


@given(at=st.integers(0, len(KAMSTRUP) - 1), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_through(at: int, bit: int) -> None:
    broken = bytearray(KAMSTRUP)
    broken[at] ^= 1 << bit
    decoder = Decoder()
    assert decoder.feed(bytes(broken), 1.0) == []
    (after,) = decoder.feed(KAIFA, 2.0)
    assert after.values == decoded(KAIFA).values
    assert decoder.crc_errors + decoder.short_frames <= 1


@given(cuts=st.lists(st.integers(0, 800), max_size=8), skip=st.integers(1, len(KAMSTRUP) - 1), shared=st.booleans())
def test_pieces_do_not_matter_and_a_partial_first_frame_is_skipped(cuts: list[int], skip: int, shared: bool) -> None:
    """Two frames may share the flag between them."""
    stream = KAMSTRUP[skip:] + KAIFA + KAMSTRUP[shared:]
    decoder, found = Decoder(), []
    edges = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    pieces = list(itertools.pairwise(edges))
    for t, (start, end) in enumerate(pieces):
        found += decoder.feed(stream[start:end], float(t))
    assert [each.identification.split()[0] for each in found] == ["Kaifa", "Kamstrup"]
    begins = [len(KAMSTRUP) - skip, len(KAMSTRUP) - skip + len(KAIFA) - shared]
    came = [next(float(t) for t, (start, end) in enumerate(pieces) if start <= at < end) for at in begins]
    assert [each.t for each in found] == came, "a list is as old as its first byte"
    assert (decoder.crc_errors, decoder.short_frames) == (0, 0)


def test_a_frame_that_breaks_off_is_counted() -> None:
    decoder = Decoder()
    decoder.feed(KAMSTRUP[:100], 1.0)
    decoder.interrupted()
    assert decoder.feed(KAMSTRUP[100:], 2.0) == []
    assert decoder.short_frames == 1
    assert len(decoder.feed(KAIFA, 3.0)) == 1


def test_a_list_of_something_else_is_no_reading() -> None:
    decoder = Decoder()
    assert decoder.feed(hdlc_frame(bytes.fromhex("e6e7000f400000000001010203")), 1.0) == []
    assert (decoder.crc_errors, decoder.short_frames) == (0, 1)


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name.startswith("han."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, package)

    monkeypatch.setattr(han_telegram, "import_module", absent)
    with pytest.raises(DriverError) as caught:
        Decoder()
    assert caught.value.trouble.kind is Kind.NOT_INSTALLED
    assert 'pip install "ocpp-gateway[han]"' in caught.value.trouble.remedy
