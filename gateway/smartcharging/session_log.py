"""The log of one session's limits: what it was told when, and why not more. One line for each change."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from gateway.model.balance import Share
from gateway.model.site_tree import Binding, ConnectorKey

PASSING = frozenset((Binding.SETTLING, Binding.LOWER_FIRST, Binding.PENDING, Binding.WRITES))
"""Reasons of a few seconds: alone they are no line."""


class Line(NamedTuple):
    """From `at` (monotonic) on it was told `set_a`, was meant to have `target_a`, and `why` kept it there."""

    at: float
    key: ConnectorKey
    set_a: float
    target_a: float
    why: str


def lines(
    before: Mapping[ConnectorKey, Line], shares: Iterable[Share], sessions: frozenset[ConnectorKey], at: float
) -> Iterator[Line]:
    """The lines that a decision adds. `before`: the last one of each session that runs; `sessions`: those that do."""
    for share in shares:
        if share.key not in sessions:
            continue
        line, last = Line(at, share.key, share.set_a, share.target_a, str(share.why)), before.get(share.key)
        is_other = last is None or last.set_a != line.set_a
        if is_other or (last is not None and last.why != line.why and share.why.binding not in PASSING):
            yield line
