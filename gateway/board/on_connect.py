"""Commands of the configuration's `on_connect`: queued after each (re)connect, before those of clients, so that a board
that was reset gets its settings back. Owned by the board thread.
"""

from collections.abc import Sequence

from gateway.board.commands import CommandQueue, CommandRequest
from gateway.board.report import Reporter


class OnConnect:
    """The list of one board. It waits while outputs are latched: nothing may begin then."""

    def __init__(self, requests: Sequence[CommandRequest], *, queue: CommandQueue, reporter: Reporter) -> None:
        self._requests = requests
        self._queue = queue
        self._reporter = reporter
        self._due = False

    def connected(self) -> None:
        """The board came online."""
        self._due = bool(self._requests)

    def enter(self) -> None:
        """Commands may begin: queues the list, once for each time the board came online. What does not fit the board's
        schema is told, and recorded as failed."""
        schema = self._reporter.status.schema
        if not self._due or schema is None:
            return
        self._due = False
        for error in self._queue.put_first(self._requests, schema):
            self._reporter.on_connect_failed(str(error))
