"""What `gateway service` does: installs the gateway as a systemd service, removes it, and tells how it is.

Shows every file and every command first; the texts are made in `tools/service.py`.
"""

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

import click

from gateway.config import load
from gateway.errors import ConfigError
from gateway.link import software_url
from gateway.tools import service
from gateway.tools.reach import ServiceError, check_reach, devices_of, reach_of
from gateway.tools.service import File, Plan, Service

SYSTEMD_RUNS = Path("/run/systemd/system")  # sd_booted(3)
SERIAL_GROUPS = ("dialout", "uucp")  # Debian and Fedora with their kin; Arch
COMMAND_TIMEOUT_S = 120.0  # a start waits until the gateway serves
FILE_MODE = 0o644


class FileState(StrEnum):
    """What lies where a file is to be written."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"


def install(config_file: Path, *, user: bool, asks: bool, dry_run: bool, as_json: bool) -> None:
    """Shows what is to be written and run, then does it. Raises ServiceError and ConfigError."""
    plan = _plan(config_file, user=user)
    states = {file.path: _state_of(file) for file in plan.files}
    if not as_json:
        _show(plan, states)
    if not dry_run:
        _check_powers(user=user, config_file=config_file)
        if asks and not click.confirm("\nWrite and run this?"):
            raise ServiceError("nothing was written")
        for file in plan.files:
            _write(file)
        _run_all(plan.commands, quiet=as_json)
    if as_json:
        files = [{"path": str(file.path), "state": states[file.path], "text": file.text} for file in plan.files]
        commands = [list(each) for each in plan.commands]
        click.echo(json.dumps({"files": files, "commands": commands, "done": not dry_run}, indent=2))
    elif dry_run:
        click.echo("\nNothing was written.")
    else:
        click.echo(f"\nIt runs. {_look(user=user)}")


def uninstall(*, user: bool, as_json: bool) -> None:
    """Stops the service and removes the files. Raises ServiceError."""
    _check_powers(user=user)
    paths = [path for path in _paths(user=user) if path.exists()]
    for path in paths:
        _check_ours(path)
    if paths:
        manager = service.systemctl(user=user)
        _run_all([(*manager, "disable", "--now", service.SERVICE)], quiet=as_json)
        for path in paths:
            path.unlink()
        reload = [] if user else [("udevadm", "control", "--reload")]
        _run_all([(*manager, "daemon-reload"), *reload], quiet=as_json)
    if as_json:
        click.echo(json.dumps({"removed": [str(path) for path in paths]}, indent=2))
    else:
        click.echo("\n".join(f"removed {path}" for path in paths) or "There is no service to remove.")


def status(*, user: bool, as_json: bool) -> bool:
    """Tells how the service is; True while it runs. Raises ServiceError."""
    _check_systemd()
    shown = {"ActiveState": "state", "SubState": "detail", "StatusText": "status", "NRestarts": "restarts"}
    names = ",".join(["LoadState", *shown])
    output = _output((*service.systemctl(user=user), "show", service.SERVICE, f"--property={names}"))
    found = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    if found.get("LoadState") == "not-found":
        raise ServiceError("there is no service yet: gateway service install")
    told = {name: found.get(key, "") for key, name in shown.items()}
    if as_json:
        click.echo(json.dumps({**told, "restarts": int(told["restarts"] or 0)}, indent=2))
    else:
        click.echo(f"{told['state']} ({told['detail']}), started again {told['restarts'] or 0} times by itself")
        click.echo(told["status"] or _look(user=user))
    return told["state"] == "active"


# ---- the plan ----


def _plan(config_file: Path, *, user: bool) -> Plan:
    config = config_file.absolute()
    python = Path(sys.executable)
    state = Path("/var/lib") / service.STATE_DIRECTORY
    ports = _checked_ports(config_file, state=state, user=user)
    reach = reach_of(python, config)
    try:
        if user:
            wanted = Service(python, config, user=True)
        else:
            check_reach(reach)
            wanted = Service(python, config, ports=ports, group=_serial_group(), exposed=reach.exposed)
        return service.install_plan(wanted, units=_units(user=user), rules=service.RULES)
    except ValueError as error:  # a path that no unit can hold
        raise ServiceError(str(error)) from error


def _checked_ports(config_file: Path, *, state: Path, user: bool) -> tuple[str, ...]:
    """The boards' ports, from the configuration as the service will read it: without this terminal's variables, with a
    directory of its own for what it keeps."""
    config = load(config_file, environ={"STATE_DIRECTORY": str(state)}, check_virtual=software_url.parse)
    keys = {"state_dir": config.state_dir, "journal.path": config.state_dir / config.journal.path}
    outside = [key for key, path in keys.items() if not path.is_relative_to(state)]
    if outside and not user:
        why = f"the service may write to {state} only, which is its default"
        raise ConfigError([f"{config_file}: {key}: {why}; remove it, or install with --user" for key in outside])
    return devices_of(board.port for board in config.boards.values())


def _units(*, user: bool) -> Path:
    if not user:
        return service.SYSTEM_UNITS
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _paths(*, user: bool) -> list[Path]:
    unit = _units(user=user) / service.SERVICE
    return [unit] if user else [unit, service.RULES]


def _serial_group() -> str | None:
    import grp  # not on Windows

    known = {group.gr_name for group in grp.getgrall()}
    return next((group for group in SERIAL_GROUPS if group in known), None)


def _state_of(file: File) -> FileState:
    if not file.path.exists():
        return FileState.NEW
    _check_ours(file.path)
    return FileState.SAME if file.path.read_text(encoding="utf-8") == file.text else FileState.CHANGED


def _check_ours(path: Path) -> None:
    if not path.read_text(encoding="utf-8", errors="replace").startswith(service.WRITTEN_BY):
        raise ServiceError(f"{path} was written by someone else and is left as it is; move it away first")


def _show(plan: Plan, states: dict[Path, FileState]) -> None:
    for file in plan.files:
        click.echo(f"==> {file.path} ({states[file.path]})\n{file.text}")
    click.echo("==> commands")
    for each in plan.commands:
        click.echo(shlex.join(each))


# ---- doing it ----


def _check_systemd() -> None:
    if not SYSTEMD_RUNS.is_dir():
        raise ServiceError(
            "this system is not run by systemd; have what it has (OpenRC, launchd, a scheduled task) start "
            f"`{shlex.join([sys.executable, '-m', 'gateway', 'run', '--config', 'FILE'])}`, and again when it ends"
        )


def _check_powers(*, user: bool, config_file: Path | None = None) -> None:
    _check_systemd()
    if user or os.geteuid() == 0:
        return
    this = [sys.executable, "-I", "-m", "gateway", "service", "uninstall"]
    if config_file is not None:
        this = [*this[:-1], "install", "--config", str(config_file.absolute())]
    raise ServiceError(f"the system's services are root's: sudo {shlex.join(this)} (or --user, for a service of yours)")


def _write(file: File) -> None:
    """Whole or not at all."""
    draft = file.path.with_name(f".{file.path.name}.new")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(file.text, encoding="utf-8")
        draft.chmod(FILE_MODE)
        draft.replace(file.path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise ServiceError(f"can't write {file.path}: {error.strerror or error}") from error


def _run_all(commands: Iterable[Sequence[str]], *, quiet: bool) -> None:
    for each in commands:
        if not quiet:
            click.echo(f"$ {shlex.join(each)}")
        _output(each)


def _output(command_line: Sequence[str]) -> str:
    try:
        done = subprocess.run(command_line, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"can't run `{shlex.join(command_line)}`: {error}") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise ServiceError(f"`{shlex.join(command_line)}` failed: {said}")
    return done.stdout


def _look(*, user: bool) -> str:
    flag = " --user" if user else ""
    return f"Look after it: gateway service status{flag}; journalctl{flag} -u gateway -f"
