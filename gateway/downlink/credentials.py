"""Is this the station's password: compared in constant time, or against the salted hash it is pinned to."""

import asyncio
import binascii
import hashlib
import hmac
import secrets

from gateway.model.ids import StationId

_COST = {"n": 2**14, "r": 8, "p": 1}
"""16 MiB and some tens of milliseconds a try; a Pi takes a few times as long."""


def matches(offered: bytes, expected: bytes) -> bool:
    """Whether a station shows the password it should, as it is or in its other form.

    A 1.6 AuthorizationKey is given to a station as hex and sent as the bytes it stands for (OCPP-J 1.6, 6.2.2), but
    some send the hex text; and either may be what the operator wrote down. Every comparison is made, always.
    """
    forms = [(offered, expected), (_folded(offered), binascii.hexlify(expected))]
    decoded = _unhex(expected)
    if decoded is not None:
        forms += [(offered, decoded), (_folded(offered), _folded(expected))]
    same = [hmac.compare_digest(shown, wanted) for shown, wanted in forms]
    return bool(expected) and any(same)


def _folded(text: bytes) -> bytes:
    return text.lower()


def _unhex(text: bytes) -> bytes | None:
    try:
        return binascii.unhexlify(text)
    except binascii.Error:
        return None


def pin(password: bytes) -> str:
    """The salted hash of a password, "scrypt$salt$hash" in hex. Slow on purpose: not for the event loop."""
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_hash(password, salt).hex()}"


def fits(password: bytes, pinned: str) -> bool:
    """Whether a password is the pinned one; False for a text that `pin` did not make. As slow as `pin`."""
    try:
        kind, salt, wanted = pinned.split("$")
        salt_bytes, wanted_bytes = bytes.fromhex(salt), bytes.fromhex(wanted)
    except ValueError:
        return False
    return kind == "scrypt" and hmac.compare_digest(_hash(password, salt_bytes), wanted_bytes)


def _hash(password: bytes, salt: bytes) -> bytes:
    # Hashed first: scrypt's HMAC can't tell a password from the same one with zero bytes after it.
    return hashlib.scrypt(hashlib.sha256(password).digest(), salt=salt, dklen=32, **_COST)


class Pins:
    """Pinned credentials off the event loop, one at a time, so that a storm of wrong passwords takes one core at most.

    What fitted once is remembered by a keyed digest, in memory only: a station that reconnects costs nothing and
    waits behind nobody.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._fitted: dict[StationId, bytes] = {}
        self._turn = asyncio.Lock()

    async def pin(self, station: StationId, password: bytes) -> str:
        """`pin`, in a thread."""
        async with self._turn:
            pinned = await asyncio.to_thread(pin, password)
        self._fitted[station] = self._digest(password, pinned)
        return pinned

    async def fits(self, station: StationId, password: bytes, pinned: str) -> bool:
        """`fits`, in a thread or from memory."""
        digest = self._digest(password, pinned)
        if hmac.compare_digest(self._fitted.get(station, b""), digest):
            return True
        async with self._turn:
            good = await asyncio.to_thread(fits, password, pinned)
        if good:
            self._fitted[station] = digest
        return good

    def _digest(self, password: bytes, pinned: str) -> bytes:
        return hmac.digest(self._key, pinned.encode() + b"\0" + password, "sha256")
