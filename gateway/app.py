"""Composition root: the only module that knows everybody. Hands each room its own frozen options."""

import asyncio
import contextlib
import gc
import logging
import os
import random
import signal
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import gateway
from gateway import clock
from gateway.assembly import Assembly, Seams, Uplink
from gateway.config import Config, load
from gateway.core.authorize import AuthorizationOptions
from gateway.core.meter_checks import Rules
from gateway.core.outbox import RetryRule
from gateway.dialects import quirks
from gateway.dialects.base import Budget
from gateway.dialects.site_says import SiteIdentity
from gateway.downlink.admission import ListenerOptions, StationAccess, UnknownStations
from gateway.downlink.server import DownlinkServer
from gateway.errors import GatewayError
from gateway.metering.caps import CapListener
from gateway.metering.cars import cars_below
from gateway.metering.runner import Metering, MeterOptions
from gateway.model.circuit import Circuit
from gateway.model.ids import CircuitId, MeterId, StationId
from gateway.model.reasons import AlarmKind, AuditKind
from gateway.model.space import StorageLimits
from gateway.model.token import LateRefusal, OfflineMode
from gateway.plan import Lodging
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.station import ModelOptions, StationOptions
from gateway.store import database, days, lock, salvage
from gateway.timekeeper import TimeOptions
from gateway.uplink.aggregate import Aggregate
from gateway.uplink.backoff import Backoff
from gateway.uplink.link import Connector, LinkOptions, WebSocketConnector
from gateway.uplink.per_station import PerStation, PerStationOptions
from gateway.uplink.site_link import SiteLinkOptions
from gateway.watchdog import ServiceManager
from gateway.web import routes
from gateway.web.server import LocalApi

log = logging.getLogger(__name__)

DATABASE = "gateway.db"
LOOK_FOR_DAMAGE_S = 30.0


async def run(config: Config) -> None:
    """Run the gateway until SIGTERM or SIGINT. Raises GatewayError if it can't start."""
    state = config.site.state_dir
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        remedy = "Remedy: give site.state_dir a folder that this user may write to"
        raise GatewayError(f"{state}: {error.strerror}. {remedy}") from error
    with lock.alone(state):
        await _run(config, state / DATABASE)


async def _run(config: Config, path: Path) -> None:
    assembly = await _assembled(config, path)
    servers = [_server(assembly, config, index) for index in range(len(config.downlinks))]
    site = assembly.site
    metering = Metering(meter_options(config), site.meters, site.clock, site.random, partial(cars_below, site))
    api = LocalApi(routes.build(assembly.site), config.site.api_socket)
    manager = ServiceManager(os.environ)
    for warning in config.warnings:
        log.warning("%s", warning)

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, assembly.site, config.source)
    problem: GatewayError | None = None
    helpers: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(assembly.run(), name="assembly")
        try:
            api.open()
            for server in servers:
                await server.start()
            group.create_task(api.run(), name="local API")
            spare_the_collector()
            helpers = [
                group.create_task(metering.run(), name="meters"),
                group.create_task(CapListener(assembly.site, assembly.site.random).run(), name="caps"),
                group.create_task(_look_for_damage(assembly.site, path), name="look for damage"),
                group.create_task(manager.feed(partial(_stuck, assembly.site, manager)), name="watchdog"),
            ]
            log.info("%s is ready", config.site.name)
            manager.say("READY=1")
            await stopping.wait()
            log.info("stopping")
            manager.say("STOPPING=1")
        except GatewayError as error:
            problem = error
        finally:
            for helper in helpers:
                helper.cancel()
            api.close()
            for server in servers:
                with contextlib.suppress(Exception):
                    await server.close()
            assembly.stop()
    if problem:
        raise problem


async def _assembled(config: Config, path: Path) -> Assembly:
    """The gateway as the file at `path` left it. Raises StoreError."""
    connector = WebSocketConnector(_link_options(config))
    seams = Seams(
        clock=clock.system(),
        source=random.Random(),  # ids need not be unguessable, and SystemRandom is a system call each
        runner=await salvage.start(path),
        reopen=partial(database.reopen, path),
        connector=connector,
        salvage=partial(salvage.save, path),
        keeps_reserve=True,
        days=_days(config),
    )
    assembly = Assembly(_site_options(config), partial(_uplink, config), seams)
    connector.ping_interval_of = assembly.site.columns.ping_interval_s
    await assembly.load([station.id for station in config.stations])
    return assembly


