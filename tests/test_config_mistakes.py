"""Every mistake in the configuration file is found, at its place, with a remedy; and all of them at once.

Long because it is mostly data: a line for each mistake.
"""

import os
from pathlib import Path
from typing import IO, Any

import pytest

from gateway.config import Config, ConfigError, load
from tests.config_bench import Bench, pem_files, write


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def pems() -> dict[str, bytes]:
    return pem_files()


Case = tuple[str, str, str, str, str]
"""Section, its text, and what is found: path, problem, remedy."""


def one_mistake(bench: Bench, path: str, problem: str, remedy: str) -> None:
    found = bench.mistakes()
    assert [each.path for each in found] == [path]
    assert problem in found[0].problem
    assert remedy in found[0].remedy


# Whole file


@pytest.mark.parametrize(
    ("content", "place", "problem"),
    [
        (b"[site]\nname = \n", " line 2, column 8", "is not TOML (Invalid value)"),
        (b"[site]\nname = [1,\n", " line 3, column 1", "is not TOML"),
        (b'a = 1\n\nb = "\xff"\n', " line 3", "is not UTF-8"),
        (b"a = " + b"[" * 5000, "", "nested too deeply"),
        (b"a = " + b"1" * 5000, "", "cannot be used"),
        (b"#" * (4 * 1024**2 + 1), "", "larger than 4 MiB"),
    ],
)
def test_unreadable_text_is_one_mistake(tmp_path: Path, content: bytes, place: str, problem: str) -> None:
    path = write(tmp_path / "gateway.toml", content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    (mistake,) = caught.value.mistakes
    assert mistake.path == f"{path}{place}"
    assert problem in mistake.problem
    assert mistake.remedy


@pytest.mark.parametrize(("name", "reason"), [("none.toml", "No such file"), (".", "directory"), ("\0", "null byte")])
def test_missing_file_is_one_mistake(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        load(tmp_path / name)
    assert len(caught.value.mistakes) == 1
    assert len(str(caught.value).splitlines()) == 1


def test_empty_file_lacks_its_sections(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path / "gateway.toml", b""))
    assert {(each.path, each.problem) for each in caught.value.mistakes} == {
        ("site", "is missing"),
        ("uplink", "is missing"),
        ("downlink", "is missing"),
    }
    assert all(f"[{each.path}]" in each.remedy for each in caught.value.mistakes)


@pytest.mark.parametrize(
    "case",
    [
        ("", "[uplnk]\na = 1", "uplnk", "not a known section", "Write uplink"),
        ("", "[zzz]", "zzz", "not a known section", "site, downlink, uplink"),
        ('name = "x"', "", "name", "not a known section", "known ones are site"),
        ("", '["odd\\nkey"]', '"odd\\nkey"', "not a known section", "known ones are"),
        ("", '[web]\nlisten = "127.0.0.1:8080"', "web", "later version", "does not open a TCP listener"),
        ("log = 5", "", "log", "not one section", "Write [log]"),
        ("", "[[budgets]]", "budgets", "not one section", "Write [budgets] once"),
        ('station = "CP-01"', "", "station", "not a section", "Write [[station]]"),
        ('station = ["CP-01"]', "", "station[0]", "not a section", "Write [[station]]"),
        ("", '[station]\nid = "CP-01"', "station", "single brackets", "Write [[station]]"),
    ],
)
def test_wrong_sections_are_named(bench: Bench, case: Case) -> None:
    bench.top, bench.more, *found = case
    one_mistake(bench, *found)


# One section: (section, what is added to or replaces it, path, problem, remedy)

ADDED: list[Case] = [
    ("site", 'nmae = "x"', "site.nmae", "not a known key", "Write name"),
    ("site", 'state_dir = "gateway.toml"', "site.state_dir", "is a file", "path of a folder"),
    ("site", 'state_dir = "gateway.toml/x"', "site.state_dir", "(Not a directory)", "path of a folder"),
    ("site", 'state_dir = "\\u0000"', "site.state_dir", "no usable path", "path of a folder"),
    ("site", "state_dir = 5", "site.state_dir", "not a path in quotes", "path of a folder"),
    ("downlink", "security-profile = 1", "downlink[0].security-profile", "not a known key", "Write security_profile"),
    ("downlink", 'path = "ocpp"', "downlink[0].path", "not a path", 'Start it with "/"'),
    ("downlink", 'path = "/a?b"', "downlink[0].path", "not a path", 'no "?"'),
    ("downlink", 'path = "/a//b"', "downlink[0].path", "not a path", '"//"'),
    ("downlink", f'path = "/{"a" * 5000}?"', "downlink[0].path", "not a path", 'no "?"'),
    (
        "downlink",
        'unknown_stations = "ask"',
        "downlink[0].unknown_stations",
        '"ask"',
        '"approve", "accept" or "refuse"',
    ),
    ("downlink", "default_version = 1.6", "downlink[0].default_version", "cannot be 1.6", "with the quotes"),
    ("downlink", 'default_version = "2.2"', "downlink[0].default_version", 'cannot be "2.2"', '"2.0.1" or "2.1"'),
    ("downlink", "ping_interval_s = -1", "downlink[0].ping_interval_s", "cannot be -1", "0 = no pings"),
    ("downlink", "ping_interval_s = nan", "downlink[0].ping_interval_s", "cannot be nan", "at most 3600"),
    ("downlink", "ping_interval_s = inf", "downlink[0].ping_interval_s", "cannot be inf", "at most 3600"),
    ("downlink", "max_message_bytes = 65535", "downlink[0].max_message_bytes", "cannot be 65535", "65536 to"),
    ("downlink", "max_message_bytes = 1e6", "downlink[0].max_message_bytes", "cannot be 1000000.0", "whole number"),
    ("downlink", "max_connections = 0", "downlink[0].max_connections", "cannot be 0", "1 to 100000"),
    ("downlink", f"max_connections = 0x{'f' * 5000}", "downlink[0].max_connections", "this large", "1 to 100000"),
    ("downlink", "handshake_timeout_s = 0", "downlink[0].handshake_timeout_s", "cannot be 0", "more than 0"),
    ("downlink", "allow_insecure = 1", "downlink[0].allow_insecure", "cannot be 1", "Write true only if"),
    ("downlink", "allow_insecure = 2024-01-01", "downlink[0].allow_insecure", "a date", "Write true only if"),
    (
        "downlink",
        'certificate_file = "0.pem"',
        "downlink[0].certificate_file",
        "profile 1 has no TLS",
        "Take the key out",
    ),
    (
        "downlink",
        'legacy_key_file = "0.key"',
        "downlink[0].legacy_key_file",
        "profile 1 has no TLS",
        "Take the key out",
    ),
    ("uplink", 'topology = "aggregate"', "uplink.versions", "is missing; the site as one station", '["1.6"]'),
    ("uplink", 'topology = "star"', "uplink.topology", 'cannot be "star"', 'Write "per-station"'),
    ("uplink", "security_profile = 3", "uplink.security_profile", "not in this version yet", "Use 2"),
    ("uplink", "security_profile = true", "uplink.security_profile", "not 0, 1 or 2", "Write 2"),
    (
        "uplink",
        "security_profile = 1",
        "uplink.security_profile",
        "does not go with a wss:// URL",
        "security_profile = 2",
    ),
    ("uplink", "versions = [1.6]", "uplink.versions[0]", "cannot be 1.6", "with the quotes"),
    ("uplink", 'versions = ["1.6", "1.6"]', "uplink.versions", "something twice", "Name each once"),
    ("uplink", "versions = []", "uplink.versions", "cannot be empty", '["2.0.1", "1.6"]'),
    ("uplink", 'versions = "1.6"', "uplink.versions", 'cannot be "1.6"', '["2.0.1", "1.6"]'),
    ("uplink", "call_timeout_s = 0", "uplink.call_timeout_s", "cannot be 0", "more than 0"),
    ("uplink", "retry_repeat_times = 17", "uplink.retry_repeat_times", "cannot be 17", "0 to 16"),
    ("uplink", "grace_s = true", "uplink.grace_s", "cannot be true", "0 to 3600"),
    ("uplink", 'password_file = "none"', "uplink.password_file", "not there", "relative ones start at /"),
    ("uplink", 'password_file = "."', "uplink.password_file", "not a file", "path of a file"),
    ("uplink", 'password_file = "\\u0000"', "uplink.password_file", "cannot be read", "Correct the path"),
    ("uplink", f'password_file = "{"x" * 5000}"', "uplink.password_file", "cannot be read (File name", "Correct"),
    ("uplink", 'password_file = "empty"', "uplink.password_file", "is empty", "content"),
    ("uplink", 'password_file = "newline"', "uplink.password_file", "password is empty", "16 or more"),
    ("uplink", 'password_file = "long"', "uplink.password_file", "more than 1024 bytes", "nothing but the password"),
    ("uplink", 'password_file = "/dev/zero"', "uplink.password_file", "not a file", "path of a file"),
    ("uplink", "password_file = 5", "uplink.password_file", "not a path in quotes", "path of a file"),
    ("uplink", 'password_env = "NO_SUCH_NAME"', "uplink.password_env", "no environment variable", "Set it"),
    ("uplink", 'password_env = "EMPTY"', "uplink.password_env", "password is empty", "16 or more"),
    ("uplink", 'password_env = "a b"', "uplink.password_env", "not the name", "never the password"),
    ("uplink", 'password_file = "pw"\npassword_env = "PW"', "uplink.password_env", "there too", "Keep one"),
    ("uplink", 'ca_file = "pw"', "uplink.ca_file", "holds no certificate", "root certificate"),
    ("uplink", 'ca_file = "none"', "uplink.ca_file", "not there", "relative ones start at"),
    ("more", "[authorization]\noffline = true", "authorization.offline", "cannot be true", '"known-only"'),
    (
        "more",
        '[authorization]\non_late_refusal = ""',
        "authorization.on_late_refusal",
        'cannot be ""',
        '"limit-to-zero" or "report"',
    ),
    ("more", "[budgets]\nstart_s = 0", "budgets.start_s", "cannot be 0", "more than 0"),
    (
        "more",
        "[budgets]\nstart_s = 31",
        "budgets.start_s",
        "longer than uplink.call_timeout_s (30 s)",
        "Make it shorter",
    ),
    ("more", '[log]\nlevel = "INFO"', "log.level", 'cannot be "INFO"', '"debug", "info"'),
    ("more", '[log]\nformat = ["text"]', "log.format", "cannot be a list", '"text" or "json"'),
    ("more", "[log]\nformat = {a = 1}", "log.format", "cannot be a section", '"text" or "json"'),
    ("more", '[[station]]\nversion = "1.6"', "station[0].id", "is missing", "1 to 48 characters"),
    ("more", f'[[station]]\nid = "{"x" * 49}"', "station[0].id", "has 49 characters", "1 to 48"),
    ("more", '[[station]]\nid = ""', "station[0].id", "has 0 characters", "1 to 48"),
    ("more", '[[station]]\nid = "a/b"', 'station "a/b".id', 'has "/"', "last part of the URL"),
    ("more", '[[station]]\nid = " a"', 'station " a".id', "a space at an end", "last part of the URL"),
    ("more", '[[station]]\nid = "a\\u2028b"', 'station "a\\u2028b".id', "control character", "last part of the URL"),
    ("more", '[[station]]\nid = ".."', 'station "..".id', "only dots", "last part of the URL"),
    ("more", "[[station]]\nid = 7", "station[0].id", "cannot be 7", "1 to 48 characters"),
    ("more", '[[station]]\nid = "é"\nalias = "a"', 'station "é".alias', 'cannot be "a"', "Write a list"),
    ("more", '[[station]]\nid = "a"\nalias = ["b", "c/d"]', 'station "a".alias[1]', 'has "/"', "Write a list"),
    ("more", '[[station]]\nid = "a"\nalias = ["b", "b"]', 'station "a".alias', "something twice", "each once"),
    ("more", '[[station]]\nid = "a"\nalias = ["a"]', 'station "a".alias', "own id", "out of the list"),
    ("more", '[[station]]\nid = "a"\n[[station]]\nid = "a"', "station[1].id", "already names station[0]", "its own"),
    (
        "more",
        '[[station]]\nid = "a"\nalias = ["b"]\n[[station]]\nid = "b"',
        'station "a".alias',
        '"b" already names station "b"',
        "names of its own",
    ),
    (
        "more",
        '[[station]]\nid = "a"\nalias = ["c"]\n[[station]]\nid = "b"\nalias = ["c"]',
        'station "b".alias',
        '"c" already names station "a"',
        "names of its own",
    ),
    ("more", '[[station]]\nid = "a"\npassword_file = "none"', 'station "a".password_file', "not there", "Create it"),
    (
        "more",
        '[[station]]\nid = "a"\nuplink_password_file = "pw"\nuplink_password_env = "PW"',
        'station "a".uplink_password_env',
        "uplink_password_file is there too",
        "Keep one",
    ),
    (
        "more",
        '[[station]]\nid = "a"\nstation_timeout_s = 0',
        'station "a".station_timeout_s',
        "cannot be 0",
        "more than 0",
    ),
    ("more", '[[station]]\nid = "a"\nmin_answer_delay_ms = 0.5', 'station "a".min_answer_delay_ms', "0.5", "whole"),
    ("more", '[[station]]\nid = "a"\nping = "no"', 'station "a".ping', 'cannot be "no"', "true or false"),
    ("more", '[[station]]\nid = "a"\nignore_basic_user = 0', 'station "a".ignore_basic_user', "0", "true or false"),
    ("more", '[[station]]\nid = "a"\ncircuit = "x"', 'station "a".circuit', 'no circuit "x"', "[circuit.NAME]"),
    (
        "more",
        '[[station]]\nid = "a"\nconnectors = [{ max_a = 0 }]',
        'station "a".connectors[0].max_a',
        "cannot be 0",
        "at most 1000",
    ),
    (
        "more",
        '[[downlink]]\nlisten = "0.0.0.0:8887"\nsecurity_profile = 1',
        "downlink[1].listen",
        "downlink[0] listens there already",
        "another port",
    ),
]


@pytest.mark.parametrize("case", ADDED, ids=[f"{n}-{c[2]}" for n, c in enumerate(ADDED)])
def test_one_wrong_key_is_one_mistake(
    bench: Bench,
    pems: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    case: Case,
) -> None:
    section, text, *found = case
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("PW", "0123456789abcdef")
    bench.files = {**pems, "pw": b"0123456789abcdef", "empty": b"", "newline": b"\n", "long": b"x" * 1025}
    setattr(bench, section, f"{getattr(bench, section)}\n{text}")
    one_mistake(bench, *found)


REPLACED: list[Case] = [
    ("site", 'identity = "S"', "site.name", "is missing", "1 to 100 characters"),
    ("site", 'name = ""\nidentity = "S"', "site.name", "is empty", "1 to 100 characters"),
    ("site", 'name = "A"', "site.identity", "is missing", "gateway's own identity"),
    ("site", 'name = "A"\nidentity = "a/b"', "site.identity", 'has "/"', "gateway's own identity"),
    ("downlink", "security_profile = 1", "downlink[0].listen", "is missing", '"host:port"'),
    (
        "downlink",
        'listen = "a:1"\nsecurity_profile = 3',
        "downlink[0].security_profile",
        "not in this version",
        "Use 2",
    ),
    ("downlink", 'listen = "a:1"\nsecurity_profile = 0', "downlink[0].security_profile", "can pose", "allow_insecure"),
    ("downlink", 'listen = "a:1"\nsecurity_profile = "1"', "downlink[0].security_profile", "not 0, 1 or 2", "Write 2"),
    (
        "downlink",
        'listen = "a:1"\nsecurity_profile = 0\nallow_insecure = true\npassword_file = "pw"',
        "downlink[0].password_file",
        "profile 0 has no passwords",
        "Use profile 1 or 2",
    ),
    ("downlink", 'listen = "a:1"\nkey_file = "0.key"', "downlink[0].certificate_file", "is missing", "PEM"),
    ("downlink", 'listen = "a:1"\ncertificate_file = "0.pem"', "downlink[0].key_file", "is missing", "PEM"),
    (
        "downlink",
        'listen = "a:1"\ncertificate_file = "0.pem"\nkey_file = "1.key"',
        "downlink[0].certificate_file",
        "do not belong together",
        "unencrypted PEM key",
    ),
    (
        "downlink",
        'listen = "a:1"\ncertificate_file = "pw"\nkey_file = "1.key"',
        "downlink[0].certificate_file",
        "cannot be used",
        "unencrypted PEM key",
    ),
    (
        "downlink",
        'listen = "a:1"\ncertificate_file = "0.pem"\nkey_file = "locked.key"',
        "downlink[0].certificate_file",
        "cannot be used",
        "unencrypted PEM key",
    ),
    (
        "downlink",
        'listen = "a:1"\ncertificate_file = "0.pem"\nkey_file = "0.key"\nlegacy_key_file = "1.key"',
        "downlink[0].legacy_certificate_file",
        "legacy_key_file needs it",
        "both of the pair",
    ),
    ("uplink", "", "uplink.url", "is missing", "wss://csms.example.com/ocpp"),
    ("uplink", "url = 5", "uplink.url", "cannot be 5", "wss://"),
    ("uplink", 'url = "https://a/b"', "uplink.url", "does not start with ws:// or wss://", "wss://"),
    ("uplink", 'url = "csms.example.com/ocpp"', "uplink.url", "does not start with", "wss://"),
    ("uplink", 'url = "wss://a/b?c=d"', "uplink.url", "query", 'Take "?"'),
    ("uplink", 'url = "wss://a/b#"', "uplink.url", "fragment", 'Take "?"'),
    ("uplink", 'url = "wss://user@a/b"', "uplink.url", "user name", "password_file"),
    ("uplink", 'url = "wss:///b"', "uplink.url", "no host", "wss://"),
    ("uplink", 'url = "wss://a:70000/b"', "uplink.url", "not a URL", "wss://"),
    ("uplink", 'url = "wss://[a/b"', "uplink.url", "not a URL", "wss://"),
    ("uplink", 'url = "wss://a/b c"', "uplink.url", "characters", "wss://"),
    ("uplink", 'url = "wss://a/b\\n"', "uplink.url", "characters", "wss://"),
    ("uplink", 'url = "ws://a/b"', "uplink.security_profile", "2 does not go with a ws:// URL", "Use a wss:// URL"),
    ("uplink", 'url = "ws://a"\nsecurity_profile = 1', "uplink.security_profile", "in the clear", "allow_insecure"),
    (
        "uplink",
        'url = "ws://10.0.0.1"\nsecurity_profile = 0',
        "uplink.security_profile",
        "in the clear",
        "allow_insecure",
    ),
    (
        "uplink",
        'url = "ws://localhost"\nsecurity_profile = 0\npassword_env = "PW"',
        "uplink.password_env",
        "profile 0 has no passwords",
        "Use profile 1 or 2",
    ),
    (
        "uplink",
        'url = "ws://localhost"\nsecurity_profile = 1\nca_file = "ca.pem"',
        "uplink.ca_file",
        "a ws:// URL has no TLS",
        "Take the key out",
    ),
    (
        "uplink",
        'url = "ws://localhost"\nsecurity_profile = 0\n[[station]]\nid = "a"\nuplink_password_file = "pw"',
        'station "a".uplink_password_file',
        "security profile 0",
        "higher security_profile in [uplink]",
    ),
]

LISTEN = ["8887", ":8887", "*:8887", "::1:8887", "[::1]", "a:65536", "a:", "[x]:1", "1.2.3:1", "300.1.1.1:1", "a b:1"]
REPLACED += [
    ("downlink", f'listen = "{each}"\nsecurity_profile = 1', "downlink[0].listen", "", '"host:port"') for each in LISTEN
]
REPLACED += [("downlink", "listen = 8887\nsecurity_profile = 1", "downlink[0].listen", "not host:port", '"host:port"')]


@pytest.mark.parametrize("case", REPLACED, ids=[f"{n}-{c[2]}" for n, c in enumerate(REPLACED)])
def test_one_wrong_section_is_one_mistake(
    bench: Bench,
    pems: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    case: Case,
) -> None:
    section, text, *found = case
    monkeypatch.setenv("PW", "0123456789abcdef")
    bench.files = {**pems, "pw": b"0123456789abcdef"}
    setattr(bench, section, text)
    one_mistake(bench, *found)


# Files


def test_unreadable_password_file_is_a_mistake(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.files = {"pw": b"0123456789abcdef"}
    bench.uplink += '\npassword_file = "pw"'
    really_open = Path.open

    def guarded(self: Path, mode: str) -> IO[Any]:
        if self.name == "pw" and mode == "rb":
            raise PermissionError(13, "Permission denied")
        return really_open(self, mode)

    monkeypatch.setattr(Path, "open", guarded)
    one_mistake(bench, "uplink.password_file", "cannot be read (Permission denied)", "let the gateway's user read it")


def test_pipe_as_password_file_does_not_block(bench: Bench) -> None:
    os.mkfifo(bench.folder / "pipe")
    bench.uplink += '\npassword_file = "pipe"'
    one_mistake(bench, "uplink.password_file", "is not a file", "path of a file")


# Several


def test_all_mistakes_are_listed_at_once(bench: Bench) -> None:
    bench.site = 'identity = "a/b"\nnmae = "x"'
    bench.downlink = 'listen = "8887"\nsecurity_profile = 0\nping_interval_s = "20"'
    bench.uplink = 'url = "ws://csms.example.com"\nsecurity_profile = 1\nversions = ["1.6", 2]\npassword_file = "none"'
    bench.more = """[[downlink]]
listen = "0.0.0.0:1"
[[downlink]]
listen = "127.0.0.1:1"
security_profile = 1
max_connections = -1
[[station]]
id = "CP-01"
alias = ["CP-02"]
password_file = "none"
[[station]]
id = "CP-02"
ping = 1
[budgets]
start_s = 100
other_s = "5"
[meter.grid]
"""
    assert sorted(each.path for each in bench.mistakes()) == [
        "budgets.other_s",
        "budgets.start_s",
        "downlink[0].listen",
        "downlink[0].ping_interval_s",
        "downlink[0].security_profile",
        "downlink[1].certificate_file",
        "downlink[1].key_file",
        "downlink[2].listen",
        "downlink[2].max_connections",
        "meter.grid.driver",
        "site.identity",
        "site.name",
        "site.nmae",
        'station "CP-01".alias',
        'station "CP-01".password_file',
        'station "CP-02".ping',
        "uplink.password_file",
        "uplink.security_profile",
        "uplink.versions[1]",
    ]


def test_wrong_key_is_not_blamed_a_second_time(bench: Bench) -> None:
    bench.uplink = 'url = "http://x"\nsecurity_profile = 1\ncall_timeout_s = "1"'
    bench.more = '[budgets]\nstart_s = 31\n[[station]]\nid = "a/b"\n[[station]]\nid = "c/d"'
    assert [each.path for each in bench.mistakes()] == [
        "uplink.url",
        "uplink.call_timeout_s",
        'station "a/b".id',
        'station "c/d".id',
    ]


def test_odd_file_name_breaks_no_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path / "a\nb\udcff.toml", b"junk"))
    assert len(str(caught.value).encode().splitlines()) == 1


@pytest.mark.parametrize("listen", ["127.0.0.1:8887", "0.0.0.0:8887"])
def test_listeners_in_each_others_way(bench: Bench, listen: str) -> None:
    bench.more = f'[[downlink]]\nlisten = "{listen}"\nsecurity_profile = 1'
    one_mistake(bench, "downlink[1].listen", "downlink[0] listens there", "another port")


@pytest.mark.parametrize("listen", ["127.0.0.1:8888", "127.0.0.2:8887", "[::]:8887", "[::1]:8887"])
def test_listeners_beside_each_other(bench: Bench, listen: str) -> None:
    bench.more = f'[[downlink]]\nlisten = "{listen}"\nsecurity_profile = 1'
    config: Config = bench.load()
    assert len(config.downlinks) == 2


def test_any_number_of_listeners_on_a_free_port(bench: Bench) -> None:
    bench.downlink = 'listen = "127.0.0.1:0"\nsecurity_profile = 1'
    bench.more = '[[downlink]]\nlisten = "127.0.0.1:0"\nsecurity_profile = 1'
    assert len(bench.load().downlinks) == 2
