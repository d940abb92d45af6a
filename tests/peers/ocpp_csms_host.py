"""Runs the PyPI package `ocpp-csms` (a 1.6J CSMS on aiohttp) for a test. Needs that package and nothing of ours.

Arguments: port, and a file to which every frame, event and mishap is appended as a JSON line, so that it outlives
`kill -9`. Commands are JSON lines on stdin: `call`, `cut`, `mend`, `state`; answers are JSON lines on stdout.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TextIO

from ocpp.charge_point import camel_to_snake_case, remove_nones, snake_to_camel_case
from ocpp.v16 import call
from ocpp_csms import (  # type: ignore[import-not-found]  # only in the peers' own environment
    CentralSystem,
    ChargePointEvent,
    CsmsCallError,
    CsmsConnectionError,
    CsmsError,
)

NOTES = logging.getLogger("host")
FRAMES = {"%s: receive message %s": "in", "%s: send %s": "out"}
REPLACED = "Charge point %s replaced its connection"
Answer = dict[str, Any]


class Recorder(logging.Handler):
    """Everything that is logged: frames by the `ocpp` package, what the library warns about, our own notes."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line; what comes at debug level and is no frame only says more about a warning."""
        line: Answer = {"at_ms": int(record.created * 1000), "kind": None}
        message = str(record.msg)
        if message in FRAMES and isinstance(record.args, tuple):
            identity, text = record.args
            line |= {"kind": FRAMES[message], "identity": identity, "text": text}
        elif record.name == NOTES.name:
            line |= {
                "kind": message,
                "identity": record.args[0] if isinstance(record.args, tuple) and record.args else None,
            }
        elif message == REPLACED and isinstance(record.args, tuple):
            line |= {"kind": "replaced", "identity": record.args[0]}
        elif record.levelno >= logging.WARNING:
            line |= {"kind": "trouble", "text": self.format(record)}
        if line["kind"] is not None:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


class Host:
    """One central system and its commands."""

    def __init__(self, port: int) -> None:
        self._csms = CentralSystem(host="127.0.0.1", port=port, call_timeout=20, ping_interval=5)
        self._csms.add_listener(self._on_event)
        self._commands: dict[str, Callable[[Answer], Awaitable[Answer]]] = {
            "call": self._call,
            "cut": self._cut,
            "mend": self._mend,
            "state": self._state,
        }

    async def serve(self) -> None:
        """Answer commands until stdin ends."""
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=2**24)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await self._csms.async_start()
        NOTES.info("up")
        _say({"ready": True})
        tasks: set[asyncio.Task[None]] = set()
        async for text in reader:
            task = asyncio.create_task(self._answer(json.loads(text)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await self._csms.async_stop()

    async def _answer(self, line: Answer) -> None:
        try:
            _say({"id": line["id"], "ok": True, **(await self._commands[line["cmd"]](line))})
        except Exception as error:
            kind = error.code if isinstance(error, CsmsCallError) else type(error).__name__
            _say({"id": line["id"], "ok": False, "error": kind, "message": str(error)})

    async def _call(self, line: Answer) -> Answer:
        """A command to a station, by the name and with the keys it has on the wire."""
        identity = line["identity"]
        point = self._csms.charge_points[identity]
        try:
            answer = await point.async_call(getattr(call, line["action"])(**camel_to_snake_case(line["payload"])))
        except CsmsConnectionError:
            NOTES.info("lost", identity)
            raise
        except CsmsError:
            NOTES.info("failed", identity)
            raise
        return {"result": snake_to_camel_case(remove_nones(asdict(answer)))}

    async def _cut(self, _line: Answer) -> Answer:
        """Close every socket in good order and stop listening."""
        NOTES.info("down")
        await self._csms.async_stop()
        return {}

    async def _mend(self, _line: Answer) -> Answer:
        await self._csms.async_start()
        NOTES.info("up")
        return {}

    async def _state(self, _line: Answer) -> Answer:
        """What the library itself believes of each station."""
        return {
            "stations": {
                point.id: {
                    "connected": point.connected,
                    "booted": point.boot is not None,
                    "running": list(point.transactions),
                    "status": {number: str(one.status) for number, one in point.connectors.items()},
                    "readings": len(point.meter_readings(1)),
                }
                for point in self._csms.charge_points.values()
            }
        }

    def _on_event(self, event: ChargePointEvent) -> None:
        NOTES.info(type(event).__name__, event.charge_point_id)


def _say(line: Answer) -> None:
    print(json.dumps(line), flush=True)


def main() -> None:
    """Run until stdin ends."""
    with open(sys.argv[2], "a", encoding="utf-8") as file:
        recorder = Recorder(file)
        logging.basicConfig(level=logging.INFO, handlers=[recorder])
        for name in ("ocpp_csms", "ocpp_csms.wire"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        asyncio.run(Host(int(sys.argv[1])).serve())


if __name__ == "__main__":
    main()
