"""A Wake is an event with little memory."""

import asyncio

from gateway.wake import Wake


async def a_turn() -> None:
    """Everybody else has a turn of the event loop."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(over.set_result, None)
    await over


async def test_all_who_wait_are_woken_and_who_comes_later_need_not_wait() -> None:
    wake = Wake()
    sleepers = [asyncio.create_task(wake.wait()) for _ in range(3)]
    await a_turn()
    assert not wake.is_set()
    wake.set()
    wake.set()
    await asyncio.wait_for(asyncio.gather(*sleepers), 10)
    await asyncio.wait_for(wake.wait(), 10)
    assert wake.is_set()


async def test_after_clear_one_waits_again() -> None:
    wake = Wake()
    wake.set()
    wake.clear()
    sleeper = asyncio.create_task(wake.wait())
    await a_turn()
    assert not sleeper.done()
    wake.set()
    wake.clear()
    await asyncio.wait_for(sleeper, 10)


async def test_who_gives_up_harms_nobody() -> None:
    wake = Wake()
    gone, stays = (asyncio.create_task(wake.wait()) for _ in range(2))
    await a_turn()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    wake.set()
    await asyncio.wait_for(stays, 10)
