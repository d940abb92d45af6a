"""Frames that are valid ones with something done to them, below or above WebSocket; and their well-formed twins."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.bad_input.rig import BINARY, CLOSE, PING, PONG, TEXT, VERSIONS, WsFrame

WORKERS = 4
STATIONS = 48
"""Names of the offenders; each comes back again and again, never twice at once, and not at once."""

VALID = (
    b'[2,"m1","Heartbeat",{}]',
    b'[2,"m2","DataTransfer",{"vendorId":"kit","messageId":"x","data":"\xc3\xa4 \\u00e4 \xf0\x9f\x94\x8c"}]',
    b'[2,"m3","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Available"}]',
    b'[2,"m4","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2030-01-01T00:00:00Z",'
    b'"sampledValue":[{"value":"12.5","measurand":"Power.Active.Import","unit":"kW"}]}]}]',
    b'[2,"m5","Authorize",{"idTag":"TAG","idToken":{"idToken":"TAG","type":"Central"}}]',
    b'[2,"m6","TransactionEvent",{"eventType":"Updated","timestamp":"2030-01-01T00:00:00Z","triggerReason":"Trigger",'
    b'"seqNo":1,"transactionInfo":{"transactionId":"T"}}]',
    b'[3,"m7",{"status":"Accepted","list":[1,2.5,-0,1e3,true,null]}]',
    b'[4,"m8","GenericError","it failed",{"why":"because"}]',
)
EVERYONE = [(f"OFFENDER-{number:02}", VERSIONS[number % len(VERSIONS)]) for number in range(STATIONS)]


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one station, each of one frame or more. `end`: what ends the connection, if anything does."""

    messages: list[list[WsFrame]]
    end: list[WsFrame]

    @property
    def frames(self) -> list[WsFrame]:
        return [frame for message in self.messages for frame in message] + self.end

    def twin(self) -> "Batch":
        """As many messages of the same sizes, all of them well-formed; where the other breaks off, it hangs up."""
        twins = [message if message[0].opcode in (PING, PONG) else [_orderly(message)] for message in self.messages]
        return Batch(twins, [WsFrame(CLOSE, b"\x03\xe8")] if self.end else [])


_DATA = (b'[2,"twin","DataTransfer",{"vendorId":"kit","data":"', b'"}]')
_BEAT = (b'[2,"twin', b'","Heartbeat",{}]')


def _orderly(message: list[WsFrame]) -> WsFrame:
    """A CALL of the same size, which is relayed to the CSMS; small ones are heartbeats with an id of that size."""
    size = sum(len(frame.payload) for frame in message)
    head, tail = _DATA if size >= len(b"".join(_DATA)) else _BEAT
    return WsFrame(TEXT, head + b"x" * (size - len(head) - len(tail)) + tail)


