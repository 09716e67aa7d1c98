"""What several commands share: where the configuration comes from, and how it is read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from gateway.config import DEFAULT_FILE, Config, load
from gateway.link import software_url
from gateway.tools.client import GatewayClient, checked_url, find, url_of

NO_FILE_PORT = "virtual://uno"  # stands in where only the rest of the configuration is asked for

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


def gateway_option(function: Function) -> Function:
    """Adds `--gateway`; the command gets `gateway_url`, None where none is named."""
    return click.option(
        "--gateway",
        "gateway_url",
        metavar="URL",
        callback=lambda _context, _parameter, url: _url(url),
        help="Address of the running gateway; where the configuration has it listen unless told otherwise.",
    )(function)


def running_gateway(config_file: Path | None, gateway_url: str | None) -> GatewayClient | None:
    """The gateway at that address, or where the configuration has it listen; None where none runs. Raises ConfigError
    and, for an address that was named and where none answers, click's UsageError."""
    if gateway_url is not None:
        if (client := find(gateway_url)) is None:
            raise click.UsageError(f"no gateway runs at {gateway_url}; leave --gateway out, or start it: gateway run")
        return client
    listen = configuration(config_file, port=None if config_file else NO_FILE_PORT).http.listen
    return find(url_of(listen.host, listen.port)) if listen.port else None  # a free port could be any


def configuration(config_file: Path | None, *, port: str | None = None, listen: str | None = None) -> Config:
    """The configuration under this process's environment and these options. Raises ConfigError."""
    return load(config_file, environ=os.environ, port=port, listen=listen, check_virtual=software_url.parse)


def _url(text: str | None) -> str | None:
    try:
        return None if text is None else checked_url(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _default() -> Path | None:
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None
