"""The one command under way: committed as `sent`, sent, repeated, and settled from the board's record.

Owned by the board thread; it outlives links, since a command may be under way when the line is lost. The order is what
keeps the promise: the journal's row is durable before the first byte leaves, and a row is settled from what the board
recorded, never guessed.
"""

from concurrent.futures import Future
from dataclasses import dataclass, replace

from gateway.board.commands import CommandQueue, Journal, finished
from gateway.board.procedure import Procedure, Request, error_name, result_of
from gateway.board.report import Reporter
from gateway.board.schema import unpack_result
from gateway.board.settlement import Circumstances, Verdict, settle
from gateway.errors import JournalError
from gateway.model import Clock, Command, CommandError, CommandState
from gateway.protocol.events import Answered, Refused
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


@dataclass(slots=True)
class UnderWay:
    """A command, the commit of its `sent` row, and what has happened to it since."""

    row: Command
    commit: Future[None]
    begun: bool = False
    """It was sent, so only the board can tell whether it ran."""
    safe_came: bool = False


class CommandLane:
    """At most one command of a board is under way at any time."""

    def __init__(self, board: str, *, queue: CommandQueue, journal: Journal, reporter: Reporter, clock: Clock) -> None:
        self._board = board
        self._queue = queue
        self._journal = journal
        self._reporter = reporter
        self._clock = clock
        self._under_way: UnderWay | None = None
        self._schema_hash = 0
        self.needs_hello = False
        """True when only the board's record can tell what became of the command: ask by HELLO."""

    @property
    def occupied(self) -> bool:
        """True while a command is under way."""
        return self._under_way is not None

    def safe_came(self) -> None:
        """The board is latched by SAFE: a command that has not begun will not."""
        if self._under_way is not None:
            self._under_way.safe_came = True

    def ready(self, now_s: float) -> bool:
        """Takes the next command if none is under way; True once its row is committed and it may be sent."""
        if self._under_way is None:
            self._take_next(now_s)
        under_way = self._under_way
        if under_way is None or not under_way.commit.done():
            return False
        if under_way.begun:
            return True
        ending = self._ending_before_it_began(under_way, now_s)
        if ending is not None:
            self._end(under_way.row, *ending)
        return ending is None

    def run(self) -> Procedure[None]:
        """Sends the command that is ready, or repeats it after SAFE; it may leave `needs_hello`."""
        assert self._under_way is not None, "run() follows ready()"
        yield from self._exchange(self._under_way, settling=self._under_way.safe_came)

    def settle(self, hello: HelloReply, schema_hash: int) -> Procedure[None]:
        """After a HELLO: brings a command under way to its end, or runs it if it provably never ran."""
        self.needs_hello = False
        self._schema_hash = schema_hash
        under_way = self._under_way
        if under_way is None:
            return
        row = under_way.row
        try:
            yield from result_of(under_way.commit)
        except JournalError as error:
            self._end(row, CommandState.FAILED, CommandError("journal", f"not sent: {error}"))
            return
        safe_came = under_way.safe_came or self._queue.orders.safe_stands
        since = Circumstances(self._journal.epoch(self._board), schema_hash, safe_came, now_s=self._clock.monotonic())
        verdict = settle(row, hello, since)
        if verdict in (Verdict.FETCH, Verdict.RESEND):
            yield from self._exchange(under_way, settling=verdict is Verdict.FETCH)
        else:
            yield from result_of(self._end(row, *ENDINGS[verdict]))
        if verdict is Verdict.UNKNOWN_ROTATE:
            yield from result_of(self._journal.rotate_epoch(self._board))

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
        row = replace(command, state=CommandState.SENT, wire_id=wire_id, sent_at=self._clock.time())
        self._under_way = UnderWay(row, self._journal.record(row))
        self._under_way.commit.add_done_callback(lambda _commit: self._queue.wake())

    def _ending_before_it_began(self, under_way: UnderWay, now_s: float) -> tuple[CommandState, CommandError] | None:
        error = under_way.commit.exception()
        if error is not None:
            return CommandState.FAILED, CommandError("journal", f"not sent: {error}")
        if under_way.safe_came:
            return ENDINGS[Verdict.CANCELLED]
        if under_way.row.deadline_s <= now_s:
            return ENDINGS[Verdict.EXPIRED]
        if under_way.row.schema_hash != self._schema_hash:
            return ENDINGS[Verdict.NOT_EXECUTED]
        return None

    def _exchange(self, under_way: UnderWay, *, settling: bool) -> Procedure[None]:
        """Sends the command. What is `settling` can't run any more, and is repeated past its deadline."""
        row = under_way.row
        assert row.wire_id is not None
        under_way.begun = True
        message = RunCommand(row.wire_id, row.target, row.hold_ms, row.payload)
        exchange = yield Request(message, not_after_s=float("inf") if settling else row.deadline_s)
        match exchange:
            case Answered(reply=CommandReply() as reply):
                self._answered(row, reply, sent_s=exchange.sent_s)
            case Refused(error=error) if error.code in (ErrorCode.EPOCH, ErrorCode.STALE_ID):
                self.needs_hello = True
            case Refused(error=error):
                self._refused(row, error.code)
            case _:
                self.needs_hello = True

    def _answered(self, row: Command, reply: CommandReply, *, sent_s: float) -> None:
        if reply.id != row.wire_id:
            self.needs_hello = True
        elif reply.outcome == Outcome.INTERRUPTED:
            self._end(row, *ENDINGS[Verdict.UNKNOWN])
        elif reply.code:
            self._refused(row, reply.code)
        else:
            if reply.outcome == Outcome.EXECUTED and row.channel is not None and row.value is not None:
                self._reporter.wrote(row.channel, row.value, sent_s=sent_s)
            result = unpack_result(row.returns, reply.result)
            self._end(replace(row, result=result), CommandState.DONE, None)

    def _refused(self, row: Command, code: int) -> None:
        """An ERROR reply, or the code that the board recorded for this id: either way the handler did not agree."""
        if code == ErrorCode.FAILSAFE and self._under_way is not None and self._under_way.safe_came:
            self._end(row, *ENDINGS[Verdict.CANCELLED])
        elif code == ErrorCode.FAILSAFE:
            detail = "the board's outputs were latched at their safe values; send it again"
            self._end(row, CommandState.FAILED, CommandError("failsafe", detail))
        else:
            detail = f"the board refused it: {error_name(code).replace('_', ' ')}"
            self._end(row, CommandState.FAILED, CommandError(error_name(code), detail))

    def _end(self, row: Command, state: CommandState, error: CommandError | None) -> Future[None]:
        self._under_way = None
        return self._journal.record(finished(row, state, clock=self._clock, error=error, result=row.result))
