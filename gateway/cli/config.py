"""`gateway config check` and `gateway config schema`."""

import json
import os
from pathlib import Path

import click

from gateway.cli.options import config_option
from gateway.config import Config, load
from gateway.errors import ConfigError

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@click.group
def command() -> None:
    """Check the configuration, or describe it."""


@command.command
@config_option
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def check(*, config_file: Path | None, as_json: bool) -> None:
    """Say everything that is wrong with the configuration and the environment; start nothing."""
    file = str(config_file) if config_file else None
    try:
        config = load(config_file, environ=os.environ)
    except ConfigError as error:
        if as_json:
            click.echo(json.dumps({"valid": False, "file": file, "problems": error.problems}, indent=2))
            click.get_current_context().exit(2)
        raise
    if as_json:
        click.echo(json.dumps({"valid": True, "file": file, "problems": []}, indent=2))
    else:
        click.echo(f"{file}: good; serves {', '.join(config.boards)} on {config.http.listen}")


@command.command
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors that complete and check YAML."""
    click.echo(json.dumps({"$schema": SCHEMA_DIALECT, **Config.model_json_schema()}, indent=2))
