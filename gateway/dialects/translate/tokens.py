"""Tokens and verdicts: idTag and idTagInfo (1.6) against idToken and idTokenInfo (2.x).

A token is never cut: one that is too long for the other version gets an alias made of its hash, the same at every
station and after every restart, and known both ways for good.
"""

import base64
import hashlib
from collections.abc import Mapping

from gateway.dialects.payloads import member, text
from gateway.dialects.translate.base import Alias, Json, Loss

MAX_TAG = 20
LONGEST = {"2.0.1": 36, "2.1": 255}
"""Characters of an idToken by version."""

DEFAULT_TYPE = "ISO14443"
CENTRAL = "Central"
NO_AUTHORIZATION = "NoAuthorization"
"""The type of 2.x whose value is empty; also the idTag that stands for it in 1.6."""

LOSSES = (
    Loss("token-type", "1.6 -> 2.0.1", "an idTag has no type", "ISO14443, or the type it first came down with"),
    Loss("token-alias", "2.0.1 -> 1.6", "an idToken of more than 20 characters", "an alias of 20, made of its hash"),
    Loss("no-authorization", "2.0.1 -> 1.6", "a start without a token (NoAuthorization)", "the idTag NoAuthorization"),
    Loss("token-extra", "2.0.1 -> 1.6", "additionalInfo and certificates of a token", "left out"),
    Loss("verdict", "2.0.1 -> 1.6", "NoCredit, NotAllowedTypeEVSE, NotAtThisLocation, NotAtThisTime", "Blocked"),
    Loss("verdict-unknown", "2.0.1 -> 1.6", "Unknown", "Invalid"),
    Loss("verdict-words", "2.0.1 -> 1.6", "chargingPriority, language, personalMessage, evseId", "left out"),
    Loss("group-type", "1.6 -> 2.0.1", "a parentIdTag has no type", "Central"),
)

_REFUSED = dict.fromkeys(("NoCredit", "NotAllowedTypeEVSE", "NotAtThisLocation", "NotAtThisTime"), "Blocked")
_TO_16 = {**_REFUSED, "Unknown": "Invalid"}
_KNOWN_16 = frozenset(("Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx"))


def alias_of(value: str, kind: str) -> Alias:
    """The stand-in for a token, of 20 characters; spelling in small or capital letters makes no difference."""
    digest = hashlib.sha256(f"{value.casefold()}|{kind.casefold()}".encode(errors="replace")).digest()
    return Alias(f"GW{base64.b32encode(digest).decode()[:18]}", value, kind)


def tag_of(value: str, kind: str) -> tuple[str, Alias | None]:
    """The idTag of a 2.x token, and the alias it stands for if it is one."""
    if kind == NO_AUTHORIZATION or not value:
        return NO_AUTHORIZATION, Alias(NO_AUTHORIZATION, "", NO_AUTHORIZATION)
    if len(value) <= MAX_TAG:
        return value, None
    alias = alias_of(value, kind)
    return alias.alias, alias


def token_of(
    tag: str, aliases: Mapping[str, Alias], version: str, kind: str = DEFAULT_TYPE
) -> tuple[Json, Alias | None]:
    """The idToken of an idTag; with an alias where a station's idTag is too long even for this version."""
    known = aliases.get(tag.casefold())
    if known is not None:
        return {"idToken": known.value, "type": known.type}, None
    if len(tag) > LONGEST.get(version, 36):
        alias = alias_of(tag, kind)
        return {"idToken": alias.alias, "type": kind}, alias
    return {"idToken": tag, "type": kind}, None


def read_token(found: Json) -> tuple[str, str] | None:
    """Value and type of the `idToken` member of a 2.x message; None if there is none."""
    token = member(found, "idToken")
    value, kind = text(token.get("idToken")), text(token.get("type")) or ""
    return None if value is None and not kind else (value or "", kind)


def tag_info(info: Json) -> tuple[Json, list[Alias]]:
    """An idTagInfo of an idTokenInfo."""
    status = text(info.get("status")) or ""
    status = _TO_16.get(status, status)
    made: Json = {"status": status if status in _KNOWN_16 else "Invalid"}
    expiry = text(info.get("cacheExpiryDateTime"))
    if expiry:
        made["expiryDate"] = expiry
    aliases = []
    group = member(info, "groupIdToken")
    value = text(group.get("idToken"))
    if value:
        made["parentIdTag"], alias = tag_of(value, text(group.get("type")) or CENTRAL)
        aliases = [alias] if alias else []
    return made, aliases


def token_info(info: Json, aliases: Mapping[str, Alias], version: str) -> tuple[Json, list[Alias]]:
    """An idTokenInfo of an idTagInfo."""
    status = text(info.get("status")) or ""
    made: Json = {"status": status if status in _KNOWN_16 else "Invalid"}
    expiry = text(info.get("expiryDate"))
    if expiry:
        made["cacheExpiryDateTime"] = expiry
    parent = text(info.get("parentIdTag"))
    if not parent:
        return made, []
    made["groupIdToken"], alias = token_of(parent, aliases, version, CENTRAL)
    return made, [alias] if alias else []
