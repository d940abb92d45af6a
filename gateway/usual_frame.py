"""The usual WebSocket frame (RFC 6455, 5.2): one whole text message, alone in its read. Others are the library's."""

import os
from collections.abc import Iterator

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the library's C part
    from websockets.utils import apply_mask

_WHOLE_TEXT = 0x81
_MASKED = 0x80
_TWO_BYTES, _EIGHT_BYTES = 126, 127


def message_in(data: bytes, most: int, *, is_masked: bool) -> bytes | None:
    """The message, if `data` is exactly one such frame of up to `most` bytes; else None."""
    if len(data) < 2 or data[0] != _WHOLE_TEXT:
        return None
    begin, length = 2, data[1] - _MASKED if is_masked else data[1]
    if length == _TWO_BYTES:
        begin, length = 4, int.from_bytes(data[2:4])
    elif not 0 <= length < _TWO_BYTES:
        return None
    if is_masked:
        begin += 4
    if len(data) != begin + length or length > most:
        return None
    return apply_mask(data[begin:], data[begin - 4 : begin]) if is_masked else data[begin:]


def plain(message: bytes) -> bytes:
    """The frame of a message, as a server sends it."""
    return _head(len(message), 0) + message


def masked(message: bytes) -> bytes:
    """The frame of a message, as a client sends it."""
    mask = next(_masks)
    return b"%b%b%b" % (_head(len(message), _MASKED), mask, apply_mask(message, mask))


def _head(length: int, flag: int) -> bytes:
    if length < _TWO_BYTES:
        return bytes((_WHOLE_TEXT, flag | length))
    if length < 1 << 16:
        return bytes((_WHOLE_TEXT, flag | _TWO_BYTES, length >> 8, length & 0xFF))
    return bytes((_WHOLE_TEXT, flag | _EIGHT_BYTES)) + length.to_bytes(8)


def _fresh_masks() -> Iterator[bytes]:
    """Masks nobody can foretell (RFC 6455, 5.3), many for one question to the system."""
    while True:
        some = os.urandom(4 * 256)
        for at in range(0, len(some), 4):
            yield some[at : at + 4]


_masks = _fresh_masks()
