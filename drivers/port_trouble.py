"""Errors of the operating system in words for people."""

import errno
from typing import Final

from drivers.api import Kind, Trouble

_IN_USE: Final = {errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK}
_GONE: Final = {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO}


def of_serial(port: str, error: OSError | None) -> Trouble:
    """Why a serial port cannot be used. pyserial's SerialException is an OSError, too."""
    code = error.errno if error else None
    if code in _GONE:
        problem = f"{port} is not there: the adapter is unplugged, or has another name"
        remedy = "Plug it in; the gateway goes on by itself. Names that last are in /dev/serial/by-id"
        return Trouble(Kind.UNPLUGGED, problem, remedy)
    if code in {errno.EACCES, errno.EPERM}:
        remedy = "Add the gateway's user to the group dialout, then restart the gateway"
        return Trouble(Kind.NO_PERMISSION, f"the gateway may not open {port}", remedy)
    if code in _IN_USE:
        problem = f"{port} is in use by another program"
        return Trouble(Kind.IN_USE, problem, "Stop that program: a line has one master; `fuser` names it")
    why = (error.strerror or str(error)) if error else "it did not open in time"
    return Trouble(Kind.UNREACHABLE, f"{port} cannot be opened ({why})", "Check that it is a serial port")


def of_host(host: str, port: int, error: OSError | None) -> Trouble:
    """Why a TCP connection cannot be made. None: it took too long."""
    where = f"{host}:{port}"
    code = error.errno if error else None
    if isinstance(error, ConnectionRefusedError) or code == errno.ECONNREFUSED:
        remedy = "Check the port; switch the service on in the device; many take one connection only"
        return Trouble(Kind.UNREACHABLE, f"{where} refuses the connection", remedy)
    if code in {errno.EACCES, errno.EPERM}:
        return Trouble(Kind.NO_PERMISSION, f"the gateway may not connect to {where}", "Check the firewall")
    if error is not None and type(error).__name__ == "gaierror":
        return Trouble(Kind.UNREACHABLE, f"the name {host} is not known", "Check the spelling, or give the IP address")
    why = f"cannot be reached ({error.strerror or error})" if error else "does not answer"
    return Trouble(Kind.UNREACHABLE, f"{where} {why}", "Check power, cable, address and network of the device")
