"""Names of things. All are plain text or numbers; the types keep them apart."""

from typing import NewType

StationId = NewType("StationId", str)
"""Identity of a Charging Station: the last segment of its URL path, percent-decoded, case kept."""

MessageId = NewType("MessageId", str)
"""Id of one CALL, at most 36 characters."""

TransactionKey = NewType("TransactionKey", int)
"""The ledger's own number of a transaction: unique for the site, never sent to anybody."""

RowId = NewType("RowId", int)
"""Number of an outbox row; rises over the whole site, so it is also the order of commitment."""

MeterId = NewType("MeterId", str)
"""Name of an electricity meter in the configuration: `[meter.NAME]`."""

CircuitId = NewType("CircuitId", str)
"""Name of a circuit in the configuration: `[circuit.NAME]`."""
