"""Composition root: the only module that knows everybody. Hands each room its own frozen options."""

import asyncio
import contextlib
import gc
import logging
import random
import signal
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from gateway import clock
from gateway.assembly import Assembly, Seams
from gateway.config import Config, load
from gateway.core.authorize import AuthorizationOptions
from gateway.core.meter_checks import Rules
from gateway.dialects import quirks
from gateway.dialects.base import Budget
from gateway.downlink.admission import ListenerOptions, StationAccess, UnknownStations
from gateway.downlink.server import DownlinkServer
from gateway.errors import GatewayError
from gateway.metering.runner import Metering, MeterOptions
from gateway.model.circuit import Circuit
from gateway.model.ids import CircuitId, MeterId, StationId
from gateway.model.token import LateRefusal, OfflineMode
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.station import ModelOptions, StationOptions
from gateway.store import database
from gateway.uplink.backoff import Backoff
from gateway.uplink.link import LinkOptions, WebSocketConnector
from gateway.uplink.per_station import PerStationOptions
from gateway.web import routes
from gateway.web.server import LocalApi

log = logging.getLogger(__name__)

DATABASE = "gateway.db"
API_SOCKET = "gateway.sock"


async def run(config: Config) -> None:
    """Run the gateway until SIGTERM or SIGINT. Raises GatewayError if it can't start."""
    state = config.site.state_dir
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = state / DATABASE
    seams = Seams(
        clock=clock.system(),
        source=random.Random(),  # ids need not be unguessable, and SystemRandom is a system call each
        runner=await database.start(path),
        reopen=partial(database.reopen, path),
        connector=WebSocketConnector(_link_options(config)),
    )
    assembly = Assembly(_site_options(config), _uplink_options(config), seams)
    await assembly.load([station.id for station in config.stations])
    servers = [_server(assembly, config, index) for index in range(len(config.downlinks))]
    metering = Metering(meter_options(config), assembly.site.meters, seams.clock, seams.source)
    api = LocalApi(routes.build(assembly.site), state / API_SOCKET)
    for warning in config.warnings:
        log.warning("%s", warning)

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, assembly.site, config.source)
    problem: GatewayError | None = None
    reading: asyncio.Task[None] | None = None
    async with asyncio.TaskGroup() as group:
        group.create_task(assembly.run(), name="assembly")
        try:
            api.open()
            for server in servers:
                await server.start()
            group.create_task(api.run(), name="local API")
            _spare_the_collector()
            reading = group.create_task(metering.run(), name="meters")
            log.info("%s is ready", config.site.name)
            await stopping.wait()
            log.info("stopping")
        except GatewayError as error:
            problem = error
        finally:
            api.close()
            if reading:
                reading.cancel()
            for server in servers:
                with contextlib.suppress(Exception):
                    await server.close()
            assembly.stop()
    if problem:
        raise problem


