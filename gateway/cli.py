"""The command line. A command's module is imported when it is used: most have no need of what the others need.

Exit status: 0 ok, 1 found trouble, 2 usage, 3 gateway unreachable, 4 refused, 5 time-out, 78 configuration.
"""

import errno
import os
import sys
from importlib import import_module
from typing import Any

import click

import gateway

COMMANDS = {
    "authorize": "cli_status:authorize",
    "cap": "cli_balance:cap",
    "check-config": "cli_run:check_config",
    "circuits": "cli_balance:circuits",
    "demo": "demo.commands:demo",
    "meter": "cli_meter:meter",
    "prove": "cli_balance:prove",
    "queue": "cli_queue:queue",
    "release": "cli_balance:release",
    "run": "cli_run:run",
    "simulate": "demo.commands:simulate",
    "stations": "cli_status:stations",
    "status": "cli_status:status",
    "transactions": "cli_queue:transactions",
}
"""By name: the module in this package, and what it calls the command."""


class _Commands(click.Group):
    """Commands by name, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        found = getattr(import_module(f"gateway.{module}"), name)
        assert isinstance(found, click.Command)
        return found

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
            raise click.ClickException(f"the output can't be written: {error.strerror}") from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(gateway.__version__, prog_name="ocpp-gateway")
def main() -> None:
    """A Local Controller for parking sites: chargers on one side, the CSMS on the other, and nothing lost between."""
