"""A load keeps its pace by this; no test waits for anything so."""

import asyncio


async def pause(seconds: float) -> None:
    """Let so much time pass."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()
    except TimeoutError:
        return
