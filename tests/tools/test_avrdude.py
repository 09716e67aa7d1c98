"""Native USB boards, as far as they can be had without one: no emulator here runs a Leonardo's bootloader.

Real are the touch at 1200 baud, seen at the other end of a pseudo-terminal, and the command line, seen by a program
that stands in for avrdude. The list of ports is made up.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from serial.tools.list_ports_common import ListPortInfo

from gateway.cli import main
from gateway.errors import LinkError
from gateway.link.virtual_sketch import MODELS
from gateway.model import Reason
from gateway.tools import avrdude, flash
from gateway.tools.bootloader import FlashError, NoBootloader
from gateway.tools.hello import Introduction
from gateway.tools.models import ATMEGA32U4, CATERINA
from tests.emulated.images import SHIPPED_IMAGES
from tests.link.fakes import pseudo_terminal
from tests.ports.pty_board import PtyBoard

IMAGE = SHIPPED_IMAGES / "gateway-leonardo.hex"
SKETCH_PORT, BOOT_PORT = "/dev/ttySKETCH", "/dev/ttyBOOT"
STAND_IN = """#!{python}
import json, sys
with open({log!r}, "w") as log:
    json.dump(sys.argv[1:], log)
sys.stderr.write("Connecting to programmer: .\\navrdude: verification error, first mismatch at byte 0x0000\\n")
{then}
"""


@dataclass(frozen=True, slots=True)
class StandIn:
    """A program called avrdude, first in the PATH."""

    path: Path
    log: Path

    @property
    def arguments(self) -> list[str]:
        found: list[str] = json.loads(self.log.read_text())
        return found


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], StandIn]:
    def make(then: str = "") -> StandIn:
        made = StandIn(tmp_path / "bin" / "avrdude", tmp_path / "arguments.json")
        made.path.parent.mkdir()
        made.path.write_text(STAND_IN.format(python=sys.executable, log=str(made.log), then=then))
        made.path.chmod(0o755)
        monkeypatch.setenv("PATH", str(made.path.parent), prepend=os.pathsep)
        return made

    return make


def upload(stand_in: StandIn, *, timeout_s: float = avrdude.RUN_S) -> None:
    avrdude.upload(
        IMAGE, port=BOOT_PORT, chip=ATMEGA32U4, kind=CATERINA, program=str(stand_in.path), timeout_s=timeout_s
    )


@pytest.mark.process
def test_avrdude_is_told_chip_protocol_port_and_file(stand_in: Callable[..., StandIn]) -> None:
    ran = stand_in()
    upload(ran)
    expected = f"-q -p m32u4 -c avr109 -P {BOOT_PORT} -b 57600 -D -U flash:w:{IMAGE}:i"
    assert ran.arguments == expected.split()


@pytest.mark.process
def test_avrdudes_own_words_and_the_next_step_are_told(stand_in: Callable[..., StandIn]) -> None:
    with pytest.raises(FlashError, match=r"avrdude failed: .*first mismatch at byte 0x0000; press .* button twice"):
        upload(stand_in("sys.exit(1)"))


@pytest.mark.process
def test_an_avrdude_that_hangs_is_stopped(stand_in: Callable[..., StandIn]) -> None:
    with pytest.raises(FlashError, match=r"did not end within 1 s and was stopped; press"):
        upload(stand_in("sys.stdin = open('/dev/zero'); sys.stdin.read()"), timeout_s=1.0)


def test_where_avrdude_is_missing_the_command_that_installs_it_is_told() -> None:
    with pytest.raises(FlashError, match="flashed by avrdude, which is not installed: "):
        avrdude.installed(lambda _name: None)


@pytest.mark.parametrize(
    ("names", "command"),
    [
        (["debian", "linux"], "sudo apt install avrdude"),
        (["raspbian", "debian", "linux"], "sudo apt install avrdude"),
        (["fedora", "linux"], "sudo dnf install avrdude"),
        (["manjaro", "arch", "linux"], "sudo pacman -S avrdude"),
        (["opensuse-leap", "suse", "opensuse", "linux"], "sudo zypper install avrdude"),
        (["darwin"], "brew install avrdude"),
        (["windows"], "winget install AVRDudes.AVRDUDE"),
        (["plan9"], "see https://github.com/avrdudes/avrdude"),
    ],
)
def test_the_command_is_that_of_the_system(names: list[str], command: str) -> None:
    assert avrdude.install_command(names) == command


def test_this_system_has_a_name() -> None:
    assert sys.platform in {*avrdude.systems(), "win32"}


# ---- the touch ----


def listing(*answers: set[str]) -> Callable[[], set[str]]:
    """A list of ports that changes with each look; the last stays."""
    left: Iterator[set[str]] = iter(answers)
    seen: list[set[str]] = []

    def look() -> set[str]:
        seen.append(next(left, seen[-1] if seen else set()))
        return seen[-1]

    return look


@pytest.mark.needs("posix")
def test_the_port_is_opened_at_1200_baud_and_the_one_that_appears_is_the_bootloaders() -> None:
    import termios

    with pseudo_terminal() as pty:
        found = avrdude.start_bootloader(
            pty.path, lister=listing({pty.path, "/dev/other"}, {"/dev/other"}, {"/dev/other", BOOT_PORT})
        )
        assert found == BOOT_PORT
        assert termios.tcgetattr(pty._master)[5] == termios.B1200


@pytest.mark.needs("posix")
def test_a_bootloader_that_comes_under_the_old_name_is_found() -> None:
    with pseudo_terminal() as pty:
        assert avrdude.start_bootloader(pty.path, lister=listing({pty.path}, set(), {pty.path})) == pty.path


class Hurried:
    """A clock that goes on a second at each look."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        self.now_s += 1.0
        return self.now_s

    def time(self) -> float:
        return 0.0


