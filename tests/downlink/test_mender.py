"""Which options a station has by its configuration and its model, and where what it says is put right."""

import asyncio
import random

import pytest

from gateway.clock import Clock
from gateway.dialects import quirks, registry
from gateway.dialects.base import Dialect
from gateway.dialects.quirks import Quirks
from gateway.downlink.admission import StationAccess
from gateway.downlink.mender import Mender, mender
from gateway.model.ids import StationId
from gateway.model.records import Approval, Put, StationRecord
from gateway.rpc.frame import Call
from gateway.rpc.session import Answered, Refused
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.station import ModelOptions, StationOptions, fitting
from tests.downlink.rig import CP, HEARTBEAT, LIMIT_S, Rig
from tests.inbox import Inbox
from tests.sim.network import Weather, pair

V16, V201 = registry.by_name("1.6"), registry.by_name("2.0.1")
BOOT = b'{"chargePointVendor":"Volt","chargePointModel":"One"}'
BOOT_201 = b'{"reason":"PowerUp","chargingStation":{"vendorName":"Volt","model":"One"}}'
NULLS, CAPITALS, HOLES = (quirks.of([name]) for name in ("strip-nulls", "capitalised-keys", "empty-values"))


def site_with(own: StationOptions | None = None, *models: ModelOptions) -> Site:
    options = SiteOptions(stations={CP: own} if own else {}, models=models)
    return Site(options, Clock(), random.Random(1))


def mender_of(site: Site, dialect: Dialect = V16) -> Mender:
    found = mender(site, site.station(CP), dialect)
    assert found is not None
    return found


def test_a_station_nothing_is_written_of_has_no_mender() -> None:
    for own in (None, StationOptions(), StationOptions(call_timeout_s=30, min_answer_delay_s=1)):
        site = site_with(own)
        assert mender(site, site.station(CP), V16) is None
    assert mender_of(site_with(StationOptions(quirks=NULLS)))
    assert mender_of(site_with(None, ModelOptions("Volt")))


@pytest.mark.parametrize(
    ("vendor", "model", "fits"),
    [
        ("Volt", "*", True),
        ("volt", "ONE", True),
        ("V*", "O?e", True),
        ("*", "*", True),
        ("Volt", "Two", False),
        ("Vol", "*", False),
        ("", "*", False),
    ],
)
@pytest.mark.parametrize("boot", [BOOT, BOOT_201])
def test_models_by_pattern(vendor: str, model: str, fits: bool, boot: bytes) -> None:
    said = ModelOptions(vendor, model)
    assert fitting([said], boot) == ([said] if fits else [])
    assert fitting([said], None) == []


def test_all_that_is_said_of_a_station_adds_up() -> None:
    own = StationOptions(call_timeout_s=30, min_answer_delay_s=0.2, quirks=NULLS)
    first, second = ModelOptions("Volt", "*", CAPITALS, 0.5), ModelOptions("Volt", "One", HOLES, 0.1)
    assert own.of_models([first, second]) == StationOptions(30, 0.5, NULLS | CAPITALS | HOLES)
    assert own.of_models([]) == own


def options_after(site: Site, dialect: Dialect, boot: bytes | None) -> Quirks:
    own = mender_of(site, dialect)
    if boot is not None:
        own.call(Call("1", "BootNotification", boot))
    return site.station(CP).options.quirks


@pytest.mark.parametrize(("dialect", "boot"), [(V16, BOOT), (V201, BOOT_201)])
def test_a_model_is_known_from_its_boot_on_and_by_the_stored_one(dialect: Dialect, boot: bytes) -> None:
    site = site_with(StationOptions(quirks=HOLES), ModelOptions("Volt", "*", NULLS))
    assert options_after(site, dialect, None) == HOLES
    assert options_after(site, dialect, boot) == HOLES | NULLS
    site.apply(Put(StationRecord(CP, Approval.CONFIGURED, boot=boot)))
    assert options_after(site, dialect, None) == HOLES | NULLS
    other = boot.replace(b"Volt", b"Ampere")
    assert options_after(site, dialect, other) == HOLES, "another device under the same identity"


def test_other_messages_do_not_tell_the_model() -> None:
    site = site_with(None, ModelOptions("Volt", "*", NULLS))
    mender_of(site).call(Call("1", "DataTransfer", BOOT))
    assert site.station(CP).options.quirks == quirks.NONE


def test_calls_and_answers_are_put_right() -> None:
    own = mender_of(site_with(StationOptions(quirks=NULLS)))
    call = Call("1", "Authorize", b'{"idTag":"A"}')
    assert own.call(call) is call
    assert own.call(Call("1", "Authorize", b'{"x":null}')) == Call("1", "Authorize", b"{}")
    assert own.outcome("Reset", Answered(b'{"x":null}')) == Answered(b"{}")
    refused = Refused("GenericError", "", b'{"x":null}')
    assert own.outcome("Reset", refused) is refused
    answered = Answered(b'{"x":null}')
    assert mender_of(site_with(StationOptions(quirks=HOLES))).outcome("Reset", answered) is answered


async def test_frames_are_put_right_if_anything_says_so() -> None:
    holes = b'[2,"1","X",{"a":}]'
    stored = StationRecord(CP, boot=BOOT)
    for own, model, record, is_mended in (
        (HOLES, quirks.NONE, stored, True),
        (quirks.NONE, HOLES, stored, True),
        (NULLS, NULLS, stored, False),
        # A first boot with holes must be read before it can tell its model.
        (quirks.NONE, HOLES, StationRecord(CP), True),
        (quirks.NONE, HOLES, StationRecord(CP, boot=b"{}"), False),
    ):
        site = site_with(StationOptions(quirks=own), ModelOptions("Volt", "*", model))
        site.apply(Put(record))
        there, here = pair(random.Random(1), Weather(0, 0), "ocpp1.6")
        socket = mender_of(site).socket(here)
        assert (socket is here) == ((own | model) == NULLS)
        there.send(holes)
        async with asyncio.timeout(LIMIT_S):
            assert await Inbox(socket).receive() == (b'[2,"1","X",{}]' if is_mended else holes)
        assert socket.subprotocol == "ocpp1.6"
        there.cut()


async def test_a_model_without_pongs_gets_no_pings(rig: Rig) -> None:
    """From the connection after its first boot on: the model is not known before."""
    deaf, other = StationId("DEAF"), StationId("OTHER")
    rig.site.options = SiteOptions(models=[ModelOptions("Volt", ping=False)])
    for station_id, boot in ((deaf, BOOT), (other, BOOT.replace(b"Volt", b"Ampere"))):
        rig.site.note([Put(StationRecord(station_id, Approval.ACCEPTED, boot=boot))])
    server = await rig.listen({deaf: StationAccess(), other: StationAccess()}, ping_interval_s=0.1)
    quiet = await rig.raw(server, "/ocpp/DEAF")
    pinged = await rig.raw(server, "/ocpp/OTHER")
    assert await pinged.opcode() == 9
    quiet.send(HEARTBEAT)
    assert await quiet.opcode() == 1, "the answer comes first: no ping before it"
