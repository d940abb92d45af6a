"""Which password a station's link shows the CSMS: the configured one, until the CSMS sets another.

An answer to the change may be lost, and then the CSMS still has the password before. So both are kept, and tried in
turn, until the CSMS has taken one of them.
"""

import hashlib
from dataclasses import replace
from functools import lru_cache

from gateway.model.ids import StationId
from gateway.model.records import Change, Drop, Put
from gateway.model.settings import UplinkSecret


@lru_cache(1024)
def fingerprint(station: StationId, password: bytes | None) -> str | None:
    """Tells a changed password file from the same one; the password can't be read from it."""
    if password is None:
        return None
    return hashlib.scrypt(password, salt=station.encode(errors="replace"), n=1024, r=8, p=1, dklen=16).hex()


def candidates(known: UplinkSecret | None, station: StationId, configured: bytes | None) -> list[bytes | None]:
    """Passwords to try, the likeliest first. A file that was changed after the CSMS's word comes before it."""
    if known is None:
        return [configured]
    if configured is not None and fingerprint(station, configured) != known.origin:
        found = [configured, known.secret]
    else:
        found = [known.secret] if known.previous is None else [known.secret, known.previous]
    return list(dict.fromkeys(found))


def changed(
    known: UplinkSecret | None, station: StationId, configured: bytes | None, secret: bytes, used: bytes | None
) -> UplinkSecret:
    """The CSMS sets a password. `used`: the one it accepted this link with, its own to fall back to."""
    if known is not None and known.secret == secret and used == secret:
        return replace(known, previous=None, origin=fingerprint(station, configured))
    return UplinkSecret(station, secret, used, fingerprint(station, configured))


def proven(
    known: UplinkSecret | None, station: StationId, configured: bytes | None, used: bytes | None
) -> list[Change]:
    """The CSMS has accepted a handshake with `used`: what follows for what is kept."""
    if known is None:
        return []
    origin = fingerprint(station, configured)
    if used == known.secret:
        better = replace(known, previous=None, origin=origin if configured is not None else known.origin)
        return [] if better == known else [Put(better)]
    if used == configured and configured is not None and origin != known.origin:
        return [Drop(known)]
    return []
