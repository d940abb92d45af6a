"""Every action of every schema folder has a row, and what a row answers is valid."""

from dataclasses import FrozenInstanceError

import pytest

from gateway.dialects import columns, columns_v2, schema, settings
from gateway.dialects.base import Commit, Dialect, DownRule, Role, Route, Treatment, UpRule
from gateway.dialects.registry import ALL, by_name, by_subprotocol
from gateway.rpc.codes import ErrorCode

UPWARD = {
    "1.6": """Authorize BootNotification DataTransfer DiagnosticsStatusNotification FirmwareStatusNotification Heartbeat
        LogStatusNotification MeterValues SecurityEventNotification SignCertificate SignedFirmwareStatusNotification
        StartTransaction StatusNotification StopTransaction""",
    "2.0.1": """Authorize BootNotification ClearedChargingLimit DataTransfer FirmwareStatusNotification
        Get15118EVCertificate GetCertificateStatus Heartbeat LogStatusNotification MeterValues NotifyChargingLimit
        NotifyCustomerInformation NotifyDisplayMessages NotifyEVChargingNeeds NotifyEVChargingSchedule NotifyEvent
        NotifyMonitoringReport NotifyReport PublishFirmwareStatusNotification ReportChargingProfiles
        ReservationStatusUpdate SecurityEventNotification SignCertificate StatusNotification TransactionEvent""",
}
UPWARD["2.1"] = (
    UPWARD["2.0.1"]
    + """ BatterySwap ClosePeriodicEventStream GetCertificateChainStatus NotifyDERAlarm NotifyDERStartStop
        NotifyPeriodicEventStream NotifyPriorityCharging NotifySettlement OpenPeriodicEventStream
        PullDynamicScheduleUpdate ReportDERControl VatNumberValidation"""
)
"""What a station sends; the schema files do not tell."""

MADE_BY_CODEC = {Role.BOOT, Role.HEARTBEAT, Role.AUTHORIZE, Role.TRANSACTION}

CHANGING = {columns.get_configuration, columns_v2.get_variables, settings.get_roots}
"""Guards that change the command or its answer; the others only let pass or refuse."""

UP_ROWS = [(dialect, rule) for dialect in ALL for rule in dialect.up.values()]
DOWN_ROWS = [(dialect, rule) for dialect in ALL for rule in dialect.down.values()]
dialects = pytest.mark.parametrize("dialect", ALL, ids=[d.name for d in ALL])
up_rows = pytest.mark.parametrize(("dialect", "rule"), UP_ROWS, ids=[f"{d.name}-{r.action}" for d, r in UP_ROWS])
down_rows = pytest.mark.parametrize(("dialect", "rule"), DOWN_ROWS, ids=[f"{d.name}-{r.action}" for d, r in DOWN_ROWS])


def test_versions_are_found() -> None:
    assert [by_name(d.name) for d in ALL] == list(ALL)
    assert [by_subprotocol(d.subprotocol) for d in ALL] == list(ALL)
    assert [(d.name, d.subprotocol) for d in ALL] == [("2.1", "ocpp2.1"), ("2.0.1", "ocpp2.0.1"), ("1.6", "ocpp1.6")]
    assert [d.csms_gives_tx_ids for d in ALL] == [False, False, True]
    assert by_subprotocol("ocpp1.5") is None
    assert by_subprotocol("OCPP1.6") is None
    with pytest.raises(KeyError):
        by_name("1.5")


@dialects
def test_every_action_has_a_row_in_its_direction(dialect: Dialect) -> None:
    up = set(UPWARD[dialect.name].split())
    assert set(dialect.up) == up
    assert set(dialect.down) == (schema.actions(dialect.name) - up) | {"DataTransfer"}


@dialects
def test_rows_stand_under_their_action_and_cannot_be_changed(dialect: Dialect) -> None:
    assert all(name == rule.action for table in (dialect.up, dialect.down) for name, rule in table.items())
    with pytest.raises(TypeError):
        dialect.up["Foo"] = dialect.up["Heartbeat"]  # type: ignore[index]  # that is what is tested
    with pytest.raises(FrozenInstanceError):
        dialect.up["Heartbeat"].route = Route.RELAY  # type: ignore[misc]  # that is what is tested


