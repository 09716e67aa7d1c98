"""`gateway doctor`: what is wrong with a board, what that means, and the command that mends it."""

import json
import os
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from gateway.cli.options import config_option, configuration, gateway_option, running_gateway
from gateway.config import Config
from gateway.text import printable

COLUMNS = 79
EXIT_FINDINGS = 1
EXIT_NO_BOARD = 3
COLOURS = {"problem": "red", "warning": "yellow", "note": "cyan"}
OPENED = "the port is opened to look; a board may be reset by that"
NOT_RUNNING = "no gateway runs, so the ports are opened to look; a board may be reset by that"

Document = Mapping[str, Any]


@click.command
@click.argument("board", required=False)
@config_option
@gateway_option
@click.option("--port", metavar="URL", help="Look at the board on this port, whatever the configuration says.")
@click.option(
    "--ask",
    is_flag=True,
    help="Ask a board that does not answer the running gateway what it is instead: Firmata, Marlin, Grbl. The gateway "
    "lets go of its port meanwhile.",
)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
@click.pass_context
def command(
    context: click.Context,
    *,
    board: str | None,
    config_file: Path | None,
    gateway_url: str | None,
    port: str | None,
    ask: bool,
    as_json: bool,
) -> None:
    """Explain what is wrong with BOARD, or with all of them. Exit code 0: healthy, 1: findings."""
    from gateway.tools.examine import ask_gateway  # brings pyserial, which `gateway --help` does without

    client = running_gateway(config_file, gateway_url) if port is None else None
    found: Sequence[Document]
    if client is not None:
        names = _named(context, board, [resource["name"] for resource in client.boards()])
        found = [ask_gateway(client, name, closely=ask, clock=time) for name in names]
    else:
        found = _look(context, board, configuration(None if port else config_file, port=port), port=port)
    if as_json:
        click.echo(json.dumps({"items": found}, indent=2))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        click.echo("\n".join(line for document in found for line in _lines(document, colour=colour)))
    context.exit(0 if all(document["healthy"] for document in found) else EXIT_FINDINGS)


def _look(context: click.Context, board: str | None, config: Config, *, port: str | None) -> list[Document]:
    """Without a gateway; a board at a `port` that was named need not be configured."""
    from gateway.runtime import wanted_boards  # brings all of the gateway
    from gateway.tools.examine import examine

    names = _named(context, board, list(config.boards))
    click.echo(f"gateway: {NOT_RUNNING if port is None else OPENED}", err=True)
    flash = None if port is None else f"gateway flash --port {port}"
    look = partial(examine, wanted_boards(config), state_dir=config.state_dir, clock=time, flash=flash)
    return [look(name, baud=config.boards[name].baud) for name in names]


def _named(context: click.Context, board: str | None, known: Sequence[str]) -> Sequence[str]:
    """The boards to look at; ends the command where the one that is meant is not there."""
    if board is None:
        return known
    if board not in known:
        click.echo(f'gateway: there is no board "{board}"; there are: {", ".join(known)}', err=True)
        context.exit(EXIT_NO_BOARD)
    return [board]


def _lines(document: Document, *, colour: bool) -> Iterator[str]:
    yield from textwrap.wrap(printable(document["summary"]), COLUMNS)
    if not document["findings"]:
        yield "  Nothing is wrong with it."
    for finding in document["findings"]:
        heading = f"{finding['severity']}: {finding['code']}"
        yield "  " + (click.style(heading, fg=COLOURS[finding["severity"]]) if colour else heading)
        for label, text in (("seen", "seen"), ("means", "meaning"), ("do", "cure")):
            yield from textwrap.wrap(
                printable(finding[text]),
                COLUMNS,
                initial_indent=f"    {label + ':':<7}",
                subsequent_indent=" " * 11,
                break_long_words=False,  # commands and paths are there to be copied
                break_on_hyphens=False,
            )
