"""The TLS context of a listener, shaken by hand through memory: versions, suites, tickets, mistakes in files."""

import ssl
from asyncio import sslproto
from pathlib import Path

import pytest
import trustme

from gateway.downlink import tls
from gateway.downlink.tls import CertificateError, Pair, server_context
from gateway.errors import GatewayError

HOST = "gateway.local"


class Site:
    """A private root, an ECDSA and an RSA pair in files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ecdsa = self._pair(folder, "ecdsa", trustme.KeyType.ECDSA)
        self.rsa = self._pair(folder, "rsa", trustme.KeyType.RSA)

    def _pair(self, folder: Path, name: str, kind: trustme.KeyType) -> Pair:
        issued = self.authority.issue_cert(HOST, key_type=kind)
        pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
        issued.private_key_pem.write_to_path(pair.key)
        for blob in issued.cert_chain_pems:
            blob.write_to_path(pair.certificate, append=True)
        return pair

    def client(self, *, version: ssl.TLSVersion | None = None, ciphers: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if version:
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = version
        if ciphers:
            context.set_ciphers(ciphers)
        return context


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("tls"))


def shake(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after their handshake (server, client). Raises ssl.SSLError."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = server.wrap_bio(up, down, server_side=True)
    there = client.wrap_bio(down, up, server_hostname=HOST, session=session)
    waiting = [there, here]
    for _ in range(20):
        for end in tuple(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
    assert not waiting
    here.write(b"x")
    assert there.read(1) == b"x"  # a 1.3 ticket comes with the first record
    return here, there


@pytest.mark.parametrize(
    ("suite", "kind"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "ecdsa"),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", "ecdsa"),
        ("AES128-GCM-SHA256", "rsa"),
        ("AES256-GCM-SHA384", "rsa"),
    ],
)
def test_station_with_only_this_suite_connects(site: Site, suite: str, kind: str) -> None:
    server = server_context(site.ecdsa, site.rsa)
    here, _ = shake(server, site.client(version=ssl.TLSVersion.TLSv1_2, ciphers=suite))
    assert here.cipher() == (suite, "TLSv1.2", int(suite.split("AES")[1][:3])), kind
    assert here.compression() is None


def test_modern_station_gets_tls_13_and_old_suites_come_last(site: Site) -> None:
    server = server_context(site.ecdsa, site.rsa)
    assert shake(server, site.client())[0].version() == "TLSv1.3"
    here, _ = shake(server, site.client(version=ssl.TLSVersion.TLSv1_2, ciphers="AES128-GCM-SHA256:ECDHE+AESGCM"))
    cipher = here.cipher()
    assert cipher is not None
    assert cipher[0].startswith("ECDHE-ECDSA")


def test_weak_suites_are_not_there(site: Site) -> None:
    names = {str(cipher["name"]) for cipher in server_context(site.rsa).get_ciphers()}
    assert names
    assert not [name for name in names if "CBC" in name or not ("GCM" in name or "CHACHA20" in name)]


def test_tls_11_is_refused(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        shake(server_context(site.rsa), client)
    assert "update its firmware" in caplog.text


def test_no_common_suite_is_explained(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ssl.SSLError):
        shake(server_context(site.ecdsa), site.client(version=ssl.TLSVersion.TLSv1_2, ciphers="AES128-GCM-SHA256"))
    assert "legacy_certificate_file" in caplog.text


def test_station_that_does_not_trust_the_certificate_is_explained(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = server_context(site.ecdsa).wrap_bio(up, down, server_side=True)
    there = ssl.create_default_context().wrap_bio(down, up, server_hostname=HOST)
    for end in (there, here):
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
    with pytest.raises(ssl.SSLCertVerificationError):
        there.do_handshake()
    with pytest.raises(ssl.SSLError):
        here.do_handshake()
    assert "install its root in the station" in caplog.text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_reconnect_resumes_its_session(site: Site, version: ssl.TLSVersion) -> None:
    server, client = server_context(site.ecdsa), site.client(version=version)
    _, first = shake(server, client)
    assert not first.session_reused
    _, second = shake(server, client, first.session)
    assert second.session_reused


def test_read_buffer_of_a_connection_is_one_record(site: Site) -> None:
    server_context(site.ecdsa)
    assert sslproto.SSLProtocol.max_size == 16384


def test_read_buffer_is_left_alone_where_python_has_another_design(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sslproto.SSLProtocol, "max_size")
    tls.shrink_read_buffers()
    assert not hasattr(sslproto.SSLProtocol, "max_size")


def test_mistake_names_the_file(site: Site, tmp_path: Path) -> None:
    missing, junk = tmp_path / "missing.pem", tmp_path / "junk.pem"
    junk.write_text("not PEM")
    for pair, word in [
        (Pair(missing, site.rsa.key), "missing.pem can't be read"),
        (Pair(site.rsa.certificate, missing), "missing.pem can't be read"),
        (Pair(tmp_path, site.rsa.key), f"{tmp_path} can't be read"),
        (Pair(junk, site.rsa.key), "junk.pem with key"),
        (Pair(site.rsa.certificate, junk), f"with key {junk}"),
        (Pair(site.rsa.certificate, site.ecdsa.key), "ecdsa.key is not the key of"),
    ]:
        with pytest.raises(CertificateError) as caught:
            server_context(pair)
        assert word in str(caught.value)
        assert isinstance(caught.value, GatewayError)
    with pytest.raises(CertificateError, match="missing"):
        server_context(site.ecdsa, Pair(missing, missing))
    with pytest.raises(CertificateError, match="is not the key of"):
        server_context(site.ecdsa, Pair(site.rsa.certificate, site.ecdsa.key))


def test_key_with_a_passphrase_is_refused_without_asking(site: Site, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(site.rsa.key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"phrase"),
        )
    )
    with pytest.raises(CertificateError, match=r"locked\.key"):
        server_context(Pair(site.rsa.certificate, locked))
