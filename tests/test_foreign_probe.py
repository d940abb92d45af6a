"""The PyPI package `test-ocpp`, a probe for 1.6J and 2.0.1, against the gateway with a CSMS on `ocpp-rpc` above it.

What it is: a station for two messages. It holds no session and obeys no command; it checks the handshake (subprotocol,
password, TLS) and that BootNotification and Heartbeat are answered, and refuses what it is asked in between.
"""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import trustme
from ocpp.messages import CallResult, validate_payload

from gateway.demo.gateway_process import free_port
from tests.gateway_process import GatewayProcess
from tests.peers import ocpp_rpc_rig, python_env
from tests.peers.ocpp_rpc_rig import Csms
from tests.peers.probe_rig import Verdicts, probe
from tests.peers.steps import assert_no_errors, install_or_skip

VERSIONS = ["1.6", "2.0.1"]
PASSWORD = "0123456789abcdef"
LISTENERS = """
[[downlink]]
listen = "127.0.0.1:{password}"
path = "/ocpp"
security_profile = 1
unknown_stations = "accept"
password_file = "password"

[[downlink]]
listen = "127.0.0.1:{tls}"
path = "/ocpp"
security_profile = 2
unknown_stations = "accept"
password_file = "password"
certificate_file = "gateway.pem"
key_file = "gateway.key"
"""


@pytest.fixture(scope="session")
def rig() -> None:
    """Both package worlds."""
    install_or_skip(ocpp_rpc_rig.install)
    install_or_skip(python_env.install)


@pytest.fixture
def gateway_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a short path, for the Unix socket in it."""
    return tmp_path_factory.mktemp("gw")


@dataclasses.dataclass(frozen=True)
class Case:
    """One way to probe: the endpoint, options, and the probe's last word. Whatever is no SUCCESS has its reason."""

    name: str
    endpoint: str
    options: tuple[str, ...] = ()
    result: str = "SUCCESS"
    tls: str = "none"
    why: str = ""


RIGHT = ("--password", PASSWORD)
CASES = [
    Case("plain", "plain"),
    Case("slash", "plain", ("--trailing-slash",)),
    Case("wrongpath", "nowhere", (), "FAILED: server rejected handshake with HTTP 404", why="the path is not ours"),
    Case("password", "password", RIGHT),
    Case(
        "wrongpassword",
        "password",
        ("--password", PASSWORD[::-1]),
        "FAILED: server rejected handshake with HTTP 401",
        why="a wrong password has to be refused",
    ),
    Case(
        "nopassword",
        "password",
        (),
        "FAILED: server rejected handshake with HTTP 401",
        why="profile 1 asks for a password",
    ),
    Case("tls", "tls", ("--ca", "{ca}", *RIGHT), tls="TLSv1."),
    Case(
        "unknownca",
        "tls",
        RIGHT,
        "FAILED: TLS error",
        why="the probe does not know the authority of our certificate, and says so",
    ),
    Case(
        "tlsnopassword",
        "tls",
        ("--ca", "{ca}"),
        "FAILED: server rejected handshake with HTTP 401",
        why="profile 2 asks for a password",
    ),
]


async def problems_of(seen: Verdicts, version: str, case: Case) -> list[str]:
    """Every check of the probe that went otherwise than the case says."""
    succeeds = case.result == "SUCCESS"
    checks: dict[str, bool] = {
        f"last word {seen.result!r}": seen.result.startswith(case.result),
        f"exit status {seen.exit_status}": seen.exit_status == (0 if succeeds else 1),
        f"warnings {seen.warnings}": not seen.warnings,
    }
    if succeeds:
        checks |= {
            f"subprotocol {seen.subprotocol}": seen.subprotocol == f"ocpp{version}",
            f"TLS {seen.tls}": (seen.tls or "").startswith(case.tls),
            f"boot status {seen.boot_status}": seen.boot_status == "Accepted",
            f"time {seen.server_time}": bool(seen.server_time),
            f"calls {seen.sent}": [call[2] for call in seen.sent] == ["BootNotification", "Heartbeat"],
        }
        await validate_answers(seen, version)
    return [f"{version} {case.name}: {check}" for check, is_right in checks.items() if not is_right]


