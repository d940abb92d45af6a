"""Who may cap a circuit from outside, in the configuration file."""

from collections.abc import Iterator

from pydantic import Field

from gateway.config_section import Clash, Section
from gateway.config_values import AnyFile
from gateway.plan import Topic


class External(Section):
    """Who may cap a circuit from outside: the grid operator, an energy manager."""

    circuit: str = Field(description="Name the circuit that it caps.")
    heartbeat_s: float = Field(default=120.0, ge=5, le=86_400, description="Write seconds, 5 to 86400.")
    fail_safe_w: float | None = Field(
        default=None, ge=0, le=10_000_000, description="Write watts over all phases; left out: no such cap."
    )
    fail_safe_min: float = Field(default=120.0, ge=0, le=10_080, description="Write minutes, 0 to 10080.")
    section_14a: bool = Field(
        default=False, description="Write true to leave the chargers what section 14a EnWG guarantees them."
    )
    broker: str | None = Field(
        default=None, max_length=255, description='Name the MQTT broker, such as "127.0.0.1:1883".'
    )
    topic: str | None = Field(
        default=None, min_length=1, max_length=255, description="Name the topic that its caps come in by."
    )
    username: str | None = Field(default=None, min_length=1, max_length=1000, description="Write a name.")
    password_file: AnyFile = None
    tls: bool = Field(default=False, description="Write true or false.")
    ca_file: AnyFile = None
    cert_file: AnyFile = None
    key_file: AnyFile = None

    def clashes(self) -> Iterator[Clash]:
        if (self.broker is None) != (self.topic is None):
            missing = "topic" if self.topic is None else "broker"
            yield Clash((missing,), "is missing: caps by MQTT need broker and topic", "Give both, or none.")
        if self.broker is None:
            for key in ("username", "password_file", "tls", "ca_file", "cert_file", "key_file"):
                if getattr(self, key):
                    yield Clash((key, "broker"), "has no broker to go with", "Name the broker, or take it out.")
            return
        if self.password_file is not None and self.username is None:
            yield Clash(("username", "password_file"), "is missing", "A password goes with a name.")
        if not self.tls and (self.ca_file or self.cert_file or self.key_file):
            yield Clash(("tls",), "is false, but there are certificates", "Write tls = true.")
        if (self.cert_file is None) != (self.key_file is None):
            yield Clash(("key_file", "cert_file"), "goes together with cert_file", "Give both, or none.")

    def cautions(self) -> Iterator[str]:
        if self.username is not None and not self.tls:
            yield f"the password for {self.broker} goes through the network in the clear: use tls"

    @property
    def said_by(self) -> Topic | None:
        """Where its caps come by MQTT."""
        if self.broker is None or self.topic is None:
            return None
        return Topic(
            self.broker, self.topic, self.username, self.password_file, self.tls, self.ca_file, self.cert_file,
            self.key_file,
        )  # fmt: skip
