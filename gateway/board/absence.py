"""A board's port let go on purpose: for an upload, by the gateway's own flasher or another program.

Views ask and wait for the future; the board thread looks what is asked and says when it is done. Thread-safe; no lock
is held while a future is resolved.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from gateway.errors import BoardOffline
from gateway.model import BoardState, Clock


class Absence:
    """Whether the port of one board is to be let go. `wake` interrupts the board thread."""

    def __init__(self, *, wake: Callable[[], None], clock: Clock) -> None:
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._state: BoardState | None = None
        self._until_s = float("inf")
        self._closing: list[Future[None]] = []
        self._returning: list[Future[None]] = []

    # ---- views ----

    def begin(self, state: BoardState, *, for_s: float | None = None) -> Future[None]:
        """Lets go of the port, `state` says what for; the future resolves once it is closed. After `for_s` seconds, if
        given, the board thread takes it back by itself. Asked again, the later counts."""
        closed: Future[None] = Future()
        with self._lock:
            self._state = state
            self._until_s = float("inf") if for_s is None else self._clock.monotonic() + for_s
            self._closing.append(closed)
        self._wake()
        return closed

    def end(self) -> Future[None]:
        """The board thread may take the port back; the future resolves once it sets out to. Whoever still waits for the
        port to be closed is told that it is not."""
        returned: Future[None] = Future()
        with self._lock:
            away, self._state = self._state is not None, None
            overtaken, self._closing = self._closing, []
            leaves = away and not overtaken
            if leaves:
                self._returning.append(returned)
        for closed in overtaken:
            closed.set_exception(BoardOffline("the port was asked back before it was closed; try again"))
        if not leaves:
            returned.set_result(None)
        self._wake()
        return returned

    # ---- board thread ----

    def state(self, now_s: float) -> BoardState | None:
        """`released` or `flashing`, None where the port is the board thread's own."""
        with self._lock:
            if self._state is not None and now_s >= self._until_s:
                self._state = None
            return self._state

    @property
    def until_s(self) -> float:
        """The monotonic second at which the port is taken back."""
        return self._until_s

    def port_closed(self) -> None:
        """Nobody of ours has the port open."""
        with self._lock:
            asked, self._closing = self._closing, []
        _resolve(asked)

    def port_taken(self) -> None:
        """The port is the board thread's own again."""
        with self._lock:
            asked, self._returning = self._returning, []
        _resolve(asked)


def _resolve(futures: list[Future[None]]) -> None:
    for future in futures:
        future.set_result(None)
