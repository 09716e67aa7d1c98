"""What the link's tests share: a clock, a pseudo-terminal whose other end is a test, and counting of descriptors."""

import contextlib
import os
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

LATER_S = 0.05  # when a helper thread acts, so that what it interrupts has most likely begun; nothing depends on it


class FakeClock:
    """Stands still until it is moved; whole milliseconds, so that nothing is ever rounded."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def monotonic(self) -> float:
        return self.ms / 1000

    def time(self) -> float:
        return 1_700_000_000 + self.ms / 1000


class Pty:
    """A pseudo-terminal: `path` is the port, the test reads and writes the board's end."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)

    def say(self, data: bytes) -> None:
        """The board sends."""
        os.write(self._master, data)

    def heard(self, size: int) -> bytes:
        """Waits for so many bytes from the host."""
        data = b""
        while len(data) < size:
            data += os.read(self._master, size - len(data))
        return data

    def unplug(self) -> None:
        """The port is gone. Again is fine."""
        with contextlib.suppress(OSError):
            os.close(self._master)

    def control_flags(self) -> int:
        """c_cflag as it stands."""
        return int(termios.tcgetattr(self._master)[2])

    def set_hupcl(self) -> None:
        """As the kernel creates a real serial port."""
        attributes = termios.tcgetattr(self._master)
        attributes[2] |= termios.HUPCL
        termios.tcsetattr(self._master, termios.TCSANOW, attributes)


@contextlib.contextmanager
def pseudo_terminal() -> Iterator[Pty]:
    pty = Pty()
    try:
        yield pty
    finally:
        pty.unplug()


def open_descriptors() -> int:
    """How many descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))
