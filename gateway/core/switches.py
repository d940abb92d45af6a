"""What the CSMS has set of offline authorization at a station, and what that makes of the site's own policy."""

from dataclasses import dataclass, replace
from datetime import timedelta

from gateway.core.authorize import AuthorizationOptions
from gateway.model.token import OfflineMode


@dataclass(frozen=True, slots=True)
class Switches:
    """None: the CSMS never set it. `cache_lifetime_s`: after the last use of a token."""

    local_offline: bool | None = None
    allow_unknown: bool | None = None
    pre_authorize: bool | None = None
    cache: bool | None = None
    local_list: bool | None = None
    cache_lifetime_s: int | None = None
    master_group: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """By what a token is judged at one station."""

    mode: OfflineMode
    options: AuthorizationOptions


def policy(mode: OfflineMode, options: AuthorizationOptions, said: Switches) -> Policy:
    """The CSMS's word goes before the configuration's, but what the configuration denies it can't open."""
    if mode is not OfflineMode.DENY and said.allow_unknown is not None:
        mode = OfflineMode.ALLOW_UNKNOWN if said.allow_unknown else OfflineMode.KNOWN_ONLY
    lifetime = said.cache_lifetime_s
    return Policy(
        mode,
        replace(
            options,
            pre_authorize=options.pre_authorize if said.pre_authorize is None else said.pre_authorize,
            is_off=said.local_offline is False,
            uses_cache=said.cache is not False,
            uses_lists=said.local_list is not False,
            cache_lifetime=options.cache_lifetime if lifetime is None else timedelta(seconds=lifetime),
            master_group=said.master_group or options.master_group,
        ),
    )
