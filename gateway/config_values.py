"""Values of the configuration file: how each kind is read, refused and kept from view.

A reader raises `fault` in the installer's words. None repeats a value that may hold a password.
"""

import ipaddress
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo
from pydantic_core import PydanticCustomError

SHORT_PASSWORD = 16
"""Bytes; the least both OCPP versions ask of a password."""
_LONGEST_PASSWORD = 1024
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104  compared with, not bound


class Secret:
    """Bytes that no repr, str, log line or dump shows. `source` says where they came from."""

    __slots__ = ("_value", "source")

    def __init__(self, value: bytes, source: str) -> None:
        self._value = value
        self.source = source

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return f"<hidden, from {self.source}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._value, self.source) == (other._value, other.source)

    def __hash__(self) -> int:
        return hash((self._value, self.source))


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds. Port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def collides(self, other: "Address") -> bool:
        """True if the second of the two could not bind."""
        if self.port != other.port or self.port == 0:
            return False
        same_family = (":" in self.host) == (":" in other.host)
        return self.host == other.host or (same_family and bool({self.host, other.host} & _WILDCARDS))


@dataclass(slots=True)
class Context:
    """Validation context: where relative paths start, and the warnings met on the way."""

    folder: Path
    warnings: list[str] = field(default_factory=list)


def fault(problem: str, remedy: str = "") -> PydanticCustomError:
    """A mistake in the installer's words; without a remedy the field's description is used."""
    return PydanticCustomError("gateway", "{problem}", {"problem": problem, "remedy": remedy})


def _context(info: ValidationInfo) -> Context:
    return info.context if isinstance(info.context, Context) else Context(Path.cwd())


def path_of(value: object, info: ValidationInfo) -> Path:
    if not value or not isinstance(value, str | Path):
        raise fault("is not a path in quotes")
    return _context(info).folder / value


def content_of(path: Path, info: ValidationInfo, limit: int) -> bytes:
    """Names no path: a password pasted here by mistake must not reach the log."""
    context = _context(info)
    try:
        mode = path.stat().st_mode
        content = None
        if stat.S_ISREG(mode):  # a pipe would block, a device never end
            with path.open("rb") as file:
                content = file.read(limit + 1)
    except FileNotFoundError:
        remedy = f"Create it, or correct the path; relative ones start at {context.folder}."
        raise fault("the file is not there", remedy) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no usable path"
        raise fault(
            f"the file cannot be read ({reason})", "Correct the path, or let the gateway's user read it."
        ) from None
    if content is None:
        raise fault("is not a file")
    if not content:
        raise fault("the file is empty", "Put the content in, or take the key out.")
    if (info.field_name or "").endswith(("password_file", "key_file")) and mode & 0o077:
        context.warnings.append(f"{info.field_name}: other users of this machine may read it; chmod 600 closes it")
    return content


def _file(value: object, info: ValidationInfo) -> Path | None:
    if value is None:
        return None
    path = path_of(value, info)
    content_of(path, info, limit=1)
    return path


def _folder(value: object, info: ValidationInfo) -> Path:
    path = path_of(value, info)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return path
    except (OSError, ValueError) as error:
        raise fault(f"is no usable path ({getattr(error, 'strerror', None) or 'it holds a NUL'})") from None
    if not is_folder:
        raise fault("is a file, not a folder")
    return path


def _judged(value: bytes, source: str, info: ValidationInfo) -> Secret:
    if not value:
        raise fault("the password is empty", "Give at least one byte, better 16 or more.")
    warnings = _context(info).warnings
    if len(value) < SHORT_PASSWORD:
        warnings.append(f"{info.field_name}: the password has fewer than {SHORT_PASSWORD} bytes")
    if value.endswith(b"\r"):
        warnings.append(f"{info.field_name}: the password ends in a carriage return; was the file saved on Windows?")
    return Secret(value, source)


