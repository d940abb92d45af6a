"""Handshakes of all wrong kinds as data, a station's towards us and a CSMS's answers to ours."""

from dataclasses import dataclass

from tests.bad_input.rig import request


@dataclass(frozen=True, slots=True)
class BadRequest:
    """`status`: the HTTP status that comes back, 0: closed without an answer. `log`: pattern of its one line."""

    name: str
    raw: bytes
    status: int
    log: str


OFFER = "Sec-WebSocket-Protocol: ocpp1.6"
REFUSED_UNNAMED = "station without a name: handshake from 127.0.0.1:.* refused"
NO_HTTP = "handshake from 127.0.0.1:.* refused, no valid HTTP request"
TLS_HELLO = bytes.fromhex("160301020001000 1fc0303".replace(" ", "")) + bytes(range(256)) * 2

REQUESTS = (
    # Paths.
    BadRequest("wrong path", request("/wrong/PATH", [OFFER]), 404, f"{REFUSED_UNNAMED}.*does not begin with"),
    BadRequest("no path", request("/", [OFFER]), 404, f"{REFUSED_UNNAMED}.*does not begin with"),
    BadRequest("path without an identity", request("/ocpp", [OFFER]), 404, f"{REFUSED_UNNAMED}.*names no station"),
    BadRequest("colon in the identity", request("/ocpp/a:b", [OFFER]), 404, f"{REFUSED_UNNAMED}.*'/ocpp/a:b'"),
    BadRequest("identity of 49 characters", request("/ocpp/" + "a" * 49, [OFFER]), 404, f"{REFUSED_UNNAMED}.*49"),
    BadRequest("identity is no UTF-8", request("/ocpp/%FF%FE", [OFFER]), 404, f"{REFUSED_UNNAMED}.*not UTF-8"),
    BadRequest("line break in the identity", request("/ocpp/a%0Ab", [OFFER]), 404, f"{REFUSED_UNNAMED}.*control"),
    BadRequest("dots as identity", request("/ocpp/..", [OFFER]), 404, f"{REFUSED_UNNAMED}.*dots"),
    BadRequest("escape sequence in the path", request("/ocpp/\x1b[31mred\x07", [OFFER]), 404, REFUSED_UNNAMED),
    BadRequest("raw space in the path", request("/ocpp/raw space", [OFFER]), 0, NO_HTTP),
    BadRequest("raw letters in the path", request("/ocpp/S\xe4ule", [OFFER]), 0, NO_HTTP),
    BadRequest("path of 9,000 characters", request("/ocpp/" + "a" * 9000, [OFFER]), 414, "refused"),
    # Headers.
    BadRequest("no Upgrade", request("/ocpp/H-1", [OFFER], without="Upgrade"), 426, "'/ocpp/H-1'"),
    BadRequest("no Connection", request("/ocpp/H-2", [OFFER], without="Connection"), 426, "'/ocpp/H-2'"),
    BadRequest("upgrade to something else", request("/ocpp/H-3", [OFFER, "Upgrade: h2c"]), 426, "'/ocpp/H-3'"),
    BadRequest("no key", request("/ocpp/H-4", [OFFER], without="Sec-WebSocket-Key"), 400, "'/ocpp/H-4'"),
    BadRequest("short key", request("/ocpp/H-5", [OFFER, "Sec-WebSocket-Key: abc"]), 400, "'/ocpp/H-5'"),
    BadRequest("two keys", request("/ocpp/H-6", [OFFER, f"+Sec-WebSocket-Key: {'B' * 22}=="]), 400, "'/ocpp/H-6'"),
    BadRequest("old WebSocket", request("/ocpp/H-7", [OFFER, "Sec-WebSocket-Version: 8"]), 400, "'/ocpp/H-7'"),
    BadRequest("header of 9,000 characters", request("/ocpp/H-8", [OFFER, f"X: {'x' * 9000}"]), 431, "refused"),
    BadRequest("200 headers", request("/ocpp/H-9", [OFFER, *(f"X-{n}: 1" for n in range(200))]), 431, "refused"),
    BadRequest("header without a colon", request("/ocpp/H-10", [OFFER, "nonsense"]), 0, NO_HTTP),
    BadRequest("folded header", request("/ocpp/H-11", [OFFER, "X: 1", " 2"]), 0, NO_HTTP),
    BadRequest("space in a header's name", request("/ocpp/H-12", [OFFER, "X y: 1"]), 0, NO_HTTP),
    BadRequest("body", request("/ocpp/H-13", [OFFER, "Content-Length: 5"]) + b"hello", 0, NO_HTTP),
    BadRequest("chunks", request("/ocpp/H-14", [OFFER, "Transfer-Encoding: chunked"]) + b"0\r\n\r\n", 0, NO_HTTP),
    # Not this kind of request, or none.
    BadRequest("POST", request("", [OFFER], first="POST /ocpp/H-15 HTTP/1.1"), 405, "'/ocpp/H-15'"),
    BadRequest("a browser", b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\n\r\n", 426, REFUSED_UNNAMED),
    BadRequest("HTTP/1.0", request("", [OFFER], first="GET /ocpp/H-16 HTTP/1.0"), 505, "refused"),
    BadRequest("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, NO_HTTP),
    BadRequest("words", b"hello?\r\nis anybody there?\r\n\r\n", 0, NO_HTTP),
    BadRequest("only line breaks", b"\r\n\r\n\r\n", 0, NO_HTTP),
    BadRequest("NUL bytes", bytes(9000), 414, "refused"),
    BadRequest("TLS to a plain port", TLS_HELLO + b"\n", 0, "handshake from 127.0.0.1:.* refused.*TLS"),
    BadRequest("MQTT", bytes.fromhex("101000044d5154540402003c000474657374") + b"\n", 0, NO_HTTP),
)
"""None of these may make a station known."""


@dataclass(frozen=True, slots=True)
class BadResponse:
    """What a CSMS answers to our handshake; ACCEPT stands for the right Sec-WebSocket-Accept."""

    name: str
    raw: bytes
    log: str


def _switching(*headers: str) -> bytes:
    lines = ["HTTP/1.1 101 Switching Protocols", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


UPGRADE, CONNECTION, ACCEPT = "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: ACCEPT"
PICK = "Sec-WebSocket-Protocol: ocpp1.6"
NO_LINK = "no link to the CSMS: "
RESPONSES = (
    BadResponse("closed", b"", NO_LINK),
    BadResponse("garbage", b"\x00\xff\x13\x37garbage\r\n\r\n", NO_LINK),
    BadResponse("half a status line", b"HTTP/1.1 10", NO_LINK),
    BadResponse("status is a word", b"HTTP/1.1 Fine Indeed\r\n\r\n", NO_LINK),
    BadResponse("status 999", b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", NO_LINK),
    BadResponse("200", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", f"{NO_LINK}.*HTTP 200"),
    BadResponse("401", b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", f"{NO_LINK}.*credentials"),
    BadResponse("404", b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", f"{NO_LINK}.*register"),
    BadResponse("503 with a huge body", b"HTTP/1.1 503 No\r\nContent-Length: 99999999999\r\n\r\nx", NO_LINK),
    BadResponse("body of bad length", b"HTTP/1.1 500 No\r\nContent-Length: -5\r\n\r\n", NO_LINK),
    BadResponse("bad gzip", b"HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz", NO_LINK),
    BadResponse("redirect to garbage", b"HTTP/1.1 302 Go\r\nLocation: ::::\r\nContent-Length: 0\r\n\r\n", NO_LINK),
    BadResponse("redirect to a file", b"HTTP/1.1 302 Go\r\nLocation: file:///x\r\nContent-Length: 0\r\n\r\n", NO_LINK),
    BadResponse("redirect in circles", b"HTTP/1.1 302 Go\r\nLocation: SELF\r\nContent-Length: 0\r\n\r\n", NO_LINK),
    BadResponse("redirect to nowhere", b"HTTP/1.1 302 Go\r\nContent-Length: 0\r\n\r\n", NO_LINK),
    BadResponse("header of 9,000 characters", _switching(UPGRADE, CONNECTION, ACCEPT, "X: " + "x" * 9000), NO_LINK),
    BadResponse("101 without Upgrade", _switching(CONNECTION, ACCEPT, PICK), NO_LINK),
    BadResponse("101 without Accept", _switching(UPGRADE, CONNECTION, PICK), NO_LINK),
    BadResponse("101 with a wrong Accept", _switching(UPGRADE, CONNECTION, "Sec-WebSocket-Accept: x", PICK), NO_LINK),
    BadResponse(
        "101 with a version nobody offered",
        _switching(UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Protocol: ocpp9"),
        f"{NO_LINK}the CSMS speaks none of",
    ),
    BadResponse(
        "101 with two versions", _switching(UPGRADE, CONNECTION, ACCEPT, PICK, PICK.replace("1.6", "2.0.1")), NO_LINK
    ),
    BadResponse("101 without a version", _switching(UPGRADE, CONNECTION, ACCEPT), "accepts none of the versions"),
    BadResponse(
        "101 with an extension nobody offered",
        _switching(UPGRADE, CONNECTION, ACCEPT, PICK, "Sec-WebSocket-Extensions: permessage-deflate"),
        NO_LINK,
    ),
)
