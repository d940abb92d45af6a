"""Messages put together: ages, signs, what is missing, and what must never become a value."""

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import Quality, Reason, Signed
from drivers.mqtt_layout import Layout
from drivers.mqtt_values import Assembly, DeviceClock, Snapshot
from drivers.options import Places, validated


def layout(*messages: dict[str, Any], **own: Any) -> Layout:
    table = {"interval_s": 10.0, "max_age_s": 25.0, "signed": "native", "messages": list(messages), **own}
    return validated(Layout, table, Places())


def point(path: str, unit: str, **own: Any) -> dict[str, Any]:
    return {"path": path, "unit": unit, **own}


ALL: dict[str, Any] = {
    "topic": "all",
    "points": {"current": point("i", "A"), "power": point("p", "kW"), "voltage": point("u", "V")},
}
BY_PHASE = [
    {"topic": f"{kind}{phase}", "points": {name: point("@", unit, phase=phase)}}
    for kind, name, unit in (("i", "current", "A"), ("p", "power", "W"))
    for phase in (1, 2, 3)
]
STAMPED = {
    "topic": "stamped",
    "time": {"path": "t", "unit": "s"},
    "points": {"current": point("i", "A")},
}


def fed(assembly: Assembly, topic: str, content: Any, t: float, *, retained: bool = False) -> Snapshot | None:
    return assembly.feed(topic, json.dumps(content).encode(), t, retained=retained)


def whole(**own: Any) -> dict[str, Any]:
    return {"i": [1, 2, 3], "p": [0.2, 0.4, 0.6], "u": [230, 231, 232], **own}


def test_lists_units_and_totals() -> None:
    message = {
        "topic": "all",
        "points": {
            **ALL["points"],
            "current": point("i", "mA", factor=2),
            "power_total": point("sum", "kW", invert=True),
            "power_factor": point("pf", "%"),
            "frequency": point("f", "mHz"),
            "energy_import": point("e", "Wmin"),
            "energy_export": point("x", "MWh"),
        },
    }
    extra = {"sum": -1.2, "pf": 98, "f": 50_010, "e": 60_000, "x": "0.5"}
    found = fed(Assembly(layout(message, resolution_a=0.5)), "all", whole(i=[1500, "-2.5", 0], **extra), 7.0)
    assert found is not None
    assert found.t == 7.0
    assert found.values["current_a"] == pytest.approx((3.0, -0.005, 0.0))
    assert found.values["power_w"] == pytest.approx((200, 400, 600))
    names = ("power_total_w", "power_factor", "frequency_hz", "energy_import_kwh", "energy_export_kwh", "resolution_a")
    assert [found.values[name] for name in names] == pytest.approx([1200, 0.98, 50.01, 1.0, 500.0, 0.5])
    assert (found.values["quality"], found.values["current_signed"]) == (Quality.GOOD, Signed.NATIVE)


NOT_THERE: list[Any] = [
    None,
    True,
    False,
    "",
    "on",
    "nan",
    "inf",
    "1_0",
    "１２",
    "0x10",
    [],
    {},
    1e300,
    "9" * 400,
    "1e999",
]


@pytest.mark.parametrize("raw", NOT_THERE, ids=[repr(raw)[:20] for raw in NOT_THERE])
def test_what_is_no_number_is_not_there(raw: Any) -> None:
    found = fed(Assembly(layout(ALL)), "all", whole(i=[1, raw, 3]), 1.0)
    assert found is not None
    assert found.values["current_a"] == (1, None, 3)
    assert found.values["reasons"] == {Reason.CURRENT_MISSING}
    assert found.values["quality"] is Quality.PARTIAL


@pytest.mark.parametrize("raw", [[1, 2, 3, 4], 5, {"a": 1}, "text", None])
def test_a_list_that_is_none_gives_no_phase_a_value_it_may_not_have(raw: Any) -> None:
    found = fed(Assembly(layout(ALL)), "all", whole(i=raw), 1.0)
    assert found is not None
    assert found.values["current_a"][1:] == (None, None)
    assert Reason.CURRENT_MISSING in found.values["reasons"]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"NaN",
        b"[NaN, NaN, NaN]",
        b"[" * 5000,
        b"1" * 5000,
        b"{",
        b"null",
        b"x" * 70_000,
        b'{"i": {}}',
    ],
)
def test_junk_is_counted_and_gives_nothing(payload: bytes) -> None:
    assembly = Assembly(layout(ALL))
    assert assembly.feed("all", payload, 1.0, retained=False) is None
    assert assembly.feed("elsewhere", b"1", 1.0, retained=False) is None
    assert assembly.unreadable == 1