def _secret_of_file(value: object, info: ValidationInfo) -> Secret | None:
    if value is None or isinstance(value, Secret):
        return value
    path = path_of(value, info)
    content = content_of(path, info, _LONGEST_PASSWORD + 1).removesuffix(b"\n")
    if len(content) > _LONGEST_PASSWORD:
        raise fault(f"the file has more than {_LONGEST_PASSWORD} bytes", "Put nothing but the password in it.")
    return _judged(content, f"file {path}", info)


def _secret_of_env(value: object, info: ValidationInfo) -> Secret | None:
    if value is None or isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise fault("is not the name of an environment variable")
    if value not in os.environ:
        raise fault("no environment variable has this name", "Set it for the service, or use the password file.")
    return _judged(os.fsencode(os.environ[value]), f"environment variable {value}", info)


def _address(value: object) -> Address:
    if isinstance(value, Address):
        return value
    text = value if isinstance(value, str) else ""
    match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise fault("is not host:port")
    host = match[2]
    try:
        if host is None:
            host = str(ipaddress.IPv6Address(match[1]))
        elif re.fullmatch(r"[0-9.]+", host):
            host = str(ipaddress.IPv4Address(host))
    except ValueError:
        raise fault("has a host that is no IP address") from None
    return Address(host, int(match[3]))


def _prefix(value: str) -> str:
    if not re.fullmatch(r"/|(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+/?", value):
        raise fault("is not a path")
    return value.rstrip("/") or "/"


def identity(value: str) -> str:
    if ":" in value:
        raise fault('has ":", which a Basic user name cannot carry; give such a name as an alias')
    return path_name(value)


def path_name(value: str) -> str:
    if not 1 <= len(value) <= 48:
        raise fault(f"has {len(value)} characters")
    if "/" in value or not value.isprintable() or value != value.strip() or value in {".", ".."}:
        raise fault('has "/", a control character, a space at an end, or only dots')
    return value


def _boot_text(longest: int) -> Callable[[str | None], str | None]:
    def judged(value: str | None) -> str | None:
        if value is not None and (not 1 <= len(value) <= longest or not value.isprintable() or value != value.strip()):
            raise fault(f"is empty, longer than {longest} characters, or has a space at an end")
        return value

    return judged


def _title(value: str) -> str:
    if not 1 <= len(value) <= 100 or not value.isprintable() or not value.strip():
        raise fault("is empty, longer than 100 characters, or has control characters")
    return value


