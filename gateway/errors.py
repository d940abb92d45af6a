"""The exceptions that cross rooms. Expected outcomes are values; these are for what was not expected."""


class GatewayError(Exception):
    """Anything of ours."""


class StoreError(GatewayError):
    """A commit failed: nothing of the turn may be acknowledged or sent."""


class StoreNotReady(StoreError):
    """The store is being recovered: what needs a commit is left unanswered, and asked again by who needs it."""


class LeftUnanswered(GatewayError):
    """The peer gets no answer, as the specification wants it."""


class DamagedError(StoreError):
    """The database file is damaged: retrying is no use, it has to be set aside."""


class SchemaTooNewError(StoreError):
    """The database was written by a newer version: starting this one again is no use."""


class RefusedError(GatewayError):
    """What an operator asked for can't be done; the text says why."""


class SocketClosed(GatewayError):
    """The peer is gone, or the socket was closed."""

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.reason = reason


class ConnectError(GatewayError):
    """The CSMS could not be reached, or it refused the connection; `status` is its HTTP status, if it sent one."""

    def __init__(self, problem: str, status: int | None = None) -> None:
        super().__init__(problem)
        self.status = status
