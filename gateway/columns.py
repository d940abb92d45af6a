"""Settings of the stations in two columns, and the passwords of their links, in memory."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from gateway.core import uplink_secret
from gateway.core.switches import Switches
from gateway.model.ids import StationId
from gateway.model.records import Change, Put
from gateway.model.settings import Column, Columns, Key, Learned, Setting, UplinkSecret

_NOTHING_SET = Switches()
NOTHING = Column()
_NO_COLUMNS: Columns = {}


class SiteColumns:
    """What the CSMS believes of each station, and what each holds; changed by `apply` only."""

    def __init__(self) -> None:
        self._of: dict[StationId, dict[str, Column]] = {}
        self.whole: StationId | None = None
        """Where the site is one station to the CSMS: its identity. What is set there counts at every station that
        has nothing of its own."""
        self.secrets: dict[StationId, UplinkSecret] = {}
        self.configured_password: Callable[[StationId], bytes | None] = lambda _: None
        self.used_password: dict[StationId, bytes | None] = {}
        """What the CSMS accepted each link with last."""
        self.to_renew: set[StationId] = set()
        """Whose link was made with another password than the one the CSMS has set since."""
        self.changed = asyncio.Event()
        """Set whenever a column changes; whoever waits for it clears it."""

    def apply(self, record: Setting | UplinkSecret, is_put: bool) -> None:
        """Put one record, or drop it."""
        if isinstance(record, UplinkSecret):
            if is_put:
                self.secrets[record.station] = record
            else:
                self.secrets.pop(record.station, None)
            return
        columns = self._of.setdefault(record.station, {})
        if is_put:
            columns[record.name] = Column(record.believed, record.held)
        else:
            columns.pop(record.name, None)
        self.changed.set()

    def clear(self) -> None:
        self._of.clear()
        self.secrets.clear()
        self.changed.set()

    def of(self, station: StationId) -> Columns:
        """All settings of a station that something is known of."""
        own = self._of.get(station, {})
        whole = {} if self.whole is None else self._of.get(self.whole, {})
        if not whole:
            return own
        return own | {
            name: replace(own.get(name, NOTHING), believed=column.believed)
            for name, column in whole.items()
            if own.get(name, NOTHING).believed is None
        }

    def believed(self, station: StationId, key: Key) -> str | None:
        """What the CSMS has set; None if it never did."""
        own = self._of.get(station, _NO_COLUMNS).get(key, NOTHING).believed
        if own is None and self.whole is not None:
            return self._of.get(self.whole, _NO_COLUMNS).get(key, NOTHING).believed
        return own

    def believed_flag(self, station: StationId, key: Key) -> bool | None:
        """A switch the CSMS has set."""
        value = self.believed(station, key)
        return None if value is None else value.strip().casefold() == "true"

    def believed_number(self, station: StationId, key: Key) -> int | None:
        """A whole number the CSMS has set."""
        value = self.believed(station, key)
        return int(value) if value is not None and value.strip().isdecimal() else None

    def switches(self, station: StationId) -> Switches:
        """What the CSMS has set of offline authorization."""
        if station not in self._of and self.whole not in self._of:
            return _NOTHING_SET
        return Switches(
            local_offline=self.believed_flag(station, Key.LOCAL_AUTHORIZE_OFFLINE),
            allow_unknown=self.believed_flag(station, Key.OFFLINE_UNKNOWN_ID),
            pre_authorize=self.believed_flag(station, Key.LOCAL_PRE_AUTHORIZE),
            cache=self.believed_flag(station, Key.CACHE_ENABLED),
            local_list=self.believed_flag(station, Key.LIST_ENABLED),
            cache_lifetime_s=self.believed_number(station, Key.CACHE_LIFETIME),
            master_group=self.believed(station, Key.MASTER_GROUP),
        )

    def ping_interval_s(self, station: str) -> float | None:
        """How often the CSMS wants its link pinged; 0 = never."""
        return self.believed_number(StationId(station), Key.WEB_SOCKET_PING_INTERVAL)

    def changes(self, station: StationId, learned: Learned) -> list[Change]:
        """What is news in it, to be committed."""
        known = self._of.get(station, {})
        own = {name: self._own(station, name, column) for name, column in learned.columns.items()}
        found: list[Change] = [
            Put(Setting(station, name, column.believed, column.held))
            for name, column in own.items()
            if known.get(name) != column
        ]
        if learned.secret is not None:
            found.append(Put(self._with_secret(station, learned.secret)))
        return found

    def _own(self, station: StationId, name: str, column: Column) -> Column:
        """Without what is the whole site's: that may change."""
        if self.whole in (None, station) or self._of.get(station, {}).get(name, NOTHING).believed is not None:
            return column
        inherited = self._of.get(self.whole, {}).get(name, NOTHING).believed if self.whole else None
        return replace(column, believed=None) if column.believed == inherited else column

    def _with_secret(self, station: StationId, secret: bytes) -> UplinkSecret:
        configured = self.configured_password(station)
        used = self.used_password.get(station, configured)
        return uplink_secret.changed(self.secrets.get(station), station, configured, secret, used)

    def renew(self, station: StationId, secret: bytes) -> None:
        """The CSMS has been promised that this is the password from now on."""
        if self.used_password.get(station) != secret:
            self.to_renew.add(station)

    def stations(self) -> list[StationId]:
        """Stations of which a setting is known."""
        return list(self._of)
