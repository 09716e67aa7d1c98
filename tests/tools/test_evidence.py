"""What a diagnosis looks at, gathered from trees that look like Linux's own."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.link.discovery import PluggedPort
from gateway.model import BoardState, BoardStatus
from gateway.tools.doctor import Evidence, diagnose
from gateway.tools.evidence import Surroundings, gather
from tests.link.fakes import FakeClock, Pty, pseudo_terminal

pytestmark = pytest.mark.needs("posix")

Gather = Callable[..., Evidence]
FTDI = {"vendor": 0x0403, "product": 0x6001, "serial_number": "A5"}


@pytest.fixture
def pty() -> Iterator[Pty]:
    with pseudo_terminal() as pty:
        yield pty


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    """A machine with nothing plugged in and nothing running."""
    (tmp_path / "proc" / "self" / "fd").mkdir(parents=True)
    return Surroundings(list_ports=tuple, proc=tmp_path / "proc", tty_class=tmp_path / "tty")


@pytest.fixture
def look(around: Surroundings, tmp_path: Path) -> Gather:
    def _look(port: str, *, plugged: tuple[PluggedPort, ...] = (), **options: object) -> Evidence:
        status = BoardStatus("uno", False, port, state=BoardState.ONLINE)
        surroundings = Surroundings(lambda: plugged, proc=around.proc, tty_class=around.tty_class)
        return gather(status, clock=FakeClock(), state_dir=tmp_path, surroundings=surroundings, **options)  # type: ignore[arg-type]

    return _look


def runs(around: Surroundings, pid: int, name: str, *, holding: str | None = None) -> None:
    folder = around.proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "comm").write_text(f"{name}\n")
    (folder / "cmdline").write_bytes(f"/usr/sbin/{name}\0".encode())
    if holding:
        (folder / "fd" / "3").symlink_to(holding)


def has_latency_timer(around: Surroundings, tty: str, text: str) -> None:
    folder = around.tty_class / tty / "device"
    folder.mkdir(parents=True)
    (folder / "latency_timer").write_text(text)


def codes(evidence: Evidence) -> list[str]:
    return [finding.code for finding in diagnose(evidence).findings]


def test_a_quiet_machine_gives_nothing_to_find(look: Gather, pty: Pty) -> None:
    evidence = look(pty.path)
    assert (evidence.meddlers, evidence.holders, evidence.latency_timer_ms, evidence.device) == ((), (), None, None)
    assert evidence.free_bytes is not None
    assert evidence.flash == "gateway flash --board uno"


def test_programs_that_try_serial_ports_are_known_by_name(look: Gather, pty: Pty, around: Surroundings) -> None:
    runs(around, 11, "brltty")
    runs(around, 12, "bash")
    assert look(pty.path).meddlers == ("brltty",)
    runs(around, 13, "ModemManager")
    assert look(pty.path).meddlers == ("ModemManager", "brltty")
    (around.proc / "14").mkdir()  # has just ended
    assert look(pty.path).meddlers == ("ModemManager", "brltty")


def test_who_holds_the_port_but_not_this_process(look: Gather, pty: Pty, around: Surroundings) -> None:
    runs(around, 4711, "minicom", holding=pty.path)
    runs(around, os.getpid(), "gateway", holding=pty.path)
    holders = look(pty.path).holders
    assert holders is not None
    assert [str(holder) for holder in holders] == ["minicom (pid 4711)"]


@pytest.mark.parametrize(("text", "timer_ms"), [("16\n", 16), ("1\n", 1), ("", None), ("soon\n", None)])
def test_the_latency_timer(look: Gather, around: Surroundings, text: str, timer_ms: int | None) -> None:
    has_latency_timer(around, "ttyUSB3", text)
    port = PluggedPort("/dev/ttyUSB3", **FTDI)  # type: ignore[arg-type]
    evidence = look("/dev/ttyUSB3", plugged=(port,))
    assert evidence.latency_timer_ms == timer_ms
    assert ("latency_timer" in codes(evidence)) is (timer_ms == 16)


def test_a_lasting_name_means_its_device(look: Gather, around: Surroundings, tmp_path: Path) -> None:
    """As links in /dev/serial/by-id do."""
    device, link = tmp_path / "ttyUSB3", tmp_path / "usb-FTDI-A5"
    device.touch()
    link.symlink_to(device)
    has_latency_timer(around, "ttyUSB3", "16\n")
    evidence = look(str(link), plugged=(PluggedPort(str(device), **FTDI),))  # type: ignore[arg-type]
    (finding,) = diagnose(evidence).findings
    assert finding.code == "latency_timer"
    assert "/sys/bus/usb-serial/devices/ttyUSB3/latency_timer" in finding.cure


@pytest.mark.parametrize("port", ["virtual://uno", "socket://pi:2000"])
def test_of_a_port_that_is_no_device_here_nothing_is_looked_for(
    look: Gather, around: Surroundings, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(around, 13, "ModemManager")
    evidence = look(port, plugged=(PluggedPort("/dev/ttyACM0"),))
    assert evidence.plugged == ()
    assert codes(evidence) == []


def test_a_disk_that_is_nearly_full(look: Gather, pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _directory: SimpleNamespace(free=3_000_000))
    assert codes(look(pty.path)) == ["disk_nearly_full"]

    def gone(_directory: Path) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(shutil, "disk_usage", gone)
    assert look(pty.path).free_bytes is None


def test_what_the_gateway_knows_is_passed_on(look: Gather, pty: Pty) -> None:
    evidence = look(pty.path, url="http://127.0.0.1:9000", flash="gateway flash --port x", journal_fault="it is full")
    assert codes(evidence) == ["journal_failing"]
    assert (evidence.url, evidence.flash) == ("http://127.0.0.1:9000", "gateway flash --port x")
