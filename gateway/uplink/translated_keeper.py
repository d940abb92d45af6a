"""What the gateway itself keeps of a station, for translated commands about what OCPP 1.6 does not tell."""

from collections.abc import Sequence

from gateway.dialects.translate.base import HeldProfile
from gateway.flows import applied, site_facts
from gateway.model.token import IdToken
from gateway.model.transaction import Transaction
from gateway.site import Site
from gateway.station import Station

MOST_SESSIONS = 100
"""Of one customer, in one report."""


class GatewayKeeper:
    """Of one station; looked up when it is asked for."""

    def __init__(self, site: Site, station: Station) -> None:
        self._site = site
        self._station = station

    def profiles(self) -> Sequence[HeldProfile] | None:
        """With the gateway's own limits. A profile that waits for its transaction is not in force yet."""
        site, station = self._site, self._station.id
        if not site.balancer.is_member(station):
            return None
        held = (*site_facts.held_of(site, station), *applied.as_external(site, station))
        return [HeldProfile(one.evse, one.source, one.profile) for one in held if one.waits_until is None]

    def customer(self, token: IdToken) -> Sequence[str]:
        """Cache, local list, sessions at this station: the newest first."""
        site, station = self._site, self._station.id
        known, listed = site.tokens.cache.of_key(token.key), site.tokens.lists.find(station, token)
        lines = []
        if known is not None:
            said = _verdict(known.status, known.group, known.expiry)
            lines.append(f"authorization cache: {said}, said {known.seen:%Y-%m-%d}, used {known.used:%Y-%m-%d}")
        if listed is not None and listed.verdict is not None:
            verdict = listed.verdict
            lines.append(f"local list: {_verdict(verdict.status, verdict.group, verdict.expiry)}")
        own = [one for one in site.ledger.transactions.values() if one.station == station and _is_of(one, token)]
        newest = sorted(own, key=lambda one: -one.key)
        lines += [self._session(one) for one in newest[:MOST_SESSIONS]]
        if len(newest) > MOST_SESSIONS:
            lines.append(f"and {len(newest) - MOST_SESSIONS} older sessions")
        return lines

    def _session(self, one: Transaction) -> str:
        name = self._site.translations.csms_id(one) or f"{one.station_tx_id} (at the station)"
        begin, end = one.meter_start_wh, one.meter_stop_wh
        energy = f", {end - begin} Wh" if begin is not None and end is not None else ""
        return f"session {name}: EVSE {one.evse}, from {one.started} to {one.ended or one.state}{energy}"


def _is_of(transaction: Transaction, token: IdToken) -> bool:
    return transaction.token is not None and transaction.token.casefold() == token.folded


def _verdict(status: str, group: str | None, expiry: str | None) -> str:
    return status + (f", group {group}" if group else "") + (f", until {expiry}" if expiry else "")