def _url(value: str) -> str:
    """Never repeats the value: it may hold a password."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise fault("is not a URL") from None
    if parts.scheme not in {"ws", "wss"}:
        raise fault("does not start with ws:// or wss://")
    if parts.username is not None or parts.password is not None:
        raise fault("holds a user name or password", "Take it out of the URL; passwords go into password_file.")
    if "?" in value or "#" in value:
        raise fault("has a query or fragment", 'Take "?" or "#" and what follows out.')
    if not host or not re.fullmatch(r"[A-Za-z0-9\-._~:/\[\]!$&'()*+,;=%@]+", value):
        raise fault("has no host, or characters a URL does not take")
    return (parts.scheme + value[len(parts.scheme) :]).rstrip("/")


def _profile(value: object) -> object:
    if type(value) is int and value == 3:
        raise fault("security profile 3 (client certificates) is not in this version yet", "Use 2.")
    if type(value) is not int or value not in {0, 1, 2}:
        raise fault("is not 0, 1 or 2")
    return value


def no_repeats(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) != len(value):
        raise fault("names something twice", "Name each once.")
    return value


_PASSWORD_FILE = "Give the path of a file that holds the password and nothing else."  # noqa: S105
_PASSWORD_ENV = "Give the name of the environment variable that holds the password, never the password."  # noqa: S105
_CERTIFICATE = "Give the path of a PEM file: the certificate, then its intermediates."
_KEY = "Give the path of the PEM file with the certificate's private key, without a passphrase."
INSECURE_REMEDY = "Write true only if everybody who reaches this network may be trusted."

Version = Literal["1.6", "2.0.1", "2.1"]
DIRECT_ACTIONS = ("GetConfiguration", "GetDiagnostics", "GetLog", "GetVariables", "TriggerMessage", "UnlockConnector")
"""What the CSMS of a site that is one station may send to one of its stations, unless the file says otherwise."""
VERSIONS: tuple[Version, ...] = ("1.6", "2.0.1", "2.1")
Quirk = Literal[
    "empty-values",
    "capitalised-keys",
    "numbers-as-text",
    "text-as-numbers",
    "enum-spellings",
    "strip-nulls",
    "missing-connector-id",
    "long-boot-texts",
    "long-id-tag",
    "history-at-first-connect",
]
"""What docs/quirks.md explains; a test compares the names with those of `dialects.quirks`."""
SecretFile = Annotated[
    Secret | None,
    BeforeValidator(_secret_of_file),
    PlainSerializer(repr, when_used="unless-none"),
    Field(description=_PASSWORD_FILE),
]
SecretEnv = Annotated[
    Secret | None,
    BeforeValidator(_secret_of_env),
    PlainSerializer(repr, when_used="unless-none"),
    Field(description=_PASSWORD_ENV),
]
CertificateFile = Annotated[Path | None, BeforeValidator(_file), Field(description=_CERTIFICATE)]
KeyFile = Annotated[Path | None, BeforeValidator(_file), Field(description=_KEY)]
AnyFile = Annotated[Path | None, BeforeValidator(_file), Field(description="Give the path of a file.")]
Identity = Annotated[str, AfterValidator(identity)]
ShortText = Annotated[str, AfterValidator(_boot_text(20))]
SerialText = Annotated[str | None, AfterValidator(_boot_text(25))]
FirmwareText = Annotated[str | None, AfterValidator(_boot_text(50))]
PathName = Annotated[str, AfterValidator(path_name)]
Title = Annotated[str, AfterValidator(_title)]
Folder = Annotated[Path, BeforeValidator(_folder)]
Topology = Literal["per-station", "aggregate"]
ListenAddress = Annotated[
    Address,
    BeforeValidator(_address),
    PlainSerializer(str),
    Field(description='Write "host:port", such as "0.0.0.0:8887" or "[::]:8887"; 0.0.0.0 means every interface.'),
]
PathPrefix = Annotated[
    str, AfterValidator(_prefix), Field(description='Start it with "/", such as "/ocpp"; no "?", "#", "%" or "//".')
]
CsmsUrl = Annotated[
    str,
    AfterValidator(_url),
    Field(description='Write the CSMS\'s URL without the identity, such as "wss://csms.example.com/ocpp".'),
]
Profile = Annotated[
    Literal[0, 1, 2],
    BeforeValidator(_profile),
    Field(description="Write 2 (TLS and password), 1 (password, no TLS) or 0 (neither)."),
]
MessageBytes = Annotated[
    int, Field(ge=64 * 1024, le=64 * 1024**2, description="Write a whole number of bytes, 65536 to 67108864.")
]
Ping = Annotated[float, Field(ge=0, le=3600, description="Write seconds between pings, at most 3600; 0 = no pings.")]
_SECONDS = Field(gt=0, le=3600, description="Write seconds, more than 0 and at most 3600.")
Seconds = Annotated[float, _SECONDS]
OptionalSeconds = Annotated[float | None, _SECONDS]
Attempts = Annotated[int, Field(ge=1, le=100, description="Write a whole number, 1 to 100.")]
AnswerDelay = Annotated[int, Field(ge=0, le=10_000, description="Write a whole number, 0 to 10000.")]
Quirks = Annotated[
    tuple[Quirk, ...],
    AfterValidator(no_repeats),
    Field(strict=False, description='Write a list such as ["capitalised-keys"]; docs/quirks.md explains each.'),
]
Pattern = Annotated[
    str,
    AfterValidator(_title),
    Field(
        description='Write what the station\'s BootNotification says, such as "Volt" or "Volt*"; case does not matter.'
    ),
]
SecondsOrZero = Annotated[float, Field(ge=0, le=3600, description="Write seconds, 0 to 3600.")]