async def validate_answers(seen: Verdicts, version: str) -> None:
    """The probe takes any answer; the schemas of the `ocpp` package don't. Raises what that package raises."""
    actions = {call[1]: call[2] for call in seen.sent}
    answers = [frame for frame in seen.received if frame[0] == 3]
    answered = ["BootNotification", "Heartbeat"] if seen.result == "SUCCESS" else ["BootNotification"]
    assert [actions[answer[1]] for answer in answers] == answered
    for _, message_id, payload in answers:
        await validate_payload(CallResult(message_id, payload, actions[message_id]), version)


# The rig without a gateway.


def test_the_output_is_read_rightly() -> None:
    output = (
        "Connecting to ws://x/CP (subprotocol ocpp1.6)\nConnected. Negotiated subprotocol: None\n"
        "WARNING: server did not accept the requested subprotocol\nTLS: none (plain ws://)\n"
        '--> [2, "1", "BootNotification", {}]\n<-- [3, "1", {"status": "Pending"}]\n'
        "BootNotification status: Pending\nFAILED: TimeoutError: \n"
    )
    seen = Verdicts.of(1, output)
    assert (seen.subprotocol, seen.boot_status, seen.server_time) == ("None", "Pending", None)
    assert (seen.result, seen.warnings[0][:7], seen.tls) == ("FAILED: TimeoutError: ", "WARNING", "none (plain ws://)")
    assert (seen.sent[0][2], seen.received[0][2]) == ("BootNotification", {"status": "Pending"})


async def test_a_wrong_verdict_is_a_problem() -> None:
    seen = Verdicts(0, "ocpp1.6", "none", "Pending", "", "SUCCESS", (), ([2, "1", "BootNotification", {}],), ())
    with pytest.raises(AssertionError):
        await problems_of(seen, "1.6", CASES[0])
    failed = dataclasses.replace(seen, exit_status=1, result="FAILED: OSError", warnings=("WARNING: x",))
    refused = dataclasses.replace(CASES[0], result="FAILED: server rejected")
    assert len(await problems_of(failed, "1.6", refused)) == 2


@pytest.mark.usefixtures("rig")
@pytest.mark.parametrize("version", VERSIONS)
async def test_the_probe_judges_a_csms_directly(version: str) -> None:
    async with Csms(protocols=[f"ocpp{version}"]) as csms:
        assert await problems_of(await probe(csms.url, "P1", version), version, CASES[0]) == []
        other = await probe(csms.url, "P2", VERSIONS[version == "1.6"])
        assert (other.exit_status, other.result[:7]) == (1, "FAILED:")
        await csms.ask("answer", action="Heartbeat", payload={"currentTime": "yesterday"})
        broken = await probe(csms.url, "P3", version)
        assert broken.exit_status == 1
        assert broken.result.startswith("FAILED: CallError: Heartbeat failed: InternalError")


# Through the gateway.


