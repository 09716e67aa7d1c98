"""The one command under way: committed as `sent`, sent, repeated, and settled from the board's record.

Owned by the board thread; it outlives links, since a command may be under way when the line is lost. The order is what
keeps the promise: the journal's row is durable before the first byte leaves, and a row is settled from what the board
recorded, never guessed.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from gateway.board.commands import CommandQueue, Journal, finished
from gateway.board.procedure import Procedure, Request, done, error_name
from gateway.board.schema import unpack_result
from gateway.board.settlement import Circumstances, Verdict, settle
from gateway.errors import JournalError
from gateway.model import Clock, Command, CommandError, CommandState
from gateway.protocol.events import Answered, Refused, TimedOut
from gateway.protocol.messages import CommandReply, ErrorCode, HelloReply, Outcome, RunCommand

LAST_WIRE_ID = 0xFFFFFFFE  # the epoch is rotated before the ids end

ENDINGS: dict[Verdict, tuple[CommandState, CommandError]] = {
    Verdict.UNKNOWN: (
        CommandState.UNKNOWN,
        CommandError(
            "unknown", "the board was reset or lost while the command was under way: nobody can tell if it ran"
        ),
    ),
    Verdict.UNKNOWN_ROTATE: (
        CommandState.UNKNOWN,
        CommandError("unknown", "the board ran later commands than the journal knows: nobody can tell if it ran"),
    ),
    Verdict.EXPIRED: (CommandState.EXPIRED, CommandError("expired", "never ran, and its deadline or hold is over")),
    Verdict.CANCELLED: (CommandState.CANCELLED, CommandError("safe", "never ran, and SAFE was asked for since")),
    Verdict.NOT_EXECUTED: (
        CommandState.FAILED,
        CommandError("not_executed", "never ran, and the board's sketch offers something else now"),
    ),
}
"""How a verdict that needs no further exchange ends the command."""


class CommandLane:
    """At most one command of a board is under way at any time."""

    def __init__(
        self, board: str, *, queue: CommandQueue, journal: Journal, clock: Clock, wake: Callable[[], None]
    ) -> None:
        self._board = board
        self._queue = queue
        self._journal = journal
        self._clock = clock
        self._wake = wake
        self._row: Command | None = None
        self._commit: Future[None] = Future()
        self._safe_came = False
        self.needs_hello = False
        """True when only the board's record can tell what became of the command: ask by HELLO."""

    @property
    def occupied(self) -> bool:
        """True while a command is under way."""
        return self._row is not None

    def safe_came(self) -> None:
        """The board is latched by SAFE: a command that has not begun will not."""
        self._safe_came = True

    def ready(self, now_s: float) -> bool:
        """Takes the next command if none is under way; True once its row is committed and it may be sent."""
        if self._row is None:
            self._take_next(now_s)
        row = self._row
        if row is None or not self._commit.done():
            return False
        if self._commit.exception() is not None:
            self._end(row, CommandState.FAILED, CommandError("journal", f"not sent: {self._commit.exception()}"))
            return False
        if row.deadline_s <= now_s:
            self._end(row, *ENDINGS[Verdict.EXPIRED])
            return False
        return True

    def run(self) -> Procedure[None]:
        """Sends the command that is ready, or repeats it after SAFE; it may leave `needs_hello`."""
        row = self._row
        assert row is not None, "run() follows ready()"
        yield from self._exchange(row, not_after_s=float("inf") if self._safe_came else row.deadline_s)

    def settle(self, hello: HelloReply, schema_hash: int) -> Procedure[None]:
        """After a HELLO: brings a command under way to its end, or runs it if it provably never ran."""
        self.needs_hello = False
        row = self._row
        if row is None:
            return
        try:
            yield from done(self._commit)
        except JournalError as error:
            self._end(row, CommandState.FAILED, CommandError("journal", f"not sent: {error}"))
            return
        since = Circumstances(
            self._journal.epoch(self._board), schema_hash, self._safe_came, now_s=self._clock.monotonic()
        )
        verdict = settle(row, hello, since)
        if verdict is Verdict.FETCH:
            yield from self._exchange(row, not_after_s=float("inf"))
        elif verdict is Verdict.RESEND:
            yield from self._exchange(row, not_after_s=row.deadline_s)
        else:
            yield from done(self._end(row, *ENDINGS[verdict]))
        if verdict is Verdict.UNKNOWN_ROTATE:
            yield from done(self._journal.rotate_epoch(self._board))

    def _take_next(self, now_s: float) -> None:
        wire_id = self._journal.last_wire_id(self._board) + 1
        if wire_id > LAST_WIRE_ID:
            self._journal.rotate_epoch(self._board)
            self.needs_hello = True
            return
        self._queue.expire(now_s)
        command = self._queue.take()
        if command is None:
            return
        self._safe_came = False
        self._row = replace(command, state=CommandState.SENT, wire_id=wire_id, sent_at=self._clock.time())
        self._commit = self._journal.record(self._row)
        self._commit.add_done_callback(lambda _commit: self._wake())

    def _exchange(self, row: Command, *, not_after_s: float) -> Procedure[None]:
        assert row.wire_id is not None
        message = RunCommand(row.wire_id, row.target, row.hold_ms, row.payload)
        exchange = yield Request(message, not_after_s=not_after_s)
        match exchange:
            case Answered(reply=CommandReply() as reply):
                self._answered(row, reply)
            case Refused(error=error):
                self._refused(row, error.code)
            case TimedOut():
                self.needs_hello = True

    def _answered(self, row: Command, reply: CommandReply) -> None:
        if reply.id != row.wire_id:
            self.needs_hello = True
        elif reply.outcome == Outcome.INTERRUPTED:
            self._end(row, *ENDINGS[Verdict.UNKNOWN])
        elif reply.code:
            self._refused(row, reply.code)
        else:
            result = unpack_result(row.returns, reply.result)
            self._end(replace(row, result=result), CommandState.DONE, None)

    def _refused(self, row: Command, code: int) -> None:
        """An ERROR reply, or the code that the board recorded for this id: either way the handler did not agree."""
        if code in (ErrorCode.EPOCH, ErrorCode.STALE_ID):
            self.needs_hello = True
        elif code == ErrorCode.FAILSAFE and self._safe_came:
            self._end(row, *ENDINGS[Verdict.CANCELLED])
        elif code == ErrorCode.FAILSAFE:
            detail = "the board's outputs were latched at their safe values; send it again"
            self._end(row, CommandState.FAILED, CommandError("failsafe", detail))
        else:
            detail = f"the board refused it: {error_name(code).replace('_', ' ')}"
            self._end(row, CommandState.FAILED, CommandError(error_name(code), detail))

    def _end(self, row: Command, state: CommandState, error: CommandError | None) -> Future[None]:
        self._row = None
        return self._journal.record(finished(row, state, clock=self._clock, error=error, result=row.result))
