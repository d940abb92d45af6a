"""The ledger's nouns."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.model.ids import StationId, TransactionKey


class TransactionState(StrEnum):
    """`unclosed`: its connector reported Available or began another transaction, and no Stop ever came."""

    RUNNING = "running"
    ENDED = "ended"
    UNCLOSED = "unclosed"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One charging transaction as the gateway knows it.

    `station_tx_id`: the id the station was given (1.6) or made itself (2.x); None until it has one.
    `upstream_tx_id`: the id the CSMS uses, None until known; `other_upstream_ids`: ids of further answers to the same
    Start, listed and never used.
    `token_fingerprint`: the message that brought the token, and asks for a verdict on it.
    `status`, `status_reason`, `status_expiry`: the verdict the station was given; `late_status`: one that came later.
    `received` is the gateway's time beside the station's own; where that was an estimate, `stamp` corrects it later.
    `deauthorized`: the gateway stops it on the CSMS's late verdict, and reports it so.
    `parked`: its Start is set aside. `thinned`: meter values dropped from the queue to save room.
    """

    key: TransactionKey
    station: StationId
    boot: int
    evse: int | None
    start_fingerprint: str
    station_tx_id: str | None = None
    upstream_tx_id: int | None = None
    other_upstream_ids: tuple[int, ...] = ()
    token: str | None = None
    token_fingerprint: str | None = None
    group: str | None = None
    state: TransactionState = TransactionState.RUNNING
    status: str | None = None
    status_reason: str | None = None
    status_expiry: str | None = None
    late_status: str | None = None
    deauthorized: bool = False
    started: str = ""
    meter_start_wh: int | None = None
    ended: str | None = None
    meter_stop_wh: int | None = None
    stopped_reason: str | None = None
    received: datetime | None = None
    parked: bool = False
    stamp: str | None = None
    thinned: int = 0
