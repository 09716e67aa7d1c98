"""`gateway service` on a system that is played: its directories are the test's own, its commands write down what they
are asked."""

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main, servicing
from gateway.tools import service
from gateway.tools.reach import Reach, ServiceError

CONFIG = "boards: {uno: {port: virtual://uno}, lab: {port: /dev/ttymxc0}}"
COMMANDS = [
    "udevadm control --reload",
    "udevadm trigger --subsystem-match=usb --subsystem-match=tty",
    "systemctl daemon-reload",
    "systemctl enable gateway.service",
    "systemctl restart gateway.service",
]
SHOWN = "LoadState=loaded\nActiveState=active\nSubState=running\nStatusText=Serving = all\nNRestarts=2\n"

pytestmark = pytest.mark.needs("posix")


class System:
    """What there is of it, and what was asked of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unit = root / "units/gateway.service"
        self.rules = root / "rules.d/90-gateway.rules"
        self.log = root / "log"

    def answer(self, name: str, script: str) -> None:
        """What a command does after it has written down its arguments."""
        command = self.root / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f'#!/bin/sh\necho {name} "$@" >> {self.log}\n{script}\n')
        command.chmod(0o755)

    def asked(self) -> list[str]:
        """The commands that ran."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """systemd runs it, this process is root's, and everything can be reached."""
    system = System(tmp_path / "system")
    for name in ("systemctl", "udevadm", "loginctl"):
        (system.root / "bin").mkdir(parents=True, exist_ok=True)
        system.answer(name, "")
    monkeypatch.setenv("PATH", f"{system.root}/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(system.root / "config"))
    monkeypatch.setattr(service, "SYSTEM_UNITS", system.unit.parent)
    monkeypatch.setattr(service, "RULES", system.rules)
    monkeypatch.setattr(servicing, "SYSTEMD_RUNS", system.root)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(servicing, "reach_of", lambda _python, *_files: Reach((), ()))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "config.yaml").write_text(CONFIG)
    return system


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(main, ["service", *arguments], prog_name="gateway", input=answer)


# ---- install ----


def test_it_shows_everything_asks_and_does_it(system: System) -> None:
    result = run("install", answer="y\n")
    assert (result.exit_code, result.stderr) == (0, "")
    assert system.unit.read_text() in result.stdout
    assert system.rules.read_text() in result.stdout
    assert f"==> {system.unit} (new)" in result.stdout
    asked = result.stdout.index("Write and run this?")
    assert all(result.stdout.index(command) < asked for command in COMMANDS)
    assert system.asked() == COMMANDS
    assert result.stdout.endswith("It runs. Look after it: gateway service status; journalctl -u gateway -f\n")


def test_the_unit_runs_this_interpreter_on_that_file_as_a_user_that_may_open_the_boards_ports(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicing, "_serial_group", lambda: "uucp")
    assert run("install", "--yes").exit_code == 0
    unit = system.unit.read_text()
    assert f"ExecStart={sys.executable} -I -m gateway run --config {Path.cwd() / 'config.yaml'}\n" in unit
    assert "SupplementaryGroups=uucp\n" in unit
    assert "DeviceAllow=char-ttymxc rw\n" in unit
    assert stat.S_IMODE(system.unit.stat().st_mode) == 0o644
    assert [path.name for path in system.unit.parent.iterdir()] == ["gateway.service"]


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_written(system: System, answer: str) -> None:
    result = run("install", answer=answer)
    assert result.exit_code == 1
    assert not system.unit.exists()
    assert system.asked() == []


