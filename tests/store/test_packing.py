"""Packed payloads: smaller, the same byte for byte, and read for ever. (Any bytes at all: test_tables.py.)"""

import hashlib
import json

import pytest

from gateway.store.packing import DICTIONARY, pack, unpack

METER = json.dumps(
    {
        "connectorId": 1,
        "transactionId": 1234567,
        "meterValue": [
            {
                "timestamp": "2026-03-01T08:15:00.000Z",
                "sampledValue": [
                    {"value": f"{230 + phase}.4", "measurand": "Voltage", "phase": f"L{phase}", "unit": "V"}
                    for phase in (1, 2, 3)
                ],
            }
        ],
    }
).encode()
ENDED = (
    b'{"eventType":"Ended","timestamp":"2026-03-01T09:00:00Z","triggerReason":"EVDeparted","seqNo":7,"transactionInfo":'
    b'{"transactionId":"0b2f7c1e-5d6a-4f0e-9a55-3d1f6a1c2b77","stoppedReason":"EVDisconnected"},"meterValue":[{'
    b'"timestamp":"2026-03-01T09:00:00Z","sampledValue":[{"value":1234567,"context":"Transaction.End"}]}]}'
)


@pytest.mark.parametrize(("payload", "share"), [(METER, 0.4), (ENDED, 0.4)])
def test_what_stations_say_takes_much_less_room(payload: bytes, share: float) -> None:
    assert len(pack(payload)) < share * len(payload)
    assert unpack(pack(payload)) == payload


def test_what_gains_nothing_stays_as_it_is() -> None:
    for payload in (b"", b"{}", b'{"idTag":"A"}', bytes(range(2, 250))):
        assert pack(payload) == payload


def test_a_file_of_today_is_read_by_every_later_version() -> None:
    """The dictionary is part of the format: a byte of it changed, and what is packed can't be read any more."""
    assert hashlib.sha256(DICTIONARY).hexdigest()[:16] == "56abc9c1f131d277"
    assert (
        unpack(
            bytes.fromhex(
                "01cb956e9e432d525c41890e6b81620c0e5f4b449d8f5e982065551d58f632272a3f182419a599271ba6ea9aa6"
                "9825ea9aa419a4ea5a269a9aea1aa718a699251a261b25999b83cc444bd568c999984482e1099c09c4c8d8c4d4"
                "cc1c5f3c80430f00"
            )
        )
        == ENDED
    )


def test_a_damaged_bit_is_noticed_or_does_not_matter() -> None:
    packed, noticed = pack(METER), 0
    for place in range(8, 8 * len(packed)):
        damaged = bytearray(packed)
        damaged[place // 8] ^= 1 << place % 8
        try:
            assert unpack(bytes(damaged)) == METER  # a bit behind the end
        except ValueError:
            noticed += 1
    assert noticed > 7.8 * (len(packed) - 1)
    with pytest.raises(ValueError, match="damaged"):
        unpack(packed[:-3])
