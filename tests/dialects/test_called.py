"""Which messages a command calls for."""

import pytest

from gateway.dialects.called import called_for


@pytest.mark.parametrize(
    ("action", "payload", "wanted"),
    [
        ("TriggerMessage", b'{"requestedMessage":"Heartbeat"}', "Heartbeat"),
        ("ExtendedTriggerMessage", b'{"requestedMessage":"StatusNotification"}', "StatusNotification"),
        ("TriggerMessage", b'{"requestedMessage":{}}', None),
        ("TriggerMessage", b"[", None),
        ("GetBaseReport", b"{}", "NotifyReport"),
        ("SetVariables", b"{}", None),
    ],
)
def test_what_a_command_calls_for(action: str, payload: bytes, wanted: str | None) -> None:
    assert called_for(action, payload) == wanted
