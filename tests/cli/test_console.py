"""The log on the console: readable, coloured on terminals only, and safe from what boards print."""

import io
import logging
import re
from collections.abc import Iterator, Mapping

import pytest

from gateway.cli.console import start_logging


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Puts back what `start_logging` changes for the whole process."""
    root, own = logging.getLogger(), logging.getLogger("gateway")
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


def logged(stream: io.StringIO, *, verbose: bool = False, environ: Mapping[str, str] | None = None) -> logging.Logger:
    start_logging(verbose=verbose, environ=environ or {}, stream=stream)
    return logging.getLogger("gateway.board.report")


def test_a_line_has_time_level_and_message() -> None:
    stream = io.StringIO()
    logged(stream).info("%s: online", "uno")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO    uno: online\n", stream.getvalue())


def test_a_board_can_not_forge_a_line_or_move_the_cursor() -> None:
    stream = io.StringIO()
    logged(stream).warning("uno: %s", "x\r\n2026-01-01 ERROR\x1b[2J\x00\x9b\u2028\u202eé")
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("x\\r\\n2026-01-01 ERROR\\x1b[2J\\x00\\x9b\\u2028\\u202eé\n")


def test_a_traceback_keeps_its_lines_and_nothing_else() -> None:
    stream = io.StringIO()
    try:
        raise ValueError("a\x1b[2Jb")
    except ValueError:
        logged(stream).exception("uno: unexpected")
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().endswith("ValueError: a\\x1b[2Jb\n")
    assert "\nTraceback" in stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [(Terminal(), {}, True), (Terminal(), {"NO_COLOR": "1"}, False), (io.StringIO(), {}, False)],
)
def test_warnings_are_coloured_on_a_terminal_unless_no_color(
    stream: io.StringIO, environ: Mapping[str, str], coloured: bool
) -> None:
    log = logged(stream, environ=environ)
    log.warning("uno: offline")
    log.info("uno: online")
    first, second = stream.getvalue().splitlines()
    assert first.startswith("\x1b[33m") is coloured
    assert first.endswith("\x1b[0m") is coloured
    assert "\x1b" not in second


def test_details_of_the_gateway_only_when_asked_and_of_others_never() -> None:
    for verbose in (False, True):
        stream = io.StringIO()
        logged(stream, verbose=verbose).debug("uno: again")
        logging.getLogger("other").info("chatter")
        assert ("uno: again" in stream.getvalue()) is verbose
        assert "chatter" not in stream.getvalue()


def test_what_is_readable_stays_as_it_is() -> None:
    stream = io.StringIO()
    logged(stream).info("uno: 21.5 °C, 10 µs \\n")
    assert stream.getvalue().endswith("uno: 21.5 °C, 10 µs \\n\n")
