"""The configuration file changed by a command: nothing else in it changes, and it is good at every moment."""

import os
import stat
import tomllib
from pathlib import Path

import pytest

from gateway import config_edit
from gateway.config import load
from gateway.config_edit import EditError, add_meter, change_meter, stanza
from tests.gateway_process import CONFIGURATION

HEAD = CONFIGURATION.format(port=8887, uplink_url="ws://127.0.0.1:9/ocpp")
METERS = """
# Above.
[meter.a]      # the first
driver = "simulated"   # not real
seed = 1

[circuit.main] # between
limit_a = 125
meter = "a"

[meter.b]
driver = "simulated"
invert = true # turned
"""


def _file(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [HEAD, HEAD.rstrip("\n"), HEAD + METERS, "\ufeff" + HEAD, HEAD.replace("\n", "\r\n"), HEAD + "# last words"],
    ids=["plain", "no-newline", "meters", "mark", "windows", "comment"],
)
def test_a_meter_is_added_and_nothing_else_changes(tmp_path: Path, text: str) -> None:
    path = _file(tmp_path, text)
    path.chmod(0o640)
    table = {"driver": "simulated"}
    add_meter(path, "new", table)
    after = path.read_bytes().decode()
    assert after.startswith(text)
    assert tomllib.loads(after.removeprefix("\ufeff"))["meter"]["new"] == table
    assert "new" in [meter.id for meter in load(path).meters]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["config.toml"]


def test_any_text_in_a_section_is_written_right() -> None:
    table = {"driver": "p1", "port": '/dev/serial/by-id/usb-"x"\\é\n', "unit": 3, "ct_ratio": 40.0, "identify": False}
    assert tomllib.loads(stanza("grid", table)) == {"meter": {"grid": table}}


def test_keys_are_changed_where_they_are(tmp_path: Path) -> None:
    path = _file(tmp_path, HEAD + METERS)
    change_meter(path, "a", {"phase_map": "L2L3L1", "invert": True})
    change_meter(path, "b", {"invert": False})
    after = path.read_text()
    for comment in ("# Above.", "# the first", "# not real", "# between", "# turned"):
        assert comment in after
    meters = {str(meter.id): meter.options for meter in load(path).meters}
    assert (meters["a"].phase_map, meters["a"].invert) == ("L2L3L1", True)
    assert (meters["b"].phase_map, meters["b"].invert) == ("L1L2L3", False)
    assert load(path).circuits[0].meter == "a"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "etc"
    real.mkdir()
    place = _file(real, HEAD)
    link = tmp_path / "config.toml"
    link.symlink_to(place)
    add_meter(link, "new", {"driver": "simulated"})
    assert link.is_symlink()
    assert load(place).meters[0].id == "new"


@pytest.mark.parametrize(
    ("text", "name", "table", "problem"),
    [
        (HEAD + METERS, "a", {"driver": "simulated"}, "has a meter a already"),
        (HEAD, "new", {"driver": "simulatd"}, 'Write "simulated"'),
        (HEAD, "a b", {"driver": "simulated"}, "is no name"),
        (HEAD + '[meter.x]\ndriver="p1"\nport="/dev/x"\n', "y", {"driver": "p1", "port": "/dev/x"}, "used by meter.x"),
        (HEAD + "[nonsense]\n", "new", {"driver": "simulated"}, "nonsense"),
        (HEAD + "= 3\n", "new", {"driver": "simulated"}, "is not TOML"),
        (
            HEAD.replace("[site]", "meter = { z = { driver = 'simulated' } }\n[site]"),
            "new",
            {"driver": "simulated"},
            "",
        ),
    ],
)
def test_a_file_that_would_not_be_good_is_left_as_it_is(
    tmp_path: Path, text: str, name: str, table: dict[str, str], problem: str
) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(EditError, match=problem or None):
        add_meter(path, name, table)
    assert path.read_text() == text
    assert [one.name for one in tmp_path.iterdir()] == ["config.toml"]


def test_a_change_by_somebody_else_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path, HEAD)

    def load_slowly(new: Path, *, folder: Path) -> object:
        path.write_text(HEAD + "# mine\n")
        return load(new, folder=folder)

    monkeypatch.setattr(config_edit, "load", load_slowly)
    with pytest.raises(EditError, match="changed by somebody else"):
        add_meter(path, "new", {"driver": "simulated"})
    assert path.read_text() == HEAD + "# mine\n"


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        with pytest.raises(EditError, match="cannot be read"):
            add_meter(tmp_path / "nowhere" / "config.toml", "new", {"driver": "simulated"})
        return
    path = _file(tmp_path, HEAD)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(EditError, match="cannot be written"):
            add_meter(path, "new", {"driver": "simulated"})
    finally:
        tmp_path.chmod(0o700)
