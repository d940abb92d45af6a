"""Where commands have a meter's state from: the running gateway, or the meter itself."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from gateway import app
from gateway.cli_base import UNREACHABLE, Unreachable, fail, request
from gateway.clock import Clock
from gateway.config import Config
from gateway.metering.runner import Metering
from gateway.meters import Meters
from gateway.model.ids import MeterId
from gateway.model.metering import MeterState, TroubleKind
from gateway.web import meter_snapshot

_EVERY_S = 1.0
_WORTH_WAITING = (TroubleKind.SILENT, TroubleKind.UNREACHABLE, TroubleKind.GARBLED)
"""Trouble that may be over before the wait is."""

Shown = dict[str, Any]


def states(config: Config, name: MeterId, wait_s: float) -> tuple[AsyncGenerator[Shown], str]:
    """The meter's state each second, and where from, in words."""
    try:
        _asked(config, name)
    except Unreachable:
        return _directly(config, name, wait_s), "read directly: no gateway answers"
    return _from_gateway(config, name), "from the running gateway"


def described(config: Config, name: MeterId) -> str:
    """Driver and model."""
    options = next(one.options for one in config.meters if one.id == name).model_dump(mode="json")
    return " ".join(filter(None, (options["driver"], options.get("model") or options.get("spec"))))


def _asked(config: Config, name: MeterId) -> Shown:
    shown: Shown = request(config, "GET", f"/v1/meters/{name}")
    return shown


async def _from_gateway(config: Config, name: MeterId) -> AsyncGenerator[Shown]:
    while True:
        try:
            yield _asked(config, name)
        except Unreachable as error:
            fail(UNREACHABLE, str(error))
        await asyncio.sleep(_EVERY_S)


async def _directly(config: Config, name: MeterId, wait_s: float) -> AsyncGenerator[Shown]:
    """What the meter says, first when it has said something, or when there is no use in waiting."""
    clock, meters = Clock(), Meters([name])
    options = [one for one in app.meter_options(config) if one.id == name]
    reading = asyncio.create_task(Metering(options, meters, clock, random.Random()).run())
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not _has_something_to_say(meters.states[name]):
                    await meters.changed(meters.revision)
        while True:
            yield meter_snapshot.meter(meters.states[name], clock.monotonic())
            with suppress(TimeoutError):
                await asyncio.wait_for(meters.changed(meters.revision), _EVERY_S)
    finally:
        reading.cancel()
        await asyncio.wait([reading])


def _has_something_to_say(state: MeterState) -> bool:
    trouble = state.health.trouble
    return state.latest is not None or (trouble is not None and trouble.kind not in _WORTH_WAITING)
