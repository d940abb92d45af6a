"""OCPP-J error codes, and what a version makes of them on the wire."""

from dataclasses import dataclass, field
from enum import StrEnum


class ErrorCode(StrEnum):
    """Codes in their corrected spelling (OCPP 2.0.1 Part 4, 4.3); `Framing` holds the older ones."""

    FORMAT_VIOLATION = "FormatViolation"
    FORMATION_VIOLATION = "FormationViolation"
    GENERIC_ERROR = "GenericError"
    INTERNAL_ERROR = "InternalError"
    MESSAGE_TYPE_NOT_SUPPORTED = "MessageTypeNotSupported"
    NOT_IMPLEMENTED = "NotImplemented"
    NOT_SUPPORTED = "NotSupported"
    OCCURRENCE_CONSTRAINT_VIOLATION = "OccurrenceConstraintViolation"
    PROPERTY_CONSTRAINT_VIOLATION = "PropertyConstraintViolation"
    PROTOCOL_ERROR = "ProtocolError"
    RPC_FRAMEWORK_ERROR = "RpcFrameworkError"
    SECURITY_ERROR = "SecurityError"
    TYPE_CONSTRAINT_VIOLATION = "TypeConstraintViolation"


class CallError(Exception):
    """A CALL that is answered with a CALLERROR. The only exception that becomes one."""

    def __init__(self, code: ErrorCode | str, description: str = "", details: bytes = b"{}") -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.details = details


@dataclass(frozen=True, slots=True)
class Framing:
    """How one OCPP version spells its frames.

    `spellings`: codes that this version writes differently. `answers_unknown_types`: a message with an unknown type
    number gets a CALLERROR; otherwise it is ignored. `has_send`: the message types 5 (CALLRESULTERROR) and 6 (SEND) are
    known; otherwise they are unknown types like any other.
    """

    spellings: dict[str, str] = field(default_factory=dict)
    answers_unknown_types: bool = False
    has_send: bool = False

    def spell(self, code: str) -> str:
        """A code as this version writes it; unknown ones stay as they are."""
        return self.spellings.get(code, code)


_CORRECTED = {"OccurenceConstraintViolation": "OccurrenceConstraintViolation"}
FRAMING_J16 = Framing(
    spellings={
        "FormatViolation": "FormationViolation",
        "OccurrenceConstraintViolation": "OccurenceConstraintViolation",
        "MessageTypeNotSupported": "GenericError",
        "RpcFrameworkError": "GenericError",
    }
)
"""OCPP-J 1.6 misspells two codes on purpose (J errata 5.1, 5.2) and lacks two."""

_SPELLINGS_J2 = {"FormationViolation": "FormatViolation", **_CORRECTED}
FRAMING_J201 = Framing(spellings=_SPELLINGS_J2, answers_unknown_types=True)
FRAMING_J21 = Framing(spellings=_SPELLINGS_J2, has_send=True)
