"""The whole site as one station: what the configuration must say for that, and what the site's boot says."""

from pathlib import Path

import pytest

from gateway import app
from gateway.config import Config, ConfigError, load
from tests.config_bench import write

BASE = """
[site]
name = "A"
identity = "SITE-1"
{site}
[uplink]
url = "ws://localhost:9/ocpp"
security_profile = 1
{uplink}
[[downlink]]
listen = "localhost:0"
security_profile = 1
{rest}
"""
AGGREGATE = 'topology = "aggregate"\nversions = ["1.6"]\npassword_file = "csms"'


def config(folder: Path, *, site: str = "", uplink: str = AGGREGATE, rest: str = "") -> Config:
    write(folder / "csms", b"0123456789abcdef")
    text = BASE.format(site=site, uplink=uplink, rest=rest)
    return load(write(folder / "gateway.toml", text.encode()))


def test_the_boot_says_what_is_configured(tmp_path: Path) -> None:
    names = app._site_link_options(config(tmp_path)).names
    assert (names.vendor, names.model, names.serial) == ("OCPP site gateway", "Site", "SITE-1")
    said = 'vendor = "V"\nmodel = "M"\nserial = "S"\nfirmware = "F"'
    made = config(tmp_path, site=said)
    assert made.warnings == ()
    options = app._site_link_options(made)
    assert (options.names.vendor, options.names.model, options.names.serial, options.names.firmware) == tuple("VMSF")
    assert (options.identity, options.versions, options.password) == ("SITE-1", ("1.6",), b"0123456789abcdef")


@pytest.mark.parametrize(
    ("parts", "path", "problem", "remedy"),
    [
        ({"uplink": 'topology = "aggregate"\nversions = ["2.0.1", "1.6"]'}, "uplink.versions", "several", '["1.6"]'),
        (
            {
                "uplink": 'topology = "aggregate"\nversions = ["2.1"]\npassword_file = "csms"',
                "rest": '[[station]]\nid = "CP"\nversion = "2.0.1"',
            },
            'station "CP".version',
            "the site as one station speaks 2.1",
            "per-station",
        ),
        (
            {"rest": '[[station]]\nid = "CP"\nuplink_password_file = "csms"'},
            'station "CP".uplink_password_file',
            "one password",
            "[uplink] password_file",
        ),
        ({"rest": '[[station]]\nid = "CP"\nalias = ["SITE-1"]'}, "site.identity", "names a station", "of its own"),
    ],
)
def test_what_does_not_go_with_one_station(
    tmp_path: Path, parts: dict[str, str], path: str, problem: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, **parts)
    (found,) = caught.value.mistakes
    assert (found.path, problem in found.problem, remedy in found.remedy) == (path, True, True)


def test_stations_of_another_version_are_translated(tmp_path: Path) -> None:
    config(tmp_path, rest='[[station]]\nid = "CP"\nversion = "2.0.1"\n[[station]]\nid = "CQ"\nversion = "2.1"')


def test_a_site_without_a_password_is_warned_of(tmp_path: Path) -> None:
    assert not config(tmp_path).warnings
    bare = 'topology = "aggregate"\nversions = ["1.6"]'
    assert [
        one for one in config(tmp_path, uplink=bare).warnings if "no password for the CSMS is set for SITE-1" in one
    ]
