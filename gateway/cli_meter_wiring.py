"""What `meter ct-test` found, for a person and as plain data."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.core.ct_test import Finding, Outcome
from gateway.core.ct_wiring import Now, PhaseTest, Wiring

_WORDS: Mapping[Outcome, str] = {
    Outcome.TWO: "two phases moved: use a car that charges on one phase, and see that no other car follows this one",
    Outcome.NOTHING: "no phase moved with the car: does it charge, and is the station behind this meter?",
    Outcome.UNSURE: "other loads moved too much to tell: try again when less is going on, or with more current",
    Outcome.NOISY: "the meter's values jump more than the car draws: try again with more current (--amps)",
    Outcome.CROSSED: "the volts beside this current are another phase's: have the meter's voltage and current "
    "inputs wired alike. Nothing can be put right by options",
    Outcome.WEAK: "a phase moved by less than the car draws: give its current (--amps); if that is right, volts and "
    "currents of the meter are of different phases",
    Outcome.BLIND: "the meter tells no directions, or no currents at all",
}


def said(finding: Finding) -> str:
    if not finding.is_sure:
        return f"[yellow]can't tell[/yellow]: {_WORDS[finding.outcome]}"
    moved = ", ".join(f"L{phase + 1} {'up' if sign > 0 else 'down'}" for phase, sign in finding.moved.items())
    steps = f"in {finding.agreeing} of {finding.steps} steps"
    return f"[green]sure[/green]: {moved} by {finding.amps:.1f} A, {steps}. Does the car draw that?"


def show(found: Wiring, now: Now, changes: Mapping[str, str | bool], console: Console) -> None:
    table = Table()
    for heading in ("input", "phase now", "phase found", "direction"):
        table.add_column(heading)
    for one in range(found.inputs):
        sign = found.directions.get(one)
        direction = "not tested" if sign is None else "right" if (sign < 0) is now.invert else "the wrong way round"
        phase = "not known" if found.order is None else f"L{found.order[one] + 1}"
        table.add_row(str(one + 1), f"L{now.order[one] + 1}", phase, direction)
    console.print(table)
    for line in _lines(found, changes):
        console.print(escape(line), highlight=False)


def _lines(found: Wiring, changes: Mapping[str, str | bool]) -> Iterator[str]:
    yield from (f"contradiction: {one}" for one in found.contradictions)
    if found.to_turn:
        inputs = " and ".join(str(one + 1) for one in found.to_turn)
        yield f"turn the transformer at input {inputs} round, or swap its two wires: options turn all three only"
    if not found.is_complete and not found.contradictions:
        yield "not all is known yet: test the other phases in the same run, at stations that are on them"
    elif not changes and not found.to_turn:
        yield "phases and directions are right"


def plain(tests: list[PhaseTest], found: Wiring, changes: Mapping[str, str | bool], written: bool) -> dict[str, Any]:
    return {
        "tests": [
            {
                "phase": None if test.phase is None else f"L{test.phase + 1}",
                "outcome": test.finding.outcome.value,
                "moved": {f"L{phase + 1}": sign for phase, sign in test.finding.moved.items()},
                "amps": test.finding.amps,
                "log_odds": round(test.finding.odds, 1),
                "steps": test.finding.steps,
                "agreeing": test.finding.agreeing,
            }
            for test in tests
        ],
        "is_complete": found.is_complete,
        "phase_map": found.phase_map,
        "invert": found.invert,
        "to_turn": [one + 1 for one in found.to_turn],
        "contradictions": list(found.contradictions),
        "changes": dict(changes),
        "written": written,
    }
