"""What a stream of bytes is taken for, and how long is listened."""

import random

import pytest

from drivers.probe_sound import LISTENED, Settings, Sound, Window, frames, is_enough, next_window, recognised, verdict
from tests.drivers.modbus_rig import with_crc
from tests.drivers.push_rig import telegram
from tests.drivers.test_probe import HDLC, SML

ASK = with_crc(bytes((17, 4, 0, 0, 0, 6)))
ANSWER = with_crc(bytes((17, 4, 12)) + bytes(range(12)))
REFUSAL = with_crc(bytes((3, 0x84, 2)))
ENCRYPTED = b"\xdb\x08SAG\x67\x00\x1a\x2b\x3c\x82\x01\x80\x30\x00\x00\x12\x34" + bytes(40)


@pytest.mark.parametrize(
    ("content", "sound"),
    [
        (telegram("v5"), Sound.P1),
        (telegram("v4.2")[200:], Sound.P1),
        (telegram("v2.2"), Sound.P1),
        (ENCRYPTED, Sound.P1_ENCRYPTED),
        (b"\x00\x55" + SML, Sound.SML),
        (HDLC, Sound.HDLC),
        (b"\x7e" + HDLC, Sound.HDLC),
        (ASK, Sound.MODBUS),
        (b"\xff" + ANSWER, Sound.MODBUS),
        (REFUSAL, Sound.MODBUS),
        (ASK[:-1] + b"\x00", None),
        (HDLC[:-1], None),
        (SML[:7], None),
        (telegram("v5")[:30], None),
        (b"", None),
        (bytes(200), None),
        (b"~" * 60, None),
    ],
)
def test_streams_are_recognised(content: bytes, sound: Sound | None) -> None:
    assert recognised(content) is sound


def test_noise_is_nothing() -> None:
    source = random.Random(7)
    for _ in range(300):
        assert recognised(source.randbytes(200)) is None


def test_frames_are_found_in_a_stream_of_them() -> None:
    assert frames(b"\x01" + ASK + ANSWER + b"\x00\x00" + REFUSAL + ASK[:5]) == [
        (17, ASK),
        (17, ANSWER),
        (3, REFUSAL),
    ]


def test_a_silent_line_is_listened_to_long_once_and_short_with_other_settings() -> None:
    done: list[Window] = []
    plan = []
    while step := next_window(done, 12.0):
        plan.append(step)
        done.append(Window(step[0], b""))
    assert plan == [(LISTENED[0], 12.0), *((settings, 3.0) for settings in LISTENED[1:])]
    assert verdict(done).is_silent


def test_with_talk_each_setting_is_listened_to_until_it_makes_sense() -> None:
    done = [Window(LISTENED[0], b"\x00\xe0\x00")]
    assert next_window(done, 12.0) == (Settings(9600, 7, "E"), 12.0)
    heard = [*done, Window(Settings(9600, 7, "E"), telegram("v2.2"))]
    assert next_window(heard, 12.0) is None
    assert (verdict(heard).sound, verdict(heard).settings) == (Sound.P1, Settings(9600, 7, "E"))
    while step := next_window(done, 12.0):
        done.append(Window(step[0], b"\x81\x40\x07"))
    assert len(done) == 9
    assert (verdict(done).is_silent, verdict(done).sound) == (False, None)


def test_a_byte_that_comes_with_the_opening_of_a_port_is_no_talk() -> None:
    done = [Window(settings, b"\x00") for settings in LISTENED]
    assert next_window(done[:1], 12.0) == (LISTENED[1], 3.0)
    assert verdict(done).is_silent


def test_a_telegram_is_waited_for_to_its_end() -> None:
    assert not is_enough(telegram("v5")[:-6])
    assert is_enough(b"rest\r\n" + telegram("v5"))
    assert is_enough(ASK)


def test_the_time_on_the_line_counts_all_bits() -> None:
    assert Settings(9600).seconds(96) == pytest.approx(0.1)
    assert Settings(9600, 7, "E", 2).seconds(960) == pytest.approx(1.1)