def _days(config: Config) -> days.DayFiles | None:
    said = config.storage
    return (
        days.DayFiles(config.site.state_dir / days.FOLDER, said.record_days, said.record_mb * 2**20)
        if said.record_days
        else None
    )


def spare_the_collector() -> None:
    """What start-up made is there to stay; looking through it again and again costs more than it could free."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _stuck(site: Site, manager: ServiceManager) -> str | None:
    """What is stuck, if anything: the event loop speaks for itself, the disk's thread does not."""
    since = site.writer.busy_since
    seconds = 0.0 if since is None else site.clock.monotonic() - since
    if manager.watchdog_s is not None and seconds > manager.watchdog_s:
        return f"the disk has been at one piece of work for {seconds:.0f} s"
    return None


async def _look_for_damage(site: Site, path: Path) -> None:
    """The alarm about a damaged database stays until somebody has taken the damaged file away."""
    while True:
        kept = salvage.damaged_files(path)
        if kept:
            said = next((one.text for one in reversed(site.upkeep.audit) if one.kind is AuditKind.SALVAGED), None)
            text = said or f"the database was damaged; the damaged file is {kept[-1].name}"
            remedy = f"Remedy: check the disk, keep a copy of {kept[-1]}, then take it away"
            site.upkeep.raise_alarm(AlarmKind.DATABASE_DAMAGED, f"{text}. {remedy}", site.clock.now())
        else:
            site.upkeep.clear_alarm(AlarmKind.DATABASE_DAMAGED)
        await asyncio.sleep(LOOK_FOR_DAMAGE_S)


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
        after_boot_s=config.grace.after_boot_s,
        after_reconnect_s=config.grace.after_reconnect_s,
        time=TimeOptions(requires_sync=config.time.require_sync, trusts_system=config.time.trust_system_clock),
        stations={
            station.id: StationOptions(
                station.station_timeout_s, station.min_answer_delay_ms / 1000, quirks.of(station.quirks)
            )
            for station in config.stations
        },
        retry={name: RetryRule(*rule) for name, rule in config.replay.rules.items()},
        messages_per_s=config.replay.messages_per_s,
        limits=StorageLimits(config.storage.budget_mb * 2**20, config.storage.queue_messages),
        kept_days=config.storage.keep_transactions_days,
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
        plan=config.plan,
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


def _uplink(config: Config, site: Site, connector: Connector) -> Uplink:
    if config.uplink.topology == "aggregate":
        return Aggregate(site, _site_link_options(config), connector)
    return PerStation(site, _uplink_options(config), connector)


def _site_link_options(config: Config) -> SiteLinkOptions:
    said, uplink = config.site, config.uplink
    return SiteLinkOptions(
        identity=said.identity,
        names=SiteIdentity(said.vendor, said.model, said.serial or said.identity, said.firmware or gateway.__version__),
        versions=tuple(uplink.versions or ()),
        password=uplink.password.reveal() if uplink.password else None,
        shows_password=uplink.security_profile > 0,
        backoff=_backoff(config),
        lost_s=uplink.grace_s,
        direct_actions=frozenset(uplink.direct_actions),
    )


def _backoff(config: Config) -> Backoff:
    uplink = config.uplink
    return Backoff(uplink.retry_wait_min_s, uplink.retry_random_range_s, uplink.retry_repeat_times)


def _uplink_options(config: Config) -> PerStationOptions:
    uplink = config.uplink
    return PerStationOptions(
        versions=tuple(uplink.versions or ()),
        password=uplink.password.reveal() if uplink.password else None,
        passwords={
            station.id: station.uplink_password.reveal() for station in config.stations if station.uplink_password
        },
        shows_password=uplink.security_profile > 0,
        backoff=_backoff(config),
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
        lodging=Lodging(listener.circuit, listener.rating_a),
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
