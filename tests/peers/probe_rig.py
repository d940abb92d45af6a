"""The PyPI package `test-ocpp`: a probe that plays a station for a moment.

It connects in one OCPP version, sends a BootNotification and a Heartbeat, answers every command with NotImplemented,
and says what it saw. It holds no session: what it can judge is the handshake (TLS and password too) and two answers.
"""

import asyncio
import dataclasses
import json
import re
from typing import Any, Self

from tests.peers import python_env

PROGRAM = "test-ocpp"


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """What one run of the probe said. `result` is its last word: SUCCESS, or FAILED with the reason."""

    exit_status: int
    subprotocol: str | None
    tls: str | None
    boot_status: str | None
    server_time: str | None
    result: str
    warnings: tuple[str, ...]
    sent: tuple[list[Any], ...]
    received: tuple[list[Any], ...]

    @classmethod
    def of(cls, exit_status: int, output: str) -> Self:
        """Read the probe's output."""
        lines = output.splitlines()

        def said(pattern: str) -> str | None:
            found = re.search(f"^{pattern}(.*)$", output, re.MULTILINE)
            return found[1].strip() if found else None

        return cls(
            exit_status=exit_status,
            subprotocol=said(r"Connected\. Negotiated subprotocol: "),
            tls=said("TLS: "),
            boot_status=said("BootNotification status: "),
            server_time=said("Heartbeat server time: "),
            result=next((line for line in lines if line.startswith(("SUCCESS", "FAILED"))), output[-500:]),
            warnings=tuple(line for line in lines if line.startswith("WARNING")),
            sent=tuple(json.loads(line[4:]) for line in lines if line.startswith("--> ")),
            received=tuple(json.loads(line[4:]) for line in lines if line.startswith("<-- ")),
        )


async def probe(url: str, identity: str, version: str, *options: str, timeout_s: float = 60.0) -> Verdicts:
    """Run the probe against an endpoint without identity. Raises TimeoutError."""
    process = await asyncio.create_subprocess_exec(
        str(python_env.BIN / PROGRAM),
        *(url, identity, "--ocpp", version, *options),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Verdicts.of(process.returncode, output.decode(errors="replace"))
