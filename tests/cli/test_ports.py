"""`gateway ports` in one process, over ports that the system is said to have."""

import json
import os
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from gateway.cli import main
from gateway.link.holders import Holder
from gateway.tools import ports

Plug = Callable[..., None]
SERIAL = "55739323037351F01281"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ports", *arguments], prog_name="gateway")


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    """Has the system list a port."""
    listed: list[ListPortInfo] = []
    monkeypatch.setattr(list_ports, "comports", lambda: listed)
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    monkeypatch.setattr(ports, "holders", lambda _port: ())

    def _plug(device: str, **facts: object) -> None:
        info = ListPortInfo(device)
        for name, fact in facts.items():
            setattr(info, name, fact)
        listed.append(info)

    return _plug


@pytest.fixture
def three(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Uno that is held, a clone without permission, a UART."""
    plug("/dev/ttyS4", description="ttyS4")
    plug("/dev/ttyUSB0", vid=0x1A86, pid=0x7523, location="1-1.2", description="USB Serial")
    plug("/dev/ttyACM0", vid=0x2341, pid=0x43, serial_number=SERIAL, location="1-1.4", description="ttyACM0")
    held = {"/dev/ttyACM0": (Holder(4711, "gateway"), Holder(4712, "brltty"))}
    monkeypatch.setattr(ports, "holders", lambda port: held.get(port, ()))
    monkeypatch.setattr(
        ports, "stable_path", lambda plugged: "/dev/serial/by-id/uno" if plugged.serial_number else None
    )
    monkeypatch.setattr(os, "access", lambda path, _mode: path != "/dev/ttyUSB0")


def test_nothing_plugged_in_is_said(plug: Plug) -> None:
    result = run()
    assert result.exit_code == 0
    assert result.stdout.startswith("Nothing is plugged in")
    assert json.loads(run("--json").stdout) == {"items": []}


@pytest.mark.usefixtures("three")
def test_each_port_is_told_with_what_can_be_known_of_it() -> None:
    result = run()
    assert result.exit_code == 0
    assert result.stdout == (
        "PORT          MODEL        USB IDS    STATE\n"
        "/dev/ttyACM0  Arduino Uno  2341:0043  in use\n"
        "  serial number 55739323037351F01281, location 1-1.4\n"
        "  /dev/serial/by-id/uno\n"
        "  held by gateway (pid 4711), brltty (pid 4712)\n"
        "/dev/ttyUSB0  CH340        1a86:7523  no permission\n"
        "  no serial number, location 1-1.2\n"
        "  run `sudo usermod -aG dialout $USER`, then log out and in again\n"
        "/dev/ttyS4    -            no USB     free\n"
    )


@pytest.mark.usefixtures("three")
def test_the_same_as_json() -> None:
    uno, clone, uart = json.loads(run("--json").stdout)["items"]
    assert uno == {
        "port": "/dev/ttyACM0",
        "model": "Arduino Uno",
        "usb_ids": "2341:0043",
        "serial_number": SERIAL,
        "location": "1-1.4",
        "description": None,
        "may_be_board": True,
        "stable_path": "/dev/serial/by-id/uno",
        "held_by": [{"pid": 4711, "program": "gateway"}, {"pid": 4712, "program": "brltty"}],
        "may_open": True,
        "cure": None,
    }
    assert (clone["serial_number"], clone["may_open"], clone["held_by"]) == (None, False, [])
    assert "usermod" in clone["cure"]
    assert (uart["usb_ids"], uart["may_be_board"]) == (None, False)


def test_what_a_device_says_of_itself_moves_no_cursor_and_stays_within_80_columns(plug: Plug) -> None:
    plug("/dev/cu.usbserial-1420", vid=0x1234, pid=0x5678, description="\x1b[2J" + "very " * 30, location="20-1")
    result = run()
    assert "\x1b" not in result.stdout
    assert all(len(line) < 80 for line in result.stdout.splitlines())


def test_where_the_system_does_not_tell_who_holds_a_port_that_is_said(
    plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug("COM3", vid=0x2341, pid=0x43)
    monkeypatch.setattr(ports, "holders", lambda _port: None)
    assert "not known" in run().stdout
    assert json.loads(run("--json").stdout)["items"][0]["held_by"] is None
