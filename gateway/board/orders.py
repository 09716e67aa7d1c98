"""SAFE and CLEAR: what a person asked of a whole board, past every queue.

A SAFE is a standing order: it is carried out before anything else, through resets and lost links, until the board has
confirmed it, and it stands until a later CLEAR is confirmed. Views give orders and wait for the future; the board
thread asks what is due and says what was confirmed. Thread-safe; no lock is held while a future is resolved.
"""

import threading
from concurrent.futures import Future

from gateway.errors import BoardOffline, RequestError, WrongState


class Orders:
    """The orders of one board; `safe_stands` is what the journal knows of its last life."""

    def __init__(self, board: str, *, safe_stands: bool = False) -> None:
        self._board = board
        self._lock = threading.Lock()
        self._safe: list[Future[None]] = []
        self._clear: list[Future[None]] = []
        self._safe_due = False
        self._safe_stands = safe_stands
        self._safes = 0
        self._offline: str | None = None

    # ---- views ----

    def safe(self) -> Future[None]:
        """All outputs to their safe values. Where the board is offline the future has failed at once, and the order
        stands all the same. A CLEAR that is still on its way fails: it was asked for before."""
        order: Future[None] = Future()
        with self._lock:
            self._safe_due = self._safe_stands = True
            self._safes += 1
            overtaken, self._clear = self._clear, []
            offline = self._offline
            if offline is None:
                self._safe.append(order)
        _fail(overtaken, WrongState(f"SAFE was asked for since, on board {self._board}"))
        if offline is not None:
            _fail([order], BoardOffline(f"{offline}. SAFE comes first as soon as it is back, and stays until cleared"))
        return order

    def clear(self) -> Future[None]:
        """Leave the failsafe. Where the board is offline the future has failed at once."""
        order: Future[None] = Future()
        with self._lock:
            offline = self._offline
            if offline is None:
                self._clear.append(order)
        if offline is not None:
            _fail([order], BoardOffline(offline))
        return order

    def withdraw_clear(self, order: Future[None]) -> None:
        """Whoever asked for this CLEAR is told that it failed: it may not be carried out some time later."""
        with self._lock:
            if order in self._clear:
                self._clear.remove(order)

    @property
    def safes(self) -> int:
        """How often SAFE was asked for: one that came and was cleared meanwhile is seen by this alone."""
        return self._safes

    # ---- board thread ----

    @property
    def safe_due(self) -> bool:
        """SAFE was asked for and the board has not confirmed it."""
        return self._safe_due

    @property
    def safe_stands(self) -> bool:
        """SAFE was asked for, and no CLEAR was confirmed since."""
        return self._safe_stands

    @property
    def clear_due(self) -> bool:
        """CLEAR was asked for."""
        return bool(self._clear)

    def safe_found(self) -> None:
        """The board is latched by SAFE, whoever asked for it."""
        with self._lock:
            self._safe_stands = True

    def safe_ended(self, refusal: RequestError | None = None) -> None:
        """The board confirmed SAFE, or refused it: asking again would not help."""
        with self._lock:
            self._safe_due = False
            orders, self._safe = self._safe, []
        _settle(orders, refusal)

    def clear_found(self) -> None:
        """The board confirmed CLEAR. A SAFE asked for meanwhile stands."""
        with self._lock:
            self._safe_stands = self._safe_due

    def clear_ended(self, refusal: RequestError | None = None) -> None:
        """The board confirmed CLEAR, or refused it, and all that follows from that is done. Those who asked after a
        SAFE that came meanwhile wait on: theirs comes after it."""
        with self._lock:
            if self._safe_due:
                return
            orders, self._clear = self._clear, []
        _settle(orders, refusal)

    def went_offline(self, why: str) -> None:
        """Nobody is to wait for this board now."""
        with self._lock:
            self._offline = why
            orders, self._safe, self._clear = self._safe + self._clear, [], []
        _settle(orders, BoardOffline(why))

    def came_back(self) -> None:
        """A session stands: orders can be carried out."""
        with self._lock:
            self._offline = None


def _settle(orders: list[Future[None]], refusal: RequestError | None) -> None:
    if refusal is not None:
        _fail(orders, refusal)
        return
    for order in orders:
        order.set_result(None)


def _fail(orders: list[Future[None]], error: RequestError) -> None:
    for order in orders:
        order.set_exception(type(error)(str(error)))  # each its own: a shared one would gather tracebacks
