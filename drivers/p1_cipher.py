"""Encrypted P1 telegrams, as meters in Luxembourg and Austria send them. Pure; AES by the package cryptography.

One is a DLMS general-global-ciphering APDU around a telegram as it would be in the clear: tag 0xDB, system title of
8 bytes, length in 2 bytes, security control 0x30, frame counter of 4 bytes, text, GCM tag of 12 bytes. The nonce is
system title and counter, the authenticated data is the control byte and the authentication key.
"""

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from drivers.derive import not_installed
from drivers.timed_buffer import TimedBuffer

_HEAD = re.compile(rb"\xdb\x08.{8}\x82(..)\x30", re.DOTALL)
HEAD_BYTES: Final = 14
_BEFORE_LENGTH: Final = 13
"""Bytes of a frame that its length does not count."""
_TAG_BYTES: Final = 12
_SHORTEST: Final = 5 + _TAG_BYTES + 10
_LONGEST: Final = 8 * 1024


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """Of 16 bytes each. Without the second, only the telegram's own checksum says that it is whole."""

    encryption: bytes
    authentication: bytes | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    t: float
    """When its first byte came."""
    text: str | None
    """None: it could not be decrypted."""


def looks_encrypted(data: bytes) -> bool:
    return _HEAD.search(data) is not None


class Unwrapper:
    """Texts out of a stream of bytes."""

    def __init__(self, keys: Keys) -> None:
        """Raises DriverError if the package is missing."""
        try:
            self._ciphers: Any = import_module("cryptography.hazmat.primitives.ciphers")
        except ImportError as error:
            raise not_installed("p1", "cryptography", error) from error
        self._keys = keys
        self._buffer = TimedBuffer()

    def interrupted(self) -> bool:
        """The connection was lost. Whether that broke a frame off."""
        was_begun = _HEAD.match(self._buffer.data) is not None
        self._buffer.clear()
        return was_begun

    def feed(self, data: bytes, t: float) -> list[Frame]:
        """Frames that end in these bytes, which came at `t`."""
        buffer, found = self._buffer, list[Frame]()
        buffer.append(data, t)
        while head := _HEAD.search(buffer.data):
            length = int.from_bytes(head[1], "big")
            buffer.skip(head.start())
            if not _SHORTEST <= length <= _LONGEST:
                buffer.skip(1)
                continue
            whole = _BEFORE_LENGTH + length
            if len(buffer.data) < whole:
                return found
            frame = Frame(buffer.first_t, self._text(bytes(buffer.data[:whole])))
            found.append(frame)
            # If bytes were lost in it, the next one begins before its end.
            buffer.skip(1 if frame.text is None else whole)
        buffer.skip(max(0, len(buffer.data) - HEAD_BYTES))
        return found

    def _text(self, frame: bytes) -> str | None:
        nonce, secret = frame[2:10] + frame[14:18], frame[18:-_TAG_BYTES]
        plain = self._verified(nonce, secret, frame[-_TAG_BYTES:])
        if plain is None:
            return None
        text = plain.decode("latin-1")
        return text if text.startswith("/") and text.isascii() else None

    def _verified(self, nonce: bytes, secret: bytes, tag: bytes) -> bytes | None:
        aes, ciphers = self._ciphers.algorithms.AES(self._keys.encryption), self._ciphers
        if self._keys.authentication is None:
            # GCM without its tag is counter mode, from 2 on.
            decryptor = ciphers.Cipher(aes, ciphers.modes.CTR(nonce + b"\0\0\0\2")).decryptor()
            return bytes(decryptor.update(secret) + decryptor.finalize())
        decryptor = ciphers.Cipher(aes, ciphers.modes.GCM(nonce, tag, min_tag_length=_TAG_BYTES)).decryptor()
        decryptor.authenticate_additional_data(b"\x30" + self._keys.authentication)
        try:
            return bytes(decryptor.update(secret) + decryptor.finalize())
        except Exception:  # InvalidTag, of a module that is not imported before it is needed
            return None
