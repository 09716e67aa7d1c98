"""`gateway record`: what passes between gateway and board, into a file that opens as a board."""

import time
from pathlib import Path

import click

from gateway import __version__, duration
from gateway.cli.options import config_option, gateway_option
from gateway.cli.watching import find_source, until_stopped
from gateway.errors import GatewayError


@click.command
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@config_option
@gateway_option
@click.option("--board", metavar="NAME", help="The board, as the configuration names it.")
@click.option("--port", metavar="URL", help="Open this port and poll the board on it; auto for the only one.")
@click.option(
    "--for",
    "for_s",
    metavar="DURATION",
    callback=lambda _context, _parameter, text: _seconds(text),
    help="End by itself after this, such as 30s or 5m.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def command(
    *,
    file: Path,
    config_file: Path | None,
    gateway_url: str | None,
    board: str | None,
    port: str | None,
    for_s: float | None,
    force: bool,
    as_json: bool,
) -> None:
    """Record into FILE until Ctrl-C. Of a running gateway's board also what it still has in memory, some minutes."""
    from gateway.cli.replay import report
    from gateway.link.recorder import RecordingFile
    from gateway.link.recording import Header

    source = find_source(board, port=port, config_file=config_file, gateway_url=gateway_url, past=True)
    header = Header(source.board, source.port, gateway=__version__)
    deadline_s = float("inf") if for_s is None else time.monotonic() + for_s
    try:
        recording = RecordingFile(file, header, clock=time, replaces=force)
        click.echo(f"Recording {source.board or source.port} into {file} (Ctrl-C ends)", err=True)
        try:
            with until_stopped():
                for batch in source.batches:
                    recording.append(batch.traces, description=batch.description, missed=batch.missed)
                    if time.monotonic() >= deadline_s:
                        break
        finally:
            recording.close()
    except FileExistsError as error:
        raise click.UsageError(f"{file} is there already; --force replaces it") from error
    except OSError as error:
        raise GatewayError(f"can't record into {file}: {error.strerror or error}") from error
    report(file, as_json=as_json)


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else duration.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
