"""`gateway run`: serve until SIGINT or SIGTERM."""

import faulthandler
import os
import signal
from pathlib import Path

import click

from gateway.cli.console import start_logging
from gateway.cli.options import config_option, configuration


@click.command
@config_option
@click.option("--port", metavar="URL", help="Port of the only board, in place of the file's; without a file, its port.")
@click.option("--listen", metavar="HOST:PORT", help="Address to serve on, in place of the file's.")
@click.option("--verbose", "-v", is_flag=True, help="Log repeated failures and other details too.")
def command(*, config_file: Path | None, port: str | None, listen: str | None, verbose: bool) -> None:
    """Serve the configured boards until Ctrl-C or SIGTERM."""
    config = configuration(config_file, port=port, listen=listen)
    start_logging(verbose=verbose, environ=os.environ)
    from gateway.runtime import Gateway  # brings Flask: not before the configuration is known to be right

    faulthandler.enable()  # a watchdog ends the process by SIGABRT: the log then shows where each thread hung
    gateway = Gateway(config, environ=os.environ)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: gateway.stop())
    click.echo(f"Serving on {gateway.url} (Ctrl-C stops)")
    gateway.run()