def _spare_the_collector() -> None:
    """What start-up made is there to stay; looking through it again and again costs more than it could free."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _site_options(config: Config) -> SiteOptions:
    budgets = config.budgets
    return SiteOptions(
        name=config.site.name,
        offline=OfflineMode(config.authorization.offline),
        authorization=_authorization_options(config),
        budgets={
            Budget.AUTHORIZE: budgets.authorize_s,
            Budget.START: budgets.start_s,
            Budget.OTHER: budgets.other_s,
        },
        suspect_s=budgets.suspect_s,
        call_timeout_s=config.uplink.call_timeout_s,
        stations={
            station.id: StationOptions(
                station.station_timeout_s, station.min_answer_delay_ms / 1000, quirks.of(station.quirks)
            )
            for station in config.stations
        },
        models=[
            ModelOptions(
                model.vendor, model.model, quirks.of(model.quirks), model.min_answer_delay_ms / 1000, model.ping
            )
            for model in config.models
        ],
        meters=[meter.id for meter in config.meters],
        circuits=[
            Circuit(
                id=circuit.id,
                limit_a=circuit.limit_a,
                parent=CircuitId(circuit.parent) if circuit.parent else None,
                meter=MeterId(circuit.meter) if circuit.meter else None,
                limit_w=circuit.limit_w,
                phases=circuit.phase_numbers,
            )
            for circuit in config.circuits
        ],
    )


def meter_options(config: Config) -> list[MeterOptions]:
    """What the metering room is told of each meter."""
    fuses = {circuit.meter: circuit.limit_a for circuit in config.circuits if circuit.meter}
    return [
        MeterOptions(meter.id, meter.options, Rules(meter.nominal_v, fuses.get(meter.id), meter.frozen_check))
        for meter in config.meters
    ]


def _authorization_options(config: Config) -> AuthorizationOptions:
    said = config.authorization
    return AuthorizationOptions(
        pre_authorize=said.pre_authorize,
        late_refusal=LateRefusal(said.on_late_refusal),
        refuses_concurrent=said.concurrent == "refuse",
        accepts_contracts=said.contracts == "known",
        master_group=said.master_pass_group,
        cache_entries=said.cache_entries,
        cache_lifetime=timedelta(days=said.cache_lifetime_days) if said.cache_lifetime_days else None,
        tags={tag.token.key: tag for tag in said.tags_file.tags} if said.tags_file else {},
    )


def _reload(site: Site, source: Path) -> None:
    """SIGHUP: read the file again. What can change under way does; a file with mistakes changes nothing."""
    try:
        config = load(source)
    except GatewayError as error:
        log.error("the configuration stays as it was, the file has mistakes: %s", "; ".join(str(error).splitlines()))
        return
    site.options = replace(
        site.options,
        offline=OfflineMode(config.authorization.offline),
        authorization=_authorization_options(config),
    )
    log.info("[authorization] was read again, with its tags file; all else needs a restart")


def _link_options(config: Config) -> LinkOptions:
    uplink = config.uplink
    return LinkOptions(
        url=uplink.url,
        ca_file=uplink.ca_file,
        ping_interval_s=uplink.ping_interval_s,
        max_message_bytes=uplink.max_message_bytes,
    )


def _uplink_options(config: Config) -> PerStationOptions:
    uplink = config.uplink
    return PerStationOptions(
        versions=tuple(uplink.versions or ()),
        password=uplink.password.reveal() if uplink.password else None,
        passwords={
            station.id: station.uplink_password.reveal() for station in config.stations if station.uplink_password
        },
        backoff=Backoff(uplink.retry_wait_min_s, uplink.retry_random_range_s, uplink.retry_repeat_times),
        grace_s=uplink.grace_s,
    )


def _server(assembly: Assembly, config: Config, index: int) -> DownlinkServer:
    listener = config.downlinks[index]
    options = ListenerOptions(
        host=listener.listen.host,
        port=listener.listen.port,
        prefix=listener.path,
        security_profile=listener.security_profile,
        unknown_stations=UnknownStations(listener.unknown_stations),
        password=listener.password.reveal() if listener.password else None,
        certificate_file=listener.certificate_file,
        key_file=listener.key_file,
        legacy_certificate_file=listener.legacy_certificate_file,
        legacy_key_file=listener.legacy_key_file,
        default_version=listener.default_version,
        ping_interval_s=listener.ping_interval_s,
        max_message_bytes=listener.max_message_bytes,
        max_connections=listener.max_connections,
        handshake_timeout_s=listener.handshake_timeout_s,
    )
    access = {
        station.id: StationAccess(
            password=station.password.reveal() if station.password else None,
            ignore_basic_user=station.ignore_basic_user,
            version=station.version,
            ping=station.ping,
        )
        for station in config.stations
    }
    aliases = {alias: StationId(station.id) for station in config.stations for alias in station.alias}
    return DownlinkServer(assembly.site, options, access, aliases)
