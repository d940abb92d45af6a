"""What differs between the OCPP versions of a simulated station, as one interface."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ocpp.charge_point import remove_nones, serialize_as_dict, snake_to_camel_case

from gateway.demo.physics import Connector, Transaction

if TYPE_CHECKING:
    from gateway.demo.station import SimulatedStation


@dataclass(slots=True)
class QueuedMessage:
    """A transaction message; its content never changes. `call` is a payload dataclass of the `ocpp` package."""

    number: int
    transaction: Transaction
    kind: str
    call: Any


def wire_payload(call: Any) -> dict[str, Any]:
    """The payload as the `ocpp` package will write it."""
    payload: dict[str, Any] = snake_to_camel_case(remove_nones(serialize_as_dict(call)))
    return payload


def to_json(payload: object) -> str:
    return json.dumps(payload, separators=(",", ":"))


class Wire(ABC):
    """Builds the messages of one OCPP version, reads their answers, and obeys that version's commands.

    `has_station_status`: connector 0 has a status of its own.
    """

    subprotocol: ClassVar[str]
    has_station_status: ClassVar[bool]
    peer_class: ClassVar[Callable[..., Any]]

    def __init__(self, station: "SimulatedStation") -> None:
        self.station = station

    def peer(self, connection: Any) -> Any:
        """An `ocpp` ChargePoint on this connection, with the command handlers of this version."""
        options = self.station.options
        peer = self.peer_class(self.station.identity, connection, options.call_timeout_s)
        peer.route_map = {
            action: {
                "_on_action": handler,
                "_after_action": lambda **_: self.station.answered(),
                "_skip_schema_validation": not options.validate,
            }
            for action, handler in self.handlers().items()
        }
        return peer

    @abstractmethod
    def handlers(self) -> dict[str, Callable[..., Any]]:
        """Action to handler: what the CSMS may ask."""

    @property
    def stops_on_invalid_id(self) -> bool:
        """End a transaction whose token turns out to be refused (else only its energy stops)."""
        return True

    @abstractmethod
    def boot(self, reason: str) -> Any: ...

    @abstractmethod
    def heartbeat(self) -> Any: ...

    @abstractmethod
    def authorize(self, token: str) -> Any: ...

    @abstractmethod
    def authorization_status(self, answer: Any) -> str: ...

    @abstractmethod
    def connector_status(self, connector: Connector) -> str: ...

    @abstractmethod
    def status(self, connector: int, status: str) -> Any: ...

    @abstractmethod
    def started(self, connector: Connector, transaction: Transaction) -> Any: ...

    @abstractmethod
    def sampled(self, connector: Connector, transaction: Transaction, context: str) -> Any: ...

    @abstractmethod
    def meter_values(self, connector: Connector, context: str) -> Any:
        """Meter values outside any transaction."""

    @abstractmethod
    def state_changed(self, connector: Connector, transaction: Transaction) -> Any | None:
        """The message about a new charging state, where the version has one."""

    @abstractmethod
    def ended(self, connector: Connector, transaction: Transaction, reason: str) -> Any: ...

    @abstractmethod
    def content(self, message: QueuedMessage) -> dict[str, Any]:
        """The payload for the history: all of it but what the station only learns later."""

    @abstractmethod
    def to_send(self, message: QueuedMessage) -> Any: ...

    @abstractmethod
    def take_answer(self, message: QueuedMessage, answer: Any) -> str | None:
        """Learn from an answer; returns the token's status if the answer carries one."""
