"""A 1.6 session told to a 2.0.1 CSMS, and from there back to 1.6, is the session it was, but for published losses."""

import json
from decimal import Decimal
from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.translate.base import Json, encode
from gateway.dialects.translate.session16 import REASONS
from tests.dialects.translate.pipe import Pipe

_UNITS: dict[str, list[str | None]] = {
    "Energy.Active.Import.Register": ["Wh", "kWh"],
    "Voltage": ["V"],
    "Temperature": ["Celcius"],
    "RPM": [None],
}
_numbers = st.decimals(0, 99999, places=3, allow_nan=False).map(lambda one: format(one, "f"))


@st.composite
def samples(draw: st.DrawFn) -> list[Json]:
    """Values of one moment; what is signed stands behind the value it proves, or alone."""
    made: list[Json] = []
    for measurand in draw(st.lists(st.sampled_from(sorted(_UNITS)), min_size=1, max_size=3, unique=True)):
        sample: Json = {"value": draw(_numbers), "measurand": measurand}
        unit = draw(st.sampled_from(_UNITS[measurand]))
        if unit is not None:
            sample["unit"] = unit
        if draw(st.booleans()):
            sample["context"] = draw(st.sampled_from(["Sample.Clock", "Sample.Periodic", "Trigger"]))
        if draw(st.booleans()):
            sample["phase"] = draw(st.sampled_from(["L1", "L2-N"]))
        is_alone = draw(st.integers(0, 9)) == 0
        if not is_alone:
            made.append(sample)
        if is_alone or draw(st.integers(0, 3)) == 0:
            head = {name: one for name, one in sample.items() if name in ("measurand", "context", "phase")}
            made.append({**head, "value": f"OCMF|{draw(st.text(max_size=40))}|é", "format": "SignedData"})
    return made


@st.composite
def sessions(draw: st.DrawFn) -> list[tuple[str, Json]]:
    """Messages of a 1.6 station, in order, one a second."""
    said: list[tuple[str, Json]] = []

    def at() -> str:
        return f"2026-03-01T08:{len(said) // 60:02}:{len(said) % 60:02}Z"

    def status(word: str) -> None:
        said.append(
            ("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": word, "timestamp": at()})
        )

    status("Preparing")
    start = draw(st.integers(0, 10**7))
    said.append(("StartTransaction", {"connectorId": 1, "idTag": "TAG-1", "meterStart": start, "timestamp": at()}))
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            status(draw(st.sampled_from(["Charging", "SuspendedEV", "SuspendedEVSE"])))
        else:
            values = [{"timestamp": at(), "sampledValue": draw(samples())}]
            said.append(("MeterValues", {"connectorId": 1, "transactionId": "tx", "meterValue": values}))
    stop: Json = {"transactionId": "tx", "meterStop": start + draw(st.integers(0, 10**6)), "timestamp": at()}
    if draw(st.booleans()):
        stop["idTag"] = "TAG-1"
    if (reason := draw(st.sampled_from([None, *REASONS]))) is not None:
        stop["reason"] = reason
    if draw(st.booleans()):
        stop["transactionData"] = [{"timestamp": at(), "sampledValue": draw(samples())}]
    said.append(("StopTransaction", stop))
    if stop.get("reason") != "EVDisconnected":
        status("Finishing")
    status("Available")
    return said


def _there(said: list[tuple[str, Json]]) -> list[tuple[str, Json]]:
    pipe, tx = Pipe("1.6", "2.0.1"), None
    for action, payload in said:
        own = {name: (tx if one == "tx" else one) for name, one in payload.items()}
        answer = pipe.say(action, own)
        tx = answer.get("transactionId", tx)
    events = [payload for action, payload in pipe.sent if action == "TransactionEvent"]
    assert [event["seqNo"] for event in events] == list(range(len(events)))
    assert len({event["transactionInfo"]["transactionId"] for event in events}) == 1
    return pipe.sent


def _back(events: list[tuple[str, Json]]) -> list[tuple[str, Json]]:
    pipe = Pipe("2.0.1", "1.6")
    for action, payload in events:
        pipe.say(action, encode(payload))
    return pipe.sent


def _but_for_losses(payload: Json) -> Json:
    """What `losses` publishes: some measurands, spelling, which reset it was, and a register that is said twice."""
    kept = {
        name: one for name, one in payload.items() if name not in ("meterValue", "transactionData", "transactionId")
    }
    if kept.get("reason") == "SoftReset":
        kept["reason"] = "HardReset"
    values: list[str] = []
    for value in [*payload.get("meterValue", []), *payload.get("transactionData", [])]:
        for sample in value["sampledValue"]:
            if sample["measurand"] in ("Temperature", "RPM") and "format" not in sample:
                continue
            plain = {
                **sample,
                "value": sample["value"] if "format" in sample else str(Decimal(sample["value"]).normalize()),
            }
            values.append(json.dumps([value["timestamp"], plain], sort_keys=True))
    return {**kept, "values": sorted(values)}


def _told(said: list[tuple[str, Json]]) -> list[tuple[str, Json]]:
    bare = [(action, _but_for_losses(payload)) for action, payload in said if action != "StatusNotification"]
    return [(action, payload) for action, payload in bare if action != "MeterValues" or payload["values"]]


def _statuses(said: list[tuple[str, Json]]) -> list[str]:
    words = [payload["status"] for action, payload in said if action == "StatusNotification"]
    return [word for word, _ in groupby(words)]


@settings(max_examples=150, deadline=None, print_blob=True)
@given(sessions())
def test_there_and_back_it_is_the_same_session(said: list[tuple[str, Json]]) -> None:
    back = _back(_there(said))
    assert _told(back) == _told(said)
    assert _statuses(back) == _statuses(said)
