"""Numbers at their limits, and digits as they came."""

from typing import Any

import pytest

from gateway.dialects.translate.base import Json, Memory, read
from gateway.dialects.translate.places import number_of, place_of
from gateway.dialects.translate.up16 import UP, data_16
from gateway.dialects.translate.ups import FrozenPart
from tests.dialects.translate.pipe import Pipe

LAST = 2**31 - 1
START = {"connectorId": 1, "idTag": "ABC", "meterStart": 5, "timestamp": "2026-03-01T08:00:00Z"}


def test_every_connector_of_the_last_evse_has_a_number_of_its_own() -> None:
    memory = Memory()
    for evse, cable in ((1, 1), (LAST, 1), (LAST, 2), (LAST, 3), (2, 1)):
        number, edit = number_of(memory, evse, cable)
        assert 1 <= number <= LAST
        assert edit is not None
        memory = edit(memory)
        assert place_of(memory, number) == (evse, cable)
    assert len(set(memory.numbers.values())) == len(memory.numbers)


@pytest.mark.parametrize("digits", ["1.5", "1.50", "0.10", "-12.000", "123456789012345.678901234567890", "7", "1E+2"])
def test_a_number_in_a_vendors_data_keeps_its_digits(digits: str) -> None:
    answer = read(f'{{"status":"Accepted","data":{{"a":{digits}}}}}'.encode())
    assert data_16(answer) == {"status": "Accepted", "data": f'{{"a":{digits}}}'}


@pytest.mark.parametrize(("csms", "number", "told"), [("2.0.1", -3, -3), ("2.1", -3, None), ("2.1", 0, 0)])
def test_a_reservation_goes_up_where_its_number_can_be_said(csms: str, number: int, told: Any) -> None:
    pipe = Pipe("1.6", csms)
    pipe.say("StartTransaction", {**START, "reservationId": number})
    assert pipe.sent[0][1].get("reservationId") == told


@pytest.mark.parametrize(
    ("kind", "info", "heard"),
    [
        ("Updated", {"status": "Blocked", "cacheExpiryDateTime": "2026-03-01T08:00:00Z"}, "Blocked"),
        ("Updated", {"status": "NotAtThisTime"}, "Blocked"),
        ("Updated", {"status": "Unknown"}, "Invalid"),
        ("Updated", {"status": "ConcurrentTx"}, "ConcurrentTx"),
        ("Updated", {}, None),
        ("Started", {"status": "Blocked"}, None),
        ("Ended", {"status": "Blocked"}, None),
    ],
)
def test_a_verdict_that_1_6_has_no_room_for_is_heard_in_its_words(kind: str, info: Json, heard: str | None) -> None:
    part = FrozenPart("id", "TransactionEvent", f'{{"eventType":"{kind}"}}')
    verdict = UP.verdict(part, {"idTokenInfo": info})
    assert (verdict.status.value if verdict else None) == heard
    assert verdict is None or verdict.expiry == info.get("cacheExpiryDateTime")
