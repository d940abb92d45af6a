"""How much room there is for what must survive."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes: of the database file in use, free inside it (no other program can take these), free on its disk."""

    used: int
    free: int
    disk_free: int


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """The budget: bytes of the database file, and messages on their way to the CSMS, which are in memory too."""

    budget_bytes: int = 256 * 1024**2
    queue_rows: int = 150_000
