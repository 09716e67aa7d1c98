"""The log on the console: time, level, message; colour on a terminal only, nothing that a board could smuggle in."""

import logging
import sys
from collections.abc import Mapping
from typing import TextIO

from gateway.text import printable

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "31"}
"""Levels that stand out, with their ANSI colour."""


class ConsoleFormatter(logging.Formatter):
    """One line per message, control characters escaped; a traceback keeps its own lines."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__("{asctime} {levelname:<7} {message}", TIME_FORMAT, style="{")
        self._colour = colour

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the standard library's name)
        record.message = printable(record.message)
        line = super().formatMessage(record)
        code = COLOURS.get(record.levelname) if self._colour else None
        return f"\x1b[{code}m{line}\x1b[0m" if code else line

    def formatException(self, ei: object) -> str:  # noqa: N802
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(printable(line) for line in lines)


def start_logging(*, verbose: bool, environ: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Sends the log to standard error: warnings of everyone, and what the gateway has to tell."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(ConsoleFormatter(colour=target.isatty() and not environ.get("NO_COLOR")))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("gateway").setLevel(logging.DEBUG if verbose else logging.INFO)
