"""The journal: commands, epochs, latches and idempotency keys, kept on a disk by one thread.

Any thread may call it and none waits for the disk: what is to be kept is put into a queue, and the thread `journal`
writes all that has gathered in one transaction. Nothing can be seen before it is committed. Fulfils the queue's
`Journal`.
"""

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import replace

from sqlalchemy import Connection

from gateway.errors import JournalError
from gateway.heartbeat import Heartbeat
from gateway.model import Clock, Command, CommandError, CommandState, FailsafeCause, IdempotencyKey
from gateway.store import tables
from gateway.store.committed import FINAL_ROWS, Committed, free_epoch
from gateway.store.database import Database, JournalRefused
from gateway.store.draft import KEY_LIFE_S, Draft
from gateway.store.feed import ChangeFeed
from gateway.store.pending import Entry, KeepCommand, KeepLatch, Pending, RotateEpoch
from gateway.store.tables import BoardRow

KEEP_S = 7 * 24 * 3600.0
RETRY_S = 1.0  # between two attempts at what has to be written
STALLED_S = 5.0  # a disk that has not answered for so long takes nothing new that can be refused
CLOSE_S = 0.3  # for what is still to be written at the end
FIRST_PRUNE_S = 60.0  # after the start, when the boards have settled
PRUNE_S = 3600.0
PRUNED_AT_ONCE = 500  # rows in one transaction, so that commands wait for no more
LOADED_ROWS = 100  # ended commands of each board in memory at the start: what is most likely asked for
CLOSED = "the gateway is stopping"

_CURSOR = re.compile(r"[0-9A-Za-z_-]{1,32}")  # the form of a command's id
_BEYOND_ALL_IDS = "~"
_NO_BOARD = BoardRow(epoch=0)
_FINAL = frozenset(state for state in CommandState if state.final)

logger = logging.getLogger(__name__)


