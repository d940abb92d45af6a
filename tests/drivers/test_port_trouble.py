"""Errors of the operating system in words."""

import errno
import socket

import pytest

from drivers.api import Kind
from drivers.port_trouble import of_host, of_serial

PORT = "/dev/serial/by-id/usb-x"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.ENOENT, Kind.UNPLUGGED, "is not there"),
        (errno.EIO, Kind.UNPLUGGED, "Plug it in"),
        (errno.ENXIO, Kind.UNPLUGGED, "by-id"),
        (errno.EACCES, Kind.NO_PERMISSION, "group dialout"),
        (errno.EBUSY, Kind.IN_USE, "in use by another program"),
        (errno.EAGAIN, Kind.IN_USE, "one master"),
        (errno.ENOTTY, Kind.UNREACHABLE, "serial port"),
    ],
)
def test_a_serial_port(code: int, kind: Kind, words: str) -> None:
    trouble = of_serial(PORT, OSError(code, "x"))
    assert trouble.kind is kind
    assert words in str(trouble)
    assert PORT in trouble.problem


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "refuses the connection"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "cannot be reached (No route to host)"),
        (socket.gaierror(-2, "x"), "the name meter.lan is not known"),
        (None, "does not answer"),
    ],
)
def test_a_host(error: OSError | None, words: str) -> None:
    trouble = of_host("meter.lan", 502, error)
    assert trouble.kind is Kind.UNREACHABLE
    assert words in trouble.problem
    assert trouble.remedy
