"""What a port tells of everything that passes it: each opening, rate, run of bytes and closing, with its time.

Called in the thread that owns the port, which must not be held up: whoever listens takes the trace and returns.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass


class TraceKind(enum.StrEnum):
    """What happened on a link."""

    OPENED = "opened"
    """`data` is the port's URL."""
    BAUD = "baud"
    """`data` is the rate in decimal digits; each OPENED is followed by one."""
    SENT = "sent"
    """`data` was given to the port."""
    RECEIVED = "received"
    """`data` was read from the port."""
    CLOSED = "closed"
    """`data` says why, empty where the gateway wanted it so."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One thing that happened: `monotonic_s` for intervals, `time_s` (Unix) for people."""

    kind: TraceKind
    monotonic_s: float
    time_s: float
    data: bytes = b""

    @property
    def text(self) -> str:
        """The data of what carries no bytes of the line."""
        return self.data.decode(errors="replace")


Tap = Callable[[Trace], None]
"""Takes each trace at once, in the thread that owns the port. Must not raise."""
