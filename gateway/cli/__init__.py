"""The command line: finds the command, imports only that, and turns errors into exit codes.

One module per command, each with a click command named `command`. Exit codes: 0 done, 1 failed, 2 wrong usage or
configuration, 3 the board is not there (commands that need it now).
"""

import errno
import os
import sys
from importlib import import_module

import click
from click.exceptions import NoSuchCommand

from gateway import __version__
from gateway.errors import ConfigError, GatewayError, LinkError

COMMANDS = ("config", "doctor", "flash", "monitor", "ports", "record", "replay", "run", "service", "sketch")
"""Every command; the module of the same name holds it."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_BOARD = 3


class _Commands(click.Group):
    """Imports a command's module when it is asked for, so that none waits for what another needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:  # click looks for near names among commands that are imported already
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from error

    def invoke(self, ctx: click.Context) -> object:
        try:
            done = super().invoke(ctx)
            sys.stdout.flush()
        except ConfigError as error:
            click.echo(error, err=True)
            ctx.exit(EXIT_USAGE)
        except LinkError as error:
            click.echo(f"gateway: {error}", err=True)
            ctx.exit(EXIT_NO_BOARD)
        except GatewayError as error:
            click.echo(f"gateway: {error}", err=True)
            ctx.exit(EXIT_FAILED)
        except OSError as error:
            if error.errno != errno.ENOSPC:  # a closed pipe is click's to tell
                raise
            click.echo(f"gateway: what it says can't be written: {error.strerror}", err=True)
            os._exit(EXIT_FAILED)  # Python would try again to write it
        return done


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from gateway.protocol.messages import VERSION
    from gateway.resources import bundled_sketch

    try:
        sketch = bundled_sketch()
    except FileNotFoundError as error:
        sketch = f"missing: {error}"
    click.echo(f"gateway {__version__}\nlink protocol {VERSION}\nbundled sketch {sketch}")
    ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='Completion for bash: eval "$(_GATEWAY_COMPLETE=bash_source gateway)"; zsh_source and fish_source likewise.',
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the versions of gateway, link protocol and bundled sketch.",
)
def main() -> None:
    """A bridge between Arduino boards and HTTP."""
