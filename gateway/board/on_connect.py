"""Commands of the configuration's `on_connect`: queued after each (re)connect, before those of clients, so that a board
that was reset gets its settings back. Owned by the board thread.
"""

from collections import deque
from collections.abc import Sequence

from gateway.board.commands import CommandQueue, CommandRequest
from gateway.board.report import Reporter
from gateway.model import Clock

MOST_TIMES, WITHIN_S = 3, 30.0  # a board that resets once a second must not fill the journal's disk


class OnConnect:
    """The list of one board. It waits while outputs are latched: nothing may begin then; and for a board that connects
    again and again it is sent no more than so often."""

    def __init__(
        self, requests: Sequence[CommandRequest], *, queue: CommandQueue, reporter: Reporter, clock: Clock
    ) -> None:
        self._requests = requests
        self._queue = queue
        self._reporter = reporter
        self._clock = clock
        self._due = False
        self._entered_s: deque[float] = deque(maxlen=MOST_TIMES)

    @property
    def due_s(self) -> float | None:
        """The monotonic second from which `enter` has something to do, None for never."""
        if not self._due:
            return None
        return self._entered_s[0] + WITHIN_S if len(self._entered_s) == MOST_TIMES else float("-inf")

    def connected(self) -> None:
        """The board came online."""
        self._due = bool(self._requests)

    def enter(self) -> None:
        """Commands may begin: queues the list, once for each time the board came online. What does not fit the board's
        schema is told, and recorded as failed."""
        now_s, due_s, schema = self._clock.monotonic(), self.due_s, self._reporter.status.schema
        if due_s is None or now_s < due_s or schema is None:
            return
        self._due = False
        self._entered_s.append(now_s)
        for error in self._queue.put_first(self._requests, schema):
            self._reporter.on_connect_failed(str(error))
