"""Runs a transcript: a raw scripted station and a raw scripted CSMS around the real gateway, on virtual time.

The grammar is in `tests/transcripts/README.md`. Frames are compared as text, so what is relayed must arrive byte for
byte.
"""

import asyncio
import difflib
import json
import random
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.dialects import quirks
from gateway.errors import SocketClosed
from gateway.model.ids import StationId
from gateway.model.site_tree import CircuitNode, ConnectorKey, ConnectorSpec
from gateway.model.token import IdToken, LateRefusal, OfflineMode, Tag
from gateway.plan import Plan
from gateway.site_options import SiteOptions
from gateway.smartcharging.families import Family
from gateway.station import ModelOptions, StationOptions
from gateway.uplink.backoff import Backoff
from gateway.uplink.per_station import PerStationOptions
from tests.sim.csms import SimCsms
from tests.sim.network import SimSocket, Weather
from tests.sim.station import SUBPROTOCOLS
from tests.sim.world import World

STATION = "CP-1"
PATIENCE_S = 1.0
"""An expected frame comes within this, unless a `wait` stands before it."""

RECONNECT_S = 5.0
"""The gateway's wait before it dials the CSMS again: always the same here, and no randomness."""

CONTEXT_LINES = 6
_NAME = re.compile(r"\$([a-z_][a-z0-9_]*)")
_SCALAR = r'("(?:[^"\\]|\\.)*"|[-+.0-9eE]+|true|false|null)'
_SAID = re.compile(r"(station|csms)([<>])\s*(.+)")


_AUTHORIZATION: dict[str, Callable[..., dict[str, Any]]] = {
    "pre-authorize": lambda: {"pre_authorize": True},
    "late-refusal": lambda policy: {"late_refusal": LateRefusal(policy)},
    "contracts": lambda word: {"accepts_contracts": word == "known"},
    "master-pass": lambda group: {"master_group": group},
    "tag": lambda tag: {"tags": {IdToken(tag).key: Tag(IdToken(tag))}},
}
"""`set authorization KEY VALUE`: as in the configuration."""


class TranscriptError(AssertionError):
    """The conversation went another way; the text shows where."""


# -- the two peers ---------------------------------------------------------------------------------------------------


