"""Interrupts the one wait of a board thread: any thread sets it, the board thread waits on it.

A socket pair and not a threading.Event, so that one selector watches a port and the wake together.
"""

import contextlib
import socket
import threading

DRAIN_BYTES = 65_536  # one read takes all the wakes that a socket pair can hold


class Wake:
    """Set by any thread, cleared by the wait that it ended. A set between two waits ends the next one at once."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._open = threading.RLock()  # no close pulls the descriptor away from a set; a signal handler may set too

    def set(self) -> None:
        """Any thread. Never blocks or raises; after close it does nothing."""
        with self._open, contextlib.suppress(OSError):  # full: as set as can be
            self._writer.send(b"\0")

    def wait(self, timeout_s: float | None) -> bool:
        """Board thread: until set (True) or until the time is over (False; None = for ever). Clears itself."""
        self._reader.settimeout(None if timeout_s is None else max(0.0, timeout_s))
        try:
            self._reader.recv(DRAIN_BYTES)
        except (TimeoutError, BlockingIOError):
            return False
        return True

    def fileno(self) -> int:
        """Readable while set."""
        return self._reader.fileno()

    def close(self) -> None:
        """Once nothing waits any more; again is fine."""
        with self._open:
            self._reader.close()
            self._writer.close()
