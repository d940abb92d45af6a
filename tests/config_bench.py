"""A folder with a configuration file, for the tests of `gateway.config`."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from gateway.config import Config, ConfigError, Mistake, load
from gateway.config_balance import Balance
from gateway.config_external import External
from gateway.config_meters import CircuitKeys
from gateway.config_models import Authorization, Budgets, Downlink, Log, Model, Station, Uplink
from gateway.config_queue import Replay, Storage
from gateway.config_section import Section
from gateway.config_site import Site

SECTIONS: dict[str, type[Section]] = {
    "site": Site,
    "downlink": Downlink,
    "uplink": Uplink,
    "authorization": Authorization,
    "station": Station,
    "model": Model,
    "circuit": CircuitKeys,
    "balance": Balance,
    "external": External,
    "budgets": Budgets,
    "storage": Storage,
    "replay": Replay,
    "log": Log,
}


@dataclass
class Bench:
    """A folder with a configuration file; every section's text can be replaced or added to."""

    folder: Path
    site: str = 'name = "Car park"\nidentity = "SITE"'
    downlink: str = 'listen = "127.0.0.1:8887"\nsecurity_profile = 1'
    uplink: str = 'url = "wss://csms.example.com/ocpp"'
    more: str = ""
    top: str = ""
    files: dict[str, bytes] = field(default_factory=dict)

    def load(self) -> Config:
        for name, content in self.files.items():
            write(self.folder / name, content)
        text = f"{self.top}\n[site]\n{self.site}\n[[downlink]]\n{self.downlink}\n[uplink]\n{self.uplink}\n{self.more}\n"
        return load(write(self.folder / "gateway.toml", text.encode()))

    def mistakes(self) -> list[Mistake]:
        with pytest.raises(ConfigError) as caught:
            self.load()
        lines = str(caught.value).splitlines()
        assert lines == [f"{each.path}: {each.problem}. Remedy: {each.remedy}" for each in caught.value.mistakes]
        assert all(each.path and each.problem and each.remedy for each in caught.value.mistakes)
        return caught.value.mistakes


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def pem_files() -> dict[str, bytes]:
    """Pairs `0.pem` + `0.key` and `1.pem` + `1.key`, their authority `ca.pem`, and `0.key` with a passphrase."""
    authority = trustme.CA()
    files = {"ca.pem": authority.cert_pem.bytes()}
    for number in range(2):
        issued = authority.issue_cert("gateway.example")
        files[f"{number}.pem"] = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        files[f"{number}.key"] = issued.private_key_pem.bytes()
    key = serialization.load_pem_private_key(files["0.key"], None)
    files["locked.key"] = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    return files
