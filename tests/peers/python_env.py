"""The Python environment of the foreign peers from PyPI: made on first use, kept in `.venv-peers`.

`python -m tests.peers.python_env` makes it beforehand, and the node packages too.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

from tests.peers import ocpp_rpc_rig
from tests.peers.peer_process import RigUnavailableError

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
ENVIRONMENT = Path(__file__).parent.parent.parent / ".venv-peers"
BIN = ENVIRONMENT / "bin"


def install() -> None:
    """Make the environment unless it holds what the requirements ask for already. Raises RigUnavailableError."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    stamp = ENVIRONMENT / ".installed"
    with REQUIREMENTS.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test runs side by side share one environment
        if stamp.exists() and stamp.read_text() == wanted:
            return
        _run("venv", sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT))
        (ENVIRONMENT / ".gitignore").write_text("*\n")  # venv itself does so from Python 3.13 on
        _run("pip install", str(BIN / "python"), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS))
        stamp.write_text(wanted)


def _run(what: str, *command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RigUnavailableError(f"{what} failed: {error}") from error
    if done.returncode != 0:
        raise RigUnavailableError(f"{what} failed: {(done.stderr or done.stdout).strip()[-800:]}")


if __name__ == "__main__":
    try:
        install()
        ocpp_rpc_rig.install()
    except RigUnavailableError as error:
        sys.exit(f"the foreign peers can't be installed: {error}")
