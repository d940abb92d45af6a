"""Whatever a CSMS sends as a profile is refused with a reason or taken in, and what is taken in can be evaluated."""

import json
import random
from typing import Any

from gateway.dialects import schema
from gateway.dialects.profiles import PROFILE_CODECS, REPORTING
from gateway.model.profile import AskedSchedule
from gateway.rpc.codes import CallError
from gateway.smartcharging import merge
from gateway.smartcharging import profiles as store
from gateway.smartcharging.composite import composite
from gateway.smartcharging.held import Running, Supply
from tests.smartcharging.composite_storm import VERSIONS
from tests.smartcharging.kit import TX
from tests.smartcharging.profile_sets import limits, make

NUMBERS = (0, 1, -1, 1.5, 3, 10**10, 10**40, -(10**40), 1e308, float("nan"), float("inf"))
TIMES = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z")
TEXTS = ("", "0", "1e400", "x", "A", "TxProfile", "Relative", "Dynamic", *TIMES)
JUNK: tuple[Any, ...] = (None, True, [], [[]], {}, *NUMBERS, *TEXTS)
TRIES = 200


def _spoil(value: Any, rng: random.Random) -> Any:
    """The same with one member, anywhere in it, made into something else, left out or said twice."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(list(value))
        if rng.random() < 0.1:
            return {other: one for other, one in value.items() if other != name}
        return {**value, name: _spoil(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        spoiled = _spoil(value[at], rng)
        return [*value[:at], spoiled, *value[at + rng.randrange(2) :]]
    return rng.choice(JUNK)


def test_junk_is_refused_or_harmless(seed: int) -> None:
    rng = random.Random(seed)
    counts = {"unreadable": 0, "refused": 0, "taken in": 0}
    for number in range(TRIES):
        version = rng.choice(VERSIONS)
        scene = make(version, seed + number)
        for action in scene.actions:
            if action.what == "set":
                payload = action.payload
                for _ in range(rng.randrange(1, 3)):
                    payload = _spoil(payload, rng)
                counts[_play(version, json.dumps(payload).encode(), scene.now)] += 1
    assert min(counts.values()) > TRIES / 40, counts


def _play(version: str, payload: bytes, now: Any) -> str:
    codec = PROFILE_CODECS[version]
    try:
        asked = codec.read_set(payload)
    except CallError as error:
        return "unreadable" if error.description else "refused without a word"
    running = Running(TX, now, (asked.profile.transaction or "")[:36])
    outcome = store.put(store.Profiles(), asked, limits(version), running, now, dialect=version)
    assert schema.validate(version, "SetChargingProfile", "response", codec.answer_set(outcome.refusal)) == []
    if outcome.refusal:
        return "refused"
    (held,) = outcome.profiles.held
    assert store.from_json(store.to_json(held)) == held
    for evse in range(3):
        place = outcome.profiles.place(evse, Supply(), running if evse else None, now)
        found = composite(outcome.profiles.held, place, now, 10**6)
        told = merge.tell(found, AskedSchedule(evse, 10**6), Supply(), 32.0)
        assert schema.validate(version, "GetCompositeSchedule", "response", codec.answer_composite(told)) == []
    store.expire(outcome.profiles, now, now)
    if version != "1.6":
        for part in store.report(outcome.profiles.held, version):
            action, payload = REPORTING[version].report(1, part.evse, part.source, part.profiles, part.more_follow)
            assert schema.validate(version, action, "request", payload) == []
    return "taken in"