class Mutator:
    """Frames made of valid ones; the same seed makes the same frames."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.made: Counter[str] = Counter()
        self._turns: Counter[int] = Counter()
        self._texts: dict[str, Callable[[bytes], bytes]] = {
            "bits flipped": self._flipped,
            "cut": lambda text: text[: self._random.randrange(len(text))],
            "doubled": lambda text: text + text,
            "a piece twice": self._piece_twice,
            "pieces swapped": self._swapped,
            "giant number": lambda text: self._put_in(text, b"9" * self._random.choice((20, 400, 5000))),
            "invalid UTF-8": lambda text: self._put_in(text, self._random.randbytes(3) + b"\xff"),
            "lone surrogate": lambda text: text.replace(b'":"', b'":"\\ud8%02x' % self._random.randrange(256), 1),
            "NaN": lambda text: text.replace(b"1", b"NaN"),
            "deep": lambda text: self._put_in(text, b"[" * self._random.choice((70, 1000, 20_000))),
            "deep and closed": lambda text: text.replace(b"{", b'{"d":' + b"[" * 500 + b"]" * 500 + b",", 1),
            "other type": lambda text: b"[" + str(self._random.randrange(-3, 12)).encode() + text[2:],
            "noise": lambda text: self._random.randbytes(len(text)),
            "brackets": lambda text: bytes(self._random.choices(b'[]{},:"2a', k=len(text))),
        }
        self._frames: dict[str, Callable[[bytes], list[WsFrame]]] = {
            "binary": lambda text: [WsFrame(BINARY, self._flipped(text))],
            "fragments": self._fragments,
            "ping": lambda _: [WsFrame(PING, self._random.randbytes(self._random.randrange(126)))],
            "pong": lambda _: [WsFrame(PONG, self._random.randbytes(self._random.randrange(126)))],
        }
        self._deadly: dict[str, Callable[[bytes], list[WsFrame]]] = {
            "compressed": lambda text: [WsFrame(TEXT, text, rsv=4)],
            "reserved bits": lambda text: [WsFrame(TEXT, text, rsv=self._random.randrange(1, 8))],
            "reserved opcode": lambda text: [WsFrame(self._random.choice((3, 7, 11, 15)), text[:100])],
            "long ping": lambda text: [WsFrame(PING, (text * 10)[:200])],
            "fragmented ping": lambda _: [WsFrame(PING, b"x", fin=False)],
            "continuation of nothing": lambda text: [WsFrame(0, text)],
            "text inside of a text": lambda text: [WsFrame(TEXT, text, fin=False), WsFrame(TEXT, text)],
            "not masked": lambda text: [WsFrame(TEXT, text, masked=False)],
            "too long": lambda text: [WsFrame(TEXT, text, length=self._random.randrange(2**21, 2**63))],
            "bad close": lambda _: [WsFrame(CLOSE, self._random.randbytes(self._random.randrange(1, 9)))],
        }

    def batch(self, size: int) -> Batch:
        """So many messages; one batch in five ends with what ends the connection."""
        messages: list[list[WsFrame]] = []
        for _ in range(size):
            text = self._random.choice(VALID)
            if self._random.random() < 0.2:
                name = self._random.choice(list(self._frames))
                messages.append(self._frames[name](text))
            else:
                name = self._random.choice(list(self._texts))
                for _ in range(self._random.choice((1, 1, 1, 2))):
                    text = self._texts[name](text) or b"["
                messages.append([WsFrame(TEXT, text)])
            self.made[name] += 1
        end: list[WsFrame] = []
        if self._random.random() < 0.2:
            name = self._random.choice(list(self._deadly))
            end = self._deadly[name](self._random.choice(VALID))
            self.made[name] += 1
        return Batch(messages, end)

    def station(self, worker: int) -> tuple[str, str]:
        """The next of a worker's offenders, and its version."""
        turn = self._turns[worker]
        self._turns[worker] += 1
        return EVERYONE[worker + turn * WORKERS % STATIONS]

    def hangs_up(self) -> bool:
        return self._random.random() < 0.1

    def _flipped(self, text: bytes) -> bytes:
        changed = bytearray(text)
        for _ in range(self._random.randrange(1, 5)):
            changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    def _cuts(self, text: bytes) -> tuple[bytes, bytes, bytes]:
        first, second = sorted(self._random.randrange(len(text) + 1) for _ in range(2))
        return text[:first], text[first:second], text[second:]

    def _piece_twice(self, text: bytes) -> bytes:
        head, piece, tail = self._cuts(text)
        return head + piece * 2 + tail

    def _swapped(self, text: bytes) -> bytes:
        head, piece, tail = self._cuts(text)
        return tail + piece + head

    def _put_in(self, text: bytes, what: bytes) -> bytes:
        at = self._random.randrange(len(text) + 1)
        return text[:at] + what + text[at:]

    def _fragments(self, text: bytes) -> list[WsFrame]:
        head, piece, tail = self._cuts(self._flipped(text))
        return [WsFrame(TEXT, head, fin=False), WsFrame(0, piece, fin=False), WsFrame(PING), WsFrame(0, tail)]
