"""Connectors: one word for status and session (1.6) against two (2.x), and their numbers."""

from msgspec.structs import replace

from gateway.dialects.translate.base import Edit, Loss, Memory, Name, Place, Tx

STATES = {"Charging": "Charging", "SuspendedEV": "SuspendedEV", "SuspendedEVSE": "SuspendedEVSE"}
"""1.6 status to chargingState where it says one while a transaction runs."""

CONNECTED = "EVConnected"
_STATUS_20 = {"Available": "Available", "Reserved": "Reserved", "Unavailable": "Unavailable", "Faulted": "Faulted"}
_STATUSES_20 = frozenset((*_STATUS_20, "Occupied"))

LOSSES = (
    Loss("occupied", "1.6 -> 2.0.1", "Preparing, Charging, SuspendedEV, SuspendedEVSE, Finishing",
         "Occupied; in a transaction also its chargingState"),
    Loss("status-history", "1.6 -> 2.0.1", "changes between Charging and Suspended while the CSMS is away",
         "the state of now, with the first message after the return"),
    Loss("occupied-20", "2.0.1 -> 1.6", "Occupied without a transaction",
         "Preparing; Finishing if one has just ended there"),
    Loss("cables", "2.0.1 -> 1.6", "a further connector of an EVSE", "a connector of its own, numbered once"),
    Loss("fault", "2.0.1 -> 1.6", "Faulted, which names no error", "errorCode OtherError"),
)  # fmt: skip


def place_key(evse: int, connector: int) -> str:
    return f"{evse}/{connector}"


def place_at(memory: Memory, evse: int, connector: int) -> Place:
    return memory.places.get(place_key(evse, connector)) or Place()


def put_place(evse: int, connector: int, place: Place) -> Edit:
    """Remember it."""
    return lambda memory: replace(memory, places={**memory.places, place_key(evse, connector): place})


def put_tx(tx: Tx) -> Edit:
    """Remember it, as the newest if it is new."""

    def put(memory: Memory) -> Memory:
        known = memory.transactions
        order = tx.order or 1 + max((one.order for one in known.values()), default=0)
        return replace(memory, transactions={**known, tx.station_id: replace(tx, order=order)})

    return put


KEPT_ENDED = 8
"""Ended transactions of a station that are remembered: for commands and repeats that come late."""

KEPT_OPEN = 32
"""Transactions whose end nobody has told, likewise: it may still come."""


KEPT_NAMES = 200
"""What the CSMS called those that are forgotten."""


def without_old(memory: Memory) -> Memory:
    """Forget transactions that ended long ago, but for their names."""
    known = sorted(memory.transactions.values(), key=lambda tx: tx.order)
    ended, open_ones = [tx for tx in known if tx.is_ended], [tx for tx in known if not tx.is_ended]
    old = [*ended[:-KEPT_ENDED], *open_ones[:-KEPT_OPEN]]
    if not old:
        return memory
    transactions = {key: tx for key, tx in memory.transactions.items() if tx not in old}
    named = {**memory.names, **{tx.station_id: Name(tx.csms_id, tx.order) for tx in old if tx.csms_id}}
    newest = sorted(named.items(), key=lambda item: item[1].order)[-KEPT_NAMES:]
    return replace(memory, transactions=transactions, names=dict(newest))


# -- 1.6 -> 2.x --------------------------------------------------------------------------------------------------------


def status_20(status: str) -> str:
    """connectorStatus of a 1.6 status; what is neither is Occupied."""
    return _STATUS_20.get(status, "Occupied")


# -- 2.x -> 1.6 --------------------------------------------------------------------------------------------------------


def number_of(memory: Memory, evse: int, connector: int) -> tuple[int, Edit | None]:
    """The 1.6 connector of a 2.x one, and the edit that keeps it if it is new. EVSE 0 is the station."""
    if evse <= 0:
        return 0, None
    key = place_key(evse, max(connector, 1))
    if key in memory.numbers:
        return memory.numbers[key], None
    taken = set(memory.numbers.values())
    wanted = evse
    if connector > 1 or evse in taken:
        above = max((evse, *taken)) + 1
        wanted = above if above < 2**31 else next(n for n in range(1, 2**31) if n not in taken)
    return wanted, lambda known: replace(known, numbers={**known.numbers, key: wanted})


def place_of(memory: Memory, connector: int) -> tuple[int, int]:
    """EVSE and connector of a 1.6 connector; one that is not known yet is the EVSE of that number."""
    for key, number in memory.numbers.items():
        if number == connector:
            evse, _, cable = key.partition("/")
            return int(evse), int(cable)
    return connector, 1 if connector > 0 else 0


def status_16(connector_status: str, tx: Tx | None, place: Place) -> str:
    """The 1.6 status of a connector with what runs there."""
    if connector_status in _STATUS_20:
        return connector_status
    state = tx.state if tx is not None else ""
    if state in STATES:
        return STATES[state]
    if tx is not None and tx.power_path:
        return "SuspendedEVSE"
    return "Finishing" if tx is None and place.was_charging else "Preparing"


def known_20(status: str) -> str:
    """A connectorStatus, folded into those there are."""
    return status if status in _STATUSES_20 else "Occupied"
