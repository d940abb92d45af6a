"""A command starts quickly: what it does not need is not imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config_place import api_socket

HEAVY = {
    "fastapi",
    "uvicorn",
    "pymodbus",
    "serialx",
    "aiosqlite",
    "aiomqtt",
    "pydantic",
    "gateway.app",
    "gateway.flows",
}
SCRIPT = """
import sys
from gateway.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("words", [["--version"], ["status", "--config", "config.toml"]], ids=["version", "status"])
def test_nothing_heavy_is_imported(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "config.toml").write_text("[site]\nstate_dir = 'there'\n")
    run = subprocess.run([sys.executable, "-c", SCRIPT, *words], cwd=tmp_path, capture_output=True, check=False)
    loaded = set(run.stderr.decode().split())
    assert "gateway.cli" in loaded
    assert not loaded & HEAVY
    assert run.returncode == (3 if "status" in words else 0), "no gateway is there to be asked"


@pytest.mark.parametrize("text", ["", "[site", "site = 1", "[site]\nstate_dir = 5", '[site]\nstate_dir = ""'])
def test_a_file_that_says_nothing_clear_is_read_whole(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    found = api_socket(tmp_path / "config.toml")
    assert found is None


def test_where_the_socket_is(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[site]\nname = 5\nstate_dir = "/run/x"\n[nonsense]\n')
    assert api_socket(tmp_path / "config.toml") == Path("/run/x/gateway.sock"), "a mistake elsewhere does not matter"
    assert api_socket(tmp_path / "nothing.toml") is None