def test_plain_numbers_of_several_topics_are_as_old_as_the_oldest() -> None:
    assembly = Assembly(layout(*BY_PHASE, signed="from-power"))
    found = None
    for t, (topic, value) in enumerate({"i1": 5, "p1": -1150, "i2": 6, "p2": 100, "i3": 7, "p3": 0}.items()):
        found = assembly.feed(topic, str(value).encode(), float(t), retained=False)
        assert found is not None
        assert found.t == 0.0
        assert (found.values["quality"] is Quality.GOOD) == (topic == "p3")
    assert found is not None
    assert found.values["current_a"] == (-5, 6, 7)
    assert found.values["current_signed"] is Signed.FROM_POWER
    later = assembly.feed("i1", b"8", 26.0, retained=False)
    assert later is not None
    assert later.t == 1.0, "i1 is new, p1 is the oldest now"
    assert later.values["current_a"] == (-8, 6, 7)
    assert later.values["reasons"] == {Reason.PARTS_APART}
    expired = assembly.feed("i1", b"9", 28.5, retained=False)
    assert expired is not None
    assert expired.t == 4.0
    assert expired.values["current_a"] == (9, None, 7), "shown as import: its power is too old to be used"
    assert expired.values["reasons"] == {
        Reason.CURRENT_MISSING,
        Reason.POWER_MISSING,
        Reason.SIGN_UNKNOWN,
        Reason.PARTS_APART,
    }


def test_a_full_message_takes_back_what_it_does_not_have_and_one_of_changes_does_not() -> None:
    for is_delta, expected in ((False, (4, None, None)), (True, (4, 2, 3))):
        assembly = Assembly(layout({**ALL, "changes_only": is_delta}))
        fed(assembly, "all", whole(), 1.0)
        found = fed(assembly, "all", {"i": [4]}, 2.0)
        assert found is not None
        assert found.values["current_a"] == expected
        assert found.t == (1.0 if is_delta else 2.0)


def test_export_of_its_own_is_subtracted_and_one_alone_says_nothing() -> None:
    parts = {"power": point("in", "W", phase=1), "power_out": point("out", "W", phase=1)}
    message = {"topic": "all", "points": {"current": point("i", "A", phase=1), **parts}}
    assembly = Assembly(layout(message, signed="from-power", phases=1))
    for content, power, current in (
        ({"in": 0, "out": 230, "i": 1}, -230, -1),
        ({"in": 0, "i": 1}, None, 1),
        ({"out": 5, "i": 1}, None, 1),
    ):
        found = fed(assembly, "all", content, 1.0)
        assert found is not None
        assert (found.values["power_w"][0], found.values["current_a"][0]) == (power, current)
        assert (found.values["current_signed"] is Signed.UNKNOWN) == (power is None)


def test_energies_stand_in_one_reading_only() -> None:
    energy = {"topic": "e", "points": {"energy_import": point("@", "kWh")}}
    assembly = Assembly(layout(ALL, energy))
    assert fed(assembly, "e", 5.5, 1.0) is None
    first, second = fed(assembly, "all", whole(), 2.0), fed(assembly, "all", whole(), 3.0)
    assert first is not None
    assert second is not None
    assert (first.values["energy_import_kwh"], second.values["energy_import_kwh"]) == (5.5, None)


def test_only_messages_that_are_wanted_count() -> None:
    assembly = Assembly(layout({**ALL, "when": "kind == 'meter'"}))
    assert fed(assembly, "all", whole(kind="lamp"), 1.0) is None
    assert assembly.unreadable == 0
    assert fed(assembly, "all", whole(kind="meter"), 1.0) is not None


def test_a_retained_value_is_used_only_with_a_proven_age() -> None:
    assembly = Assembly(layout(STAMPED, ALL))
    assert fed(assembly, "all", whole(), 100.0, retained=True) is None
    assert fed(assembly, "stamped", {"t": 5000, "i": [1, 1, 1]}, 100.0, retained=True) is None, "no live one before"
    assert assembly.only_retained
    assert fed(assembly, "stamped", {"t": 5000, "i": [2, 2, 2]}, 101.0) is not None
    proven = fed(assembly, "stamped", {"t": 5006, "i": [3, 3, 3]}, 120.0, retained=True)
    assert proven is not None
    assert (proven.t, proven.values["current_a"]) == (107.0, (3, 3, 3))
    assert Reason.DEVICE_CLOCK in proven.values["reasons"]
    assert fed(assembly, "stamped", {"t": 5006, "i": [4, 4, 4]}, 133.0, retained=True) is None, "26 s old"
    assert fed(assembly, "stamped", {"i": [4, 4, 4]}, 121.0, retained=True) is None, "no stamp"
    assert assembly.late == 4


