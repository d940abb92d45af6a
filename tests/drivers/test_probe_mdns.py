"""Devices that announce themselves: real announcements, on the loopback interface only."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import serialx
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from drivers import serial_ports
from drivers.probe_mdns import SHELLY, VICTRON, announced, is_meter
from tests.drivers.modbus_rig import real_seams

LOOPBACK = ["127.0.0.1"]


@pytest.mark.parametrize(
    ("name", "service", "is_so"),
    [
        ("shellypro3em-0cb815f1", SHELLY, True),
        ("ShellyPro3EM-0CB815F1", SHELLY, True),
        ("shellyproem50-08f9e0e6", SHELLY, True),
        ("shelly3em63g3-54320453", SHELLY, True),
        ("shellyplus1pm-7c87ce65", SHELLY, False),
        ("shellydimmerg4-e8f60a7c", SHELLY, False),
        ("VM-3P75CT@somewhere", VICTRON, True),
    ],
)
def test_plugs_and_lamps_are_no_meters(name: str, service: str, is_so: bool) -> None:
    assert is_meter(name, service) is is_so


async def test_meters_that_announce_themselves_are_found() -> None:
    names = ((f"shellypro3em-0cb815f1.{SHELLY}", SHELLY), (f"shellyplug-s1.{SHELLY}", SHELLY))
    infos = [
        AsyncServiceInfo(service, name, addresses=[socket.inet_aton("127.0.0.1")], port=80, server=f"x{at}.local.")
        for at, (name, service) in enumerate((*names, (f"VM-3P75CT.{VICTRON}", VICTRON)))
    ]
    network = AsyncZeroconf(interfaces=LOOPBACK)

    async def meanwhile(_seconds: float) -> None:
        """They come up while the probe looks; a device says so three times."""
        more = {"cooperating_responders": True, "strict": False}
        await asyncio.gather(*[await network.async_register_service(info, **more) for info in infos])

    try:
        found = await announced(3.0, replace(real_seams(), sleep=meanwhile), LOOPBACK)
    finally:
        await network.async_close()
    assert [(one.name, one.address) for one in found] == [
        ("VM-3P75CT", "127.0.0.1"),
        ("shellypro3em-0cb815f1", "127.0.0.1"),
    ]
    assert "Modbus" in found[1].remedy


def test_ports_have_names_that_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [tmp_path / name for name in ("ttyUSB0", "ttyUSB1", "ttyS0")]
    by_id, by_path = tmp_path / "by-id", tmp_path / "by-path"
    for path in devices:
        path.touch()
    for folder, link, device in ((by_id, "usb-A", 0), (by_path, "pci-1", 0), (by_path, "pci-2", 1)):
        folder.mkdir(exist_ok=True)
        (folder / link).symlink_to(devices[device])
    ports = [
        serialx.SerialPortInfo(
            str(path), str(path), None, None, None, "Acme" if at < 2 else None, None, None, None, None
        )
        for at, path in enumerate(devices)
    ]
    monkeypatch.setattr(serialx, "list_serial_ports", lambda: ports)
    consoles = tmp_path / "active"
    consoles.write_text("tty0 ttyS0\n")
    monkeypatch.setattr(serial_ports, "_DEVICES", tmp_path)
    found = serial_ports.listed((by_id, by_path), consoles)
    assert [(port.name, port.product, port.is_console) for port in found] == [
        (str(by_id / "usb-A"), "Acme", False),
        (str(by_path / "pci-2"), "Acme", False),
        (str(devices[2]), "", True),
    ]
    assert str(found[0]) == f"{by_id / 'usb-A'} (ttyUSB0)"
    assert serial_ports.named(str(devices[2])).name == str(devices[2])
