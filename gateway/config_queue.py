"""Sections of the configuration file about what is queued and stored."""

from pydantic import Field

from gateway.config_section import Section
from gateway.config_values import VERSIONS, Attempts, Seconds, Version


class Storage(Section):
    """How much is kept on the disk and in memory."""

    budget_mb: int = Field(default=256, ge=16, le=1024**2, description="Write whole MiB, 16 to 1048576.")
    queue_messages: int = Field(
        default=150_000, ge=100, le=10_000_000, description="Write a whole number, 100 to 10000000."
    )
    keep_transactions_days: int = Field(default=90, ge=31, le=3650, description="Write whole days, 31 to 3650.")
    record_days: int = Field(default=30, ge=0, le=3650, description="Write whole days, 0 to 3650; 0 = none.")
    record_mb: int = Field(default=64, ge=1, le=65_536, description="Write whole MiB, 1 to 65536.")


class Replay(Section):
    """How what was queued goes up again."""

    messages_per_s: float = Field(
        default=50.0, ge=0, le=1000, description="Write messages a second for the whole site, 0 to 1000; 0 = no limit."
    )
    attempts: Attempts = 3
    attempt_interval_s: Seconds = 60.0
    attempts_by_version: dict[Version, Attempts] = Field(
        default={}, description='Write such as { "1.6" = 5 }: a version, and a whole number from 1 to 100.'
    )
    attempt_interval_s_by_version: dict[Version, Seconds] = Field(
        default={}, description='Write such as { "1.6" = 30 }: a version, and seconds of up to 3600.'
    )

    @property
    def rules(self) -> dict[str, tuple[int, float]]:
        """Attempts and interval of every version."""
        return {
            version: (
                self.attempts_by_version.get(version, self.attempts),
                self.attempt_interval_s_by_version.get(version, self.attempt_interval_s),
            )
            for version in VERSIONS
        }