def test_what_was_held_up_on_its_way_is_as_old_as_it_says() -> None:
    assembly = Assembly(layout(STAMPED))
    fed(assembly, "stamped", {"t": 5000, "i": [1, 1, 1]}, 100.0)
    late = fed(assembly, "stamped", {"t": 5001, "i": [2, 2, 2]}, 113.0)
    assert late is not None
    assert late.t == 101.0
    assert late.values["quality"] is Quality.SUSPECT
    assert fed(assembly, "stamped", {"t": 5001, "i": [3, 3, 3]}, 127.0) is None
    assert assembly.late_by_s == 26.0
    assert fed(assembly, "stamped", {"t": 5030, "i": [4, 4, 4]}, 130.0) is not None
    assert assembly.late_by_s is None


@pytest.mark.parametrize(
    ("unit", "first", "second"),
    [("ms", 5_000_000, 5_002_000), ("s", "5000", 5002.0), ("iso", "2026-03-29T01:59:59", "2026-03-29T02:00:01")],
)
def test_stamps_come_in_several_forms(unit: str, first: Any, second: Any) -> None:
    assembly = Assembly(layout({**STAMPED, "time": {"path": "t", "unit": unit}}))
    fed(assembly, "stamped", {"t": first, "i": [1, 1, 1]}, 10.0)
    found = fed(assembly, "stamped", {"t": second, "i": [1, 1, 1]}, 13.0)
    assert found is not None
    assert found.t == pytest.approx(12.0)


def test_a_meter_whose_clock_is_set_back_is_believed_again_after_some_minutes() -> None:
    clock = DeviceClock()
    delays = [clock.learn(float(t), float(t + (0 if t < 100 else -3600))) for t in range(0, 500, 10)]
    assert set(delays[:10]) == {0.0}
    assert set(delays[10:39]) == {3600.0}
    assert set(delays[40:]) == {0.0}
    assert clock.learn(500.0, 9999.0) == 0.0, "set forward: at once"


@given(seed=st.integers(0, 2**32))
def test_zero_is_never_invented(seed: int) -> None:
    """Random messages, keys and phases fall out. A value is one that was sent, as old as it is; the age is no less."""
    dice = random.Random(seed)
    assembly = Assembly(layout(ALL, *BY_PHASE, signed="from-power"))
    sent: dict[tuple[str, int], dict[float, float]] = {}
    t = 0.0
    for _ in range(30):
        t += dice.uniform(0.1, 20)
        topic = dice.choice(["all", "i1", "i2", "i3", "p1", "p2", "p3"])
        if topic == "all":
            lists = {name: [dice.choice([None, dice.uniform(0.5, 9)]) for _ in range(3)] for name in "ipu"}
            content: Any = {name: values for name, values in lists.items() if dice.random() < 0.8}
            for name, values in content.items():
                for phase, value in enumerate(values):
                    if value is not None:
                        sent.setdefault((name, phase), {})[round(value * (1000 if name == "p" else 1), 6)] = t
        else:
            content = dice.choice([None, dice.uniform(0.5, 9), "off"])
            if isinstance(content, float):
                sent.setdefault((topic[0], int(topic[1]) - 1), {})[round(content, 6)] = t
        found = fed(assembly, topic, content, t)
        if found is None:
            continue
        assert t - 25.0 <= found.t <= t
        for name, field in (("i", "current_a"), ("p", "power_w"), ("u", "voltage_v")):
            for phase, value in enumerate(found.values[field]):
                if value is not None:
                    assert sent[name, phase][round(abs(value), 6)] >= found.t - 1e-9
                    assert not math.isclose(value, 0)


@given(payload=st.binary(max_size=200), retained=st.booleans())
def test_no_payload_raises(payload: bytes, retained: bool) -> None:
    assembly = Assembly(layout(STAMPED, ALL, *BY_PHASE))
    for topic in ("all", "stamped", "i1"):
        assembly.feed(topic, payload, 1.0, retained=retained)
