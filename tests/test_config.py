"""The configuration file: what loads, what is refused and in which words, and that no secret is ever shown."""

import json
import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.config import load, redacted
from gateway.config_models import Budgets, Downlink, Station
from gateway.config_site import Site
from gateway.config_values import Address, Secret
from gateway.model.ids import StationId
from tests.config_bench import SECTIONS, Bench, pem_files, write

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config.example.toml"
CANARY = "canary-7f3a91-secret"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def pems() -> dict[str, bytes]:
    return pem_files()


# What loads


def test_minimal_file_gets_the_defaults(bench: Bench) -> None:
    config = bench.load()
    assert config.downlinks[0].listen == Address("127.0.0.1", 8887)
    assert (config.downlinks[0].path, config.downlinks[0].unknown_stations) == ("/ocpp", "approve")
    assert config.site.state_dir == bench.folder / "state"
    assert config.uplink.security_profile == 2
    assert config.uplink.versions is None
    assert (config.authorization.offline, config.authorization.on_late_refusal) == ("known-only", "station")
    assert config.budgets == Budgets(authorize_s=4, start_s=8, other_s=5, suspect_s=0.5)
    assert config.stations == ()
    assert config.source == bench.folder / "gateway.toml"
    assert config.warnings == ("uplink: no password for the CSMS is set for any station",)


def test_security_profile_2_is_the_default_of_a_listener() -> None:
    assert Downlink.model_fields["security_profile"].default == 2


def test_relative_paths_start_at_another_folder_if_one_is_given(bench: Bench, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "pw", b"0123456789abcdef")
    bench.uplink += '\npassword_file = "pw"'
    assert [each.path for each in bench.mistakes()] == ["uplink.password_file"]
    config = load(tmp_path / "gateway.toml", folder=tmp_path / "elsewhere")
    assert config.site.state_dir == tmp_path / "elsewhere" / "state"
    assert config.uplink.password is not None


def test_config_is_frozen(bench: Bench) -> None:
    config = bench.load()
    with pytest.raises(ValidationError, match="frozen"):
        config.site.name = "other"


def test_sections_can_be_built_in_code() -> None:
    assert Site(name="A", identity="S").state_dir == Path.cwd() / "state"
    station = Station(id=StationId("CP"), password_file=Secret(b"pw", "test"), uplink_password_file=None)
    assert station.password == Secret(b"pw", "test")
    assert station.uplink_password is None
    assert Downlink(listen=Address("::1", 0), security_profile=1).listen.port == 0


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("0.0.0.0:8887", Address("0.0.0.0", 8887)),
        ("[::]:1", Address("::", 1)),
        ("[0:0::0]:1", Address("::", 1)),
        ("[fe80::1%eth0]:65535", Address("fe80::1%eth0", 65535)),
        ("gateway.local:80", Address("gateway.local", 80)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
    ],
)
def test_listen_takes_names_and_both_families(bench: Bench, listen: str, expected: Address) -> None:
    bench.downlink = f'listen = "{listen}"\nsecurity_profile = 1'
    assert bench.load().downlinks[0].listen == expected
    assert str(Address("::", 1)) == "[::]:1"


@pytest.mark.parametrize(("path", "expected"), [("/", "/"), ("/ocpp/", "/ocpp"), ("/a/b.c", "/a/b.c")])
def test_path_prefix_loses_its_last_slash(bench: Bench, path: str, expected: str) -> None:
    bench.downlink += f'\npath = "{path}"'
    assert bench.load().downlinks[0].path == expected


@pytest.mark.parametrize("url", ["ws://localhost:9000/ocpp", "ws://127.0.0.1", "ws://127.8.8.8", "ws://[::1]:80/x"])
def test_loopback_csms_needs_no_switch_for_plain_text(bench: Bench, url: str) -> None:
    bench.uplink = f'url = "{url}/"\nsecurity_profile = 1'
    config = bench.load()
    assert config.uplink.url == url
    assert not any("in the clear" in warning for warning in config.warnings)


def test_plain_text_to_another_machine_is_switched_on_and_warned_of(bench: Bench) -> None:
    bench.uplink = 'url = "ws://csms.example.com"\nsecurity_profile = 0\nallow_insecure = true'
    assert bench.load().warnings == ("uplink: security profile 0: everything goes to the CSMS in the clear",)


def test_profile_0_listener_is_switched_on_and_warned_of(bench: Bench) -> None:
    bench.downlink = 'listen = "127.0.0.1:1"\nsecurity_profile = 0\nallow_insecure = true'
    (warning, _) = bench.load().warnings
    assert warning == "downlink[0]: security profile 0: whoever reaches this listener can pose as any station"


def test_tls_listener_takes_two_pairs(bench: Bench, pems: dict[str, bytes]) -> None:
    bench.files = pems
    bench.downlink = """listen = "127.0.0.1:1"
certificate_file = "0.pem"\nkey_file = "0.key"
legacy_certificate_file = "1.pem"\nlegacy_key_file = "1.key" """
    bench.uplink += '\nca_file = "ca.pem"'
    config = bench.load()
    assert config.downlinks[0].certificate_file == bench.folder / "0.pem"
    assert config.downlinks[0].legacy_key_file == bench.folder / "1.key"
    assert config.uplink.ca_file == bench.folder / "ca.pem"


