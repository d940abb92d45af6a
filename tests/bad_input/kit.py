"""The bad input kit: every class of bad input as data, with what must come back.

What is decided here, where the specifications leave a choice or contradict each other:
- An unreadable CALL gets a CALLERROR under its own id if that can be read, else under "-1", in all versions.
- Unknown message types: 2.0.1 answers MessageTypeNotSupported; 1.6 and 2.1 ignore them. All write a log line.
- Text that is no UTF-8: a CALLERROR (RFC 6455 would close with 1007): the station stays connected.
- A binary frame is read as if it were text.
- Halves of surrogate pairs, NaN and Infinity are no JSON: a CALLERROR. A CALLRESULT of that kind answers nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.bad_input.rig import BINARY, CLOSE, PING, PONG, TEXT, WsFrame

MIB = 1024 * 1024
SPELLINGS = {
    "1.6": {"FormatViolation": "FormationViolation", "OccurrenceConstraintViolation": "OccurenceConstraintViolation"}
}
"""Codes that a version writes in its own way."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A CALLERROR under this id."""

    message_id: str
    code: str = "FormatViolation"

    def spelled(self, version: str) -> str:
        return SPELLINGS.get(version, {}).get(self.code, self.code)


@dataclass(frozen=True, slots=True)
class Closed:
    """The gateway closes the socket with this code."""

    code: int


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing comes back, the socket stays."""


@dataclass(frozen=True, slots=True)
class Served:
    """Lenient: it is answered as if it were right."""

    message_id: str


Outcome = Refused | Closed | Ignored | Served


@dataclass(frozen=True, slots=True)
class Bad:
    """A class of bad input.

    `log`: what its one line must hold (a pattern); None: none is written. `by_version`: where versions differ.
    """

    name: str
    frames: tuple[WsFrame, ...]
    outcome: Outcome
    log: str | None
    by_version: Mapping[str, Outcome] = field(default_factory=dict)

    def expected(self, version: str) -> Outcome:
        return self.by_version.get(version, self.outcome)


UNUSABLE = "unusable frame of"
NO_JSON = f"{UNUSABLE} .*not a JSON array in UTF-8"
CALL_IS = f"{UNUSABLE} .*a CALL is"
HEARTBEAT = b'[2,"h","Heartbeat",{}]'
HALF = len(HEARTBEAT) // 2
UNDER_A, UNDER_NOBODY = Refused("a"), Refused("-1")


def _broken(name: str, data: bytes, outcome: Outcome = UNDER_A, log: str | None = NO_JSON) -> Bad:
    return Bad(name, (WsFrame(TEXT, data),), outcome, log)


def _unknown(name: str, data: bytes, message_id: str) -> Bad:
    refused = Refused(message_id, "MessageTypeNotSupported")
    return Bad(name, (WsFrame(TEXT, data),), Ignored(), f"{UNUSABLE} .*unknown message type", {"2.0.1": refused})


def _inside(value: bytes) -> bytes:
    """A CALL "a" with this member."""
    return b'[2,"a","DataTransfer",{"vendorId":%b}]' % value


JSON_CLASSES = (
    # Nothing that could be JSON.
    _broken("empty text", b"", UNDER_NOBODY),
    _broken("only spaces", b" \r\n\t", UNDER_NOBODY),
    _broken("words", b"hello, is anybody there?", UNDER_NOBODY),
    _broken("XML", b"<?xml version='1.0'?><soap:Envelope/>", UNDER_NOBODY),
    _broken("NUL bytes", bytes(64), UNDER_NOBODY),
    _broken("random bytes", bytes(range(128, 256)), UNDER_NOBODY),
    # Broken JSON.
    _broken("cut off", b'[2,"a","Heartbeat",{', UNDER_A),
    _broken("cut off inside the id", b'[2,"a', UNDER_NOBODY),
    _broken("trailing garbage", b'[2,"a","Heartbeat",{}]]', UNDER_A),
    _broken("two frames in one", b'[2,"a","Heartbeat",{}][2,"b","Heartbeat",{}]', UNDER_A),
    _broken("empty value after a colon", _inside(b"")),
    _broken("trailing comma", b'[2,"a","Heartbeat",{"x":1,}]'),
    _broken("names without quotes", b'[2,"a","Heartbeat",{x:1}]'),
    _broken("single quotes", b"[2,'a','Heartbeat',{}]", UNDER_NOBODY),
    _broken("comment", b'[2,"a","Heartbeat",{/* none */}]'),
    _broken("leading zero", _inside(b"007")),
    _broken("hexadecimal number", _inside(b"0x1F")),
    _broken("bad escape", _inside(b'"\\q"')),
    _broken("short escape", _inside(b'"\\u12"')),
    _broken("raw tab in a text", _inside(b'"a\tb"')),
    _broken("raw line break in a text", _inside(b'"a\nb"')),
    _broken("byte order mark", b"\xef\xbb\xbf" + HEARTBEAT, UNDER_NOBODY),
    _broken("UTF-16", '[2,"a","Heartbeat",{}]'.encode("utf-16"), UNDER_NOBODY),
    # Values JSON does not have.
    _broken("NaN", _inside(b"NaN")),
    _broken("Infinity", _inside(b"-Infinity")),
    _broken("lone high surrogate", _inside(b'"\\ud800"')),
    _broken("lone low surrogate", _inside(b'"x\\udc00y"')),
    _broken("surrogate pair the wrong way round", _inside(b'"\\udc00\\ud800"')),
    _broken("lone surrogate in a name", b'[2,"a","DataTransfer",{"\\ud800":1}]'),
    _broken("lone surrogate in the id", b'[2,"\\ud800","Heartbeat",{}]', UNDER_NOBODY),
    _broken("lone surrogate in the action", b'[2,"a","\\udfff",{}]'),
    _broken("invalid UTF-8", _inside(b'"\xff\xfe"')),
    _broken("overlong UTF-8", _inside(b'"\xc0\xaf"')),
    _broken("surrogate in UTF-8", _inside(b'"\xed\xa0\x80"')),
    _broken("cut UTF-8", _inside(b'"\xe2\x82"')),
    # Deep.
    _broken("100 deep", _inside(b"[" * 100 + b"]" * 100), log=f"{UNUSABLE} .*nested deeper"),
    _broken("10,000 deep", _inside(b"[" * 10_000 + b"]" * 10_000)),
    _broken("10,000 deep objects", _inside(b'{"a":' * 10_000 + b"1" + b"}" * 10_000)),
    _broken("10,000 deep and never closed", b"[" * 10_000, UNDER_NOBODY),
    # Wrong arity, wrong kinds.
    _broken("object", b'{"action":"Heartbeat"}', UNDER_NOBODY),
    _broken("null", b"null", UNDER_NOBODY),
    _broken("number", b"2", UNDER_NOBODY),
    _broken("text", b'"Heartbeat"', UNDER_NOBODY),
    _broken("CALL of one", b"[2]", UNDER_NOBODY, f"{UNUSABLE} .*the message id"),
    _broken("CALL of two", b'[2,"a"]', UNDER_A, CALL_IS),
    _broken("CALL of three", b'[2,"a","Heartbeat"]', UNDER_A, CALL_IS),
    _broken("CALL of five", b'[2,"a","Heartbeat",{},{}]', UNDER_A, CALL_IS),
    _broken("CALL of 100,000", b'[2,"a","Heartbeat",{}' + b",1" * 100_000 + b"]", UNDER_A, CALL_IS),
    _broken("id is a number", b'[2,17,"Heartbeat",{}]', UNDER_NOBODY, f"{UNUSABLE} .*the message id"),
    _broken("id is null", b'[2,null,"Heartbeat",{}]', UNDER_NOBODY, f"{UNUSABLE} .*the message id"),
    _broken("action is a number", b'[2,"a",5,{}]', UNDER_A, CALL_IS),
    _broken("payload is a list", b'[2,"a","Heartbeat",[]]', UNDER_A, f"{UNUSABLE} .*not an object"),
    _broken("payload is null", b'[2,"a","Heartbeat",null]', UNDER_A, f"{UNUSABLE} .*not an object"),
    _broken("payload is text", b'[2,"a","Heartbeat","{}"]', UNDER_A, f"{UNUSABLE} .*not an object"),
    # Answers to nothing, in bad shape: never answered.
    _broken("CALLRESULT of two", b'[3,"a"]', Ignored(), f"{UNUSABLE} .*a CALLRESULT is"),
    _broken("CALLRESULT with a list", b'[3,"a",[]]', Ignored(), f"{UNUSABLE} .*a CALLRESULT is"),
    _broken("CALLRESULT with NaN", b'[3,"a",{"x":NaN}]', Ignored()),
    _broken("CALLRESULT 10,000 deep", b'[3,"a",{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}]", Ignored()),
    _broken("CALLERROR of one", b"[4]", Ignored(), f"{UNUSABLE} .*a CALLERROR is"),
    _broken("CALLERROR cut off", b'[4,"a","Gener', Ignored()),
    _broken("CALLRESULT nobody asked for", b'[3,"nobody",{}]', Ignored(), None),
    _broken("CALLERROR nobody asked for", b'[4,"-1","FormatViolation","",{}]', Ignored(), None),
    # Unknown message types.
    _unknown("empty list", b"[]", "-1"),
    _unknown("type 0", b'[0,"a","Heartbeat",{}]', "a"),
    _unknown("type 7", b'[7,"a","Heartbeat",{}]', "a"),
    _unknown("type -2", b'[-2,"a","Heartbeat",{}]', "a"),
    _unknown("type of 1,000 digits", b"[" + b"2" * 1000 + b',"a"]', "a"),
    _unknown("type null", b'[null,"a","Heartbeat",{}]', "a"),
    _unknown("type is a list", b'[[2],"a","Heartbeat",{}]', "a"),
    _unknown("type is a word", b'["CALL","a","Heartbeat",{}]', "a"),
    _unknown("type 7 without an id", b"[7]", "-1"),
    # Odd, and taken.
    _broken("type as text", b'["2","a","Heartbeat",{}]', Served("a"), None),
    _broken("type as a float", b'[2.0,"a","Heartbeat",{}]', Served("a"), None),
    _broken("spaces everywhere", b' [ 2 , "a" , "Heartbeat" , { } ] ', Served("a"), None),
    _broken("id of 100,000 characters", b'[2,"' + b"i" * 100_000 + b'","Heartbeat",{}]', Served("i" * 100_000), None),
    _broken("empty id", b'[2,"","Heartbeat",{}]', Served(""), None),
    _broken("a name twice", b'[2,"a","Heartbeat",{"x":1,"x":2}]', Served("a"), None),
    _broken("number of 100,000 digits", _inside(b"9" * 100_000), Served("a"), None),
    _broken("number beyond a float", _inside(b"1e999999"), Served("a"), None),
    _broken("almost too long", _inside(b'"' + b"x" * (MIB - 50) + b'"'), Served("a"), None),
    _broken("wide", _inside(b"[" + b"[]," * 300_000 + b"0]"), Served("a"), None),
)
"""Text frames that WebSocket lets pass."""


def _socket(name: str, outcome: Outcome, *frames: WsFrame, log: str | None = "disconnected") -> Bad:
    return Bad(name, frames, outcome, log)


def _pieces(data: bytes, size: int) -> tuple[WsFrame, ...]:
    """One message in fragments."""
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    last = len(parts) - 1
    return tuple(WsFrame(TEXT if at == 0 else 0, part, fin=at == last) for at, part in enumerate(parts))


def _noise(frames: tuple[WsFrame, ...]) -> tuple[WsFrame, ...]:
    """The same, with a ping and a pong after every frame."""
    noise = (WsFrame(PING, b"?"), WsFrame(PONG, b"!"))
    return tuple(one for frame in frames for one in (frame, *noise))


PROTOCOL_ERROR, TOO_BIG = Closed(1002), Closed(1009)
SOCKET_CLASSES = (
    _socket("compressed though not negotiated", PROTOCOL_ERROR, WsFrame(TEXT, HEARTBEAT, rsv=4)),
    _socket("RSV2", PROTOCOL_ERROR, WsFrame(TEXT, HEARTBEAT, rsv=2)),
    _socket("RSV3", PROTOCOL_ERROR, WsFrame(TEXT, HEARTBEAT, rsv=1)),
    _socket("reserved opcode 3", PROTOCOL_ERROR, WsFrame(3, HEARTBEAT)),
    _socket("reserved control opcode 11", PROTOCOL_ERROR, WsFrame(11)),
    _socket("fragmented ping", PROTOCOL_ERROR, WsFrame(PING, b"x", fin=False)),
    _socket("ping of 126 bytes", PROTOCOL_ERROR, WsFrame(PING, b"x" * 126)),
    _socket("continuation of nothing", PROTOCOL_ERROR, WsFrame(0, HEARTBEAT)),
    _socket(
        "new text inside of a text", PROTOCOL_ERROR, WsFrame(TEXT, HEARTBEAT[:HALF], fin=False), WsFrame(TEXT, b"x")
    ),
    _socket("close of one byte", PROTOCOL_ERROR, WsFrame(CLOSE, b"\x03")),
    _socket("close with a code nobody may send", PROTOCOL_ERROR, WsFrame(CLOSE, b"\x03\xed")),
    _socket("close with a reason that is no UTF-8", Closed(1007), WsFrame(CLOSE, b"\x03\xe8\xff")),
    _socket("5 MiB", TOO_BIG, WsFrame(TEXT, b'"' + b"x" * (5 * MIB) + b'"')),
    _socket("5 MiB in fragments", TOO_BIG, *_pieces(b"x" * (5 * MIB), 60_000)),
    _socket("claims 8 EiB", TOO_BIG, WsFrame(TEXT, HEARTBEAT, length=2**63 - 1)),
    _socket("claims more than there is", TOO_BIG, WsFrame(TEXT, HEARTBEAT, length=2**64 - 1)),
    # Right, if unusual.
    _socket("fragments of one byte", Served("h"), *_pieces(HEARTBEAT, 1), log=None),
    _socket("pings and pongs between fragments", Served("h"), *_noise(_pieces(HEARTBEAT, 3)), log=None),
    _socket("empty fragments", Served("h"), WsFrame(TEXT, b"", fin=False), WsFrame(0, HEARTBEAT), log=None),
    _socket("binary", Served("h"), WsFrame(BINARY, HEARTBEAT), log=None),
    _socket("binary garbage", UNDER_NOBODY, WsFrame(BINARY, bytes(range(256))), log=NO_JSON),
    _socket("pong nobody asked for", Ignored(), WsFrame(PONG, b"x" * 125), log=None),
    _socket("1,000 pings", Ignored(), *(WsFrame(PING, b"%d" % number) for number in range(1000)), log=None),
)
"""What is wrong, or unusual, below the text."""

MASKING = {
    "station does not mask": _socket("station does not mask", PROTOCOL_ERROR, WsFrame(TEXT, HEARTBEAT, masked=False)),
    "CSMS masks": _socket("CSMS masks", PROTOCOL_ERROR, WsFrame(TEXT, HEARTBEAT, masked=True)),
}
