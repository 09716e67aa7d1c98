"""`gateway replay`: what a recording holds, in a few figures or frame by frame; and how to serve it."""

import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.watching import COLUMNS, Show, filter_options, until_stopped
from gateway.text import printable

if TYPE_CHECKING:
    from gateway.link.recording import Recording
    from gateway.tools.summary import Summary


@click.command
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--frames", is_flag=True, help="Show all of it as `gateway monitor` would have.")
@filter_options
def command(*, file: Path, frames: bool, only: frozenset[str], no_polls: bool, raw: bool, as_json: bool) -> None:
    """Tell what a recording holds. To serve it: gateway run --port replay://FILE."""
    if not frames:
        report(file, as_json=as_json)
        return
    from gateway.link.recording import Recording
    from gateway.tools.decoder import Decoder, schema_of

    recording = Recording.read(file)
    show = Show.of(only, no_polls=no_polls, raw=raw, as_json=as_json)
    decoder = Decoder()
    decoder.schema = schema_of(recording.description)
    with until_stopped():
        for line in decoder.decode(recording.traces):
            show.line(line)


def report(file: Path, *, as_json: bool) -> None:
    """Prints what a recording holds. Raises RecordingError."""
    from gateway.link.recording import Recording
    from gateway.tools.summary import summarize

    recording = Recording.read(file)
    summary = summarize(recording)
    if as_json:
        damage = [{**asdict(each), "text": str(each)} for each in recording.damage]
        document = {"file": str(file), **asdict(recording.header), **asdict(summary)}
        click.echo(json.dumps({**document, "missed": recording.missed, "damage": damage}, indent=2))
        return
    for line in _told(file, recording, summary):
        for row in textwrap.wrap(
            printable(line), COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        ):
            click.echo(row)


def _told(file: Path, recording: "Recording", summary: "Summary") -> Iterator[str]:
    header = recording.header
    who = f"board {header.board} at {header.port}" if header.board else header.port or "a board"
    runs = f", which ran {summary.sketch}" if summary.sketch else ""
    yield f"{file}: {who}{runs}; recorded {header.started_at or 'at a time it does not tell'}"
    counts = ", ".join(f"{number} {topic}" for topic, number in summary.lines.items() if number)
    lost = f", {summary.unanswered} polls without a reply" if summary.unanswered else ""
    yield f"  {summary.duration_s:.1f} s, {summary.bytes_sent} bytes sent and {summary.bytes_received} received"
    yield f"  lines: {counts or 'none'}{lost}"
    for opening in summary.openings:
        yield f"  {opening.from_s:.1f} s to {opening.until_s:.1f} s: {opening.port or 'a port that was open before'}"
    if recording.missed:
        yield f"  the recorder could not keep up: {recording.missed} reads and writes are missing"
    for damage in recording.damage:
        yield f"  damaged: {damage}; what is sound is there"
    yield f"Next: gateway run --port replay://{file}"
