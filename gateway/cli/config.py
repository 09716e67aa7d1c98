"""`gateway config check` and `gateway config schema`."""

import json
from pathlib import Path

import click

from gateway.cli.options import config_option, configuration
from gateway.config import Config
from gateway.errors import ConfigError

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@click.group
def command() -> None:
    """Check the configuration, or describe it."""


@command.command
@config_option
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def check(*, config_file: Path | None, as_json: bool) -> None:
    """Say everything that is wrong with the configuration. Looks at the environment too, and starts nothing."""
    file = str(config_file) if config_file else None
    try:
        config = configuration(config_file)
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
    """Print the JSON Schema of the configuration. Editors complete and check YAML with it."""
    click.echo(json.dumps({"$schema": SCHEMA_DIALECT, **Config.model_json_schema()}, indent=2))
