"""Frames that no public sample has: SML files and HDLC frames with values of our choice, their checksums right."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from tests.drivers.push_rig import TELEGRAMS

SML_ESCAPE = b"\x1b" * 4
UNITS = {"W": 27, "Wh": 30, "A": 33, "V": 35, "Hz": 44, "°": 8}
OBIS = {
    **{f"i{phase}": (20 * phase + 11, "A") for phase in (1, 2, 3)},
    **{f"u{phase}": (20 * phase + 12, "V") for phase in (1, 2, 3)},
    **{f"p{phase}": (20 * phase + 16, "W") for phase in (1, 2, 3)},
    **{f"in{phase}": (20 * phase + 1, "W") for phase in (1, 2, 3)},
    **{f"out{phase}": (20 * phase + 2, "W") for phase in (1, 2, 3)},
    "p": (16, "W"),
    "hz": (14, "Hz"),
}
ANGLES = {"angle1": 4, "angle2": 15, "angle3": 26}


def published(name: str) -> bytes:
    return bytes.fromhex((TELEGRAMS / f"{name}.hex").read_text())


def sml_file(values: Mapping[str, tuple[int, int]], server: bytes = b"\x0a\x01TST\x00\x00\x00\x00\x01") -> bytes:
    """Each value with its power of ten: `{"i1": (-214, -2)}` is a current of -2.14 A on L1."""
    entries = [_entry(name, number, scaler) for name, (number, scaler) in values.items()]
    energy = _list(
        _octets(bytes((1, 0, 1, 8, 0, 255))), b"\x01\x01", _unsigned(30), _signed(-1), _signed(12345), b"\x01"
    )
    body = b"".join(
        (
            _message(0x0101, _list(b"\x01", b"\x01", _octets(b"1"), _octets(server), b"\x01", b"\x01")),
            _message(0x0701, _list(b"\x01", _octets(server), b"\x01\x01", _many([*entries, energy]), b"\x01\x01")),
            _message(0x0201, _list(b"\x01")),
        )
    )
    padding = -len(body) % 4
    frame = SML_ESCAPE + b"\x01" * 4 + (body + b"\0" * padding).replace(SML_ESCAPE, SML_ESCAPE * 2)
    frame += SML_ESCAPE + bytes((0x1A, padding))
    return frame + _sml_crc(frame)


def _entry(name: str, number: int, scaler: int) -> bytes:
    if name in ANGLES:
        obis, unit = bytes((1, 0, 81, 7, ANGLES[name], 255)), "°"
    else:
        index, unit = OBIS[name]
        obis = bytes((1, 0, index, 7, 0, 255))
    return _list(_octets(obis), b"\x01\x01", _unsigned(UNITS[unit]), _signed(scaler), _signed(number), b"\x01")


def _message(kind: int, body: bytes) -> bytes:
    head = b"\x76" + _octets(b"\x01\x02") + _unsigned(0) + _unsigned(0) + b"\x72\x63" + kind.to_bytes(2, "big") + body
    return head + b"\x63" + _sml_crc(head) + b"\0"


def _list(*parts: bytes) -> bytes:
    """Parts may hold several optional fields that are not there, of one byte each."""
    count = sum(len(part) if set(part) == {1} else 1 for part in parts)
    return bytes((0x70 | count,)) + b"".join(parts)


def _many(entries: list[bytes]) -> bytes:
    count = len(entries)
    head = bytes((0x70 | count,)) if count < 16 else bytes((0xF0 | count >> 4, count & 15))
    return head + b"".join(entries)


def _octets(value: bytes) -> bytes:
    return bytes((len(value) + 1,)) + value


def _unsigned(value: int) -> bytes:
    return bytes((0x62, value))


def _signed(value: int) -> bytes:
    return b"\x55" + value.to_bytes(4, "big", signed=True)


def _sml_crc(data: bytes) -> bytes:
    sml: Any = import_module("sml")
    return int(sml.Crc.crc16(data)).to_bytes(2, "big")


def hdlc_frame(content: bytes) -> bytes:
    """The published frame's header around other content."""
    check: Any = import_module("han.fastframecheck").FastFrameCheckSequence16
    length = len(content) + 9
    head = bytes((0xA0 | length >> 8, length & 0xFF, 0x2B, 0x21, 0x13))
    head += int(check.compute_checksum(head, 0, len(head))).to_bytes(2, "little")
    body = head + content
    return b"\x7e" + body + int(check.compute_checksum(body, 0, len(body))).to_bytes(2, "little") + b"\x7e"
