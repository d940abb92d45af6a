"""Walk 6: the CSMS refused a token after the gateway had accepted it (DESIGN D4): stop that transaction, if it runs.

The decision is in the ledger (`deauthorized`) before the command leaves, so that the Stop is reported as DeAuthorized
and a station that was away is stopped when it comes back.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from gateway.core.late_verdict import ENERGY_WAIT_S, Action, Delivered, act, judged
from gateway.model.ids import TransactionKey
from gateway.model.local_list import InvalidIdSettings
from gateway.model.records import Change, Put
from gateway.model.token import AuthorizationStatus, IdToken, LateRefusal, Verdict
from gateway.model.transaction import Transaction
from gateway.ports import StationPort
from gateway.rpc.session import Answered, Unanswered
from gateway.site import Site
from gateway.station import Station

log = logging.getLogger(__name__)

RETRY_S = 30.0
PROFILE_ID = 2_000_000_000
"""With the EVSE's number added: the id of the charging profile that holds a refused session at 0 A."""

_NEVER = float("inf")


@dataclass(slots=True)
class _Case:
    """A refused session. `heard_at` (monotonic): when it was refused, or last told its register."""

    heard_at: float
    retry_at: float = 0.0
    register_wh: int | None = None
    says: InvalidIdSettings | None = None
    limited_on: StationPort | None = None
    is_in_hand: bool = False


def hear(site: Site, station: Station, tx_id: str, verdict: Verdict) -> list[Change]:
    """What follows of a verdict on the token of a session under way, whose station can't be told it.

    `tx_id`: the CSMS's, or the station's own. Whoever commits the changes wakes the walk (`verdict_wake`).
    """
    try:
        transaction = site.ledger.by_upstream_id(station.id, int(tx_id))
    except ValueError:
        transaction = None
    transaction = transaction or site.ledger.by_station_id(station.id, tx_id)
    if transaction is None:
        log.warning("%s: the CSMS says %s to a transaction that nobody knows, %s", station.id, verdict.status, tx_id)
        return []
    learned = site.learn(station, IdToken(transaction.token), verdict) if transaction.token else []
    if verdict.status is AuthorizationStatus.ACCEPTED:
        return learned
    after = judged(transaction, verdict.status, verdict.expiry, site.options.authorization.late_refusal)
    if after == transaction:
        return learned
    log.warning("%s: the CSMS says %s to transaction %s, which is under way%s", station.id, verdict.status,
                transaction.station_tx_id, ": stopping it" if after.deauthorized else "")  # fmt: skip
    return [Put(after), *learned]


async def run(site: Site) -> None:
    """Stop what was marked; ask again where the station did not obey. A slow station delays no other."""
    cases: dict[TransactionKey, _Case] = {}
    async with asyncio.TaskGroup() as group:
        while True:
            site.verdict_wake.clear()
            now = site.clock.monotonic()
            due = [transaction for transaction in site.ledger.all_running() if transaction.deauthorized]
            cases = {transaction.key: cases.get(transaction.key) or _Case(now) for transaction in due}
            _forget_meters(site, due)
            look_again_at = _NEVER
            for transaction in due:
                case = cases[transaction.key]
                due_at = _due_at(site, transaction, case)
                if due_at > now:
                    look_again_at = min(look_again_at, due_at)
                elif not case.is_in_hand:
                    case.is_in_hand = True
                    group.create_task(_tried(site, transaction, case))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(look_again_at if look_again_at < _NEVER else None):
                    await site.verdict_wake.wait()


def _forget_meters(site: Site, due: list[Transaction]) -> None:
    watched = {(transaction.station, transaction.station_tx_id) for transaction in due}
    for station in site.stations.values():
        for tx_id in [one for one in station.metered if (station.id, one) not in watched]:
            del station.metered[tx_id]


def _due_at(site: Site, transaction: Transaction, case: _Case) -> float:
    """From when on (monotonic) something is to be done for the session. Its register is news."""
    station = site.stations[transaction.station]
    is_reported_only = site.options.authorization.late_refusal is LateRefusal.REPORT
    is_nameless = transaction.station_tx_id is None
    if station.port is None or case.limited_on is station.port or is_reported_only or is_nameless:
        return _NEVER
    register = station.metered.get(transaction.station_tx_id or "")
    if register is not None and register != case.register_wh:
        case.register_wh, case.heard_at, case.retry_at = register, site.clock.monotonic(), 0.0
    return max(station.settled_at, case.retry_at)


async def _tried(site: Site, transaction: Transaction, case: _Case) -> None:
    """Act on one session, and have the walk look again."""
    try:
        case.retry_at = await _act(site, transaction, case)
    except Exception:  # one station's trouble is never another's
        log.exception("%s: could not stop transaction %s", transaction.station, transaction.station_tx_id)
        case.retry_at = site.clock.monotonic() + RETRY_S
    case.is_in_hand = False
    site.verdict_wake.set()


async def _act(site: Site, transaction: Transaction, case: _Case) -> float:
    """Ask what the station wants, do it. Returns when (monotonic) to try again."""
    station, policy = site.stations[transaction.station], site.options.authorization.late_refusal
    port, tx_id = station.port, transaction.station_tx_id
    if port is None or tx_id is None:
        return 0.0
    if policy is not LateRefusal.STOP and case.says is None:
        outcome = await port.call(*port.dialect.tokens.ask_invalid_id(), send_by=site.clock.monotonic() + RETRY_S)
        if isinstance(outcome, Unanswered) and station.port is not port:
            return 0.0
        case.says = port.dialect.tokens.invalid_id(outcome.payload if isinstance(outcome, Answered) else b"{}")
    says, begun = case.says or InvalidIdSettings(), transaction.meter_start_wh
    taken_wh = case.register_wh - begun if case.register_wh is not None and begun is not None else None
    action = act(policy, says, Delivered(taken_wh, site.clock.monotonic() - case.heard_at))
    if action is Action.WAIT:
        station.metered.setdefault(tx_id, None)
        return case.heard_at + ENERGY_WAIT_S
    if action is Action.LIMIT and await _is_limited(port, transaction, says.stack_level):
        case.limited_on = port
        return 0.0
    await _stop(site, port, transaction)
    return site.clock.monotonic() + RETRY_S


async def _is_limited(port: StationPort, transaction: Transaction, level: int | None) -> bool:
    """Hold the session at 0 A. False if the station does not take that: then it has to be stopped."""
    if transaction.evse is None or transaction.station_tx_id is None:
        return False
    profile_id = PROFILE_ID + transaction.evse
    asked = port.dialect.tokens.limit_to_zero(transaction.station_tx_id, transaction.evse, profile_id, level or 0)
    outcome = await port.call(*asked)
    is_taken = isinstance(outcome, Answered) and port.dialect.tokens.accepts(outcome.payload)
    log.warning("%s: limiting transaction %s to 0 A on the CSMS's late verdict %s: %s", transaction.station,
                transaction.station_tx_id, transaction.late_status, "done" if is_taken else outcome)  # fmt: skip
    return is_taken


async def _stop(site: Site, port: StationPort, transaction: Transaction) -> None:
    if transaction.station_tx_id is None:
        return
    action, payload = port.dialect.codec.remote_stop(transaction.station_tx_id)
    outcome = await port.call(action, payload, send_by=site.clock.monotonic() + RETRY_S)
    said = outcome.payload.decode(errors="replace") if isinstance(outcome, Answered) else outcome
    log.warning("%s: stopping transaction %s on the CSMS's late verdict %s: %s", transaction.station,
                transaction.station_tx_id, transaction.late_status, said)  # fmt: skip
