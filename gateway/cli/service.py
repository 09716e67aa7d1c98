"""`gateway service`: the gateway as a systemd service. Its options; what it does is in `servicing`."""

from pathlib import Path

import click

from gateway.cli.options import config_option

user_option = click.option(
    "--user/--system",
    "user",
    default=False,
    help="For the service manager of your login, or of the system (unless told otherwise).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Report as JSON.")


@click.group
def command() -> None:
    """Run the gateway as a systemd service."""


@command.command
@config_option
@user_option
@click.option("--yes", "-y", is_flag=True, help="Write without asking.")
@click.option("--dry-run", is_flag=True, help="Show what would be written and run, and do neither.")
@json_option
def install(*, config_file: Path | None, user: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Write a systemd unit and a udev rule, and start the service. Shows them first."""
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json can't ask: add --yes or --dry-run")
    if config_file is None:
        raise click.UsageError("a service needs a configuration file, and there is none here: --config FILE")
    from gateway.cli import servicing  # brings pyserial: not before it is needed

    servicing.install(config_file, user=user, asks=not yes, dry_run=dry_run, as_json=as_json)


@command.command
@user_option
@json_option
def uninstall(*, user: bool, as_json: bool) -> None:
    """Stop the service and remove its files. What it keeps, commands for instance, stays."""
    from gateway.cli import servicing

    servicing.uninstall(user=user, as_json=as_json)


@command.command
@user_option
@json_option
def status(*, user: bool, as_json: bool) -> None:
    """Tell how the service is. Exit code 1 unless it runs."""
    from gateway.cli import servicing

    if not servicing.status(user=user, as_json=as_json):
        click.get_current_context().exit(1)
