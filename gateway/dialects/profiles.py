"""What a version can do with charging profiles, and the codec of each version by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from gateway.dialects.profiles16 import Profiles16
from gateway.dialects.profiles20x import Profiles20x
from gateway.model.profile import (
    AskedProfile,
    AskedSchedule,
    ChargingProfile,
    CompositeSchedule,
    ProfileFilter,
    Refusal,
    Schedule,
    StartProfile,
)

Message = tuple[str, bytes]
"""Action and payload of a CALL."""


class ProfileCodec(Protocol):
    """Payloads about charging profiles to the model and back.

    Readers of commands raise CallError, naming the member that is missing or can't be understood; readers of answers
    take what can't be read as a refusal. Times without an offset are UTC. What is written is valid by the version's
    schema.
    """

    def read_set(self, payload: bytes) -> AskedProfile: ...

    def read_start(self, payload: bytes) -> StartProfile | None:
        """The profile of a RemoteStart / RequestStart; None if it carries none."""

    def read_clear(self, payload: bytes) -> ProfileFilter: ...

    def read_composite(self, payload: bytes) -> AskedSchedule: ...

    def answer_set(self, refusal: Refusal | None) -> bytes:
        """Also to an UpdateDynamicSchedule. Raises CallError where the version has no other way to say it."""

    def answer_start_refused(self, refusal: Refusal) -> bytes:
        """To a RemoteStart / RequestStart whose profile is refused: nothing starts."""

    def answer_clear(self, found: bool) -> bytes: ...

    def answer_composite(self, told: CompositeSchedule | Refusal) -> bytes: ...

    def notify_limit(
        self, evse: int, source: str, schedule: Schedule | None, is_grid_critical: bool = False
    ) -> Message | None:
        """None where the version can't tell it (1.6, which has MeterValues only)."""

    def cleared_limit(self, evse: int, source: str) -> Message | None: ...

    def set_profile(self, evse: int, profile: ChargingProfile) -> Message:
        """For a station. Raises ValueError for a profile that the version can't express."""

    def clear_profiles(self, asked: ProfileFilter) -> Message:
        """For a station. Raises ValueError for a filter that the version can't express."""

    def get_profiles(self, request: int, asked: ProfileFilter) -> Message | None:
        """For a station; None where it can't be asked (1.6)."""

    def get_composite(self, asked: AskedSchedule) -> Message: ...

    def is_accepted(self, payload: bytes | None) -> bool:
        """Whether a station's answer says Accepted."""

    def is_refused(self, payload: bytes | None) -> bool:
        """Whether it clearly says no. One that can't be read says neither."""

    def read_composite_answer(self, payload: bytes | None) -> CompositeSchedule | None: ...


_2X = {"2.0.1": Profiles20x("2.0.1"), "2.1": Profiles20x("2.1")}
PROFILE_CODECS: Mapping[str, ProfileCodec] = MappingProxyType({"1.6": Profiles16(), **_2X})
"""By the dialect's name."""
REPORTING: Mapping[str, Profiles20x] = MappingProxyType(_2X)
"""The versions in which profiles are also reported, and in 2.1 changed while they are in force."""
