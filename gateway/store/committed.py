"""What the journal has on its disk, as far as it is wanted at once: boards, open commands, the newest ended ones.

The journal's thread writes here after each commit, under the journal's lock; it alone changes anything. No I/O.
"""

import bisect
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gateway.model import Command
from gateway.store.tables import BoardRow

FINAL_ROWS = 1_000  # ended commands kept per board; those that have not ended are always kept


@dataclass(slots=True)
class _BoardIds:
    """One board's commands: ids in creation order, those of ended ones in the order they ended. Everything newer than
    the id `complete_after` is here."""

    ids: list[str] = field(default_factory=list)
    ended: deque[str] = field(default_factory=deque)
    complete_after: str = ""


class Committed:
    """Rows by id, boards by name."""

    def __init__(self, *, final_rows: int = FINAL_ROWS) -> None:
        self.boards: dict[str, BoardRow] = {}
        self._final_rows = final_rows
        self._rows: dict[str, Command] = {}
        self._ids: dict[str, _BoardIds] = {}

    def get(self, command_id: str) -> Command | None:
        """None for a command that is not here; it may be on the disk."""
        return self._rows.get(command_id)

    def keep(self, commands: Iterable[Command]) -> None:
        """Each in place of any earlier row of its id."""
        for command in commands:
            former = self._rows.get(command.id)
            self._rows[command.id] = command
            board = self._ids.setdefault(command.board, _BoardIds())
            if former is None:
                bisect.insort(board.ids, command.id)
            if command.state.final and (former is None or not former.state.final):
                board.ended.append(command.id)
                if len(board.ended) > self._final_rows:
                    oldest = board.ended.popleft()
                    board.complete_after = max(board.complete_after, oldest)
                    self._drop(board, oldest)

    def incomplete(self, board: str, *, up_to: str) -> None:
        """The disk has commands of that board, up to this id, that are not here."""
        ids = self._ids.setdefault(board, _BoardIds())
        ids.complete_after = max(ids.complete_after, up_to)

    def forget(self, command_ids: Collection[str]) -> None:
        """These ended commands are not on the disk any more."""
        for command_id in command_ids:
            if command := self._rows.get(command_id):
                board = self._ids[command.board]
                board.ended.remove(command_id)
                self._drop(board, command_id)

    def open_commands(self) -> list[Command]:
        """Those that have not ended, of every board, oldest first."""
        return sorted((row for row in self._rows.values() if not row.state.final), key=lambda row: row.id)

    def newest(
        self, board: str, *, before: str | None, limit: int, wanted: Callable[[Command], bool]
    ) -> list[Command] | None:
        """At most `limit` wanted commands of a board, newest first, older than the id `before`; None where only the
        disk can tell."""
        known = self._ids.get(board, _BoardIds())
        found: list[Command] = []
        for command in self._newest_first(known, before):
            if command.id <= known.complete_after:
                return None
            if wanted(command):
                found.append(command)
                if len(found) == limit:
                    return found
        return None if known.complete_after else found

    def _newest_first(self, board: _BoardIds, before: str | None) -> Iterator[Command]:
        end = len(board.ids) if before is None else bisect.bisect_left(board.ids, before)
        return (self._rows[board.ids[index]] for index in range(end - 1, -1, -1))

    def _drop(self, board: _BoardIds, command_id: str) -> None:
        del self._rows[command_id]
        del board.ids[bisect.bisect_left(board.ids, command_id)]


def free_epoch(boards: Mapping[str, BoardRow], random_bits: Callable[[int], int]) -> int:
    """32 random bits that are not 0 and no board's epoch."""
    taken = {0, *(row.epoch for row in boards.values())}
    while (epoch := random_bits(32)) in taken:
        pass
    return epoch