@pytest.mark.usefixtures("rig")
async def test_every_check_of_the_probe(gateway_dir: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(gateway_dir / "ca.pem"))
    issued = authority.issue_cert("127.0.0.1")
    (gateway_dir / "gateway.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    (gateway_dir / "gateway.key").write_bytes(issued.private_key_pem.bytes())
    (gateway_dir / "password").write_text(PASSWORD)
    for secret in ("gateway.key", "password"):
        (gateway_dir / secret).chmod(0o600)
    ports = {"password": free_port(), "tls": free_port()}
    async with Csms() as csms, GatewayProcess(gateway_dir, csms.url, extra=LISTENERS.format(**ports)) as gateway:
        endpoints = {
            "plain": gateway.url,
            "nowhere": f"ws://127.0.0.1:{gateway.port}/nowhere",
            "password": f"ws://127.0.0.1:{ports['password']}/ocpp",
            "tls": f"wss://127.0.0.1:{ports['tls']}/ocpp",
        }
        problems = []
        for case in CASES:
            options = [option.format(ca=gateway_dir / "ca.pem") for option in case.options]
            runs = (probe(endpoints[case.endpoint], f"{case.name}-{one}", one, *options) for one in VERSIONS)
            for version, seen in zip(VERSIONS, await asyncio.gather(*runs), strict=True):
                problems += await problems_of(seen, version, case)
        status = await gateway.stop()
        server = await csms.stats()
    assert not problems, "\n".join([*problems, gateway.log_tail()])
    assert_no_errors(server)
    passed = [case for case in CASES if case.result == "SUCCESS"]
    assert all(case.why for case in CASES if case not in passed)
    assert set(server.peers) == {f"{case.name}-{version}" for case in passed for version in VERSIONS}
    assert server.total.actions["BootNotification"] == len(passed) * len(VERSIONS)
    assert server.total.calls_received == server.total.results_sent
    assert status == 0


@pytest.mark.usefixtures("rig")
async def test_a_csms_that_asks_before_it_answers_a_boot_is_not_waited_for(gateway_dir: Path) -> None:
    """No command goes down before the boot is answered: this CSMS gets a refusal, and answers the boot then."""
    command: list[Any] = ["TriggerMessage", {"requestedMessage": "Heartbeat"}]
    async with (
        Csms(ask_first={"BootNotification": command}) as csms,
        GatewayProcess(gateway_dir, csms.url) as gateway,
    ):
        for version in VERSIONS:
            seen = await probe(gateway.url, f"P-{version}", version)
            assert (seen.result, seen.boot_status) == ("SUCCESS", "Accepted")
            assert [frame for frame in seen.received if frame[0] == 2] == []
        asked, server = await csms.asked(), await csms.stats()
    assert [(one["identity"], one["result"]) for one in asked] == [
        ("P-1.6", {"status": "Rejected"}),
        ("P-2.0.1", {"status": "Rejected"}),
    ]
    assert_no_errors(server)


@pytest.mark.usefixtures("rig")
async def test_the_probe_is_served_in_an_outage_and_reaches_the_csms_after_it(gateway_dir: Path) -> None:
    async with Csms() as csms:
        gateway = GatewayProcess(gateway_dir, csms.url)
        # Without this a first handshake in the outage waits for the CSMS's choice, and the way back takes longer.
        known = '[uplink]\nversions = ["2.0.1", "1.6"]\nretry_repeat_times = 0'
        gateway.write_config(gateway.config_file.read_text().replace("[uplink]", known))
        async with gateway:
            await probe_around_an_outage(csms, gateway)
        server = await csms.stats()
    assert_no_errors(server)


async def probe_around_an_outage(csms: Csms, gateway: GatewayProcess) -> None:
    """Before it, in it (a station that was accepted before, and a new one), and after it until the CSMS has the new."""
    for version in VERSIONS:
        assert (await probe(gateway.url, f"known-{version}", version)).boot_status == "Accepted"
    await csms.ask("cut")
    # All at once: the gateway may wait a while for a CSMS before it answers a boot itself.
    runs = [(who, version) for who in ("known", "new") for version in VERSIONS]
    verdicts = await asyncio.gather(*(probe(gateway.url, f"{who}-{version}", version) for who, version in runs))
    for (who, version), seen in zip(runs, verdicts, strict=True):
        if who == "known":
            assert await problems_of(seen, version, CASES[0]) == []
        else:
            # No CSMS has accepted this one yet: it has to ask again, and its driver waits. 2.0.1 lets it say no more.
            assert seen.boot_status == "Pending"
            assert (seen.result == "SUCCESS") is (version == "1.6")
            assert version == "1.6" or "SecurityError" in seen.result
            await validate_answers(seen, version)
    await csms.ask("mend")
    returns = (Reaches(csms, gateway.url, f"new-{version}", version) for version in VERSIONS)
    await asyncio.gather(*(csms.until(one, 60, "a boot after the outage") for one in returns))


@dataclasses.dataclass
class Reaches:
    """Probes until the CSMS itself has accepted the boot."""

    csms: Csms
    url: str
    identity: str
    version: str

    async def __call__(self) -> bool:
        seen = await probe(self.url, self.identity, self.version)
        peers = (await self.csms.stats()).peers
        return seen.boot_status == "Accepted" and self.identity in peers
