"""Sharing current in the configuration file: the tree that is made, and what is refused because it cannot be safe."""

from pathlib import Path

import pytest

from gateway.model.ids import StationId
from gateway.model.site_tree import ConnectorKey, Mode
from gateway.smartcharging.families import shipped
from tests.config_bench import Bench
from tests.test_config import ROOT

SITE = """[meter.grid]
driver = "simulated"
[circuit.main]
limit_a = 125
limits_a = [125, 125, 100]
meter = "grid"
background_a = {background}
[circuit.row-a]
parent = "main"
limit_a = 63
phases = "L1L3"
background_a = 0
[balance]
mode = "priority"
turn_min = 30
[[station]]
id = "CP-1"
circuit = "main"
connectors = [{{ phases = "L2L3L1", priority = 2 }}, {{ evse = 4, max_a = 16, fallback_a = 0 }}]
[[station]]
id = "CP-2"
circuit = "row-a"
family = "good"
proven = true
connectors = [{{ phases = "L3", fallback_a = 16 }}]
[external.grid]
circuit = "main"
fail_safe_w = 4200
section_14a = true
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_tree_is_what_the_sections_say(bench: Bench) -> None:
    bench.more = SITE.format(background=60)
    plan = bench.load().plan
    assert plan is not None
    main, row, own = plan.circuits
    assert (main.limit_a, main.background_a, main.metered) == ((125, 125, 100), (60, 60, 60), True)
    assert (row.limit_a, row.parent, row.background_a) == ((63, 0, 63), "main", (0, 0, 0))
    assert (own.id, own.parent, own.limit_a) == ("station CP-1", "main", (125, 125, 100))
    first, second, third = plan.connectors
    assert (first.key, first.circuit, first.phases, first.rank) == (
        ConnectorKey(StationId("CP-1"), 1),
        own.id,
        (1, 2, 0),
        2,
    )
    assert (second.key.evse, second.max_a, second.fallback_a, second.latency_s) == (4, 16, 0, 10)
    assert (third.phases, third.circuit, third.latency_s, third.fallback_a) == ((2,), "row-a", 5, 16)
    assert (plan.policy.mode, plan.policy.quantum_s) == (Mode.PRIORITY, 1800)
    assert [plan.is_proven(StationId(name)) for name in ("CP-1", "CP-2", "CP-3")] == [False, True, False]
    (source,) = plan.sources
    assert (source.circuit, source.failsafe_w, source.silent_s, source.least_w) == ("main", 4200, 120, 4200 * 2.5)


def test_fallbacks_that_do_not_fit_are_refused_with_the_sum(bench: Bench) -> None:
    """Only what an installer insists on: the gateway itself would choose 0 A."""
    bench.more = SITE.format(background=90)
    (mistake,) = bench.mistakes()
    assert mistake.path == "circuit.main"
    assert mistake.problem == (
        "cannot be safe: circuit main, L3: worst background 90 A + fallbacks 1 x 16 A = 106 A, but its limit is 100 A"
    )


def test_other_loads_of_unknown_size_need_a_meter(bench: Bench) -> None:
    bench.more = '[circuit.main]\nlimit_a = 63\n[[station]]\nid = "a"\ncircuit = "main"\nconnectors = [{}]\n'
    (mistake,) = bench.mistakes()
    assert (mistake.path, "needs a meter" in mistake.problem) == ("circuit.main", True)
    bench.more = bench.more.replace("63\n", "63\nbackground_a = 0\n")
    assert bench.load().plan is not None


def _site(main: str, row: str, *stations: str) -> str:
    placed = "".join(
        f'[[station]]\nid = "s{number}"\ncircuit = "row"\n{said}\n' for number, said in enumerate(stations)
    )
    return f'[meter.m]\ndriver = "simulated"\n[circuit.main]\n{main}\n[circuit.row]\nparent = "main"\n{row}\n{placed}'


_PLAIN = "connectors = [{}]"
_KEEPS_16 = "connectors = [{ fallback_a = 16 }]"
_NEEDS_6 = 'family = "minimum-at-zero"\nconnectors = [{}]'
UNSAFE: list[tuple[str, list[tuple[str, str]]]] = [
    (
        _site("limit_a = 63\nbackground_a = 70", "limit_a = 32\nbackground_a = 0", _PLAIN),
        [("main", f"L{phase}: worst background 70 A = 70 A, but its limit is 63 A") for phase in (1, 2, 3)],
    ),
    (
        _site("limit_a = 63\nbackground_a = 20", "limit_a = 32\nbackground_a = 50", _PLAIN),
        [("main", f"L{phase}: worst background 70 A = 70 A, but its limit is 63 A") for phase in (1, 2, 3)]
        + [("row", f"L{phase}: worst background 50 A = 50 A, but its limit is 32 A") for phase in (1, 2, 3)],
    ),
    (
        _site(
            "limit_a = 63\nbackground_a = 20",
            "limit_a = 63\nlimits_a = [63, 63, 33]\nbackground_a = 0",
            *2 * [_KEEPS_16],
            'connectors = [{ phases = "L3", fallback_a = 6 }]',
        ),
        [("row", "L3: worst background 0 A + fallbacks 2 x 16 A + fallbacks 1 x 6 A = 38 A, but its limit is 33 A")],
    ),
    (
        _site("limit_a = 50\nbackground_a = 40", "limit_a = 32\nbackground_a = 0", *2 * [_NEEDS_6]),
        [
            ("main", f"L{phase}: worst background 40 A + fallbacks 2 x 6 A = 52 A, but its limit is 50 A")
            for phase in (1, 2, 3)
        ],
    ),
    (
        _site("limit_a = 63", "limit_a = 32\nbackground_a = 0", _PLAIN),
        [("main", "it has other loads of unknown size, so it needs a meter")],
    ),
]


@pytest.mark.parametrize(("more", "sums"), UNSAFE)
def test_what_can_not_be_safe_is_refused_with_every_sum_that_fails(
    bench: Bench, more: str, sums: list[tuple[str, str]]
) -> None:
    bench.more = more
    found = [(mistake.path, mistake.problem) for mistake in bench.mistakes()]
    assert found == [
        (f"circuit.{name}", f"cannot be safe: circuit {name}{',' if text[0] == 'L' else ':'} {text}")
        for name, text in sums
    ]


def test_who_gets_nothing_is_told_beforehand(bench: Bench) -> None:
    bench.more = (
        '[meter.m]\ndriver = "simulated"\n[circuit.main]\nlimit_a = 63\nmeter = "m"\n'
        '[[station]]\nid = "a"\ncircuit = "main"\nconnectors = [{}, {}]\n[[station]]\nid = "b"\n'
    )
    warnings = "\n".join(bench.load().warnings)
    assert "2 connectors of stations not proven get nothing" in warnings
    assert 'station "b": it is in no circuit' in warnings
    bench.more = bench.more.replace("[{}, {}]", "[{}, {}]\nproven = true")
    assert "not proven" not in "\n".join(bench.load().warnings)


_STATION = '[[station]]\nid = "a"\ncircuit = "main"\n'
_MAIN = "[circuit.main]\nlimit_a = 63\nbackground_a = 0\n"
MISTAKES: list[tuple[str, str, str]] = [
    (_MAIN + _STATION, 'station "a".connectors', "is missing"),
    (_MAIN + _STATION + 'connectors = [{ phases = "L1L1" }]', 'station "a".connectors[0].phases', "cannot be"),
    (_MAIN + _STATION + "connectors = [{ evse = 2 }, {}]", 'station "a".connectors', "the same number"),
    (
        _MAIN + _STATION + 'family = "default-profile-only"\nconnectors = [{}]',
        'station "a".family',
        "it can't be limited",
    ),
    (_MAIN + _STATION + 'family = "x"\nconnectors = [{}]', 'station "a".family', 'no family "x"'),
    (_MAIN + _STATION + "connectors = [{ fallback_a = 3 }]", "circuit", "a fallback is 0 or at least min_a"),
    (_MAIN + _STATION + "connectors = [{}, { max_a = 5 }]", 'station "a".connectors[1].min_a', "above max_a, 5 A"),
    (
        _MAIN + _STATION + "connectors = [{ fallback_a = 40 }]",
        'station "a".connectors[0].fallback_a',
        "above max_a, 32 A",
    ),
    (_MAIN + '[balance]\nfamily = "x"', "balance.family", 'no family "x"'),
    (_MAIN.replace("63\n", "63\nlimits_a = [63, 64, 63]\n"), "circuit.main.limits_a", "more than limit_a"),
    (_MAIN + '[external.x]\ncircuit = "y"', "external.x.circuit", 'no circuit "y"'),
    (_MAIN + '[external.x]\ncircuit = "main"\ntopic = "t"', "external.x.broker", "is missing"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=[case[1] for case in MISTAKES])
def test_one_mistake_is_one(bench: Bench, case: tuple[str, str, str]) -> None:
    bench.more, path, problem = case
    (found,) = bench.mistakes()
    assert (found.path, problem in found.problem) == (path, True), found


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (_MAIN + _STATION + "connectors = [{ mina = 6 }]", "Write min_a, if that is meant."),
        (_MAIN + _STATION + 'connectors = [{ phases = "L1,L2" }]', "L1, L2 and L3, such as"),
        (_MAIN + _STATION + 'connectors = [{ max_a = "32" }]', "Take the quotes away. Write amperes, more than 0"),
        (_MAIN.replace("63", '"63"'), "Take the quotes away. Write amperes a phase"),
        ('[[station]]\nid = "a"\npassword = "secret"', "write password_file"),
    ],
)
def test_a_remedy_is_about_the_key_that_is_wrong(bench: Bench, text: str, remedy: str) -> None:
    bench.more = text
    (found,) = bench.mistakes()
    assert remedy in found.remedy, found
    assert "secret" not in str(found)


def test_every_family_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert [name for name in shipped() if f"`{name}`" not in text] == []


def test_a_connector_on_phases_that_its_circuit_has_not_is_refused(bench: Bench) -> None:
    """Three phases are what is meant if nothing is said: it would never get anything."""
    bench.more = """[circuit.main]
limit_a = 40
phases = "L1"
background_a = 10
[[station]]
id = "CP-1"
circuit = "main"
connectors = [{ max_a = 32 }]
"""
    [mistake] = bench.mistakes()
    assert (mistake.path, mistake.problem) == ('station "CP-1".connectors', 'one is on L1L2L3, and "main" has only L1')
    bench.more = bench.more.replace("max_a = 32", 'phases = "L1"')
    assert bench.load().plan is not None
