"""Independent OCPP peers on the npm package `ocpp-rpc`: a CSMS and a fleet of stations, each a node process.

`ocpp_rpc/csms.js` and `ocpp_rpc/stations.js` list the commands.
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.peers.peer_process import PeerProcess, RigUnavailableError

ROOT = Path(__file__).parent / "ocpp_rpc"


def install() -> None:
    """Run `npm ci` unless what the lock file asks for is there already. Raises RigUnavailableError."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise RigUnavailableError("node and npm are needed for the ocpp-rpc peers and are not on the PATH")
    wanted = hashlib.sha256((ROOT / "package-lock.json").read_bytes()).hexdigest()
    stamp = ROOT / "node_modules" / ".installed"
    with (ROOT / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test runs side by side share one node_modules
        if stamp.exists() and stamp.read_text() == wanted:
            return
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        except subprocess.TimeoutExpired as error:
            raise RigUnavailableError("npm ci did not end within 300 s") from error
        if done.returncode != 0:
            raise RigUnavailableError(f"npm ci failed: {done.stderr.strip()[-800:]}")
        stamp.write_text(wanted)


class NodePeer(PeerProcess):
    """A node process."""

    script: str

    def __init__(self, **config: Any) -> None:
        """`config` becomes the script's configuration; its defaults stand at the head of the script."""
        super().__init__(self.script, "node", str(ROOT / self.script), json.dumps(config))


class Csms(NodePeer):
    """The CSMS: any identity may connect, every token is accepted."""

    script = "csms.js"
    port: int

    def on_ready(self, line: dict[str, Any]) -> None:
        """Learn the port."""
        self.port = line["port"]

    @property
    def url(self) -> str:
        """The endpoint, without an identity."""
        return f"ws://127.0.0.1:{self.port}/ocpp"

    async def call(self, identity: str, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send a command to a station and return its answer. Raises PeerError with the OCPP error code."""
        result: dict[str, Any] = (await self.ask("call", identity=identity, action=action, payload=payload))["result"]
        return result

    async def log(self) -> list[dict[str, Any]]:
        """Every transaction message received so far, in order of arrival, with its answer."""
        return (await self.history())[0]

    async def history(self) -> tuple[list[dict[str, Any]], list[list[Any]]]:
        """The same, and the outages as [began, ended] in ms since the epoch."""
        answer = await self.ask("log")
        return answer["log"], answer["cuts"]

    async def asked(self) -> list[dict[str, Any]]:
        """What came of the commands sent by the option `ask_first`."""
        asked: list[dict[str, Any]] = (await self.ask("log"))["asked"]
        return asked


class Fleet(NodePeer):
    """Stations of each version in turn; `connect`, then `ask("run", ...)`."""

    script = "stations.js"

    async def connect(self, timeout_s: float = 120.0) -> list[str]:
        """Connect all stations at once and return their identities when all are accepted."""
        identities: list[str] = (await self.ask("connect", timeout_s=timeout_s))["identities"]
        return identities

    async def call(self, identity: str, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send one CALL from a station. Raises PeerError with the OCPP error code."""
        result: dict[str, Any] = (await self.ask("call", identity=identity, action=action, payload=payload))["result"]
        return result

    async def sessions(self) -> list[dict[str, Any]]:
        """Every charging session so far, with all messages as sent."""
        sessions: list[dict[str, Any]] = (await self.ask("log"))["sessions"]
        return sessions

    async def received(self) -> dict[str, list[dict[str, Any]]]:
        """The commands each station got, in order."""
        received: dict[str, list[dict[str, Any]]] = (await self.ask("log"))["received"]
        return received
