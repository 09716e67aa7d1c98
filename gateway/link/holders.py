"""Who holds a port, and whether it may be opened. Any thread may ask; opens no port.

Linux tells whose descriptors are open; a user sees those of their own programs, root all. Locks, which the gateway and
many others put on a port, are seen of everyone. Elsewhere nothing is known.
"""

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
INTERPRETERS = ("python", "java", "node", "perl", "ruby", "sh", "bash")
"""Programs that are better called by the name of what they run."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A program that has a port open."""

    pid: int
    program: str

    def __str__(self) -> str:
        return f"{self.program} (pid {self.pid})"


def holders(port: str, *, proc: Path = PROC) -> tuple[Holder, ...] | None:
    """The programs that hold a port, as far as this user may see them, in the order of their pids; None where the
    system can't tell."""
    try:
        status = os.stat(port)
    except OSError:
        return ()
    if not stat.S_ISCHR(status.st_mode) or not (proc / "self" / "fd").is_dir():
        return None
    pids = {*_with_descriptor(status, proc), *_with_lock(status, proc)}
    return tuple(Holder(pid, _program(pid, proc)) for pid in sorted(pids))


def may_open(port: str) -> bool | None:
    """Whether this user may open a device file; None where the system has no such permissions."""
    return None if sys.platform == "win32" else os.access(port, os.R_OK | os.W_OK)


def _with_descriptor(device: os.stat_result, proc: Path) -> Iterator[int]:
    """By device number, so that a link or another mount of the same device counts."""
    for folder in proc.glob("[0-9]*/fd"):
        try:
            if any(_is_open(descriptor, device) for descriptor in folder.iterdir()):
                yield int(folder.parent.name)
        except OSError:  # another user's program, or one that has just ended
            continue


def _is_open(descriptor: Path, device: os.stat_result) -> bool:
    try:
        if not os.readlink(descriptor).startswith("/dev/"):  # a file on a dead network disk could be looked at for ever
            return False
        found = descriptor.stat()
    except OSError:  # closed meanwhile
        return False
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == device.st_rdev


def _with_lock(device: os.stat_result, proc: Path) -> Iterator[int]:
    """The lines of /proc/locks: `1: FLOCK ADVISORY WRITE 4711 00:06:1027 0 EOF`, devices in hexadecimal."""
    where = f"{os.major(device.st_dev):02x}:{os.minor(device.st_dev):02x}:{device.st_ino}"
    try:
        lines = (proc / "locks").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        words = line.split()
        if len(words) > 5 and words[5] == where and words[4].isdecimal() and (proc / words[4]).is_dir():
            yield int(words[4])


def _program(pid: int, proc: Path) -> str:
    """What a person would call it: `gateway` for `python3 /usr/bin/gateway run` and for `python3 -m gateway run`."""
    try:
        words = [
            word.decode(errors="replace") for word in (proc / str(pid) / "cmdline").read_bytes().split(b"\0") if word
        ]
        name = (proc / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return "?"
    if words and os.path.basename(words[0]).rstrip("0123456789.") in INTERPRETERS:
        what = next((word for word in words[1:] if not word.startswith("-")), name)
        return os.path.basename(what)
    return name or (os.path.basename(words[0]) if words else "?")
