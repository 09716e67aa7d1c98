"""What a serial port needs beyond pyserial: sole use, a board that is not reset, low latency.

Each is a POSIX or Linux knob. A port without it (Windows, sockets, virtual boards, most pseudo-terminals) goes without.
"""

import contextlib
import os

import serial

try:
    import fcntl
    import termios
except ImportError:  # Windows, where a port is always opened for sole use
    HAS_TERMIOS = False
else:
    HAS_TERMIOS = True

CONTROL_FLAGS = 2  # place of c_cflag among termios attributes


def take(port: serial.SerialBase) -> bool:
    """Readies a port that was just opened. True where HUPCL was clear already: the opening did not reset the board.

    Raises OSError or termios.error for a terminal that is lost meanwhile.
    """
    descriptor = _terminal(port)
    if descriptor is None:
        return False
    fcntl.ioctl(descriptor, termios.TIOCEXCL)  # flock binds those who ask for it, this binds all but root
    with contextlib.suppress(ValueError, NotImplementedError, AttributeError):
        port.set_low_latency_mode(True)  # type: ignore[attr-defined]  # FTDI chips else hold bytes back for 16 ms
    return _keep_board_running(descriptor)


def reset_at_next_opening(port: serial.SerialBase) -> None:
    """Undoes what `take` did for the board: DTR goes down when the port is closed, and the next opening resets it.

    Raises OSError or termios.error for a terminal that is lost meanwhile.
    """
    descriptor = _terminal(port)
    if descriptor is not None:
        attributes = termios.tcgetattr(descriptor)
        attributes[CONTROL_FLAGS] |= termios.HUPCL
        termios.tcsetattr(descriptor, termios.TCSANOW, attributes)


def give_back(port: serial.SerialBase) -> None:
    """To be called before closing. A pseudo-terminal else stays refused to others for as long as its master lives."""
    with contextlib.suppress(Exception):
        descriptor = _terminal(port)
        if descriptor is not None:
            fcntl.ioctl(descriptor, termios.TIOCNXCL)


def descriptor_of(port: serial.SerialBase) -> int | None:
    """The file descriptor that a selector can watch, or None where the port has none."""
    try:
        return port.fileno()
    except (OSError, AttributeError):  # io.UnsupportedOperation, and sockets that are closed
        return None


def _terminal(port: serial.SerialBase) -> int | None:
    descriptor = descriptor_of(port)
    return descriptor if HAS_TERMIOS and descriptor is not None and os.isatty(descriptor) else None


def _keep_board_running(descriptor: int) -> bool:
    """Clears HUPCL: DTR then stays up when the port is closed, and the next opening does not reset the board."""
    attributes = termios.tcgetattr(descriptor)
    was_clear = not attributes[CONTROL_FLAGS] & termios.HUPCL
    attributes[CONTROL_FLAGS] &= ~termios.HUPCL
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    return was_clear
