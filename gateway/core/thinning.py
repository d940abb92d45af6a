"""Every second intermediate meter value of a transaction gives way (OCPP 2.0.1 Part 2, E04.FR.07 and E04.FR.08).

First and last stay, so the rule can be applied again and again, and the shape of a session is thinned evenly. What says
more than samples (a changed charging state, a token), a begin and an end are never touched.
"""

from collections.abc import Iterable

from gateway.model.ids import TransactionKey
from gateway.model.records import OutboxRow, RowState


def thin(rows: Iterable[OutboxRow]) -> list[OutboxRow]:
    """Of rows in order, those to drop: the 1st, 3rd, 5th, ... of each transaction's intermediate samples.

    Released rows stay: they may have been sent. So do rows set aside: nothing of theirs is discarded.
    """
    samples: dict[TransactionKey, list[OutboxRow]] = {}
    for row in rows:
        if row.samples and row.state is RowState.QUEUED and row.transaction is not None:
            samples.setdefault(row.transaction, []).append(row)
    return [row for own in samples.values() for row in own[1:-1:2]]
