"""The rows of the relay suite: which proxy, started how, and what is claimed of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REFERENCE = "websockets"

_CONFIGURATION = """\
[site]
name = "bench"
identity = "BENCH"
state_dir = "state"

[[downlink]]
listen = "127.0.0.1:{port}"
path = "/ocpp"
security_profile = 0
allow_insecure = true
unknown_stations = "accept"
max_connections = 2000

[uplink]
url = "ws://127.0.0.1:{csms_port}/ocpp"
security_profile = 0

[log]
level = "warning"
"""

Arguments = Callable[[int, int, Path], list[str]]
"""Of its listener's port, the CSMS's port and a folder of its own, what follows `python`."""


@dataclass(frozen=True, slots=True)
class Row:
    """`goal`: the CPU capacity it must reach, as a share of the reference. `stores`: acknowledged means on disk."""

    name: str
    title: str
    arguments: Arguments | None
    goal: float | None = None
    stores: bool = False


def _config_file(port: int, csms_port: int, folder: Path) -> str:
    path = folder / "gateway.toml"
    path.write_text(_CONFIGURATION.format(port=port, csms_port=csms_port))
    return str(path)


def _baseline(kind: str) -> Arguments:
    return lambda port, csms_port, _: ["-m", "bench.baselines", kind, str(port), str(csms_port)]


ROWS = (
    Row("direct", "no proxy", None),
    Row("tcp", "TCP relay", _baseline("tcp")),
    Row(REFERENCE, "websockets relay", _baseline("websockets")),
    Row(
        "naive",
        "ocpp package + SQLite",
        lambda port, csms_port, folder: ["-m", "bench.naive", str(port), str(csms_port), str(folder / "naive.db")],
    ),
    Row(
        "pass_through",
        "gateway",
        lambda port, csms_port, folder: ["-m", "gateway", "run", "--config", _config_file(port, csms_port, folder)],
        goal=0.70,
    ),
    Row(
        "durable",
        "gateway, all durable",
        lambda port, csms_port, folder: ["-m", "bench.durable_gateway", _config_file(port, csms_port, folder)],
        goal=0.50,
        stores=True,
    ),
)
