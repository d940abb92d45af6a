"""Messages on their way up: what a translator makes of one, and what stays of it until the CSMS has answered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from gateway.dialects.translate.base import Alias, Edit, Facts, Json, Memory, Refused
from gateway.model.token import Verdict


@dataclass(frozen=True, slots=True)
class Part:
    """A CALL to the CSMS.

    `needs`: the `Tx.station_id` whose `csms_id` its transactionId is, to be filled in when that is known.
    `is_optional`: if the CSMS refuses it, the rest goes on as if it had not.
    """

    action: str
    payload: Json
    needs: str = ""
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Up:
    """One message of a station as CALLs to the CSMS, in order; none: it is answered here.

    `remember` is applied with the decision. `is_booked`: it numbers, opens or closes a transaction at the CSMS, so it
    and what is remembered are on disk before the first part leaves, and no part is ever made again. `tx`:
    `Tx.station_id`.
    `answer`: what the station hears where no part says more.
    """

    parts: tuple[Part, ...] = ()
    remember: Edit | None = None
    is_booked: bool = False
    tx: str = ""
    answer: Json = field(default_factory=dict)
    aliases: tuple[Alias, ...] = ()
    losses: tuple[str, ...] = ()


class FrozenPart(Struct, frozen=True, omit_defaults=True):
    """A part as it goes out, byte for byte, at every repeat. `answer`: the CSMS's; a refused optional one has `{}`."""

    id: str
    action: str
    payload: str
    needs: str = ""
    is_optional: bool = False
    answer: str | None = None


class Frozen(Struct, frozen=True, omit_defaults=True):
    """A booked message after its decision. `source`: what the station's saying it again is known by.

    `is_refused`: the CSMS refused a part of it; only the outbox brings it up again. `is_paid`: it went up although the
    outbox held it no more; if the station says it again, that is the answer.
    """

    source: str
    action: str
    parts: tuple[FrozenPart, ...]
    tx: str = ""
    answer: str = "{}"
    is_refused: bool = False
    is_paid: bool = False

    @property
    def is_done(self) -> bool:
        return all(part.answer is not None for part in self.parts)


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer the station gets, in its own version."""

    payload: Json
    aliases: tuple[Alias, ...] = ()


Said = tuple[str, Json]
"""Action of a part, and the CSMS's answer to it."""

Translator = Callable[[Json, Facts], Up | Refused]


class Direction(Protocol):
    """Messages of stations of one version for a CSMS of another. Everything is pure."""

    up: Mapping[str, Translator]
    """By action; an action in no table is refused."""

    def heard(self, action: str, answer: Json, tx: str, memory: Memory) -> Edit | Refused | None:
        """What the CSMS's answer to a part has to be remembered for; Refused if it is of no use."""

    def verdict(self, part: FrozenPart, answer: Json) -> Verdict | None:
        """What the CSMS's answer to a part says of a running transaction's token, where the station can't be told."""

    def finish(self, action: str, answer: Json, said: Sequence[Said], tx: str, facts: Facts) -> Finished:
        """The station's answer: of its action, the answer where nobody says more, and what the CSMS said."""


def no_edit(memory: Memory) -> Memory:
    return memory


def both(first: Edit, second: Edit) -> Edit:
    return lambda memory: second(first(memory))
