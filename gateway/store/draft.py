"""What one transaction of the journal is to write, each change held against all that came before it.

Belongs to the journal's thread. Nothing is told to anyone from here: that comes after the commit.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from sqlalchemy import Connection

from gateway.errors import JournalError, KeyTaken
from gateway.model import Clock, Command, IdempotencyKey
from gateway.store import tables
from gateway.store.committed import Committed, free_epoch
from gateway.store.pending import Change, KeepCommand, KeepLatch, RotateEpoch
from gateway.store.tables import BoardRow, KeyRow

KEY_LIFE_S = 24 * 3600.0


class Draft:
    """Rows, keys and boards in their latest form; written at once by `write`."""

    def __init__(
        self,
        connection: Connection,
        changes: Iterable[Change],
        *,
        committed: Committed,
        clock: Clock,
        random_bits: Callable[[int], int],
    ) -> None:
        """`outcomes` are what the askers will be told: values, or exceptions for what was refused."""
        self.rows: dict[str, Command] = {}
        self.boards: dict[str, BoardRow] = {}
        self._keys: dict[tuple[str, str], KeyRow] = {}
        self._connection = connection
        self._committed = committed
        self._clock = clock
        self._random_bits = random_bits
        asked = list(changes)
        self._formers = self._former_rows(asked)
        self.outcomes = [self._add(change) for change in asked]

    def write(self) -> bool:
        """False where there was nothing to write."""
        tables.keep_commands(self._connection, self.rows.values())
        tables.keep_keys(self._connection, self._keys.values())
        tables.keep_boards(self._connection, self.boards)
        return bool(self.rows or self.boards)

    def _former_rows(self, changes: Iterable[Change]) -> dict[str, Command]:
        """Rows that are on the disk, but not in memory any more."""
        ids = {change.command.id for change in changes if isinstance(change, KeepCommand)}
        unknown = {command_id for command_id in ids if self._committed.get(command_id) is None}
        return tables.commands(self._connection, unknown, clock=self._clock)

    def _add(self, change: Change) -> object:
        match change:
            case KeepCommand(command, key):
                return self._keep(command, key)
            case RotateEpoch(board):
                known = {**self._committed.boards, **self.boards}
                epoch = free_epoch(known, self._random_bits)
                self.boards[board] = replace(self._board(board), epoch=epoch, last_wire_id=0)
                return epoch
            case KeepLatch(board, cause):
                self.boards[board] = replace(self._board(board), latch=cause)
                return None

    def _keep(self, command: Command, key: IdempotencyKey | None) -> Exception | None:
        former = self._former(command.id)
        if former is not None and former.state.final:
            # The deadline of a row from the disk was worked out anew.
            same = replace(former, deadline_s=command.deadline_s) == command
            return None if same else JournalError(f"command {command.id} has ended and can't change")
        if key is not None:
            if self._taken(key, command.id):
                return KeyTaken("a command is kept under this idempotency key already")
            self._keys[key.client, key.key] = KeyRow(key, command.id, self._clock.time())
        # A row settled after a rotation still carries its id of the epoch before: that one is not given anew.
        if command.wire_id is not None and (former is None or former.wire_id != command.wire_id):
            board = self._board(command.board)
            self.boards[command.board] = replace(board, last_wire_id=max(board.last_wire_id, command.wire_id))
        self.rows[command.id] = command
        return None

    def _former(self, command_id: str) -> Command | None:
        return self.rows.get(command_id) or self._committed.get(command_id) or self._formers.get(command_id)

    def _taken(self, key: IdempotencyKey, command_id: str) -> bool:
        """By another command: a commit that the disk called failed may have been kept all the same."""
        known = self._keys.get((key.client, key.key))
        known = known or tables.key_row(self._connection, key, since=self._clock.time() - KEY_LIFE_S)
        return known is not None and known.command_id != command_id

    def _board(self, name: str) -> BoardRow:
        known = self.boards.get(name) or self._committed.boards.get(name)
        if known is None:
            known = BoardRow(free_epoch({**self._committed.boards, **self.boards}, self._random_bits))
        return known