class Journal:
    """`feed` advances with everything that can newly be read."""

    def __init__(
        self,
        database: Database,
        *,
        boards: Collection[str],
        clock: Clock = time,
        keep_s: float = KEEP_S,
        final_rows: int = FINAL_ROWS,
        random_bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        """Opens the file and gives those of the `boards` that are new in it an epoch; one that can't be opened now is
        tried again while the thread runs, and nothing is kept meanwhile. Raises JournalRefused for a file that must not
        be used."""
        self.feed = ChangeFeed()
        self._database = database
        self._names = frozenset(boards)
        self._clock = clock
        self._keep_s = keep_s
        self._final_rows = final_rows
        self._random_bits = random_bits
        self._pending = Pending(clock)
        self._lock = threading.Lock()
        self._committed = self._nothing_known()
        self._ready = False
        self._unread = False
        self._fault: str | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self.heartbeat = Heartbeat(self._thread.name, wake=self._pending.nudge)
        try:
            self._begin()
        except JournalRefused:
            database.close()
            raise

    # ---- any thread: what is to be kept ----

    def record(self, command: Command, *, key: IdempotencyKey | None = None) -> "Future[None]":
        """Keeps the command as it stands, in place of any earlier row of its id, with all that was asked for before.

        The future fails with JournalError where that can't be; a row of a command that has ended is tried again until
        it can, or until `close`. It fails, too, where an earlier row has ended otherwise: final rows never change.
        With `key` it fails with KeyTaken, and keeps nothing, where a command came under that key in the last 24 h.
        """
        return self._pending.add(KeepCommand(command, key), patient=command.state.final, stalled_after_s=STALLED_S)

    def rotate_epoch(self, board: str) -> "Future[int]":
        """Gives the board a new epoch, in which wire ids start again at 1. Tried again until it is written, but for a
        journal that could not be read yet."""
        return self._pending.add(RotateEpoch(board), patient=self.epoch(board) != 0, stalled_after_s=STALLED_S)

    def keep_latch(self, board: str, cause: FailsafeCause | None) -> "Future[None]":
        """Keeps why the board's outputs are to stay latched, None where they are not. Tried again until written; what
        stands already, or waits to be written, is not written again: boards say it with every poll."""
        waiting = self._pending.latch(board)
        if waiting is not None and waiting.change == KeepLatch(board, cause):
            return waiting.future
        if waiting is None and self.latch(board) is cause:
            future: Future[None] = Future()
            future.set_result(None)
            return future
        return self._pending.add(KeepLatch(board, cause), patient=True, stalled_after_s=STALLED_S)

    # ---- any thread: what is committed ----

    def get(self, command_id: str) -> Command | None:
        """The command of that id as it stands. JournalError where only a disk that can't be read knows."""
        with self._lock:
            command = self._committed.get(command_id)
        if command is None:
            with self._database.reading() as connection:
                command = tables.commands(connection, [command_id], clock=self._clock).get(command_id)
        return command

    def page(
        self,
        board: str,
        *,
        before: str | None = None,
        limit: int = 100,
        states: frozenset[CommandState] | None = None,
    ) -> tuple[list[Command], str | None]:
        """At most `limit` commands of a board in these states (None: any), newest first, and the cursor to give as
        `before` for those older, None when there are none. Commands that come meanwhile disturb no later page. Raises
        ValueError for a cursor that this method can't have given, and for a limit below 1; JournalError as `get`."""
        if before is not None and not _CURSOR.fullmatch(before):
            raise ValueError("not a cursor of this list")
        if limit < 1:
            raise ValueError(f"a page has at least 1 row, not {limit}")
        wanted = frozenset(CommandState) if states is None else states
        with self._lock:
            rows = self._committed.newest(
                board, before=before, limit=limit + 1, wanted=lambda command: command.state in wanted
            )
        if rows is None:
            with self._database.reading() as connection:
                rows = tables.newest_commands(
                    connection, board, before=before, limit=limit + 1, states=wanted, clock=self._clock
                )
        return rows[:limit], rows[limit - 1].id if len(rows) > limit else None

    def keyed(self, key: IdempotencyKey) -> tuple[str, str] | None:
        """The id of the command that came under this client's key in the last 24 h, and the fingerprint it came with.
        JournalError as `get`."""
        with self._database.reading() as connection:
            row = tables.key_row(connection, key, since=self._clock.time() - KEY_LIFE_S)
        return None if row is None else (row.command_id, row.key.fingerprint)

    def epoch(self, board: str) -> int:
        """The identity of this journal toward one board: 32 random bits, never those of another board; 0 for none, as
        long as the file can't be read."""
        return self._board(board).epoch

    def last_wire_id(self, board: str) -> int:
        """The highest wire id that a command was given in this epoch, 0 at first."""
        return self._board(board).last_wire_id

    def latch(self, board: str) -> FailsafeCause | None:
        """Why the board's outputs are to stay latched."""
        return self._board(board).latch

    def newest_id(self) -> str | None:
        """The highest id that a command has, None where there is none, or the file can't be read."""
        try:
            pages = [self.page(board, limit=1)[0] for board in self._names]
        except JournalError:
            return None
        return max((command.id for page in pages for command in page), default=None)

    def open_commands(self, board: str) -> list[Command]:
        """The board's commands that have not ended, oldest first: what a restart has to go on with."""
        with self._lock:
            return [command for command in self._committed.open_commands() if command.board == board]

    def open_elsewhere(self, boards: Collection[str]) -> list[Command]:
        """The commands that have not ended, of all other boards: nobody will go on with them."""
        with self._lock:
            return [command for command in self._committed.open_commands() if command.board not in boards]

    @property
    def fault(self) -> str | None:
        """Why nothing can be kept now, None while all is well."""
        return self._fault

    # ---- main thread ----

    def start(self) -> None:
        """From now on the thread writes what is to be kept."""
        self._thread.start()

    def close(self, *, timeout_s: float = CLOSE_S) -> None:
        """Writes what is left, as far as that takes no longer than this, and lets go of the file. What is not written
        then fails with JournalError, as does all that comes later."""
        self._pending.close(CLOSED)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        else:
            self._finish()
        self._pending.fail_all(JournalError(f"{CLOSED}, and this could not be written before"))

    # ---- the thread `journal`, or whoever stands in for it ----

    def commit_pending(self) -> bool:
        """One round: writes what has gathered, and tells those who asked. False where some of it has to be tried again,
        or the file still has to be opened."""
        self.heartbeat.beat()
        entries = self._pending.take()
        unwritten = self._write(entries)
        self._pending.give_back(unwritten)
        return self._ready and not unwritten

    def prune(self, now: float) -> None:
        """Forgets commands that ended longer ago than is kept, and idempotency keys of more than 24 h, seen from that
        Unix second. What gathers meanwhile is written in between."""
        try:
            while self._prune_some(now) and not self._pending.closed:
                self.commit_pending()
            while self._database.vacuum() and not self._pending.closed:
                self.commit_pending()
        except JournalError as error:
            self._failed(error)
        except Exception:  # a defect of ours must not leave the journal without its thread
            logger.exception("journal: can't forget what is old")

    def _run(self) -> None:
        prune_at_s = self._clock.monotonic() + FIRST_PRUNE_S
        while not self._pending.closed:
            if not self.commit_pending():
                self._pending.rest(RETRY_S)
            elif self._clock.monotonic() >= prune_at_s:
                self.prune(self._clock.time())
                prune_at_s = self._clock.monotonic() + PRUNE_S
            else:
                self._pending.wait(max(0.0, prune_at_s - self._clock.monotonic()))
        self._finish()

    def _finish(self) -> None:
        while self._pending and self.commit_pending():
            pass
        self._database.close()

    # ---- writing ----

    def _write(self, entries: list[Entry]) -> list[Entry]:
        """Gives those that have to be tried again. A group that can't be written is written one by one, so that one bad
        change harms no other; but none before an earlier one that has to be tried again. A group of one is tried twice,
        too: after a disk error the file is opened anew, and tells whether it was written after all."""
        error = self._attempt(entries)
        if error is None:
            return []
        if not self._ready:
            return _put_off(entries, error)
        for index, entry in enumerate(entries):
            error = self._attempt([entry])
            if error is not None and entry.patient:
                return _put_off(entries[index:], error)
            if error is not None:
                entry.settle(error)
        return []

    def _attempt(self, entries: list[Entry]) -> JournalError | None:
        """Why they could not be written, None where they were. One that never can be, and is alone, is told so."""
        try:
            self._open()
            if entries:
                self._commit(entries)
        except JournalError as error:
            self._failed(error)
            return error
        except Exception as error:  # a defect of ours, or a value that no row can hold
            refusal = JournalError(f"the journal can't keep this: {error}")
            if len(entries) == 1:
                logger.exception("journal: can't keep %s", entries[0].change)
                entries[0].settle(refusal)
                return None
            return refusal
        return None

    def _commit(self, entries: list[Entry]) -> None:
        with self._database.transaction() as connection:
            draft = Draft(
                connection,
                [entry.change for entry in entries],
                committed=self._committed,
                clock=self._clock,
                random_bits=self._random_bits,
            )
            written = draft.write()
        self._recovered()
        with self._lock:
            self._committed.keep(draft.rows.values())
            self._committed.boards.update(draft.boards)
        for entry, outcome in zip(entries, draft.outcomes, strict=True):
            entry.settle(outcome)
        if written:
            self.feed.advance()

    def _prune_some(self, now: float) -> bool:
        """True where there may be more."""
        with self._database.transaction() as connection:
            ids = tables.forget_ended(connection, before=now - self._keep_s, limit=PRUNED_AT_ONCE)
            keys = tables.forget_keys(connection, before=now - KEY_LIFE_S, limit=PRUNED_AT_ONCE)
        with self._lock:
            self._committed.forget(ids)
        return PRUNED_AT_ONCE in (len(ids), keys)

    # ---- opening ----

    def _begin(self) -> None:
        """Opens the file, to be read at least. Raises JournalRefused."""
        try:
            self._open()
        except JournalRefused:
            raise
        except JournalError as error:
            self._failed(error)
            self._open_to_read()

    def _open(self) -> None:
        """Makes the journal ready, unless it is: opens the file, reads what is wanted at once, gives new boards an
        epoch. Where nobody could read at the start what had not ended, nobody goes on with it: it ends here."""
        if self._ready:
            return
        with self._database.transaction() as connection:
            committed = self._loaded(connection)
            left = [_left_behind(row, self._clock) for row in committed.open_commands()] if self._unread else []
            tables.keep_commands(connection, left)
            new: dict[str, BoardRow] = {}
            for board in sorted(self._names - committed.boards.keys()):
                new[board] = BoardRow(free_epoch({**committed.boards, **new}, self._random_bits))
            tables.keep_boards(connection, new)
        committed.boards.update(new)
        committed.keep(left)
        with self._lock:
            self._committed = committed
        self._ready = True
        self.feed.advance()
        self._recovered()

    def _open_to_read(self) -> None:
        """What a disk that can't be written still tells."""
        try:
            with self._database.reading() as connection:
                self._committed = self._loaded(connection)
        except JournalRefused:
            raise
        except JournalError as error:
            self._unread = True
            self._failed(error)

    def _loaded(self, connection: Connection) -> Committed:
        committed = Committed(final_rows=self._final_rows)
        try:
            committed.boards.update(tables.boards(connection))
            committed.keep(tables.open_commands(connection, clock=self._clock))
            for board in committed.boards:
                ended = tables.newest_commands(
                    connection, board, before=None, limit=LOADED_ROWS + 1, states=_FINAL, clock=self._clock
                )
                if len(ended) > LOADED_ROWS:
                    committed.incomplete(board, up_to=ended.pop().id)
                committed.keep(reversed(ended))
        except ValueError as error:
            raise JournalRefused(
                f"the journal {self._database.path} holds what no gateway of this version wrote ({error}); move the "
                "file away, or name another by journal.path"
            ) from error
        return committed

    def _nothing_known(self) -> Committed:
        """Before the file was read, only the file can tell."""
        committed = Committed(final_rows=self._final_rows)
        for board in self._names:
            committed.incomplete(board, up_to=_BEYOND_ALL_IDS)
        return committed

    # ---- log ----

    def _failed(self, error: JournalError) -> None:
        logger.log(logging.DEBUG if self._fault else logging.WARNING, "%s; commands are refused meanwhile", error)
        self._fault = str(error)

    def _recovered(self) -> None:
        if self._fault:
            logger.info("the journal %s is written again", self._database.path)
        self._fault = None

    def _board(self, board: str) -> BoardRow:
        with self._lock:
            return self._committed.boards.get(board, _NO_BOARD)


def _left_behind(command: Command, clock: Clock) -> Command:
    """The end of a command that a life of the gateway left, and the next one could not read."""
    why = "the journal could not be read when the gateway was started"
    if command.state is CommandState.SENT:
        error = CommandError("unknown", f"{why}: nobody asked the board if it ran")
        return replace(command, state=CommandState.UNKNOWN, error=error, finished_at=clock.time())
    error = CommandError("cancelled", f"{why}: it was not sent")
    return replace(command, state=CommandState.CANCELLED, error=error, finished_at=clock.time())


def _put_off(entries: list[Entry], error: JournalError) -> list[Entry]:
    """Those that are tried again; all others had their one attempt."""
    for entry in entries:
        if not entry.patient:
            entry.settle(error)
    return [entry for entry in entries if entry.patient]
