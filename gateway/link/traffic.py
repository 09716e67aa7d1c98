"""The newest traces of a board's link, in memory and bounded: written by the board thread, read by any other.

Whoever shows or records a link reads from here, at its own pace: a slow reader misses traces and is told how many, and
never holds up the board thread.
"""

import threading
from collections import deque
from dataclasses import dataclass
from itertools import islice

from gateway.link.tap import Trace

MAX_TRACES = 4096  # 2 minutes at ten polls a second, 2 s of the fastest stream
MAX_BYTES = 256 * 1024  # of data


@dataclass(frozen=True, slots=True)
class Page:
    """Traces in order. `next_after` asks for those that follow; `missed` is how many came before them and are gone,
    None where nobody can tell: `after` was a number that this ring never gave."""

    traces: tuple[Trace, ...]
    next_after: int
    missed: int | None


class Traffic:
    """A ring of traces, numbered from 1."""

    def __init__(self, *, max_traces: int = MAX_TRACES, max_bytes: int = MAX_BYTES) -> None:
        self._max_traces = max_traces
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._traces: deque[Trace] = deque()
        self._bytes = 0
        self._last = 0

    def __call__(self, trace: Trace) -> None:
        """The board thread: takes a trace; this is a `Tap`."""
        with self._changed:
            self._traces.append(trace)
            self._bytes += len(trace.data)
            self._last += 1
            while len(self._traces) > self._max_traces or self._bytes > self._max_bytes:
                self._bytes -= len(self._traces.popleft().data)
            self._changed.notify_all()

    def after(self, number: int, *, limit: int = MAX_TRACES, wait_s: float = 0.0) -> Page:
        """At most `limit` traces after that number, oldest first. Where there are none yet, waits for one."""
        with self._changed:
            if number == self._last and wait_s > 0:
                self._changed.wait_for(lambda: self._last != number, wait_s)
            known = number <= self._last
            gone = self._last - len(self._traces)
            begin = max(number, gone) if known else gone
            traces = tuple(islice(self._traces, begin - gone, begin - gone + limit))
            return Page(traces, begin + len(traces), begin - number if known else None)

    @property
    def last(self) -> int:
        """The number of the newest trace, 0 before the first."""
        return self._last
