"""Whatever the links do to writes and answers, the gateway's own commands never take a fuse beyond its limit."""

import pytest

from tests.smartcharging.scenes import play, scene


@pytest.mark.parametrize("seed", range(4))
def test_no_delay_loss_or_reordering_breaks_an_invariant(seed: int) -> None:
    wrong = play(scene(seed), 500)
    assert not wrong, f"seed {seed}: {wrong[:3]}"
