"""A password that the CSMS sets in its own version is what the next link shows."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.transport import Socket
from tests.sim import loop
from tests.sim.world import World
from tests.transcript import Transcript

FILE = Path(__file__).parents[1] / "transcripts" / "translated" / "16-password.txt"


def test_the_next_link_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bytes | None] = []
    connect = World.connect

    async def watched(self: World, identity: str, subprotocols: Sequence[str], password: bytes | None) -> Socket:
        shown.append(password)
        return await connect(self, identity, subprotocols, password)

    monkeypatch.setattr(World, "connect", watched)
    loop.run(Transcript(FILE, tmp_path).run())
    assert shown[0] is None
    assert shown[-1] == b"thirty-characters-of-a-password"
