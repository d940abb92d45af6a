"""One gateway to a state directory, held by the kernel for as long as its process lives."""

import errno
import fcntl
import logging
from pathlib import Path

import pytest

from gateway.errors import StoreError
from gateway.store.lock import alone


def test_the_second_is_told_so_and_the_next_may(tmp_path: Path) -> None:
    with alone(tmp_path):
        with pytest.raises(StoreError, match="another gateway runs with this state_dir"), alone(tmp_path):
            pytest.fail("two at a time")
        assert list(tmp_path.iterdir()) == [], "on a full disk it has to work too"
    with alone(tmp_path):
        pass


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"), alone(tmp_path / "nothing"):
        pytest.fail("nothing to hold")


def test_a_file_system_without_locks_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with caplog.at_level(logging.WARNING), alone(tmp_path):
        assert "only one gateway" in caplog.text
