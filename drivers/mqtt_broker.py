"""A connection to an MQTT broker, shared by all meters behind it, and made again for ever."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from drivers import port_trouble
from drivers.api import Kind, Seams, Trouble
from drivers.pace import Backoff

_LOG = logging.getLogger(__name__)
_KEEPALIVE_S: Final = 10
_ANSWER_S: Final = 5.0
_FAREWELL_TURNS: Final = 50
"""So long may it take to send a few bytes. What can't be closed by then is left to the garbage collector."""
_CREDENTIALS: Final = {4, 5, 134, 135}
"""Reasons of a refused connection, by MQTT 3.1.1 and by MQTT 5."""

Received = Callable[[str, bytes, float, bool], None]
"""Topic, payload, when it came, whether the broker had kept it."""


@dataclass(frozen=True, slots=True)
class Where:
    """Meters with equal ones share a connection."""

    host: str
    port: int
    username: str | None = None
    password_file: Path | None = None
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def password(self) -> str | None:
        """Read for each connection, so that a new one counts at once. Raises OSError, UnicodeDecodeError."""
        return None if self.password_file is None else self.password_file.read_text("utf-8").strip("\r\n")

    def context(self) -> ssl.SSLContext | None:
        """Raises OSError, which an ssl.SSLError is too."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


@dataclass(eq=False, slots=True)
class Listener:
    topics: frozenset[str]
    received: Received


class Broker:
    """Runs while it has listeners. `trouble` is None while it is connected, or the first connection is on its way."""

    def __init__(self, where: Where, seams: Seams) -> None:
        self._where = where
        self._seams = seams
        self._backoff = Backoff(seams.random)
        self._listeners: list[Listener] = []
        self._changed = asyncio.Event()
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._client: aiomqtt.Client | None = None
        self._is_said = False
        self.connections = 0
        self.trouble: Trouble | None = None
        self.subscribed: frozenset[str] = frozenset()
        """Topics that come, on the present connection."""
        self.refused: frozenset[str] = frozenset()
        """Topics that the broker does not let us have."""

    @classmethod
    def shared(cls, where: Where, seams: Seams) -> "Broker":
        """The one for this place."""
        broker = seams.shared.setdefault((cls, where), cls(where, seams))
        assert isinstance(broker, Broker)
        return broker

    def join(self, topics: Iterable[str], received: Received) -> Listener:
        """Does not wait for the broker."""
        listener = Listener(frozenset(topics), received)
        self._listeners.append(listener)
        self._changed.set()
        if self._task is None:
            self.trouble, self._is_said = None, False
            self._task = asyncio.create_task(self._run(), name=f"broker {self._where.host}")
        return listener

    async def leave(self, listener: Listener) -> None:
        """The last one closes the connection."""
        self._listeners.remove(listener)
        if not self._listeners and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def publish(self, topic: str, payload: str) -> None:
        """As soon as there is a connection. It may get lost: what has to arrive is sent again anyway."""
        await self._ready.wait()
        assert self._client is not None
        with contextlib.suppress(aiomqtt.MqttError):
            await self._client.publish(topic, payload)

    async def _run(self) -> None:
        while True:
            try:
                trouble = await self._session()
            except Exception as error:
                _LOG.exception("the connection to the broker %s has a fault", self._where.host)
                trouble = Trouble(Kind.MISCONFIGURED, f"the driver has a fault ({error!r})", "Report it")
            if not self._is_said:
                _LOG.warning("%s", trouble)
            self.trouble, self._is_said = trouble, True
            await self._seams.sleep(self._backoff.wait_s())

    async def _session(self) -> Trouble:
        """One connection, from its beginning to its end; why it ended."""
        try:
            password, context = await asyncio.to_thread(lambda: (self._where.password(), self._where.context()))
        except (OSError, UnicodeDecodeError) as error:
            problem = f"a password or certificate file of the broker {self._where.host} cannot be used ({error})"
            return Trouble(Kind.MISCONFIGURED, problem, "Check that it is there, and that the gateway may read it")
        if trouble := await self._knock(context):
            return trouble
        client = aiomqtt.Client(
            self._where.host,
            self._where.port,
            username=self._where.username,
            password=password,
            tls_context=context,
            keepalive=_KEEPALIVE_S,
            timeout=_ANSWER_S,
            queue_type=_inbox(self._on_message),
        )
        try:
            await self._enter(client)
            self.connections += 1
            self._client = client
            try:
                await self._listen(client)
            finally:
                self._ready.clear()
                self._client = None
                await _leave(client)
        except aiomqtt.MqttError as error:
            return self._why(error)
        return self._why(aiomqtt.MqttError("the connection ended"))

    async def _knock(self, context: ssl.SSLContext | None) -> Trouble | None:
        """Whether one may come in. paho tries in a thread that can't be stopped, tells errors as text, and does not
        close what failed in TLS: so it only gets to try what works.
        """
        where, host = self._where, self._where.host
        try:
            async with asyncio.timeout(_ANSWER_S):
                _, writer = await asyncio.open_connection(host, where.port, ssl=context)
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        except ssl.SSLError as error:
            remedy = "Check tls, ca_file and the name in the broker's certificate, and that this is its TLS port"
            return Trouble(Kind.REFUSED, f"no TLS with the broker {host}:{where.port} ({error})", remedy)
        except OSError as error:
            return port_trouble.of_host(host, where.port, None if isinstance(error, TimeoutError) else error)
        except UnicodeError:
            return port_trouble.of_host(host, where.port, OSError("it is no host name"))
        return None

    async def _enter(self, client: aiomqtt.Client) -> None:
        """aiomqtt connects in a thread, and leaves a connection open that fails half-way: both have to come to an end.

        Raises MqttError.
        """
        entering, paho = asyncio.ensure_future(client.__aenter__()), client._client
        try:
            await asyncio.shield(entering)
        except (aiomqtt.MqttError, asyncio.CancelledError):
            while not entering.done() and paho.socket() is None:
                await self._seams.sleep(0.01)
            paho.disconnect()
            for _ in range(_FAREWELL_TURNS):
                if paho.socket() is not None:
                    await self._seams.sleep(0.01)
            entering.cancel()
            await asyncio.gather(entering, return_exceptions=True)
            raise

    async def _listen(self, client: aiomqtt.Client) -> None:
        """Subscribes to what is wanted, until the connection is lost. Raises MqttError."""
        lost = asyncio.create_task(_until_lost(client))
        self.refused = frozenset()
        try:
            while not lost.done():
                self._changed.clear()
                wanted = {topic for listener in self._listeners for topic in listener.topics}
                if missing := wanted - self.subscribed - self.refused:
                    await self._subscribe(client, sorted(missing))
                self.trouble = None
                self._ready.set()
                changed = asyncio.create_task(self._changed.wait())
                try:
                    await asyncio.wait({lost, changed}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
        finally:
            self.subscribed = frozenset()
            lost.cancel()
            results = await asyncio.gather(lost, return_exceptions=True)
        if isinstance(results[0], aiomqtt.MqttError):
            raise results[0]

    async def _subscribe(self, client: aiomqtt.Client, topics: list[str]) -> None:
        codes = await client.subscribe([(topic, 0) for topic in topics])
        answers = [code if isinstance(code, int) else code.value for code in codes]
        refused = {topic for topic, code in zip(topics, answers, strict=True) if code >= 128}
        self.refused |= refused
        self.subscribed |= set(topics) - refused

    def _on_message(self, message: aiomqtt.Message) -> None:
        """In the callback that read it from the socket."""
        now, topic = self._seams.now(), message.topic.value
        self._backoff.reset()
        if self._is_said:
            _LOG.info("the broker %s sends again", self._where.host)
            self._is_said = False
        for listener in self._listeners:
            if topic in listener.topics:
                try:
                    listener.received(topic, message.payload, now, message.retain)
                except Exception:  # a fault in one meter's decoder must not cost the others their connection
                    _LOG.exception("a message at %s cannot be handled", topic)

    def _why(self, error: aiomqtt.MqttError) -> Trouble:
        where, text = f"the broker {self._where.host}:{self._where.port}", str(error)
        code = getattr(error, "rc", None)
        if getattr(code, "value", code) in _CREDENTIALS and isinstance(error, MqttConnectError):
            return Trouble(Kind.REFUSED, f"{where} refuses the credentials", "Check username and password_file")
        remedy = "Check its log, and whether this port expects tls"
        return Trouble(Kind.UNREACHABLE, f"{where} is not connected ({text})", remedy)


def _inbox(received: Callable[[aiomqtt.Message], None]) -> type[asyncio.Queue[aiomqtt.Message]]:
    """aiomqtt puts every message into a queue, in the callback. This one hands them on instead of keeping them."""

    class Inbox(asyncio.Queue[aiomqtt.Message]):
        def put_nowait(self, item: aiomqtt.Message) -> None:
            received(item)

    return Inbox


async def _until_lost(client: aiomqtt.Client) -> None:
    async for _ in client.messages:
        pass


async def _leave(client: aiomqtt.Client) -> None:
    with contextlib.suppress(aiomqtt.MqttError):
        await client.__aexit__(None, None, None)
