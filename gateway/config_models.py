"""Sections of the configuration file: one frozen model each, and the checks that need one section only.

A field's description is its remedy: the sentence an installer reads when the value is wrong.
"""

import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from gateway.config_connector import Connector
from gateway.config_section import Clash, Section
from gateway.config_tags import TagsFileOption
from gateway.config_values import (
    DIRECT_ACTIONS,
    INSECURE_REMEDY,
    AnswerDelay,
    CertificateFile,
    CsmsUrl,
    KeyFile,
    ListenAddress,
    MessageBytes,
    OptionalSeconds,
    PathName,
    PathPrefix,
    Pattern,
    Ping,
    Profile,
    Quirks,
    Seconds,
    SecondsOrZero,
    Secret,
    SecretEnv,
    SecretFile,
    Topology,
    Version,
    identity,
    no_repeats,
)
from gateway.model.ids import StationId


def _both(section: Section, name: str) -> Iterator[Clash]:
    pair = (f"{name}_env", f"{name}_file")
    if all(getattr(section, key) is not None for key in pair):
        yield Clash(pair, f"{name}_file is there too", "Keep one of the two.")


class Leg(Section):
    """What both listeners and the uplink have."""

    security_profile: Profile = 2
    allow_insecure: bool = Field(default=False, description=INSECURE_REMEDY)
    password_file: SecretFile = None
    password_env: SecretEnv = None
    ping_interval_s: Ping = 20.0
    max_message_bytes: MessageBytes = 1024**2

    @property
    def password(self) -> Secret | None:
        """Default credential of every station on this leg."""
        return self.password_file or self.password_env

    def clashes(self) -> Iterator[Clash]:
        yield from _both(self, "password")
        if self.security_profile == 0 and self.password:
            key = "password_file" if self.password_file else "password_env"
            yield Clash((key, "security_profile"), "profile 0 has no passwords", "Use profile 1 or 2, or take it out.")


class Downlink(Leg):
    """A listener for stations."""

    listen: ListenAddress
    path: PathPrefix = "/ocpp"
    unknown_stations: Literal["approve", "accept", "refuse"] = "approve"
    certificate_file: CertificateFile = None
    key_file: KeyFile = None
    legacy_certificate_file: CertificateFile = None
    legacy_key_file: KeyFile = None
    default_version: Version = "1.6"
    max_connections: int = Field(default=1000, ge=1, le=100_000, description="Write a whole number, 1 to 100000.")
    handshake_timeout_s: Seconds = 10.0
    circuit: str | None = Field(
        default=None, description="Name the circuit that stations of this listener count in if they are in none."
    )
    rating_a: float = Field(
        default=32.0, gt=0, le=1000, description="Write amperes a phase: the most such a station can draw."
    )

    def clashes(self) -> Iterator[Clash]:
        yield from super().clashes()
        if self.security_profile == 0 and not self.allow_insecure:
            yield Clash(
                ("security_profile", "allow_insecure"),
                "profile 0 has neither password nor TLS: whoever reaches this listener can pose as any station",
                "Use 2 or 1; to open it all the same, add allow_insecure = true.",
            )
        if self.security_profile == 2:
            for key in ("certificate_file", "key_file"):
                if getattr(self, key) is None:
                    remedy = type(self).model_fields[key].description or ""
                    yield Clash((key, "security_profile"), "is missing; profile 2 needs it", remedy)
        yield from self._tls_clashes("certificate_file", "key_file")
        yield from self._tls_clashes("legacy_certificate_file", "legacy_key_file")

    def _tls_clashes(self, certificate_key: str, key_key: str) -> Iterator[Clash]:
        pair = (certificate_key, key_key)
        given = [key for key in pair if getattr(self, key) is not None]
        if self.security_profile != 2:
            for key in given:
                reason = f"profile {self.security_profile} has no TLS"
                yield Clash((key, "security_profile"), reason, "Take the key out, or use security_profile = 2.")
        elif len(given) == 1 and certificate_key.startswith("legacy"):
            other = next(key for key in pair if key not in given)
            yield Clash((other, given[0]), f"is missing; {given[0]} needs it", "Give both of the pair, or none.")
        elif len(given) == 2 and (problem := _tls_pair_problem(getattr(self, certificate_key), getattr(self, key_key))):
            remedy = f"Check that {key_key} holds the unencrypted PEM key of {certificate_key}."
            yield Clash(pair, problem, remedy)

    def cautions(self) -> Iterator[str]:
        if self.security_profile == 0:
            yield "security profile 0: whoever reaches this listener can pose as any station"
        elif self.unknown_stations == "accept" and self.password is None:
            yield 'unknown stations are served with any password: set one, or unknown_stations = "approve"'


