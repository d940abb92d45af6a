"""What a station says wrongly is put right as it comes in, so that nobody behind its socket knows of its quirks."""

import logging
from collections.abc import Callable

from msgspec.structs import replace as replaced

from gateway.dialects import mend
from gateway.dialects.base import Dialect, Role
from gateway.rpc.frame import Call
from gateway.rpc.session import Answered, Outcome
from gateway.site import Site
from gateway.station import Station, StationOptions, fitting
from gateway.transport import Listener, Socket

log = logging.getLogger(__name__)


class Mender:
    """One connection's. Keeps the station's options as its configuration and its model, known by its boot, say."""

    def __init__(self, site: Site, station: Station, dialect: Dialect) -> None:
        self._station = station
        self._dialect = dialect
        self._models = site.options.models
        self._own = site.options.stations.get(station.id, StationOptions())
        self._mends_payloads = False
        self._recognise(station.record.boot)

    def socket(self, socket: Socket) -> Socket:
        """The socket with its frames put right; itself if nothing that is configured makes that necessary."""
        every = [self._own.quirks, *(model.quirks for model in self._models)]
        return _MendedSocket(socket, self._frame) if any(quirks.empty_values for quirks in every) else socket

    def call(self, call: Call) -> Call:
        """A CALL put right. A boot tells the model, and is itself treated as that model's."""
        if self._models:
            rule = self._dialect.up.get(call.action)
            if rule is not None and rule.role is Role.BOOT:
                self._recognise(call.payload)
        if not self._mends_payloads:
            return call
        payload = mend.mend(self._dialect.name, call.action, "request", call.payload, self._station.options.quirks)
        return call if payload is call.payload else replaced(call, payload=payload)

    def outcome(self, action: str, outcome: Outcome) -> Outcome:
        """The answer to a CALL of ours put right."""
        if not self._mends_payloads or not isinstance(outcome, Answered):
            return outcome
        quirks = self._station.options.quirks
        return Answered(mend.mend(self._dialect.name, action, "response", outcome.payload, quirks))

    def _frame(self, data: bytes) -> bytes:
        """A boot that is no JSON must be read before it can tell its model."""
        is_new = self._station.record.boot is None
        return mend.mend_frame(data) if is_new or self._station.options.quirks.empty_values else data

    def _recognise(self, boot: bytes | None) -> None:
        options = self._own.of_models(fitting(self._models, boot))
        if options != self._station.options:
            delay_ms = round(options.min_answer_delay_s * 1000)
            log.info("%s: known by its boot; quirks: %s; least delay of an answer: %d ms", self._station.id,
                     options.quirks, delay_ms)  # fmt: skip
        self._station.options = options
        self._mends_payloads = options.quirks.mends_payloads


class _MendedSocket:
    """A Socket whose frames are put right before anybody sees them."""

    def __init__(self, socket: Socket, frame: Callable[[bytes], bytes]) -> None:
        self._socket = socket
        self._frame = frame
        self.pause, self.resume = socket.pause, socket.resume
        self.send, self.close, self.abort, self.ping = socket.send, socket.close, socket.abort, socket.ping

    @property
    def subprotocol(self) -> str | None:
        return self._socket.subprotocol

    @property
    def is_full(self) -> bool:
        return self._socket.is_full

    def listen(self, listener: Listener) -> None:
        self._socket.listen(_MendingListener(listener, self._frame))


class _MendingListener:
    def __init__(self, listener: Listener, frame: Callable[[bytes], bytes]) -> None:
        self._hand_on = listener.on_message
        self._frame = frame
        self.on_writable, self.on_closed = listener.on_writable, listener.on_closed

    def on_message(self, data: bytes) -> None:
        self._hand_on(self._frame(data))


def mender(site: Site, station: Station, dialect: Dialect) -> Mender | None:
    """None for a station whose options nobody wrote anything into: it pays nothing."""
    own = site.options.stations.get(station.id)
    has_quirks = own is not None and own.quirks != StationOptions().quirks
    return Mender(site, station, dialect) if has_quirks or site.options.models else None
