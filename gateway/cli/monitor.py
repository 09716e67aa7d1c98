"""`gateway monitor`: what passes between gateway and board, decoded, live."""

from pathlib import Path

import click

from gateway.cli.options import config_option, gateway_option
from gateway.cli.watching import Show, filter_options, find_source, until_stopped


@click.command
@click.argument("board", required=False)
@config_option
@gateway_option
@click.option("--port", metavar="URL", help="Open this port and poll the board on it; auto for the only one.")
@click.option("--past", is_flag=True, help="Begin with what the running gateway still has in memory.")
@filter_options
def command(
    *,
    board: str | None,
    config_file: Path | None,
    gateway_url: str | None,
    port: str | None,
    past: bool,
    only: frozenset[str],
    no_polls: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """Show the frames and the text of BOARD, both ways, as they come. Ctrl-C ends it."""
    from gateway.tools.decoder import Decoder, schema_of

    show = Show.of(only, no_polls=no_polls, raw=raw, as_json=as_json)
    source = find_source(board, port=port, config_file=config_file, gateway_url=gateway_url, past=past)
    decoder, description = Decoder(), None
    with until_stopped():
        for batch in source.batches:
            if batch.description is not description:
                description = batch.description
                decoder.schema = schema_of(description)
            if batch.missed:
                click.echo(f"gateway: {batch.missed} went by unseen", err=True)
            for line in decoder.decode(batch.traces):
                show.line(line)
