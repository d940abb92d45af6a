"""Meters that an MQTT broker knows: a model from `models/mqtt/`, or any topics with a path to each value."""

import asyncio
import difflib
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo

from drivers import mqtt_layout
from drivers.api import Health, Kind, Seams, Trouble
from drivers.mqtt_broker import Broker, Listener, Where
from drivers.mqtt_layout import Interval, Layout, LayoutFile, Messages, PhaseCount, Resolution, Sign
from drivers.mqtt_values import Assembly
from drivers.options import File, Mistake, Options, OptionsError, fault, places_of
from drivers.push import PushDriver


def _model(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    known = mqtt_layout.files(places_of(info))
    if value not in known:
        near = difflib.get_close_matches(value.lower()[:60], known, n=1)
        hint = f'Write "{near[0]}", if that is meant.' if near else f"Write one of {', '.join(known)}."
        raise fault("is not a known model", f"{hint} Or take it out, and write a [[message]] for each topic.")
    try:
        return mqtt_layout.load(known[value])
    except OptionsError as error:
        raise fault(f"{known[value]} cannot be used ({error})", "Correct the file.") from None


def _topic_part(value: str) -> str:
    if any(sign in value for sign in "+#{}\0"):
        raise fault("has a character that this part of a topic can't have", "Write it without +, # and braces.")
    return value


TopicPart = Annotated[
    str, AfterValidator(_topic_part), Field(min_length=1, max_length=500, description="Write a part of a topic.")
]


class MqttOptions(Options):
    host: Annotated[str, Field(min_length=1, description="Write the broker's name or IP address.")]
    tcp_port: Annotated[int | None, Field(ge=1, le=65535, description="Write the broker's port, 1 to 65535.")] = None
    username: Annotated[str | None, Field(min_length=1, max_length=1000, description="Write a name.")] = None
    password_file: File = None
    tls: bool = Field(default=False, description="Write true or false.")
    ca_file: File = None
    cert_file: File = None
    key_file: File = None

    model: Annotated[
        LayoutFile | None,
        BeforeValidator(_model),
        PlainSerializer(lambda model: model and model.id),
        Field(description='Name a model, such as "shelly-em".'),
    ] = None
    prefix: Annotated[TopicPart | None, Field(description="Write the beginning of the meter's topics.")] = None
    names: Annotated[
        dict[str, TopicPart], Field(description='Write what the model asks for, such as { portal = "..." }.')
    ] = Field(default_factory=dict)
    interval_s: Annotated[Interval | None, Field(description=mqtt_layout.INTERVAL)] = None

    # Without a model:
    message: Messages | None = None
    max_age_s: Annotated[float | None, Field(gt=0, le=3600, description="Write seconds, up to 3600.")] = None
    phases: PhaseCount = 3
    signed: Annotated[Sign | None, Field(description=mqtt_layout.SIGN)] = None
    resolution_a: Resolution = 0.01

    @property
    def where(self) -> Where:
        port = self.tcp_port or (8883 if self.tls else 1883)
        return Where(
            self.host, port, self.username, self.password_file, self.tls, self.ca_file, self.cert_file, self.key_file
        )

    @property
    def placeholders(self) -> dict[str, str]:
        return self.names if self.prefix is None else {"prefix": self.prefix, **self.names}

    @cached_property
    def layout(self) -> Layout:
        if self.model is not None:
            return self.model.layout(self.placeholders, self.interval_s)
        assert self.message is not None
        assert self.interval_s is not None
        return Layout(
            messages=self.message,
            interval_s=self.interval_s,
            max_age_s=self.max_age_s or mqtt_layout.longest_age_s(self.interval_s),
            phases=self.phases,
            signed=self.signed or "native",
            resolution_a=self.resolution_a,
        )

    def clashes(self) -> Iterator[Mistake]:
        if self.model is not None:
            yield from self._against_the_model(self.model)
        elif self.message is None:
            yield Mistake(("model",), "is missing", "Name a model, or write a [[message]] for each topic.")
        else:
            for key in ("interval_s", "signed"):
                if getattr(self, key) is None:
                    yield Mistake((key,), "is missing", MqttOptions.model_fields[key].description or "")
            yield from mqtt_layout.clashes(self.message, self.signed or "native")
        if self.password_file is not None and self.username is None:
            yield Mistake(("username",), "is missing", "A password goes with a name.")
        if not self.tls and (self.ca_file or self.cert_file or self.key_file):
            yield Mistake(("tls",), "is false, but there are certificates", "Write tls = true.")
        if (self.cert_file is None) != (self.key_file is None):
            yield Mistake(("key_file",), "goes together with cert_file", "Give both, or none.")

    def _against_the_model(self, model: LayoutFile) -> Iterator[Mistake]:
        for key in ("message", "max_age_s", "signed", "phases", "resolution_a"):
            if key in self.model_fields_set:
                yield Mistake((key,), "stands in the model", "Take the key out, or the model.")
        for name, where_from in model.placeholders.items():
            if name not in self.placeholders:
                yield Mistake(
                    ("prefix",) if name == "prefix" else ("names", name),
                    "is missing",
                    f"Write what stands here: {where_from}",
                )
        for name in self.placeholders.keys() - model.placeholders.keys():
            yield Mistake(("names", name), "is not used by this model", "Take it out.")

    def cautions(self) -> Iterator[str]:
        if self.model is not None and not self.model.verified:
            yield f'the topics of "{self.model.id}" are not verified: compare the values with the meter\'s display'
        if self.username is not None and not self.tls:
            yield f"the password for {self.host} goes through the network in the clear: use tls"


class MqttDriver(PushDriver[MqttOptions]):
    """One meter; those behind one broker share its connection."""

    options_type = MqttOptions
    comes_in_parts = True
    shortest_listen_s = 12.0

    def __init__(self, name: str, options: MqttOptions, seams: Seams) -> None:
        super().__init__(name, options, seams)
        self._layout = options.layout
        self._assembly = Assembly(self._layout)
        self._broker = Broker.shared(options.where, seams)
        self._listener: Listener | None = None
        self._connections_before = 0
        self.listen_s = min(max(self.shortest_listen_s, 1.2 * self._layout.interval_s), 60.0)

    @property
    def interval_s(self) -> float:
        return self._layout.interval_s

    async def open(self) -> None:
        self._connections_before = max(1, self._broker.connections)
        topics = {message.topic for message in self._layout.messages}
        self._listener = self._broker.join(topics, self._received)
        await super().open()

    async def close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await self._broker.leave(listener)
        await super().close()

    async def work(self) -> None:
        async with asyncio.TaskGroup() as group:
            for publish in self._layout.publish:
                group.create_task(self._publish(publish.topic, publish.payload, publish.every_s))
            await asyncio.Event().wait()

    async def _publish(self, topic: str, payload: str, every_s: float) -> None:
        while True:
            await self._broker.publish(topic, payload)
            await self.seams.sleep(every_s)

    def _received(self, topic: str, payload: bytes, t: float, is_retained: bool) -> None:
        snapshot = self._assembly.feed(topic, payload, t, retained=is_retained)
        if snapshot is not None:
            self.deliver(snapshot.t, **snapshot.values)

    def described(self) -> str:
        topics = ", ".join(sorted({message.topic for message in self._layout.messages}))
        return f"{self.options.model.name if self.options.model else 'MQTT messages'} at {topics}"

    def no_currents(self) -> Trouble:
        trouble = super().no_currents()
        notes = self.options.model.notes if self.options.model else ""
        return Trouble(trouble.kind, trouble.problem, notes or "Name where the currents are, if the meter sends any")

    def health(self) -> Health:
        return self.counted(
            short_frames=self._assembly.unreadable,
            late_frames=self._assembly.late,
            reconnects=max(0, self._broker.connections - self._connections_before),
        )

    def trouble(self, quiet_s: float | None) -> Trouble | None:
        topics = sorted({message.topic for message in self._layout.messages})
        if self._broker.trouble is not None:
            return self._broker.trouble
        if refused := self._broker.refused.intersection(topics):
            problem = f"the broker does not let us have {min(refused)}"
            return Trouble(Kind.REFUSED, problem, "Give the user the right to read it")
        if quiet_s is None:
            return None
        assembly, hint = self._assembly, self.options.model.notes if self.options.model else ""
        if assembly.late_by_s is not None:
            problem = f"messages are dated {assembly.late_by_s:.0f} s before they come"
            return Trouble(Kind.SILENT, problem, "Check the meter's clock, and the way from it to the broker")
        if assembly.unreadable:
            problem = f"the messages at {topics[0]} have not the values that are asked for"
            return Trouble(Kind.GARBLED, problem, "Compare a message with the paths, or check the meter's profile")
        if assembly.only_retained and assembly.late:
            problem = f"the broker has an old message at {topics[0]} only: the meter does not send"
            return Trouble(Kind.SILENT, problem, hint or "Check that the meter is on and connected to the broker")
        return Trouble(
            Kind.SILENT,
            f"nothing came at {topics[0]} for {quiet_s:.0f} s",
            hint or "Check the topic, and that the meter is connected to the broker",
        )