def test_station_is_read_whole(bench: Bench) -> None:
    bench.files = {"down": b"\x00\xff:0123456789abcdef\n\n", "up": b"another-password-0"}
    bench.more = """[[station]]
id = "CP-01"
alias = ["Säule 1", "b"]
password_file = "down"
uplink_password_file = "up"
version = "2.0.1"
station_timeout_s = 30
min_answer_delay_ms = 200
ping = false
ignore_basic_user = true"""
    config = bench.load()
    (station,) = config.stations
    assert station.alias == ("Säule 1", "b")
    assert station.password is not None
    assert station.password.reveal() == b"\x00\xff:0123456789abcdef\n"
    assert station.uplink_password is not None
    assert station.uplink_password.reveal() == b"another-password-0"
    assert (station.version, station.station_timeout_s, station.min_answer_delay_ms) == ("2.0.1", 30.0, 200)
    assert (station.ping, station.ignore_basic_user) == (False, True)
    assert config.warnings == ()


def test_windows_file_with_byte_order_mark_loads(bench: Bench) -> None:
    bench.load()
    path = bench.folder / "gateway.toml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load(path).site.name == "Car park"


# Secrets


def test_password_of_the_environment_is_bytes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSMS_PASSWORD", os.fsdecode(b"\xff0123456789abcdef\n"))
    bench.uplink += '\npassword_env = "CSMS_PASSWORD"'
    password = bench.load().uplink.password
    assert password is not None
    assert password.reveal() == b"\xff0123456789abcdef\n"


def test_no_output_shows_a_secret(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWN", CANARY)
    bench.files = {"up": CANARY.encode()}
    bench.downlink += '\npassword_env = "DOWN"'
    bench.uplink += '\npassword_file = "up"'
    bench.more = '[[station]]\nid = "CP"\npassword_env = "DOWN"\nuplink_password_file = "up"'
    config = bench.load()
    plain = redacted(config)
    shown = [repr(config), str(config), f"{config}", json.dumps(plain), config.model_dump_json()]
    shown += [str(config.model_dump()), str(config.warnings), repr(config.uplink.password), repr(vars(config.uplink))]
    assert [text for text in shown if CANARY in text or repr(CANARY.encode()) in text] == []
    assert plain["uplink"]["password_file"] == f"<hidden, from file {bench.folder / 'up'}>"
    assert plain["downlinks"][0]["password_env"] == "<hidden, from environment variable DOWN>"
    assert plain["downlinks"][0]["listen"] == "127.0.0.1:8887"


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("uplink", f'password = "{CANARY}"'),
        ("uplink", f'password_env = "{CANARY}"'),
        ("uplink", f'password_env = "{CANARY.replace("-", "_")}"'),
        ("uplink", f'password_file = "{CANARY}"'),
        ("uplink", f'password_file = ["{CANARY}"]'),
        ("downlink", f'key_file = "{CANARY}"'),
        ("top", f'password = "{CANARY}"'),
        ("top", f"password = {CANARY}"),
        ("top", f'password = "{CANARY}'),
    ],
)
def test_secret_in_the_wrong_place_is_not_repeated(bench: Bench, section: str, line: str) -> None:
    setattr(bench, section, f"{getattr(bench, section)}\n{line}")
    shown = "\n".join(map(str, bench.mistakes()))
    assert CANARY not in shown
    assert CANARY.replace("-", "_") not in shown


def test_password_in_the_url_is_not_repeated(bench: Bench) -> None:
    bench.uplink = f'url = "wss://user:{CANARY}@csms.example.com"'
    (mistake,) = bench.mistakes()
    assert mistake.path == "uplink.url"
    assert "user name or password" in mistake.problem
    assert CANARY not in str(mistake)


def test_equal_secrets_are_equal_and_others_are_not() -> None:
    assert Secret(b"a", "file x") == Secret(b"a", "file x")
    assert len({Secret(b"a", "x"), Secret(b"a", "x"), Secret(b"b", "x"), Secret(b"a", "y")}) == 3
    assert Secret(b"a", "x") != b"a"


@pytest.mark.parametrize(
    ("content", "mode", "warning"),
    [
        (b"0123456789abcde\n", 0o600, "uplink.password_file: the password has fewer than 16 bytes"),
        (
            b"0123456789abcdef",
            0o640,
            "uplink.password_file: other users of this machine may read it; chmod 600 closes it",
        ),
        (b"0123456789abcdef\r\n", 0o600, "uplink.password_file: the password ends in a carriage return; "),
    ],
)
def test_weak_password_files_are_warned_of(bench: Bench, content: bytes, mode: int, warning: str) -> None:
    write(bench.folder / "pw", content, mode)
    bench.uplink += '\npassword_file = "pw"'
    (found,) = bench.load().warnings
    assert found.startswith(warning)


