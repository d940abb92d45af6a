"""Our gateway with one rule changed: `python -m bench.durable_gateway CONFIG`.

MeterValues of a 1.6 transaction are committed before they are forwarded, as if they were Starts and Stops. The product
has no such switch: normally the station holds them until the CSMS has answered. Everything else is the product.
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from msgspec.structs import replace as replaced

from gateway import app, config, log
from gateway.dialects import registry
from gateway.dialects.base import Commit, Dialect
from gateway.dialects.v16_codec import Codec16
from gateway.model.events import TransactionMessage


class EagerCodec(Codec16):
    """No message may wait uncommitted for its answer."""

    def transaction(self, action: str, payload: bytes) -> TransactionMessage | None:
        message = super().transaction(action, payload)
        return message if message is None else replaced(message, samples_only=False)


def eager(dialect: Dialect) -> Dialect:
    """The dialect with every lazy commit rule made eager."""
    rules = {
        action: replace(rule, commit=Commit.EAGER) if rule.commit is Commit.LAZY else rule
        for action, rule in dialect.up.items()
    }
    return replace(dialect, codec=EagerCodec(), up=MappingProxyType(rules))


def install() -> None:
    """Put the eager 1.6 where the gateway looks it up."""
    made = eager(registry.by_name("1.6"))
    registry.ALL = tuple(made if dialect.name == made.name else dialect for dialect in registry.ALL)
    registry._BY_NAME[made.name] = made
    registry._BY_SUBPROTOCOL[made.subprotocol] = made


def main() -> None:
    install()
    loaded = config.load(Path(sys.argv[1]))
    log.setup(loaded.log.level, loaded.log.format)
    asyncio.run(app.run(loaded))


if __name__ == "__main__":
    main()
