"""CustomerInformation of a CSMS of 2.x at a 1.6 station, which can't be asked: what the gateway keeps of a customer."""

from gateway.dialects.payloads import member, text, wire_time
from gateway.dialects.profile_payloads import flag
from gateway.dialects.translate import tokens
from gateway.dialects.translate.base import Command, Facts, Json, Loss, Message, Reply, Steps, answered
from gateway.dialects.translate.parts import ACCEPTED, failed, needed, said
from gateway.model.token import IdToken

LOSSES = (
    Loss("customer-report", "1.6 -> 2.0.1", "what a station knows of a customer",
         "what the gateway keeps: its cache, the local list, sessions at that station"),
    Loss("customer-clear", "2.0.1 -> 1.6", "to clear what is known of one customer",
         "the gateway's cache forgets the token; the station's is cleared as a whole (ClearCache)"),
)  # fmt: skip

_LONGEST = 512
"""Characters in one NotifyCustomerInformation."""

_NOTHING = "the gateway keeps nothing of this customer"
_NOT_TOLD = "what the station itself keeps is not told: OCPP 1.6 has no word for it"


def customer_on_16(payload: Json, facts: Facts) -> Steps:
    """A customer is known by the idToken; not by a contract's certificate, nor by a name of the CSMS's."""
    token = tokens.read_token(payload)
    if token is None or not token[0]:
        if text(payload.get("customerIdentifier")) or member(payload, "customerCertificate"):
            return answered(Reply(said("Rejected", "UnsupportedRequest", "a customer is known by an idToken only")))
        return answered(Reply(said("Invalid", "MissingParam", "no customer is named")))
    is_told, is_cleared = flag(payload.get("report")), flag(payload.get("clear"))
    if not (is_told or is_cleared):
        return answered(Reply(said("Rejected", "InvalidValue", "neither report nor clear")))
    known_as = IdToken(tokens.tag_of(*token)[0])
    messages = _report(known_as, needed(payload, "requestId"), facts) if is_told else ()
    return _answer(messages, known_as if is_cleared else None)


def _answer(messages: tuple[Message, ...], forgotten: IdToken | None) -> Steps:
    """What is told is what was there before."""
    losses: tuple[str, ...] = ("customer-report",) if messages else ()
    if forgotten is not None:
        outcome = yield Command("ClearCache", {}, forgets=forgotten)
        if outcome.payload is None:
            return failed(outcome)
        losses += ("customer-clear",)
    return Reply(ACCEPTED, then=messages, losses=losses)


def _report(token: IdToken, request: int, facts: Facts) -> tuple[Message, ...]:
    told = "\n".join([*(facts.keeper.customer(token) or [_NOTHING]), _NOT_TOLD])
    parts = [told[at : at + _LONGEST] for at in range(0, len(told), _LONGEST)]
    return tuple(
        Message(
            "NotifyCustomerInformation",
            {
                "requestId": request,
                "generatedAt": wire_time(facts.now),
                "seqNo": number,
                "tbc": number < len(parts) - 1,
                "data": part,
            },
        )
        for number, part in enumerate(parts)
    )
