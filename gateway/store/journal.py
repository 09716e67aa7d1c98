"""Commands and epochs in memory: gone with the process, which every new epoch tells the boards.

Any thread may call it; nothing here waits. The interface is asynchronous all the same, so that a journal on a disk can
take this one's place. Fulfils the queue's `Journal`.
"""

import bisect
import re
import secrets
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from gateway.errors import JournalError
from gateway.model import Command
from gateway.store.feed import ChangeFeed

FINAL_ROWS = 10_000  # kept per board; rows that are not final are always kept
EPOCH_BITS = 32
_CURSOR = re.compile(r"[0-9A-Za-z_-]{1,32}")  # the form of a command's id


@dataclass(slots=True)
class _BoardRows:
    """What one board has: ids in creation order, and those of final rows in the order they ended."""

    epoch: int
    ids: list[str] = field(default_factory=list)
    ended: deque[str] = field(default_factory=deque)
    last_wire_id: int = 0


class MemoryJournal:
    """Rows by command id; `feed` advances with every change that can be read."""

    def __init__(self, *, final_rows: int = FINAL_ROWS, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self.feed = ChangeFeed()
        self._final_rows = final_rows
        self._random_bits = random_bits
        self._lock = threading.Lock()
        self._rows: dict[str, Command] = {}
        self._boards: dict[str, _BoardRows] = {}

    def record(self, command: Command) -> Future[None]:
        """Keeps the command as it stands, in place of any earlier row of its id. The future fails with JournalError
        where that row is final and different: final rows never change."""
        kept: Future[None] = Future()
        with self._lock:
            former = self._rows.get(command.id)
            refused = former is not None and former.state.final and former != command
            if not refused:
                self._keep(command, former)
        if refused:
            kept.set_exception(JournalError(f"command {command.id} has ended and can't change"))
            return kept
        self.feed.advance()
        kept.set_result(None)
        return kept

    def get(self, command_id: str) -> Command | None:
        """The command of that id as it stands."""
        return self._rows.get(command_id)

    def page(self, board: str, *, before: str | None = None, limit: int = 100) -> tuple[list[Command], str | None]:
        """At most `limit` commands of a board, newest first, and the cursor to give as `before` for those older, None
        when there are none. Commands that come meanwhile disturb no later page. Raises ValueError for a cursor that
        this method can't have given, and for a limit below 1."""
        if before is not None and not _CURSOR.fullmatch(before):
            raise ValueError("not a cursor of this list")
        if limit < 1:
            raise ValueError(f"a page has at least 1 row, not {limit}")
        with self._lock:
            ids = self._boards[board].ids if board in self._boards else []
            end = len(ids) if before is None else bisect.bisect_left(ids, before)
            start = max(0, end - limit)
            rows = [self._rows[command_id] for command_id in reversed(ids[start:end])]
        return rows, rows[-1].id if start else None

    def epoch(self, board: str) -> int:
        """The identity of this journal toward one board: 32 random bits, never 0, never that of another board."""
        with self._lock:
            return self._of(board).epoch

    def rotate_epoch(self, board: str) -> Future[int]:
        """Gives the board a new epoch, in which wire ids start again at 1."""
        rotated: Future[int] = Future()
        with self._lock:
            rows = self._of(board)
            rows.epoch = self._new_epoch()
            rows.last_wire_id = 0
            epoch = rows.epoch
        self.feed.advance()
        rotated.set_result(epoch)
        return rotated

    def last_wire_id(self, board: str) -> int:
        """The highest wire id given to a command in this epoch, 0 at first."""
        with self._lock:
            return self._of(board).last_wire_id

    # ---- with the lock held ----

    def _keep(self, command: Command, former: Command | None) -> None:
        board = self._of(command.board)
        self._rows[command.id] = command
        if former is None:
            bisect.insort(board.ids, command.id)
        # A row settled after a rotation still carries its id of the epoch before: that one is not given anew.
        if command.wire_id is not None and (former is None or former.wire_id != command.wire_id):
            board.last_wire_id = max(board.last_wire_id, command.wire_id)
        if command.state.final and (former is None or not former.state.final):
            board.ended.append(command.id)
            if len(board.ended) > self._final_rows:
                self._forget(board, board.ended.popleft())

    def _forget(self, board: _BoardRows, command_id: str) -> None:
        del self._rows[command_id]
        del board.ids[bisect.bisect_left(board.ids, command_id)]

    def _of(self, board: str) -> _BoardRows:
        rows = self._boards.get(board)
        if rows is None:
            rows = self._boards[board] = _BoardRows(self._new_epoch())
        return rows

    def _new_epoch(self) -> int:
        taken = {0, *(rows.epoch for rows in self._boards.values())}
        while (epoch := self._random_bits(EPOCH_BITS)) in taken:
            pass
        return epoch
