"""What `monitor`, `record` and `replay` share: which board is watched, which lines are shown, and how."""

import contextlib
import json
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from gateway.cli.options import configuration, running_gateway
from gateway.errors import LinkError
from gateway.model import Reason
from gateway.text import printable

if TYPE_CHECKING:
    from gateway.tools.decoder import Line
    from gateway.tools.watch import Batch

COLUMNS = 79
INDENT = 26  # columns before a line's text: its time, direction and name
TOPICS = ("polls", "commands", "session", "log", "errors", "link")
COLOURS = {"commands": "green", "session": "cyan", "log": "yellow", "errors": "red", "link": "blue"}
AUTO = "auto"

Function = TypeVar("Function", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Source:
    """What is watched: a board's name (empty for a bare port), its port, and its batches."""

    board: str
    port: str
    batches: Iterator["Batch"]


def filter_options(function: Function) -> Function:
    """Adds `--only`, `--no-polls`, `--raw` and `--json`; the command makes a `Show` of them."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
        click.option("--raw", is_flag=True, help="Show the bytes of each payload, too, in hexadecimal."),
        click.option("--no-polls", is_flag=True, help="Leave out polls, their replies and streams."),
        click.option(
            "--only",
            metavar="TOPICS",
            callback=lambda _context, _parameter, text: _topics(text),
            help=f"Only these, separated by commas: {', '.join(TOPICS)}.",
        ),
    ):
        function = option(function)
    return function


def _topics(text: str | None) -> frozenset[str]:
    if text is None:
        return frozenset(TOPICS)
    topics = frozenset(each.strip() for each in text.split(","))
    if unknown := sorted(topics - set(TOPICS)):
        raise click.BadParameter(f"there is no topic {', '.join(unknown)}; known: {', '.join(TOPICS)}")
    return topics


def find_source(
    board: str | None, *, port: str | None, config_file: Path | None, gateway_url: str | None, past: bool
) -> Source:
    """The board that is meant: of the running gateway, else its configured port, else the port named. Raises
    ConfigError, LinkError and click's UsageError."""
    from gateway.tools.plugged import only_board
    from gateway.tools.watch import from_gateway, from_port

    if port is not None:
        if board is not None:
            raise click.UsageError("a board and --port both name the board; give one")
        port = only_board().port if port == AUTO else port
        return Source("", port, from_port(port, baud=None))
    client = running_gateway(config_file, gateway_url)
    if client is not None:
        ports = {each["name"]: each["port"] for each in client.boards()}
        name = _named(board, ports)
        return Source(name, ports[name], from_gateway(client, name, past=past))
    config = configuration(config_file)
    name = _named(board, {name: each.port for name, each in config.boards.items()})
    port = config.boards[name].port
    port = only_board().port if port == AUTO else port
    click.echo(f"gateway: no gateway runs, so {port} is opened; a board may be reset by that", err=True)
    return Source(name, port, from_port(port, baud=config.boards[name].baud))


def _named(board: str | None, ports: dict[str, str]) -> str:
    if board is None:
        if len(ports) != 1:
            raise click.UsageError(f"there are several boards: name one of {', '.join(ports)}")
        return next(iter(ports))
    if board not in ports:
        raise LinkError(Reason.PORT_MISSING, f'there is no board "{board}"; there are: {", ".join(ports)}')
    return board


@dataclass(frozen=True, slots=True)
class Show:
    """Which lines are shown, and how."""

    topics: frozenset[str]
    raw: bool
    as_json: bool

    @classmethod
    def of(cls, only: frozenset[str], *, no_polls: bool, raw: bool, as_json: bool) -> "Show":
        """From the options."""
        return cls(only - {"polls"} if no_polls else only, raw, as_json)

    def line(self, line: "Line") -> None:
        """Shows it, if it is to be shown."""
        if line.topic in self.topics:
            click.echo(json.dumps(_document(line)) if self.as_json else "\n".join(_rows(line, raw=self.raw)))


def _document(line: "Line") -> dict[str, object]:
    time = datetime.fromtimestamp(line.time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "time": time,
        "monotonic_us": round(line.monotonic_s * 1e6),
        "direction": line.direction,
        "topic": line.topic,
        "what": line.what,
        "text": line.text,
        "fields": dict(line.fields),
        "values": None if line.values is None else dict(line.values),
        "payload": None if line.payload is None else line.payload.hex(),
    }


def _rows(line: "Line", *, raw: bool) -> Iterator[str]:
    clock = datetime.fromtimestamp(line.time_s).astimezone().strftime("%H:%M:%S.%f")[:-3]
    head = f"{clock} {line.direction} {line.what:<9} "
    text = printable(line.text)
    if raw and line.payload:
        text += f"  [{line.payload.hex(' ')}]"
    rows = textwrap.wrap(text, COLUMNS - INDENT) or [""]
    colour = COLOURS.get(line.topic) if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else None
    yield _styled((head + rows[0]).rstrip(), colour)
    for row in rows[1:]:
        yield _styled(" " * INDENT + row, colour)


def _styled(row: str, colour: str | None) -> str:
    return click.style(row, fg=colour) if colour else row


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """Within it Ctrl-C, SIGTERM and a reader that has gone away end what is done, as asked for and with exit code 0."""
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where the rest is flushed to at exit
    finally:
        signal.signal(signal.SIGTERM, former)
