"""Native USB boards: their sketch is asked to start the bootloader, and avrdude speaks to that.

The caller's thread. A Leonardo's own USB goes with its sketch and comes back with the bootloader, as another port.
avrdude never runs without a limit of time: it spins for ever when its port is gone.
"""

import contextlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import serial
from serial.tools import list_ports

from gateway.errors import LinkError
from gateway.link import faults
from gateway.model import Clock, Reason
from gateway.tools.boot_port import pause
from gateway.tools.bootloader import FlashError, NoBootloader
from gateway.tools.models import BootloaderKind, Chip

TOUCH_BAUD = 1_200  # closing the port at this rate starts the bootloader
PORT_APPEARS_S = 10.0  # the Arduino IDE waits as long
LOOK_AGAIN_S = 0.1
RUN_S = 90.0  # a full chip takes 15 s
PROGRAM = "avrdude"
PROGRAMMERS = {"AVR109": "avr109"}
SHOWN_LINES = 4  # of avrdude's last words
AGAIN = "press the board's reset button twice within a second and run the same command again at once"

INSTALL: Mapping[str, str] = MappingProxyType(
    {
        "debian": "sudo apt install avrdude",
        "ubuntu": "sudo apt install avrdude",
        "fedora": "sudo dnf install avrdude",
        "rhel": "sudo dnf install avrdude",
        "arch": "sudo pacman -S avrdude",
        "suse": "sudo zypper install avrdude",
        "alpine": "sudo apk add avrdude",
        "nixos": "nix-env -iA nixos.avrdude",
        "darwin": "brew install avrdude",
        "windows": "winget install AVRDudes.AVRDUDE",
    }
)
"""How avrdude is installed, by the ID or ID_LIKE of /etc/os-release, or the system's name."""
ELSEWHERE = "see https://github.com/avrdudes/avrdude"

Lister = Callable[[], set[str]]
"""The names of the ports there are."""


def listed() -> set[str]:
    """As the system lists them."""
    return {port.device for port in list_ports.comports()}


def installed(which: Callable[[str], str | None] = shutil.which) -> str:
    """Where avrdude is. Raises FlashError, with the command that installs it, where it is not."""
    found = which(PROGRAM)
    if found is None:
        raise FlashError(f"this board is flashed by avrdude, which is not installed: {install_command(systems())}")
    return found


def systems() -> Sequence[str]:
    """What this system is called, the closest name first."""
    names = [platform.system().lower()]
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return names
    return [release.get("ID", ""), *release.get("ID_LIKE", "").split(), *names]


def install_command(names: Sequence[str]) -> str:
    """The command that installs avrdude on a system of these names."""
    return next((INSTALL[name] for name in names if name in INSTALL), ELSEWHERE)


def start_bootloader(url: str, *, lister: Lister = listed, clock: Clock = time) -> str:
    """Asks the sketch for the bootloader and gives the bootloader's port. Raises LinkError and NoBootloader."""
    before = lister()
    _touch(url)
    deadline_s = clock.monotonic() + PORT_APPEARS_S
    while clock.monotonic() < deadline_s:
        pause(LOOK_AGAIN_S)
        now = lister()
        if appeared := [port for port in sorted(now - before) if _may_use(port)]:
            return appeared[0]
        before &= now  # one that has gone and comes back counts as new
    raise NoBootloader(
        f"{url} was asked for its bootloader, and none came within {PORT_APPEARS_S:g} s; nothing was written: {AGAIN}"
    )


def _may_use(port: str) -> bool:
    """A device file belongs to root for a moment, until udev has given it to its group."""
    return not os.path.exists(port) or os.access(port, os.R_OK | os.W_OK)


def _touch(url: str) -> None:
    with faults.opening(url):
        port = serial.serial_for_url(url, baudrate=TOUCH_BAUD, exclusive=True)
        with contextlib.suppress(*faults.PORT_ERRORS):  # it may go at once; without modem lines closing it will do
            port.dtr = False
        with contextlib.suppress(*faults.PORT_ERRORS):
            port.close()


def upload(file: Path, *, port: str, chip: Chip, kind: BootloaderKind, program: str, timeout_s: float = RUN_S) -> None:
    """Writes and verifies a file. Raises FlashError with avrdude's own last words."""
    arguments = [program, "-q", "-p", chip.part, "-c", PROGRAMMERS[kind.protocol], "-P", port, "-b", str(kind.baud)]
    arguments += ["-D", "-U", f"flash:w:{file}:i"]
    try:
        code, words = _run(arguments, timeout_s=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise FlashError(f"avrdude did not end within {timeout_s:g} s and was stopped; {AGAIN}") from error
    except KeyboardInterrupt:
        raise FlashError(f"stopped by Ctrl-C; the board holds part of the sketch at most: {AGAIN}") from None
    except OSError as error:
        raise FlashError(f"{program} can't be run: {error.strerror or error}") from error
    if code != 0:
        raise FlashError(f"avrdude failed: {_last(words) or f'exit code {code}'}; {AGAIN}")


def _run(arguments: Sequence[str], *, timeout_s: float) -> tuple[int, str]:
    """Exit code and what was said on standard error. Nothing of it is left running, whatever happens."""
    with subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            _, words = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process.returncode, words


def wait_for_port(url: str, *, lister: Lister = listed, clock: Clock = time) -> None:
    """Until the port of the new sketch is there. Raises LinkError."""
    deadline_s = clock.monotonic() + PORT_APPEARS_S
    while not (_may_use(url) if os.path.exists(url) else url in lister()):
        if clock.monotonic() >= deadline_s:
            raise LinkError(
                Reason.PORT_MISSING,
                f"the sketch was written, and {url} has not come back: the board may have another port now, "
                "see gateway ports",
            )
        pause(LOOK_AGAIN_S)


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " / ".join(lines[-SHOWN_LINES:])
