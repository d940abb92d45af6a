"""Encrypted telegrams: opened with the right key only, wherever the pieces are cut."""

import itertools

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from drivers.p1_cipher import Keys, Unwrapper, looks_encrypted
from drivers.p1_telegram import Decoder
from tests.drivers.push_rig import LUXEMBOURGS_KEY, encrypted, telegram

KEY = bytes(range(16))
LUXEMBOURG, AUSTRIA = telegram("luxembourg"), telegram("austria")
FRAME = encrypted(LUXEMBOURG, KEY, LUXEMBOURGS_KEY)
KEYS = Keys(KEY, LUXEMBOURGS_KEY)


def test_a_frame_is_what_the_specification_says() -> None:
    """Opened by hand with another interface of the library than the decoder uses."""
    nonce = FRAME[2:10] + FRAME[14:18]
    tag = AESGCM(KEY).encrypt(nonce, LUXEMBOURG, b"\x30" + LUXEMBOURGS_KEY)[-16:][:12]
    assert FRAME[:2] + FRAME[10:11] + FRAME[13:14] == b"\xdb\x08\x82\x30"
    assert int.from_bytes(FRAME[11:13], "big") == len(FRAME) - 13
    assert FRAME[-12:] == tag
    assert looks_encrypted(FRAME)
    assert not looks_encrypted(LUXEMBOURG)


@pytest.mark.parametrize(
    ("keys", "texts"),
    [
        (KEYS, [LUXEMBOURG]),
        (Keys(KEY), [LUXEMBOURG]),
        (Keys(KEY, bytes(16)), []),
        (Keys(bytes(16), LUXEMBOURGS_KEY), []),
        (Keys(bytes(16)), []),
    ],
    ids=[
        "both keys",
        "no second key",
        "wrong second key",
        "wrong key",
        "wrong key and no second",
    ],
)
def test_only_the_right_keys_open_it(keys: Keys, texts: list[bytes]) -> None:
    found = Unwrapper(keys).feed(FRAME, 1.0)
    assert [frame.text.encode() for frame in found if frame.text] == texts
    assert len(found) == 1


@given(
    cuts=st.lists(st.integers(0, 4000), max_size=8), skip=st.integers(1, len(FRAME) - 1), noise=st.binary(max_size=40)
)
def test_pieces_do_not_matter_and_a_partial_first_frame_is_skipped(cuts: list[int], skip: int, noise: bytes) -> None:
    stream = FRAME[skip:] + noise + FRAME + encrypted(AUSTRIA, KEY, LUXEMBOURGS_KEY, counter=2)
    unwrapper, found = Unwrapper(KEYS), []
    edges = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    pieces = list(itertools.pairwise(edges))
    for t, (start, end) in enumerate(pieces):
        found += unwrapper.feed(stream[start:end], float(t))
    assert [frame.text.encode() if frame.text else b"" for frame in found] == [LUXEMBOURG, AUSTRIA]
    first = len(FRAME) - skip + len(noise)
    came = [
        next(float(t) for t, (start, end) in enumerate(pieces) if start <= at < end)
        for at in (first, first + len(FRAME))
    ]
    assert [frame.t for frame in found] == came


@given(at=st.integers(0, len(FRAME) - 1), bit=st.integers(0, 7), has_second=st.booleans())
def test_no_flipped_bit_goes_through(at: int, bit: int, has_second: bool) -> None:
    """Without the second key it is the telegram's own checksum that tells."""
    broken = bytearray(FRAME)
    broken[at] ^= 1 << bit
    is_in_tag = at >= len(FRAME) - 12
    decoder = Decoder("luxembourg", KEYS if has_second else Keys(KEY))
    found = decoder.feed(bytes(broken), 1.0)
    assert (not found) or (is_in_tag and not has_second)
    later = [one.values for _ in range(3) for one in decoder.feed(FRAME, 2.0)]
    (right,) = Decoder("luxembourg").feed(LUXEMBOURG, 1.0)
    assert later[-1] == right.values


def test_a_frame_with_bytes_lost_does_not_swallow_the_next() -> None:
    unwrapper = Unwrapper(KEYS)
    found = unwrapper.feed(FRAME[:700] + FRAME[750:] + FRAME + FRAME, 1.0)
    assert [frame.text is not None for frame in found] == [False, True, True]


def test_an_interrupted_frame_is_noticed() -> None:
    unwrapper = Unwrapper(KEYS)
    assert not unwrapper.interrupted()
    unwrapper.feed(FRAME[:50], 1.0)
    assert unwrapper.interrupted()
    assert unwrapper.feed(FRAME[50:], 2.0) == []
    assert not unwrapper.interrupted()
