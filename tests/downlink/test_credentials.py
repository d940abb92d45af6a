"""Passwords: which forms pass, and that a slow hash is paid for once."""

import asyncio
import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.downlink import credentials
from gateway.downlink.credentials import Pins, fits, matches, pin
from gateway.model.ids import StationId

KEY = bytes(range(0xF0, 0x100)) + b"\x00:\n\x7f"
HEX = KEY.hex().encode()
CP = StationId("CP-01")

FORMS = [
    (b"correct horse battery", b"correct horse battery", True),
    (b"Correct horse battery", b"correct horse battery", False),
    (b"correct horse batter", b"correct horse battery", False),
    (b"correct horse battery ", b"correct horse battery", False),
    (KEY, KEY, True),
    (HEX, KEY, True),
    (HEX.upper(), KEY, True),
    (KEY, HEX, True),
    (HEX, HEX, True),
    (HEX.upper(), HEX, True),
    (KEY, HEX.upper(), True),
    (HEX, KEY[:-1], False),
    (KEY[:-1], HEX, False),
    (HEX[:-1], HEX, False),
    (b"abc", b"abc", True),
    (b"\xab", b"abc", False),
    (b"ab cd", b"\xab\xcd", False),
    (b"", b"", False),
    (b"", b"secret", False),
    (b"secret", b"", False),
]


@pytest.mark.parametrize(("offered", "expected", "same"), FORMS)
def test_password_in_either_form(offered: bytes, expected: bytes, same: bool) -> None:
    assert matches(offered, expected) is same


@given(expected=st.binary(min_size=1, max_size=40), offered=st.binary(max_size=80))
def test_no_other_form_passes(expected: bytes, offered: bytes) -> None:
    assert matches(expected, expected)
    assert matches(expected.hex().encode(), expected)
    assert matches(expected, expected.hex().encode())
    spelled = {expected, expected.hex().encode()}
    with contextlib.suppress(ValueError):
        spelled.add(bytes.fromhex(expected.decode()))
    if offered.lower() not in {form.lower() for form in spelled}:
        assert not matches(offered, expected)


def test_pinned_hash_is_salted_and_fits_only_its_password() -> None:
    pinned = pin(KEY)
    kind, salt, digest = pinned.split("$")
    assert (kind, len(salt), len(digest)) == ("scrypt", 32, 64)
    assert KEY.hex() not in pinned
    assert pin(KEY) != pinned
    assert fits(KEY, pinned)
    assert not fits(KEY + b"\x00", pinned)
    assert not fits(KEY[:-1], pinned)


def test_long_password_is_not_its_own_hash() -> None:
    """What HMAC does to keys above its block size must not show."""
    long = bytes(range(100))
    assert not fits(hashlib.sha256(long).digest(), pin(long))


@pytest.mark.parametrize("broken", ["", "scrypt", "scrypt$zz$00", "md5$00$00", "scrypt$00$", "a$b$c$d"])
def test_broken_pin_fits_nothing(broken: str) -> None:
    assert not fits(KEY, broken)


class Counted:
    """How often the slow function ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs = 0
        self._slow = credentials.fits
        monkeypatch.setattr(credentials, "fits", self)

    def __call__(self, password: bytes, pinned: str) -> bool:
        self.runs += 1
        return self._slow(password, pinned)


async def test_reconnect_does_not_hash_again(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, pins, pinned = Counted(monkeypatch), Pins(), pin(KEY)
    assert [await pins.fits(CP, KEY, pinned) for _ in range(3)] == [True] * 3
    assert slow.runs == 1


async def test_what_was_pinned_just_now_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, pins = Counted(monkeypatch), Pins()
    pinned = await pins.pin(CP, KEY)
    assert await pins.fits(CP, KEY, pinned)
    assert slow.runs == 0


async def test_wrong_password_is_hashed_each_time_and_forgets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, pins, pinned = Counted(monkeypatch), Pins(), pin(KEY)
    assert await pins.fits(CP, KEY, pinned)
    assert [await pins.fits(CP, b"wrong", pinned) for _ in range(2)] == [False, False]
    assert await pins.fits(CP, KEY, pinned)
    assert slow.runs == 3


async def test_memory_is_of_one_pin_and_one_station(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, pins, pinned = Counted(monkeypatch), Pins(), pin(KEY)
    assert await pins.fits(CP, KEY, pinned)
    assert not await pins.fits(CP, KEY, pin(b"changed"))
    assert not await pins.fits(StationId("CP-02"), KEY, pin(b"another"))
    assert slow.runs == 3


async def test_a_known_station_does_not_wait_behind_wrong_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = Pins()
    pinned = await pins.pin(CP, KEY)
    started, free = asyncio.Event(), asyncio.Event()

    async def stuck(*_: object) -> bool:
        started.set()
        await free.wait()
        return False

    monkeypatch.setattr(asyncio, "to_thread", stuck)
    flood = [asyncio.create_task(pins.fits(StationId(f"X{n}"), b"wrong", pinned)) for n in range(3)]
    async with asyncio.timeout(10):
        await started.wait()
        assert await pins.fits(CP, KEY, pinned)
        assert not any(one.done() for one in flood)
        free.set()
        assert await asyncio.gather(*flood) == [False] * 3
