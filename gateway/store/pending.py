"""What waits for the journal's disk, in the order in which it was asked for.

Any thread adds, and never waits; the journal's thread takes what has gathered, settles it or puts it back, and waits
here. Knows nothing of tables and files.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import JournalError
from gateway.model import Clock, Command, FailsafeCause, IdempotencyKey

GROUP = 500  # at most so many changes in one transaction, so that the first of them doesn't wait for too many others


@dataclass(frozen=True, slots=True)
class KeepCommand:
    """A row, and the key it came with."""

    command: Command
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class RotateEpoch:
    """A new epoch for a board."""

    board: str


@dataclass(frozen=True, slots=True)
class KeepLatch:
    """Why a board's outputs stay latched."""

    board: str
    cause: FailsafeCause | None


Change = KeepCommand | RotateEpoch | KeepLatch


@dataclass(slots=True, eq=False)
class Entry:
    """One change that was asked for. A `patient` one is tried again until it is written."""

    change: Change
    patient: bool
    since_s: float
    future: Future[Any] = field(default_factory=Future)

    def begin(self) -> bool:
        """False where its asker has cancelled it, or was told its end. From here on it can't be cancelled any more."""
        if self.future.done() and not self.future.cancelled():
            return False
        return self.future.running() or self.future.set_running_or_notify_cancel()

    def settle(self, outcome: object) -> None:
        """Tells the asker: an exception is raised at its end. One that was told already, at closing, stays so."""
        with suppress(InvalidStateError):
            if isinstance(outcome, Exception):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)


class Pending:
    """The queue in front of the disk."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._entries: list[Entry] = []
        self._taken: list[Entry] = []
        self._closed: str | None = None
        self._nudged = False

    @property
    def closed(self) -> bool:
        """Nothing is added any more."""
        return self._closed is not None

    # ---- any thread ----

    def add(self, change: Change, *, patient: bool, stalled_after_s: float) -> "Future[Any]":
        """Gives the change's future: failed already where the queue is closed, and for one that is not patient while
        the oldest before it has waited longer than `stalled_after_s`."""
        with self._changed:
            entry = Entry(change, patient, self._clock.monotonic())
            refusal = self._closed or (None if patient else self._stalled(stalled_after_s))
            if refusal is None:
                self._entries.append(entry)
                self._changed.notify_all()
        if refusal is not None:
            entry.settle(JournalError(refusal))
        return entry.future

    def latch(self, board: str) -> "Entry | None":
        """The last change of that board's latch that waits, if one does."""
        with self._changed:
            changes = (*self._taken, *self._entries)
        return next((each for each in reversed(changes) if _is_latch_of(each.change, board)), None)

    def nudge(self) -> None:
        """Ends the `wait` that is under way, or else the next one."""
        with self._changed:
            self._nudged = True
            self._changed.notify_all()

    def close(self, why: str) -> None:
        """From now on `add` refuses everything with this sentence."""
        with self._changed:
            self._closed = self._closed or why
            self._changed.notify_all()

    def fail_all(self, error: JournalError) -> None:
        """Nobody will write what is left."""
        with self._changed:
            left = [*self._taken, *self._entries]
            self._entries.clear()
        for entry in left:
            entry.settle(error)

    # ---- who writes ----

    def take(self) -> list[Entry]:
        """The oldest, at most `GROUP`, without those that were cancelled; they count as waiting until `give_back`."""
        with self._changed:
            self._taken, self._entries = self._entries[:GROUP], self._entries[GROUP:]
            taken = self._taken
        return [entry for entry in taken if entry.begin()]

    def give_back(self, unwritten: Sequence[Entry] = ()) -> None:
        """What was taken is settled, except for these: they come first again."""
        with self._changed:
            self._entries[:0] = unwritten
            self._taken = []

    def wait(self, timeout_s: float) -> None:
        """Until there is something to take, a nudge, the queue is closed, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._entries) or self.closed or self._nudged, timeout_s)
            self._nudged = False

    def rest(self, timeout_s: float) -> None:
        """Until the time is over or the queue is closed, whatever comes meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed, timeout_s)

    def __bool__(self) -> bool:
        """There is something to take."""
        return bool(self._entries)

    # ---- with the lock held ----

    def _stalled(self, after_s: float) -> str | None:
        oldest = next(iter((*self._taken, *self._entries)), None)
        waited_s = 0.0 if oldest is None else self._clock.monotonic() - oldest.since_s
        return (
            None if waited_s <= after_s else f"the journal's disk has not answered for {waited_s:.0f} s; look after it"
        )


def _is_latch_of(change: Change, board: str) -> bool:
    return isinstance(change, KeepLatch) and change.board == board
