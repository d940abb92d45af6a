"""WebSocket frames and handshakes on raw asyncio protocols: as little as OCPP-J needs, so that it is never the limit.

Whole text frames only (no peer here sends fragments), no extensions. Pings are answered.
"""

import asyncio
import base64
import hashlib
import os
import random

from websockets import frames

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A
_END_OF_HEAD = b"\r\n\r\n"
_mask = frames.apply_mask  # type: ignore[attr-defined]  # the library's C loop; re-exported there, not declared


class WireError(Exception):
    """The peer sent what no OCPP peer sends."""


def frame(payload: bytes, *, masked: bool, opcode: int = _TEXT) -> bytes:
    """One whole frame; masked with a fresh key as a client must."""
    size, bit = len(payload), 0x80 if masked else 0
    if size < 126:
        head = bytes((opcode, bit | size))
    elif size < 65536:
        head = bytes((opcode, bit | 126, size >> 8, size & 0xFF))
    else:
        head = bytes((opcode, bit | 127)) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    key = random.getrandbits(32).to_bytes(4, "big")
    return b"%b%b%b" % (head, key, _mask(payload, key))


def read_frame(data: bytes, at: int) -> tuple[int, bytes, int] | None:
    """First byte, payload and end of the frame that begins at `at`; None if it is not all there yet."""
    if len(data) - at < 2:
        return None
    second = data[at + 1]
    size, begin = second & 0x7F, at + 2
    if size >= 126:
        begin += 2 if size == 126 else 8
        if len(data) < begin:
            return None
        size = int.from_bytes(data[at + 2 : begin], "big")
    payload_at = begin + 4 if second & 0x80 else begin
    end = payload_at + size
    if len(data) < end:
        return None
    payload = data[payload_at:end]
    if second & 0x80:
        payload = _mask(payload, data[begin:payload_at])
    return data[at], payload, end


class Peer(asyncio.Protocol):
    """One side of a WebSocket. Subclasses take `on_head` (the HTTP head that came), `on_text` and `on_lost`."""

    masks = False

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._rest = b""
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at = 0
        if not self._is_open:
            end = data.find(_END_OF_HEAD)
            if end < 0:
                self._rest = data
                return
            self._is_open = True
            self.on_head(data[:end])
            at = end + len(_END_OF_HEAD)
        while found := read_frame(data, at):
            opcode, payload, at = found
            if opcode == _TEXT:
                self.on_text(payload)
            else:
                self._control(opcode, payload)
        self._rest = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.on_lost()

    def send(self, text: bytes) -> None:
        self.transport.write(frame(text, masked=self.masks))

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self.transport.write(frame(payload, masked=self.masks, opcode=_PONG))
        elif opcode == _CLOSE:
            self.transport.write(frame(payload, masked=self.masks, opcode=_CLOSE))
            self.transport.close()
        elif opcode != _PONG:
            raise WireError(f"unexpected frame {opcode:#x}")

    def on_head(self, head: bytes) -> None:
        raise NotImplementedError

    def on_text(self, text: bytes) -> None:
        raise NotImplementedError

    def on_lost(self) -> None:
        """The connection is gone."""


def request(path: str, host: str) -> bytes:
    """A station's handshake."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
    ).encode()


def response(head: bytes) -> tuple[str, bytes]:
    """The path asked for, and the 101 that accepts it. Raises WireError."""
    lines = head.split(b"\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    key = headers.get(b"sec-websocket-key")
    if key is None:
        raise WireError(f"no WebSocket handshake: {head[:80]!r}")
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    answer = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n" % accept
    )
    return lines[0].split(b" ")[1].decode(), answer
