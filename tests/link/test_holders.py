"""Who holds a port: this very process, another one, a made-up one of another user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.link.holders import Holder, holders, may_open
from tests.link.fakes import Pty

pytestmark = [pytest.mark.needs("posix"), pytest.mark.skipif(sys.platform != "linux", reason="Linux tells, others not")]

HOLD = "import os, sys; fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print('held', flush=True); sys.stdin.read()"


def test_nobody_holds_a_port_that_nobody_opened(pty: Pty) -> None:
    assert holders(pty.path) == ()


def test_a_port_that_is_not_there_is_held_by_nobody(tmp_path: Path) -> None:
    assert holders(str(tmp_path / "ttyACM0")) == ()


def test_a_holder_is_told_with_its_program_through_a_link_too(pty: Pty, tmp_path: Path) -> None:
    link, script = tmp_path / "by-id", tmp_path / "serial-monitor"
    link.symlink_to(pty.path)
    script.write_text(HOLD)
    command = [sys.executable, str(script), str(link)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        held = holders(str(link))
        process.communicate()
    assert held == (Holder(process.pid, "serial-monitor"),)
    assert str(held[0]) == f"serial-monitor (pid {process.pid})"
    assert holders(pty.path) == ()


def test_a_program_of_another_user_is_told_by_its_lock(pty: Pty, tmp_path: Path) -> None:
    """Its descriptors can't be seen. The lock of this process, read from the real table, stands in for it."""
    import fcntl  # which Windows has not

    descriptor = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        table = Path("/proc/locks").read_text(encoding="ascii")
    finally:
        os.close(descriptor)
    (tmp_path / "self" / "fd").mkdir(parents=True)
    (tmp_path / "locks").write_text(table)
    stranger = tmp_path / str(os.getpid())
    stranger.mkdir()
    (stranger / "comm").write_text("ModemManager\n")
    (stranger / "cmdline").write_bytes(b"/usr/sbin/ModemManager\0--debug\0")
    assert holders(pty.path, proc=tmp_path) == (Holder(os.getpid(), "ModemManager"),)


@pytest.mark.parametrize(
    ("command", "comm", "program"),
    [
        (b"/usr/bin/python3.11\0-m\0gateway\0run\0", "python3.11", "gateway"),
        (b"/home/me/.venv/bin/python\0/home/me/.venv/bin/gateway\0run\0", "gateway", "gateway"),
        (b"python3\0", "python3", "python3"),
        (b"/opt/arduino/arduino-ide\0", "arduino-ide", "arduino-ide"),
        (b"", "kworker", "kworker"),
    ],
)
def test_a_program_is_called_as_people_call_it(
    pty: Pty, tmp_path: Path, command: bytes, comm: str, program: str
) -> None:
    (tmp_path / "self" / "fd").mkdir(parents=True)
    (tmp_path / "4711" / "fd").mkdir(parents=True)
    (tmp_path / "4711" / "fd" / "3").symlink_to(pty.path)
    (tmp_path / "4711" / "cmdline").write_bytes(command)
    (tmp_path / "4711" / "comm").write_text(comm + "\n")
    assert holders(pty.path, proc=tmp_path) == (Holder(4711, program),)


def test_where_the_system_does_not_tell_nothing_is_known(pty: Pty, tmp_path: Path) -> None:
    assert holders(pty.path, proc=tmp_path / "no-proc") is None


def test_permission_to_open(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    assert may_open(pty.path) is True
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)  # root may open anything
    assert may_open(pty.path) is False
    monkeypatch.setattr(sys, "platform", "win32")
    assert may_open("COM3") is None
