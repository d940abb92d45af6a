"""Files of recorded days: what a power cut leaves, and how old days give way."""

import gzip
from pathlib import Path

import pytest

from gateway.errors import StoreError
from gateway.store.days import DayFiles, days, read


async def test_a_torn_line_harms_no_other_and_old_days_are_packed_and_give_way(tmp_path: Path) -> None:
    folder = tmp_path / "days"
    files = DayFiles(folder, kept=3, most_bytes=2000)
    await files.append("2026-05-01", b"one\ntwo\n")
    with (folder / "2026-05-01.jsonl").open("ab") as file:
        file.write(b"torn by a power cu")
    files = DayFiles(folder, kept=3, most_bytes=2000)
    await files.append("2026-05-01", b"three\n")
    assert await files.read("2026-05-01") == [b"one", b"two", b"torn by a power cu", b"three"]
    for day in ("2026-05-02", "2026-05-03"):
        await files.append(day, b"x\n")
    assert (folder / "2026-05-01.jsonl.gz").exists()
    assert not (folder / "2026-05-01.jsonl").exists()
    assert next(read(folder, "2026-05-01")) == b"one"
    await files.append("2026-05-04", b"x\n")
    await files.append("2026-05-05", b"x\n")
    assert days(folder) == ["2026-05-03", "2026-05-04", "2026-05-05"]
    assert await files.read("2026-05-01") == []


async def test_the_size_has_a_bound(tmp_path: Path) -> None:
    folder = tmp_path / "days"
    folder.mkdir()
    (folder / "2026-04-01.jsonl.gz").write_bytes(b"\0" * 1990)
    (folder / "notes.txt").write_text("not ours")
    files = DayFiles(folder, kept=30, most_bytes=2000)
    await files.append("2026-05-01", b"x" * 1500 + b"\n")
    await files.append("2026-05-02", b"x\n")
    assert days(folder) == ["2026-05-01", "2026-05-02"]
    with pytest.raises(StoreError):
        await files.append("2026-05-02", b"x" * 2000)
    assert (folder / "notes.txt").exists()


async def test_a_packing_that_was_cut_short_doubles_nothing(tmp_path: Path) -> None:
    (tmp_path / "2026-05-01.jsonl").write_bytes(b"one\ntwo\n")
    (tmp_path / "2026-05-01.jsonl.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    (tmp_path / "2026-05-01.jsonl.part").write_bytes(b"\0")
    assert list(read(tmp_path, "2026-05-01")) == [b"one", b"two"]
    files = DayFiles(tmp_path, kept=30, most_bytes=2000)
    await files.append("2026-05-02", b"x\n")
    assert await files.read("2026-05-01") == [b"one", b"two"]
    # The clock went back to a day that was over.
    await files.append("2026-05-01", b"three\n")
    await files.append("2026-05-02", b"y\n")
    assert await files.read("2026-05-01") == [b"one", b"two", b"three"]
