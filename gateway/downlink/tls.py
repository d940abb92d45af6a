"""TLS towards the stations: new enough to be safe, wide enough for the suites OCPP asks a server for."""

import logging
import ssl
from asyncio import sslproto
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import GatewayError

log = logging.getLogger(__name__)

READ_BUFFER = 16 * 1024
"""One TLS record. asyncio's own 256 KiB a connection are 50 MB for 200 stations."""

_CIPHERS = ":".join(
    (
        "ECDHE+AESGCM",
        "ECDHE+CHACHA20",
        # The two without forward secrecy that A00.FR.317 asks for; nothing else is left to some old stations.
        "AES256-GCM-SHA384",
        "AES128-GCM-SHA256",
    )
)
_HINTS = {
    "HTTP_REQUEST": "the station speaks ws:// to a wss:// listener: set wss:// in the station",
    "NO_SHARED_CIPHER": "no cipher in common: an old station may need an RSA pair (legacy_certificate_file)",
    "UNSUPPORTED_PROTOCOL": "the station speaks no TLS 1.2: update its firmware",
    "TLSV1_ALERT_UNKNOWN_CA": "the station does not trust the certificate: install its root in the station",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the station refuses the certificate: check its names, dates and root",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "to the station the certificate is expired: check it, and the station's clock",
}


class CertificateError(GatewayError):
    """A certificate or key can't be used; the text names the file."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate chain and its private key, both PEM."""

    certificate: Path
    key: Path


class _Watched(ssl.SSLObject):
    """Says why a TLS handshake failed, which asyncio keeps to itself. The address is not known at this place."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            reason = error.reason or str(error)
            log.warning("a TLS handshake failed: %s", _HINTS.get(reason, reason))
            raise


def server_context(main: Pair, legacy: Pair | None = None) -> ssl.SSLContext:
    """The context of a listener. `legacy`: an RSA pair beside an ECDSA one. Raises CertificateError.

    Session tickets are on, so a site's worth of stations that reconnect at once costs no signatures. Client
    certificates (profile 3) would be asked for here: verify_mode and the roots, nothing else changes.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.sslobject_class = _Watched
    _load(context, main)
    if legacy is not None:
        _load(context, legacy)
    shrink_read_buffers()
    return context


def _load(context: ssl.SSLContext, pair: Pair) -> None:
    for path in (pair.certificate, pair.key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise CertificateError(f"{path} can't be read: {error.strerror}") from error
    # Alone first: beside another pair OpenSSL takes a key that belongs to the other certificate.
    alone = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        for each in (alone, context):
            # The callback keeps OpenSSL from asking for a passphrase on the terminal.
            each.load_cert_chain(pair.certificate, pair.key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        if isinstance(error, ssl.SSLError) and error.reason in ("KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
            raise CertificateError(f"{pair.key} is not the key of {pair.certificate}") from error
        problem = (isinstance(error, ssl.SSLError) and error.reason) or "not PEM"
        raise CertificateError(
            f"{pair.certificate} with key {pair.key} can't be used ({problem}): both must be PEM, without passphrase"
        ) from error


def shrink_read_buffers() -> None:
    """Have asyncio take a record's worth of memory for each TLS connection of this process. Harmless to repeat."""
    if isinstance(getattr(sslproto.SSLProtocol, "max_size", None), int):
        sslproto.SSLProtocol.max_size = READ_BUFFER
