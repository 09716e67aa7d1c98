"""How a board thread waits for a port: three ways to wait for bytes, a wake or the time, whichever comes first.

Each is called with the seconds it may take (None = for ever), in the thread that owns the port.
"""

import selectors
from typing import Protocol

import serial

from gateway.link.wake import Wake
from gateway.model import Clock

SLICE_S = 0.005  # how long a port without a descriptor goes unwatched


class Wait(Protocol):
    """One way to wait."""

    def __call__(self, timeout_s: float | None) -> None:
        """Returns for bytes, a wake (which it clears) or the time. Raises what the port raises."""
        ...

    def close(self) -> None:
        """Lets go of what it holds."""
        ...


class SelectorWait:
    """For ports with a descriptor: one selector over port and wake. POSIX terminals, and sockets everywhere."""

    def __init__(self, descriptor: int, *, wake: Wake) -> None:
        self._wake = wake
        self._selector = selectors.DefaultSelector()
        try:
            self._selector.register(descriptor, selectors.EVENT_READ)
            self._selector.register(wake, selectors.EVENT_READ)
        except Exception:
            self._selector.close()
            raise

    def __call__(self, timeout_s: float | None) -> None:
        if any(key.fileobj is self._wake for key, _ in self._selector.select(timeout_s)):
            self._wake.wait(0)

    def close(self) -> None:
        """Closes the selector, not what it watches."""
        self._selector.close()


class Scheduled(Protocol):
    """A port that computes in its caller's thread and knows when it will next have something to say."""

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read now."""
        ...

    def due_s(self) -> float | None:
        """The clock's moment of its next own action, None for never."""
        ...


class ScheduledWait:
    """For virtual boards: the wake alone, until the board is due."""

    def __init__(self, port: Scheduled, *, wake: Wake, clock: Clock) -> None:
        self._port = port
        self._wake = wake
        self._clock = clock

    def __call__(self, timeout_s: float | None) -> None:
        if self._port.in_waiting:
            return
        due_s = self._port.due_s()
        until_due_s = None if due_s is None else due_s - self._clock.monotonic()
        limits = [limit for limit in (timeout_s, until_due_s) if limit is not None]
        self._wake.wait(min(limits) if limits else None)

    def close(self) -> None:
        """Holds nothing."""


class SlicedWait:
    """For ports without a descriptor (rfc2217, Windows): asks again every 5 ms, at once when woken."""

    def __init__(self, port: serial.SerialBase, *, wake: Wake, clock: Clock) -> None:
        self._port = port
        self._wake = wake
        self._clock = clock

    def __call__(self, timeout_s: float | None) -> None:
        deadline_s = float("inf") if timeout_s is None else self._clock.monotonic() + timeout_s
        left_s = SLICE_S
        while left_s > 0 and not self._port.in_waiting:  # type: ignore[attr-defined]
            left_s = deadline_s - self._clock.monotonic()
            if self._wake.wait(min(SLICE_S, left_s)):
                return

    def close(self) -> None:
        """Holds nothing."""
