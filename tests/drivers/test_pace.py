"""When drivers work."""

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from drivers.pace import Backoff, Deadlines, Newest


async def test_the_newest_replaces_what_was_not_fetched() -> None:
    box: Newest[int] = Newest()
    for number in range(3):
        box.put(number)
    assert (await box.take(), box.replaced) == (2, 2)
    waiting = asyncio.create_task(box.take())
    await asyncio.wait({waiting}, timeout=0)
    assert not waiting.done(), "nothing is handed over twice"
    box.put(7)
    assert await waiting == 7
    box.close()
    assert await box.take() is None


@given(st.lists(st.floats(0, 30), min_size=1, max_size=20), st.sampled_from([0.1, 1.0, 10.0]))
def test_deadlines_stay_on_their_grid_and_make_up_for_nothing(spent: list[float], interval_s: float) -> None:
    deadlines, now, last = Deadlines(interval_s), 1000.0, None
    for work in spent:
        due = now + deadlines.wait_s(now)
        if last is None:
            assert due == now
        else:
            place = (due - 1000.0) / interval_s
            assert due == now or abs(place - round(place)) < 1e-6
            assert due - last <= max(interval_s, now - last) + 1e-6
        now, last = due + work, due


def test_waits_double_up_to_the_longest_and_begin_again_after_a_success() -> None:
    backoff = Backoff(random.Random(1))
    waits = [backoff.wait_s() for _ in range(8)]
    longest = [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert all(0.75 * most <= wait <= most for wait, most in zip(waits, longest, strict=True))
    assert len(set(waits[5:])) == 3, "jitter"
    backoff.reset()
    assert backoff.wait_s() <= 0.2
