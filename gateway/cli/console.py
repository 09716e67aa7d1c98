"""The log on the console: time, level, message; colour on a terminal only, nothing that a board could smuggle in."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import TextIO

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "31"}
"""Levels that stand out, with their ANSI colour."""

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that move the cursor, end the line or turn the direction of writing."""


class ConsoleFormatter(logging.Formatter):
    """One line per message, control characters escaped; a traceback keeps its own lines."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__("{asctime} {levelname:<7} {message}", TIME_FORMAT, style="{")
        self._colour = colour

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the standard library's name)
        record.message = escaped(record.message)
        line = super().formatMessage(record)
        code = COLOURS.get(record.levelname) if self._colour else None
        return f"\x1b[{code}m{line}\x1b[0m" if code else line

    def formatException(self, ei: object) -> str:  # noqa: N802
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(escaped(line) for line in lines)


def escaped(text: str) -> str:
    """The text with every control character as its Python escape, such as `\\x1b`."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def start_logging(*, verbose: bool, environ: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Sends the log to standard error: warnings of everyone, and what the gateway has to tell."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(ConsoleFormatter(colour=target.isatty() and not environ.get("NO_COLOR")))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("gateway").setLevel(logging.DEBUG if verbose else logging.INFO)