def _tls_pair_problem(certificate: Path, key: Path) -> str | None:
    """None if a TLS server can use the two."""
    try:
        # The callback keeps OpenSSL from asking for a passphrase on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the certificate and the key do not belong together"
        return f"certificate and key cannot be used ({error.reason or 'not PEM'})"
    except (OSError, ValueError):
        return "certificate and key cannot be read"
    return None


class Uplink(Leg):
    """The way to the CSMS."""

    url: CsmsUrl
    topology: Topology = "per-station"
    versions: Annotated[tuple[Version, ...], AfterValidator(no_repeats)] | None = Field(
        default=None, strict=False, min_length=1, description='Write a list such as ["2.0.1", "1.6"], or take it out.'
    )
    ca_file: Annotated[CertificateFile, Field(description="Give the path of a PEM file with the CSMS's root.")] = None
    call_timeout_s: Seconds = 30.0
    retry_wait_min_s: Seconds = 10.0
    retry_random_range_s: SecondsOrZero = 10.0
    retry_repeat_times: int = Field(default=5, ge=0, le=16, description="Write a whole number, 0 to 16.")
    grace_s: SecondsOrZero = 15.0
    direct_actions: Annotated[tuple[str, ...], AfterValidator(no_repeats)] = Field(
        default=DIRECT_ACTIONS,
        strict=False,
        description='Write a list of OCPP actions, such as ["GetDiagnostics"]; [] = none.',
    )

    @property
    def is_loopback(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def clashes(self) -> Iterator[Clash]:
        yield from super().clashes()
        is_tls = self.url.startswith("wss:")
        if is_tls != (self.security_profile == 2):
            remedy = "Use security_profile = 2." if is_tls else "Use a wss:// URL, or security_profile = 1 or 0."
            problem = f"{self.security_profile} does not go with a {'wss' if is_tls else 'ws'}:// URL"
            yield Clash(("security_profile", "url"), problem, remedy)
        elif not (is_tls or self.is_loopback or self.allow_insecure):
            problem = f"profile {self.security_profile} sends everything in the clear to another machine"
            remedy = "Use wss:// and 2; to send it in the clear all the same, add allow_insecure = true."
            yield Clash(("security_profile", "url", "allow_insecure"), problem, remedy)
        if self.topology == "aggregate" and len(self.versions or ()) != 1:
            said = "names several" if self.versions else "is missing"
            problem = f"{said}; the site as one station speaks one version"
            remedy = 'Write the one that the CSMS speaks, such as versions = ["1.6"].'
            yield Clash(("versions", "topology"), problem, remedy)
        if self.ca_file and not is_tls:
            yield Clash(("ca_file", "url"), "a ws:// URL has no TLS", "Take the key out, or use wss://.")
        elif self.ca_file and not _holds_certificates(self.ca_file):
            yield Clash(("ca_file",), "holds no certificate", "Give a PEM file with the CSMS's root certificate.")

    def cautions(self) -> Iterator[str]:
        if self.security_profile < 2 and not self.is_loopback:
            yield f"security profile {self.security_profile}: everything goes to the CSMS in the clear"


def _holds_certificates(path: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError):
        return False
    return True


class Authorization(Section):
    """What drivers are told while the CSMS can't be asked, and after it has spoken late."""

    offline: Literal["known-only", "allow-unknown", "deny"] = "known-only"
    on_late_refusal: Literal["station", "stop", "limit-to-zero", "report"] = "station"
    pre_authorize: bool = Field(default=False, description="Write true or false.")
    concurrent: Literal["refuse", "allow"] = "refuse"
    contracts: Literal["refuse", "known"] = "refuse"
    master_pass_group: str | None = Field(
        default=None, min_length=1, max_length=255, description="Give the id of a group, as the CSMS names it."
    )
    tags_file: TagsFileOption = None
    cache_entries: int = Field(
        default=10_000, ge=100, le=1_000_000, description="Write a whole number, 100 to 1000000."
    )
    cache_lifetime_days: int = Field(
        default=30, ge=0, le=3650, description="Write a whole number of days, at most 3650; 0 = for ever."
    )

    def cautions(self) -> Iterator[str]:
        if self.contracts == "known":
            yield "contracts that the station has checked itself are accepted without asking whether they are revoked"


class Station(Section):
    """What is known of one station beforehand."""

    id: Annotated[StationId, AfterValidator(identity)] = Field(
        description='Give 1 to 48 characters without "/": the last part of the URL the station connects to.'
    )
    alias: Annotated[tuple[PathName, ...], AfterValidator(no_repeats)] = Field(
        default=(), strict=False, description='Write a list of path names, such as ["box-1"]; 1 to 48 characters each.'
    )
    password_file: SecretFile = None
    password_env: SecretEnv = None
    uplink_password_file: SecretFile = None
    uplink_password_env: SecretEnv = None
    version: Version | None = None
    station_timeout_s: OptionalSeconds = None
    min_answer_delay_ms: AnswerDelay = 0
    ping: bool = Field(default=True, description="Write true or false.")
    ignore_basic_user: bool = Field(default=False, description="Write true or false.")
    quirks: Quirks = ()
    circuit: str | None = Field(default=None, description="Name the circuit that feeds it; left out: none is shared.")
    elsewhere: bool = Field(default=False, description="Write true if none of the circuits feeds it.")
    connectors: tuple[Connector, ...] = Field(
        default=(),
        strict=False,
        description='Write a list such as [{ phases = "L1L2L3", max_a = 32 }]; see the reference.',
    )
    limit_a: float | None = Field(
        default=None, gt=0, le=10_000, description="Write amperes a phase: the fuse of the station itself."
    )
    family: str | None = Field(default=None, description="Name a family of stations; left out: that of [balance].")
    proven: bool = Field(
        default=False, description="Write true only if it was seen to step down by itself at the end of a lease."
    )

    @property
    def password(self) -> Secret | None:
        """What the station shows us."""
        return self.password_file or self.password_env

    @property
    def uplink_password(self) -> Secret | None:
        """What we show the CSMS for it."""
        return self.uplink_password_file or self.uplink_password_env

    def clashes(self) -> Iterator[Clash]:
        yield from _both(self, "password")
        yield from _both(self, "uplink_password")
        if self.id in self.alias:
            yield Clash(("alias", "id"), "repeats the station's own id", "Take it out of the list.")
        if self.elsewhere and self.circuit is not None:
            yield Clash(("elsewhere", "circuit"), "it is in a circuit", "Keep one of the two.")

    def cautions(self) -> Iterator[str]:
        if self.password and self.uplink_password and self.password.reveal() == self.uplink_password.reveal():
            yield "the station and the CSMS have the same password; each leg should have its own"


class Model(Section):
    """What is known of all stations of a model; a station's own section adds to it."""

    vendor: Pattern
    model: Pattern = "*"
    quirks: Quirks = ()
    min_answer_delay_ms: AnswerDelay = 0
    ping: bool = Field(default=True, description="Write true or false.")

    def cautions(self) -> Iterator[str]:
        if not self.quirks and not self.min_answer_delay_ms and self.ping:
            yield "says nothing of these stations: give quirks, min_answer_delay_ms or ping"


class Budgets(Section):
    """How long an answer to a station waits for the CSMS."""

    authorize_s: Seconds = 4.0
    start_s: Seconds = 8.0
    other_s: Seconds = 5.0
    suspect_s: Seconds = 0.5


class Time(Section):
    """What is known of the box's own clock."""

    require_sync: bool = Field(default=False, description="Write true or false.")
    trust_system_clock: bool = Field(default=False, description="Write true or false.")


class Grace(Section):
    """How long a station that comes up is asked nothing."""

    after_boot_s: SecondsOrZero = 1.0
    after_reconnect_s: SecondsOrZero = 5.0


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