@up_rows
def test_offline_answer_is_valid(dialect: Dialect, rule: UpRule) -> None:
    if rule.offline is None:
        assert rule.role in MADE_BY_CODEC
    elif isinstance(rule.offline, bytes):
        assert schema.validate(dialect.name, rule.action, "response", rule.offline) == []
    else:
        assert isinstance(rule.offline, ErrorCode)


@up_rows
def test_up_row_is_consistent(dialect: Dialect, rule: UpRule) -> None:
    assert (rule.commit is not Commit.NONE) == (rule.route is Route.DURABLE)
    assert rule.route in {Route.RELAY, Route.ANSWER, Route.DURABLE, Route.LATEST}
    assert (rule.route is Route.DURABLE) == (rule.aggregate is Route.DURABLE), "a durable action is so everywhere"
    assert (rule.treatment is Treatment.SPLICE) == (rule.role is Role.TRANSACTION or rule.clean is not None)
    if Route.LATEST in (rule.route, rule.aggregate):
        assert rule.slot is not None
        assert rule.slot({}), "a slot can be told for any payload"


@dialects
def test_slots_of_different_actions_differ(dialect: Dialect) -> None:
    slots = [rule.slot({}) for rule in dialect.up.values() if rule.slot]
    shared = 0 if dialect.name == "1.6" else 1  # a charging limit and its end
    assert len(slots) - len(set(slots)) == shared


@down_rows
def test_refusal_is_valid(dialect: Dialect, rule: DownRule) -> None:
    if rule.rejected is not None:
        assert schema.validate(dialect.name, rule.action, "response", rule.rejected) == []
        assert b"Accepted" not in rule.rejected


@down_rows
def test_down_row_is_consistent(dialect: Dialect, rule: DownRule) -> None:
    assert rule.guard is None or rule.route in {Route.RELAY, Route.INTERCEPT}
    assert rule.keeps is None or (rule.guard is None and rule.route is Route.RELAY)
    if rule.route is Route.INTERCEPT and rule.role is not Role.SEND_LIST:
        assert rule.guard is not None
        guarded = rule.guard(b"{}")
        assert guarded.forward is None
        assert guarded.finish(None) == rule.rejected
    spliced = (
        bool(rule.tx_ids)
        or rule.role is Role.QUEUE_STATUS
        or rule.guard in CHANGING
        or rule.keeps in CHANGING
        or rule.action == "SetVariables"
    )
    assert (rule.treatment is Treatment.SPLICE) == spliced


@down_rows
def test_refusal_is_missing_only_where_no_status_says_it(dialect: Dialect, rule: DownRule) -> None:
    refusing = ("Rejected", "Failed", "UnlockFailed")
    says_it = any(
        schema.validate(dialect.name, rule.action, "response", b'{"status":"%b"}' % status.encode()) == []
        for status in refusing
    )
    assert says_it == (rule.rejected is not None) or rule.action == "UnpublishFirmware"


@dialects
def test_roles_stand_where_the_flows_look_for_them(dialect: Dialect) -> None:
    up = {rule.role for rule in dialect.up.values()} - {None}
    down = {rule.role for rule in dialect.down.values()} - {None}
    later = set() if dialect.name == "1.6" else {Role.QUEUE_STATUS, Role.CUSTOMER}
    lists = {Role.SEND_LIST, Role.LIST_VERSION, Role.CLEAR_CACHE, Role.RESERVE, Role.CANCEL_RESERVATION}
    assert up == {Role.BOOT, Role.HEARTBEAT, Role.AUTHORIZE, Role.TRANSACTION, Role.STATUS} | (
        {Role.RESERVATION_STATUS} if later else set()
    )
    assert down == {Role.REMOTE_START, Role.REMOTE_STOP} | lists | later


@dialects
def test_what_the_gateway_sends_is_a_valid_request(dialect: Dialect) -> None:
    for action, payload in (
        dialect.codec.remote_stop("12"),
        dialect.codec.trigger_status(),
        dialect.codec.trigger_readings(1),
    ):
        assert schema.validate(dialect.name, action, "request", payload) == []
        assert action in dialect.down
