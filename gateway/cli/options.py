"""What several commands share: where the configuration comes from, and how it is read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from gateway.config import DEFAULT_FILE, Config, load
from gateway.link import virtual_url

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


def configuration(config_file: Path | None, *, port: str | None = None, listen: str | None = None) -> Config:
    """The configuration under this process's environment and these options. Raises ConfigError."""
    return load(config_file, environ=os.environ, port=port, listen=listen, check_virtual=virtual_url.parse)


def _default() -> Path | None:
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None
