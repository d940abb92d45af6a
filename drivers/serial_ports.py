"""The serial ports of this machine, by names that last."""

import os
from dataclasses import dataclass
from pathlib import Path

import serialx

from drivers.options import serial_place

_LASTING = (Path("/dev/serial/by-id"), Path("/dev/serial/by-path"))
_DEVICES = Path("/dev")
_CONSOLES = Path("/sys/class/tty/console/active")


@dataclass(frozen=True, slots=True)
class SerialPort:
    """`name` is the one to write into a configuration: by-id, else by-path, else the device."""

    name: str
    device: str
    product: str = ""
    is_console: bool = False
    """The kernel talks here: nothing else is to be sent."""

    @property
    def place(self) -> str:
        return serial_place(self.name)

    def __str__(self) -> str:
        return self.name if self.name == self.device else f"{self.name} ({os.path.basename(self.device)})"


def listed(folders: tuple[Path, ...] = _LASTING, consoles: Path = _CONSOLES) -> list[SerialPort]:
    """All there are. Reads /dev and /sys; opens nothing."""
    lasting = _links(folders)
    busy = {str(_DEVICES / name) for name in consoles.read_text().split()} if consoles.exists() else set()
    found = []
    for port in serialx.list_serial_ports():
        device = os.path.realpath(port.resolved_device or port.device)
        words = " ".join(filter(None, (port.manufacturer, port.product)))
        found.append(SerialPort(lasting.get(device, port.device), device, words, device in busy))
    return sorted(found, key=lambda port: (not port.product, port.name))


def named(name: str, folders: tuple[Path, ...] = _LASTING) -> SerialPort:
    """A port that somebody typed, by its lasting name if it has one."""
    device = os.path.realpath(name)
    is_passing = name.startswith(("/dev/ttyUSB", "/dev/ttyACM"))
    return SerialPort(_links(folders).get(device, name) if is_passing else name, device)


def _links(folders: tuple[Path, ...]) -> dict[str, str]:
    """Device -> its lasting name; earlier folders win."""
    links = [link for folder in reversed(folders) if folder.is_dir() for link in sorted(folder.iterdir())]
    return {os.path.realpath(link): str(link) for link in links}