def test_good_password_file_is_not_warned_of(bench: Bench) -> None:
    bench.files = {"pw": b"0123456789abcdef\n"}
    bench.uplink += '\npassword_file = "pw"'
    assert bench.load().warnings == ()


def test_doubtful_choices_are_warned_of(bench: Bench, pems: dict[str, bytes]) -> None:
    bench.files = {**pems, "pw": b"0123456789abcdef"}
    write(bench.folder / "open.key", pems["0.key"], 0o644)
    bench.downlink = """listen = "127.0.0.1:1"\nunknown_stations = "accept"
certificate_file = "0.pem"\nkey_file = "open.key" """
    bench.more = '[[station]]\nid = "A"\npassword_file = "pw"\nuplink_password_file = "pw"\n[[station]]\nid = "B"'
    assert bench.load().warnings == (
        "downlink[0].key_file: other users of this machine may read it; chmod 600 closes it",
        'downlink[0]: unknown stations are served with any password: set one, or unknown_stations = "approve"',
        'station "A": the station and the CSMS have the same password; each leg should have its own',
        'uplink: no password for the CSMS is set for station "B"',
    )


def test_password_no_listener_asks_for_is_warned_of(bench: Bench) -> None:
    bench.files = {"pw": b"0123456789abcdef"}
    bench.downlink = 'listen = "127.0.0.1:1"\nsecurity_profile = 0\nallow_insecure = true'
    bench.more = '[[station]]\nid = "A"\npassword_file = "pw"'
    expected = 'station "A": its password is never asked for: every listener has profile 0'
    assert expected in bench.load().warnings
    bench.more += '\n[[downlink]]\nlisten = "127.0.0.1:2"\nsecurity_profile = 1'
    assert expected not in bench.load().warnings


def test_missing_csms_passwords_are_warned_of_in_one_line(bench: Bench) -> None:
    bench.more = "".join(f'[[station]]\nid = "S{number}"\n' for number in range(7))
    names = ", ".join(f'station "S{number}"' for number in range(5))
    assert bench.load().warnings == (f"uplink: no password for the CSMS is set for {names} and 2 more",)


# The example and the reference


def as_toml(value: object) -> str:
    if isinstance(value, Path):
        return f'"{value}"'
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else json.dumps(list(value) if value == () else value)


def test_example_loads(tmp_path: Path) -> None:
    config = load(write(tmp_path / "gateway.toml", EXAMPLE.read_bytes()))
    assert config.warnings == ("uplink: no password for the CSMS is set for any station",)


def test_example_loads_with_every_setting_switched_on(tmp_path: Path, pems: dict[str, bytes]) -> None:
    text = re.sub(r"^#(?=[a-z\[])", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    passwords = re.findall(r'password_file = "(.+?)"', text)
    assert len(passwords) == 5
    for number, name in enumerate(passwords):
        write(tmp_path / name, f"password number {number}".encode())
    names = {"gateway.pem": "0.pem", "gateway.key": "0.key", "gateway-rsa.pem": "1.pem", "gateway-rsa.key": "1.key"}
    for name, pem in {**names, "csms-root.pem": "ca.pem", "broker-root.pem": "ca.pem"}.items():
        write(tmp_path / "tls" / name, pems[pem])
    write(tmp_path / "tags.txt", b"04A2B3C4D5E680  # key box\n")
    config = load(write(tmp_path / "gateway.toml", text.encode()))
    assert config.warnings == ()
    assert config.plan is not None
    assert [each.security_profile for each in config.downlinks] == [1, 2]
    every = [config.site, config.downlinks[0], config.uplink, config.authorization, config.budgets, config.log]
    for section in (*every, config.storage, config.replay, *config.stations):
        for key, known in type(section).model_fields.items():
            if isinstance(known.default, int | float) and key != "security_profile":
                assert getattr(section, key) == known.default, f"the example gives {key} another default"


def test_example_names_every_key() -> None:
    text = EXAMPLE.read_text()
    left_out = {
        "allow_insecure",
        "password_env",
        "uplink_password_env",
    }  # the first invites, the others are in the head
    keys = {key for model in SECTIONS.values() for key in model.model_fields} - left_out
    assert {key for key in keys if not re.search(rf"^#?{key} = ", text, flags=re.MULTILINE)} == set()


def test_reference_has_every_key_with_its_default() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    parts = re.split(r"^## `\[+([a-z]+)(?:\.NAME)?\]+`$", text, flags=re.MULTILINE)[1:]
    written = {
        section: dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", body, flags=re.MULTILINE))
        for section, body in zip(parts[::2], parts[1::2], strict=True)
    }
    for section, model in SECTIONS.items():
        actual = {
            key: "required" if known.is_required() else as_toml(known.default)
            for key, known in model.model_fields.items()
        }
        assert {key: value.strip("`") for key, value in written[section].items()} == actual


def test_every_key_has_a_remedy() -> None:
    for model in SECTIONS.values():
        for key, known in model.model_fields.items():
            is_choice = "Literal" in str(known.annotation)
            assert known.description or is_choice, f"{model.__name__}.{key} leaves the installer without a remedy"
