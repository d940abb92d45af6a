"""Where the running gateway answers: all that a command needs of the configuration to ask it.

Read without a look at the rest, so that it is quick, and so that a mistake in the file keeps nobody from asking.
"""

import tomllib
from pathlib import Path

STATE_DIR = "state"
API_SOCKET = "gateway.sock"


def api_socket(source: Path) -> Path | None:
    """The socket's path by the file at `source`; None if that does not say clearly where it is."""
    try:
        with source.open("rb") as file:
            site = tomllib.load(file).get("site")
    except (OSError, ValueError, RecursionError):
        return None
    folder = site.get("state_dir", STATE_DIR) if isinstance(site, dict) else None
    if not isinstance(folder, str) or not folder or "\0" in folder:
        return None
    return source.absolute().parent / folder / API_SOCKET
