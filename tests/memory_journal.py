"""The journal without a disk, for worlds and desks: what it is asked to keep is kept at once, in the caller's thread.

`tests/store/test_journal_contract.py` holds it and the real journal to the same rules, so that they can't drift.
"""

import re
import secrets
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TypeVar

from gateway.errors import JournalError, KeyTaken
from gateway.model import Clock, Command, CommandState, FailsafeCause, IdempotencyKey
from gateway.store.feed import ChangeFeed

KEY_LIFE_S = 24 * 3600.0

T = TypeVar("T")


@dataclass
class BoardRow:
    """What is kept of a board beside its commands."""

    epoch: int
    last_wire_id: int = 0
    latch: FailsafeCause | None = None


class MemoryJournal:
    """Rows by command id. Boards that were not named get their epoch when they are first asked about."""

    def __init__(
        self,
        boards: Collection[str] = (),
        *,
        clock: Clock = time,
        random_bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        self.feed = ChangeFeed()
        self._clock = clock
        self._random_bits = random_bits
        self._lock = threading.RLock()
        self._rows: dict[str, Command] = {}
        self._keys: dict[tuple[str, str], tuple[float, str, str]] = {}
        self._boards: dict[str, BoardRow] = {}
        for board in boards:
            self._of(board)

    def record(self, command: Command, *, key: IdempotencyKey | None = None) -> Future[None]:
        with self._lock:
            former = self._rows.get(command.id)
            if former is not None and former.state.final:
                if replace(former, deadline_s=command.deadline_s) != command:
                    return failed(JournalError(f"command {command.id} has ended and can't change"))
                return done(None)
            if key is not None and self.keyed(key) is not None:
                return failed(KeyTaken("a command is kept under this Idempotency-Key already"))
            if key is not None:
                self._keys[key.client, key.key] = (self._clock.time(), command.id, key.fingerprint)
            # A row settled after a rotation still carries its id of the epoch before: that one is not given anew.
            if command.wire_id is not None and (former is None or former.wire_id != command.wire_id):
                board = self._of(command.board)
                board.last_wire_id = max(board.last_wire_id, command.wire_id)
            self._rows[command.id] = command
        self.feed.advance()
        return done(None)

    def keyed(self, key: IdempotencyKey) -> tuple[str, str] | None:
        with self._lock:
            since, command_id, fingerprint = self._keys.get((key.client, key.key), (0.0, "", ""))
        young = command_id and self._clock.time() - since < KEY_LIFE_S
        return (command_id, fingerprint) if young else None

    def get(self, command_id: str) -> Command | None:
        return self._rows.get(command_id)

    def page(
        self,
        board: str,
        *,
        before: str | None = None,
        limit: int = 100,
        states: frozenset[CommandState] | None = None,
    ) -> tuple[list[Command], str | None]:
        if before is not None and not re.fullmatch("[0-9A-Za-z_-]{1,32}", before):
            raise ValueError("not a cursor of this list")
        if limit < 1:
            raise ValueError(f"a page has at least 1 row, not {limit}")
        with self._lock:
            rows = sorted(
                (row for row in self._rows.values() if row.board == board), key=lambda row: row.id, reverse=True
            )
        rows = [row for row in rows if (before is None or row.id < before) and (states is None or row.state in states)]
        return rows[:limit], rows[limit - 1].id if len(rows) > limit else None

    def epoch(self, board: str) -> int:
        return self._of(board).epoch

    def rotate_epoch(self, board: str) -> Future[int]:
        with self._lock:
            row = self._of(board)
            row.epoch, row.last_wire_id = self._new_epoch(), 0
        self.feed.advance()
        return done(row.epoch)

    def last_wire_id(self, board: str) -> int:
        return self._of(board).last_wire_id

    def open_commands(self, board: str) -> list[Command]:
        return [row for row in self._open() if row.board == board]

    def open_elsewhere(self, boards: Collection[str]) -> list[Command]:
        return [row for row in self._open() if row.board not in boards]

    def latch(self, board: str) -> FailsafeCause | None:
        return self._of(board).latch

    def keep_latch(self, board: str, cause: FailsafeCause | None) -> Future[None]:
        self._of(board).latch = cause
        return done(None)

    def _open(self) -> list[Command]:
        with self._lock:
            return sorted((row for row in self._rows.values() if not row.state.final), key=lambda row: row.id)

    def _of(self, board: str) -> BoardRow:
        with self._lock:
            if board not in self._boards:
                self._boards[board] = BoardRow(self._new_epoch())
            return self._boards[board]

    def _new_epoch(self) -> int:
        taken = {0, *(row.epoch for row in self._boards.values())}
        while (epoch := self._random_bits(32)) in taken:
            pass
        return epoch


def done(value: T) -> Future[T]:
    """A future that has come already."""
    future: Future[T] = Future()
    future.set_result(value)
    return future


def failed(error: Exception) -> Future[None]:
    """A future that fails with this."""
    future: Future[None] = Future()
    future.set_exception(error)
    return future
