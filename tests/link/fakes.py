"""What the link's tests share: a clock, a pseudo-terminal whose other end is a test, and counting of descriptors."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

CONTROL_FLAGS = 2  # place of c_cflag among termios attributes
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
    """A pseudo-terminal: `path` is the port, the test reads and writes the board's end. Needs `posix`."""

    def __init__(self) -> None:
        import tty

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

    def hupcl(self) -> bool:
        """Whether closing the port would drop DTR."""
        import termios

        return bool(termios.tcgetattr(self._master)[CONTROL_FLAGS] & termios.HUPCL)

    def set_hupcl(self) -> None:
        """As the kernel creates a real serial port."""
        import termios

        attributes = termios.tcgetattr(self._master)
        attributes[CONTROL_FLAGS] |= termios.HUPCL
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