def test_a_dry_run_needs_neither_systemd_nor_root(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servicing, "SYSTEMD_RUNS", system.root / "none")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = run("install", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.endswith("\nNothing was written.\n")
    assert (system.unit.exists(), system.asked()) == (False, [])


def test_json_has_the_files_and_the_commands(system: System) -> None:
    told = json.loads(run("install", "--dry-run", "--json").stdout)
    assert [(file["path"], file["state"]) for file in told["files"]] == [
        (str(system.unit), "new"),
        (str(system.rules), "new"),
    ]
    assert told["files"][1]["text"] == service.rules_text()
    assert [" ".join(command) for command in told["commands"]] == COMMANDS
    assert told["done"] is False
    assert system.asked() == []
    done = json.loads(run("install", "--yes", "--json").stdout)
    assert (done["done"], system.asked()) == (True, COMMANDS)
    result = run("install", "--json")
    assert result.exit_code == 2
    assert "--json can't ask: add --yes or --dry-run" in result.stderr


def test_again_it_says_what_has_changed_and_writes_over_its_own_files(system: System) -> None:
    run("install", "--yes")
    Path("config.yaml").write_text("boards: {uno: {port: virtual://uno}}")
    result = run("install", "--yes")
    assert result.exit_code == 0
    assert f"==> {system.unit} (changed)" in result.stdout
    assert f"==> {system.rules} (same)" in result.stdout
    assert "ttymxc" not in system.unit.read_text()


def test_the_files_of_others_are_left_alone(system: System) -> None:
    system.unit.parent.mkdir()
    system.unit.write_text("[Service]\n")
    for arguments in (["install", "--yes"], ["uninstall"]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert result.stderr == (
            f"gateway: {system.unit} was written by someone else and is left as it is; move it away first\n"
        )
    assert system.unit.read_text() == "[Service]\n"


def test_a_user_gets_a_unit_of_his_own_without_being_root(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run("install", "--user", "--yes").exit_code == 0
    unit = system.root / "config/systemd/user/gateway.service"
    assert "WantedBy=default.target" in unit.read_text()
    assert system.asked() == [
        "systemctl --user daemon-reload",
        "systemctl --user enable gateway.service",
        "systemctl --user restart gateway.service",
        "loginctl enable-linger",
    ]
    assert not system.rules.exists()


# ---- what is in the way ----


def refusal(*arguments: str, code: int = 1) -> str:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    return result.stderr


def test_not_root_it_names_the_whole_command(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    config = Path.cwd() / "config.yaml"
    sudo = f"sudo {sys.executable} -I -m gateway service"
    assert f": {sudo} install --config {config} (or --user, " in refusal("install", "--yes")
    assert f": {sudo} uninstall (or --user, " in refusal("uninstall")
    assert not system.unit.exists()


@pytest.mark.parametrize("arguments", [["install", "--yes"], ["uninstall"], ["status"]])
def test_without_systemd_it_says_what_else_to_do(
    system: System, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(servicing, "SYSTEMD_RUNS", system.root / "none")
    assert refusal(*arguments) == (
        "gateway: this system is not run by systemd; have what it has (OpenRC, launchd, a scheduled task) start "
        f"`{sys.executable} -m gateway run --config FILE`, and again when it ends\n"
    )
    assert system.asked() == []


def test_it_needs_a_configuration_file(system: System) -> None:
    Path("config.yaml").unlink()
    assert "a service needs a configuration file" in refusal("install", "--yes", code=2)
    Path("config.yaml").write_text("boards: {}")
    assert "boards" in refusal("install", "--yes", code=2)


@pytest.mark.parametrize("key", ["state_dir: state", "state_dir: /srv/gateway", "journal: {path: /srv/journal.db}"])
def test_what_it_keeps_must_lie_where_it_may_write(system: System, key: str) -> None:
    Path("config.yaml").write_text(f"{CONFIG}\n{key}\n")
    assert "the service may write to /var/lib/gateway only, which is its default; remove it" in refusal(
        "install", "--yes", code=2
    )
    assert run("install", "--yes", "--user").exit_code == 0


def test_variables_of_this_terminal_are_not_the_services(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_BOARDS__UNO__PORT", "nonsense://")
    assert run("install", "--yes").exit_code == 0


def test_what_can_not_be_reached_is_told(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_reach: Reach) -> None:
        raise ServiceError("it is closed")

    monkeypatch.setattr(servicing, "check_reach", closed)
    assert refusal("install", "--yes") == "gateway: it is closed\n"
    assert run("install", "--yes", "--user").exit_code == 0


def test_a_file_that_can_not_be_written_is_named(system: System) -> None:
    system.unit.parent.write_text("no directory")
    assert f"can't write {system.unit}: " in refusal("install", "--yes")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo Job failed. >&2; exit 1", "`systemctl daemon-reload` failed: Job failed."),
        ("exit 3", "`systemctl daemon-reload` failed: exit code 3"),
    ],
)
def test_a_command_that_fails_ends_it(system: System, script: str, told: str) -> None:
    system.answer("systemctl", script)
    assert told in refusal("install", "--yes")
    assert system.asked() == COMMANDS[:3]


def test_a_command_that_is_not_there_is_named(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(system.root / "nowhere"))
    assert "can't run `udevadm control --reload`: " in refusal("install", "--yes")


# ---- uninstall and status ----


def test_uninstall_stops_it_and_removes_what_it_wrote(system: System) -> None:
    run("install", "--yes")
    system.log.unlink()
    result = run("uninstall")
    assert result.exit_code == 0
    assert result.stdout.endswith(f"removed {system.unit}\nremoved {system.rules}\n")
    assert not system.unit.exists()
    assert not system.rules.exists()
    assert system.asked() == [
        "systemctl disable --now gateway.service",
        "systemctl daemon-reload",
        "udevadm control --reload",
    ]
    assert run("uninstall").stdout == "There is no service to remove.\n"
    assert json.loads(run("uninstall", "--json").stdout) == {"removed": []}


@pytest.fixture
def shown(system: System) -> Callable[[str], None]:
    """Sets what `systemctl show` says."""

    def _shown(text: str) -> None:
        (system.root / "shown").write_text(text)
        system.answer("systemctl", f"cat {system.root}/shown")

    return _shown


def test_status_tells_what_the_service_says_of_itself(shown: Callable[[str], None]) -> None:
    shown(SHOWN)
    result = run("status")
    assert (result.exit_code, result.stdout) == (
        0,
        "active (running), started again 2 times by itself\nServing = all\n",
    )
    assert json.loads(run("status", "--json").stdout) == {
        "state": "active",
        "detail": "running",
        "status": "Serving = all",
        "restarts": 2,
    }


def test_a_service_that_failed_exits_with_1_and_says_where_to_look(shown: Callable[[str], None]) -> None:
    shown("LoadState=loaded\nActiveState=failed\nSubState=failed\nStatusText=\nNRestarts=0\n")
    result = run("status", "--user")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "failed (failed), started again 0 times by itself",
        "Look after it: gateway service status --user; journalctl --user -u gateway -f",
    ]


def test_status_without_a_service_names_the_cure(shown: Callable[[str], None]) -> None:
    shown("LoadState=not-found\nActiveState=inactive\n")
    assert refusal("status") == "gateway: there is no service yet: gateway service install\n"
