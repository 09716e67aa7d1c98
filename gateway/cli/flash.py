"""`gateway flash`: puts the bundled sketch, or one's own, on a board. Its options; what it does is in `flashing`."""

from pathlib import Path

import click

from gateway.cli.options import config_option, gateway_option
from gateway.tools.models import MODELS


@click.command
@config_option
@gateway_option
@click.option("--board", metavar="NAME", help="The board, as the configuration names it.")
@click.option("--port", metavar="URL", help="Its port, for a board that is not configured.")
@click.option("--model", "model_name", type=click.Choice(list(MODELS)), help="What board it is, where nothing tells.")
@click.option(
    "--hex",
    "hex_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An Intel HEX file of your own, in place of the bundled sketch.",
)
@click.option("--yes", "-y", is_flag=True, help="Replace what runs on the board without asking.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON; needs --yes where it would ask.")
def command(
    *,
    config_file: Path | None,
    gateway_url: str | None,
    board: str | None,
    port: str | None,
    model_name: str | None,
    hex_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Write the bundled sketch, or your own, to a board, and verify it."""
    from gateway.cli.flashing import Flashing, find_target  # brings pyserial: not before it is needed

    target = find_target(config_file, gateway_url, board=board, port=port)
    model = MODELS[model_name] if model_name else None
    Flashing(target, model, hex_file=hex_file, asks=not yes, as_json=as_json).run()
