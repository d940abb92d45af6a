"""docs/ocpp-support.md says what the dialect tables say.

`python -m tests.test_support_table` prints the tables as they have to stand in the document.
"""

import sys
from pathlib import Path

import pytest

from gateway.dialects import registry
from gateway.dialects.base import Commit, Dialect, DownRule, Role, Route, UpRule

DOCUMENT = Path(__file__).parent.parent / "docs" / "ocpp-support.md"
HEAD = (
    "| action | direction | route per station | route aggregate | offline answer |",
    "|---|---|---|---|---|",
)
MADE_HERE = {
    Role.AUTHORIZE: "the gateway's own verdict",
    Role.BOOT: "the gateway's own: Accepted for a station the CSMS once accepted, else Pending",
    Role.HEARTBEAT: "the gateway's time",
    Role.TRANSACTION: "the gateway's own verdict",
    Role.SEND_LIST: "answered here, always",
    Role.LIST_VERSION: "answered here, always",
    Role.CLEAR_CACHE: "answered here, always",
}


def table(dialect: Dialect) -> list[str]:
    """The lines of one version's table, by action, what goes up before what comes down."""
    rows = [
        *((up.action, "up", _route(up), up.aggregate, _while_csms_is_away(up)) for up in dialect.up.values()),
        *(
            (down.action, "down", _route(down), down.aggregate, _while_station_is_away(down))
            for down in dialect.down.values()
        ),
    ]
    rows.sort(key=lambda row: (row[1] == "down", row[0]))
    return [*HEAD, *("| " + " | ".join(row) + " |" for row in rows)]


def _route(rule: UpRule | DownRule) -> str:
    """Beside the route: when a durable message is committed, and whether a command is looked into."""
    if isinstance(rule, UpRule):
        return rule.route if rule.commit is Commit.NONE else f"{rule.route}, {rule.commit}"
    if rule.keeps:
        return f"{rule.route}, two columns"
    return f"{rule.route}, guarded" if rule.guard and rule.route is Route.RELAY else rule.route


def _while_csms_is_away(rule: UpRule) -> str:
    if rule.is_send:
        return "never answered"
    if isinstance(rule.offline, bytes):
        return f"`{rule.offline.decode()}`"
    if rule.offline is not None:
        return f"CALLERROR {rule.offline}"
    assert rule.role is not None, f"{rule.action} has no offline answer and nobody who makes one"
    return MADE_HERE[rule.role]


def _while_station_is_away(rule: DownRule) -> str:
    if rule.role in MADE_HERE:
        return MADE_HERE[rule.role]
    if rule.route in (Route.INTERCEPT, Route.REFUSE):
        assert rule.rejected is not None
        return f"`{rule.rejected.decode()}`, always"
    return "CALLERROR GenericError" if rule.rejected is None else f"`{rule.rejected.decode()}`"


@pytest.mark.parametrize("dialect", registry.ALL, ids=lambda dialect: dialect.name)
def test_document_says_what_the_tables_say(dialect: Dialect) -> None:
    section = DOCUMENT.read_text("utf-8").partition(f"## OCPP {dialect.name}\n")[2].partition("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("|")] == table(dialect)


def test_document_has_no_version_that_is_not_spoken() -> None:
    heads = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("## OCPP ")]
    assert heads == [f"## OCPP {dialect.name}" for dialect in reversed(registry.ALL)]


def test_document_explains_every_route() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert [route for route in Route if f"- `{route}`: " not in text] == []


if __name__ == "__main__":
    for spoken in reversed(registry.ALL):
        sys.stdout.write("\n".join([f"## OCPP {spoken.name}", "", *table(spoken), "", ""]))
