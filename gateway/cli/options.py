"""What several commands share: where the configuration comes from."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from gateway.config import DEFAULT_FILE

Function = TypeVar("Function", bound=Callable[..., object])


def config_option(function: Function) -> Function:
    """Adds `--config`; the command gets `config_file`, None where none is named and none lies here."""
    return click.option(
        "--config",
        "config_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        callback=lambda _context, _parameter, file: file or _default(),
        help=f"Configuration file; {DEFAULT_FILE} here unless told otherwise.",
    )(function)


def _default() -> Path | None:
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None