class Peer:
    """The station or the CSMS: says what the script says, keeps what it hears until the script asks for it."""

    def __init__(self) -> None:
        self.unread: deque[str] = deque()
        self.socket: SimSocket | None = None
        self._came = asyncio.Event()
        self._readers: set[asyncio.Task[None]] = set()

    @property
    def is_connected(self) -> bool:
        return self.socket is not None and self.socket.closed is None

    def attach(self, socket: SimSocket) -> None:
        """Read from this socket until it is closed."""
        if self.is_connected:
            raise AssertionError("a second socket while the first is open")
        self.socket = socket
        reader = asyncio.create_task(self._read(socket), name="peer")
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)

    def cut(self) -> None:
        if self.socket is not None:
            self.socket.cut()

    async def say(self, frame: str) -> None:
        """Raises TranscriptError without a connection."""
        if self.socket is None or self.socket.closed is not None:
            raise TranscriptError("not connected")
        self.socket.send(frame.encode())

    async def hear(self, seconds: float = PATIENCE_S) -> str | None:
        """The next frame; None if there is none in time."""
        await self._until(lambda: bool(self.unread), seconds)
        return self.unread.popleft() if self.unread else None

    async def is_closed(self, seconds: float = PATIENCE_S) -> bool:
        await self._until(lambda: not self.is_connected, seconds)
        return not self.is_connected

    async def _until(self, is_true: Callable[[], bool], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not is_true():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            return

    async def _read(self, socket: SimSocket) -> None:
        try:
            while True:
                self.unread.append((await socket.receive()).decode())
                self._came.set()
        except SocketClosed:
            self._came.set()


class RawCsms(SimCsms):
    """Takes the gateway's socket, and answers nothing by itself."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(random.Random(0))
        self.peer = peer

    def accept(self, station: str, socket: SimSocket) -> None:
        self.peer.attach(socket)

    def cut(self) -> None:
        self.is_reachable = False
        self.peer.cut()


class _Steady(random.Random):
    """Every delay is the least one, and a little more than the one before: the loop keeps no order among timers of one
    instant, but frames of one socket keep theirs."""

    _drawn = 0

    def uniform(self, a: float, b: float) -> float:
        self._drawn += 1
        return a + self._drawn * 1e-7


class Rig:
    """A gateway between the two peers; what a transcript does line by line, tests may do by hand."""

    def __init__(self, folder: Path, version: str, options: SiteOptions | None = None) -> None:
        self.version = version
        self.station, self.csms = Peer(), Peer()
        self.world = World(folder, 1, options or SiteOptions(offline=OfflineMode.KNOWN_ONLY))
        self.world.random = _Steady(1)
        self.world.weather = Weather(0.01, 0.01)
        self.world.uplink = PerStationOptions(backoff=Backoff(RECONNECT_S, 0, 0))
        self.world.csms = RawCsms(self.csms)

    async def start(self) -> None:
        await self.world.start()

    async def connect(self) -> None:
        socket = await self.world.dial(STATION, SUBPROTOCOLS[self.version])
        if socket is None:
            raise TranscriptError("the gateway takes no connection")
        self.station.attach(socket)

    async def stop(self) -> None:
        """An orderly end, also of a gateway that is down."""
        self.station.cut()
        await self.world.stop()


# -- the script ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """`at`: where it stands, for messages."""

    at: str
    text: str


def read(path: Path) -> list[Line]:
    """The lines of a transcript, includes resolved, continuations (indented lines) joined, comments left out."""
    lines: list[Line] = []
    for number, raw in enumerate(path.read_text().splitlines(), 1):
        text = raw.strip()
        if not text or text.startswith("#"):
            continue
        if raw[0] in " \t" and lines:
            lines[-1] = replace(lines[-1], text=lines[-1].text + text)
        elif text.startswith("include "):
            lines += [line for line in read(path.parent / text.split()[1]) if not line.text.startswith("version ")]
        else:
            lines.append(Line(f"{path.name}:{number}", text))
    return lines


def _plan(limit_a: float, background_a: float) -> Plan:
    """One circuit without a meter, one connector of CP-1 in it, which steps down by itself at the end of a lease."""
    node = CircuitNode(id="main", limit_a=(limit_a,) * 3, background_a=(background_a,) * 3)
    spec = ConnectorSpec(key=ConnectorKey(StationId(STATION), 1), circuit="main", latency_s=1.0)
    family = Family(name="raw", proven=True, latency_s=1.0, tells=True)
    return Plan(circuits=(node,), connectors=(spec,), families={StationId(STATION): family})


class Transcript:
    """One run of one transcript."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = folder
        self._lines = read(path)
        self._known: dict[str, str] = {}
        self._options = SiteOptions(offline=OfflineMode.KNOWN_ONLY)
        self._version = ""
        self._csms: tuple[str, ...] = ()
        self._rig: Rig

    async def run(self) -> None:
        """Raises TranscriptError, with the conversation up to the line that failed."""
        head = [line for line in self._lines if line.text.startswith(("version ", "set "))]
        for line in head:
            self._configure(line.text.split()[1:] if line.text.startswith("set ") else ["version", line.text[8:]])
        self._rig = Rig(self._folder, self._version, self._options)
        self._rig.world.csms.versions = self._csms
        await self._rig.start()
        try:
            for index, line in enumerate(self._lines):
                if line not in head:
                    await self._step(index, line)
            await asyncio.sleep(PATIENCE_S)
            unread = self._unread()
            if unread:
                raise TranscriptError(f"{self._path.name}: at the end, frames that nobody expected:\n{unread}")
        finally:
            await self._rig.stop()

    def _configure(self, words: list[str]) -> None:
        match words:
            case ["version", version]:
                self._version = version
            case ["csms", *versions]:
                self._csms = tuple(versions)
            case ["offline", mode]:
                self._options = replace(self._options, offline=OfflineMode(mode))
            case ["authorization", key, *values]:
                changed = replace(self._options.authorization, **_AUTHORIZATION[key](*values))
                self._options = replace(self._options, authorization=changed)
            case ["quirks", *names]:
                self._options = replace(self._options, stations={STATION: StationOptions(quirks=quirks.of(names))})
            case ["grace", after_boot_s, after_reconnect_s]:
                self._options = replace(
                    self._options, after_boot_s=float(after_boot_s), after_reconnect_s=float(after_reconnect_s)
                )
            case ["answer-delay", seconds]:
                stations = {STATION: StationOptions(min_answer_delay_s=float(seconds))}
                self._options = replace(self._options, stations=stations)
            case ["model", vendor, model, delay_s, *names]:
                said = ModelOptions(vendor, model, quirks.of(names), float(delay_s))
                self._options = replace(self._options, models=[*self._options.models, said])
            case ["circuit", limit_a, background_a]:
                self._options = replace(self._options, plan=_plan(float(limit_a), float(background_a)))
            case _:
                raise TranscriptError(f"{self._path.name}: unknown setting {' '.join(words)}")

    async def _step(self, index: int, line: Line) -> None:
        said = _SAID.fullmatch(line.text)
        try:
            if said is None:
                await self._act(line.text)
                return
            peer = self._rig.station if said[1] == "station" else self._rig.csms
            if said[2] == ">":
                await peer.say(self._filled(said[3]))
            else:
                await self._expect(peer, said[3])
        except TranscriptError as error:
            before = "\n".join(f"    {line.text}" for line in self._lines[max(0, index - CONTEXT_LINES) : index])
            unread = self._unread()
            raise TranscriptError(
                f"{line.at}\n{before}\n>>> {line.text}\n{error}\n" + (f"not read yet:\n{unread}" if unread else "")
            ) from None

    async def _act(self, text: str) -> None:
        rig, world = self._rig, self._rig.world
        acts: dict[str, Callable[[], Awaitable[None] | None]] = {
            "connect station": rig.connect,
            "cut station": rig.station.cut,
            "cut uplink": world.csms.cut,
            "restore uplink": world.csms.mend,
            "kill gateway": world.crash,
            "start gateway": world.start,
            "cut power": world.cut_power,
        }
        if text.startswith("wait "):
            await asyncio.sleep(float(text.split()[1]))
        elif text in acts:
            waited = acts[text]()
            if waited is not None:
                await waited
        else:
            raise TranscriptError("not a line of a transcript")

    async def _expect(self, peer: Peer, expected: str) -> None:
        if expected == "nothing":
            if peer.unread:
                raise TranscriptError(f"heard: {peer.unread[0]}")
        elif expected == "closed":
            if not await peer.is_closed():
                raise TranscriptError("still connected")
        else:
            came = await peer.hear()
            if came is None:
                raise TranscriptError(f"nothing came within {PATIENCE_S:.0f} s")
            self._compare(expected, came)

    def _compare(self, expected: str, came: str) -> None:
        known = dict(self._known)
        if expected.startswith("~"):
            pattern = _NAME.sub(lambda name: json.dumps(f"${name[1]}"), expected[1:])
            is_same = _matches(json.loads(pattern), json.loads(came), known)
        else:
            is_same = _matches_text(expected, came, known)
        if not is_same:
            wanted = _NAME.sub(lambda name: self._known.get(name[1], name[0]), expected)
            raise TranscriptError("\n".join(difflib.ndiff([wanted], [came])))
        self._known = known

    def _filled(self, text: str) -> str:
        try:
            return _NAME.sub(lambda name: self._known[name[1]], text)
        except KeyError as unknown:
            raise TranscriptError(f"${unknown.args[0]} has no value yet") from None

    def _unread(self) -> str:
        heard = [("station", frame) for frame in self._rig.station.unread]
        heard += [("csms", frame) for frame in self._rig.csms.unread]
        return "\n".join(f"    {who}< {frame}" for who, frame in heard)


def _matches_text(expected: str, came: str, known: dict[str, str]) -> bool:
    """Whether the text is the expected one; names without a value yet get theirs (`$_` never keeps one)."""
    pattern, names, end = "", list[str](), 0
    for name in _NAME.finditer(expected):
        pattern += re.escape(expected[end : name.start()])
        end = name.end()
        if name[1] in known:
            pattern += re.escape(known[name[1]])
        elif name[1] in names:
            pattern += rf"(?:\{names.index(name[1]) + 1})"
        else:
            pattern += _SCALAR if name[1] != "_" else f"(?:{_SCALAR[1:]}"
            if name[1] != "_":
                names.append(name[1])
    found = re.fullmatch(pattern + re.escape(expected[end:]), came)
    if found:
        known.update(zip(names, found.groups(), strict=True))
    return found is not None


def _matches(expected: Any, came: Any, known: dict[str, str]) -> bool:
    """The same of parsed JSON: order of members, spacing and spelling of numbers don't count."""
    if isinstance(expected, str) and expected.startswith("$"):
        if isinstance(came, dict | list):
            return False
        return expected == "$_" or known.setdefault(expected[1:], json.dumps(came)) == json.dumps(came)
    if isinstance(expected, dict) and isinstance(came, dict):
        return expected.keys() == came.keys() and all(_matches(expected[key], came[key], known) for key in expected)
    if isinstance(expected, list) and isinstance(came, list):
        return len(expected) == len(came) and all(map(lambda e, c: _matches(e, c, known), expected, came))
    return type(expected) is type(came) and bool(expected == came)
