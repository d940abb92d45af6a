"""The site and the listeners most tests of this room work on."""

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.store import database
from gateway.store.writer import Writer
from tests.downlink.rig import FakeUplink, Rig, rig_on


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(SiteOptions(), Clock(), random.Random(1))
    path = tmp_path / "gateway.db"
    site.uplink = FakeUplink()
    site.writer = Writer(await database.start(path), partial(database.reopen, path), site.load)
    writing = asyncio.create_task(site.writer.run())
    yield site
    site.writer.close()
    await writing


@pytest.fixture
async def rig(site: Site) -> AsyncIterator[Rig]:
    assert isinstance(site.uplink, FakeUplink)
    async with rig_on(site, site.uplink) as rig:
        yield rig
