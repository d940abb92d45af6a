"""The commands `run` and `check-config`."""

import asyncio
import json
from pathlib import Path

import click

from gateway import log
from gateway.cli_base import CONFIG, TROUBLE, config_option, fail, json_option, load_config
from gateway.config import redacted
from gateway.errors import GatewayError, SchemaTooNewError


@click.command()
@config_option
def run(path: Path | None) -> None:
    """Run the gateway until it is told to stop."""
    from gateway import app  # all that a gateway is: no other command needs it

    config = load_config(path)
    log.setup(config.log.level, config.log.format)
    try:
        asyncio.run(app.run(config))
    except SchemaTooNewError as error:
        fail(CONFIG, f"cannot run: {error}")
    except GatewayError as error:
        fail(TROUBLE, f"cannot run: {error}")


@click.command("check-config")
@config_option
@json_option
def check_config(path: Path | None, as_json: bool) -> None:
    """Check the configuration file and say everything that is wrong with it."""
    config = load_config(path, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"ok": True, "warnings": config.warnings, "config": redacted(config)}, default=str))
        return
    for warning in config.warnings:
        click.echo(f"warning: {warning}")
    parts = {
        "listener": config.downlinks,
        "station": config.stations,
        "meter": config.meters,
        "circuit": config.circuits,
    }
    counts = ", ".join(f"{len(found)} {what}{'' if len(found) == 1 else 's'}" for what, found in parts.items())
    click.echo(f"{config.source}: good ({counts}, {config.uplink.url})")