@pytest.mark.needs("posix")
def test_a_sketch_that_hears_no_touch_is_told_with_the_way_by_hand() -> None:
    with (
        pseudo_terminal() as pty,
        pytest.raises(NoBootloader, match=r"none came within 10 s; nothing was written: press .*twice within a second"),
    ):
        avrdude.start_bootloader(pty.path, lister=listing({pty.path}), clock=Hurried())


def test_a_port_that_does_not_come_back_is_told() -> None:
    with pytest.raises(LinkError, match="the sketch was written, and /dev/ttySKETCH has not come back"):
        avrdude.wait_for_port(SKETCH_PORT, lister=listing({"/dev/other"}), clock=Hurried())
    avrdude.wait_for_port(SKETCH_PORT, lister=listing(set(), {SKETCH_PORT}))


# ---- the whole command ----


@pytest.mark.process
@pytest.mark.needs("posix")
def test_a_leonardo_is_known_by_its_usb_ids_touched_written_by_avrdude_and_asked_again(
    stand_in: Callable[..., StandIn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual board plays the sketch, before and after."""
    import termios

    ran = stand_in()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_HTTP__LISTEN", "127.0.0.1:0")
    with PtyBoard(MODELS["uno"]()) as board:

        def comports() -> list[ListPortInfo]:
            in_bootloader = termios.tcgetattr(board._slave)[5] == termios.B1200 and not ran.log.exists()
            found = ListPortInfo(BOOT_PORT if in_bootloader else board.path)
            found.vid, found.pid = 0x2341, 0x0036 if in_bootloader else 0x8036
            return [found]

        monkeypatch.setattr("serial.tools.list_ports.comports", comports)
        done = CliRunner().invoke(main, ["flash", "--json"], prog_name="gateway")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["port"], report["model"], report["bootloader"]["name"]) == (board.path, "leonardo", "Caterina")
    assert report["after"]["sketch"]["name"] == "gateway"
    assert ran.arguments[-1] == f"flash:w:{IMAGE}:i"
    assert ran.arguments[ran.arguments.index("-P") + 1] == BOOT_PORT


@pytest.mark.needs("posix")
def test_a_port_that_goes_once_more_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def introduce(url: str, *, baud: int | None) -> Introduction:
        asked.append(url)
        if len(asked) < 3:
            raise LinkError(Reason.PORT_MISSING, "it was lost")
        return Introduction(reason=Reason.NO_ANSWER)

    monkeypatch.setattr(flash, "introduce", introduce)
    monkeypatch.setattr(flash, "pause", lambda _seconds: None)
    assert flash.look_again(flash.Target(SKETCH_PORT)).reason is Reason.NO_ANSWER
    assert asked == [SKETCH_PORT] * 3


def test_a_port_that_is_gone_for_good_is_told_with_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash, "pause", lambda _seconds: None)
    with pytest.raises(LinkError, match="the sketch was written and verified, and then: there is no /dev/ttySKETCH"):
        flash.look_again(flash.Target(SKETCH_PORT), clock=Hurried())


@pytest.mark.process
def test_ctrl_c_while_avrdude_runs_says_what_to_do(stand_in: Callable[..., StandIn]) -> None:
    with pytest.raises(FlashError, match=r"stopped by Ctrl-C; the board holds part of the sketch at most: press"):
        upload(
            stand_in("import os, signal; os.kill(os.getppid(), signal.SIGINT); sys.stdin = open('/dev/zero').read()")
        )
