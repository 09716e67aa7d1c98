"""The one command under way: committed as `sent`, sent, repeated, and settled from the board's record.

Owned by the board thread; it outlives links, since a command may be under way when the line is lost, and the gateway,
since the journal keeps it. The order is what keeps the promise: the journal's row is durable before the first byte
leaves, a row is settled from what the board recorded, never guessed, and the board may forget its record only once
every row that it settles is kept.
"""

from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from gateway.board.commands import CommandQueue, Journal, finished
from gateway.board.procedure import Procedure, Request, error_name, kept
from gateway.board.report import Reporter
from gateway.board.schema import unpack_result
from gateway.board.settlement import Circumstances, Verdict, settle
from gateway.model import Clock, Command, CommandError, CommandOrigin, CommandState
from gateway.protocol.events import Answered, Refused
from gateway.protocol.messages import CommandReply, ErrorCode, HelloReply, Outcome, RunCommand

LAST_WIRE_ID = 0xFFFFFFFE  # the epoch is rotated before the ids end
CONNECT_S = 60.0  # for a board after a restart of the gateway, whatever its command has waited before
JOURNAL_PATIENCE_S = 1.0  # a board's bring-up waits so long for the journal, then goes on with readings alone

UNSURE = (Verdict.UNKNOWN, Verdict.UNKNOWN_ROTATE)
NEVER_SENT = CommandError("not_executed", "never sent: the board was reset or lost first; send it again")

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

    def __init__(
        self,
        board: str,
        *,
        queue: CommandQueue,
        journal: Journal,
        reporter: Reporter,
        clock: Clock,
        settle_within_s: float,
    ) -> None:
        self._board = board
        self._queue = queue
        self._journal = journal
        self._reporter = reporter
        self._clock = clock
        self._settle_within_s = settle_within_s
        self._under_way: UnderWay | None = None
        self._schema_hash = 0
        self._needs_hello = False
        self._give_up_s = float("inf")
        self._ending: Future[None] = _done()
        self._barred: Future[Any] | None = None
        self._unread = False

    @property
    def needs_hello(self) -> bool:
        """True when only the board's record can tell what became of the command: ask by HELLO."""
        if self._unread:
            return bool(self._epoch)
        return self._needs_hello or (self._barred is not None and self._barred.done())

    @property
    def barred(self) -> bool:
        """No command may begin: the journal has not kept yet what the board's record settles."""
        return self._unread or self._barred is not None

    @property
    def occupied(self) -> bool:
        """True while a command is under way, or its end is not kept yet."""
        return self._under_way is not None or self.barred

    @property
    def deadline_s(self) -> float | None:
        """The monotonic second at which `give_up` may have something to do."""
        under_way = self._under_way
        if under_way is None or not under_way.commit.done():
            return None
        return self._give_up_s if under_way.begun else min(self._give_up_s, under_way.row.deadline_s)

    def restore(self, row: Command, now_s: float) -> None:
        """This command was under way when the gateway last ended. What it waited already counts, but the board has time
        to connect first: a gateway that was off for a night may still learn the truth."""
        self._under_way = UnderWay(row, _done(), begun=True)
        waited_s = self._clock.time() - (row.sent_at or row.created_at)
        left_s = min(self._settle_within_s - waited_s, self._settle_within_s)
        self._give_up_s = now_s + max(left_s, min(CONNECT_S, self._settle_within_s))

    def safe_came(self) -> None:
        """The board is latched by SAFE: a command that has not begun will not."""
        if self._under_way is not None:
            self._under_way.safe_came = True

    def lost(self, now_s: float) -> None:
        """The session ended: what is under way is settled with the next one, if that comes within `settle_within`."""
        if self._under_way is not None and self._give_up_s == float("inf"):
            self._give_up_s = now_s + self._settle_within_s

    def give_up(self, now_s: float) -> None:
        """To be called while no session stands: ends a command under way that waited long enough for one."""
        under_way = self._under_way
        if under_way is None or not under_way.commit.done():
            return
        if under_way.begun:
            if now_s >= self._give_up_s:
                detail = "the board did not come back within settle_within to tell if it ran"
                self._end(under_way.row, CommandState.UNKNOWN, CommandError("unknown", detail))
        elif (ending := self._ending_before_it_began(under_way, now_s)) is not None:
            self._end(under_way.row, *ending)

    def ready(self, now_s: float) -> bool:
        """Takes the next command if none is under way; True once its row is committed and it may be sent."""
        if self.barred:
            return False
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

    def settle(self, hello: HelloReply, schema_hash: int) -> Procedure[bool]:
        """After a HELLO: brings a command under way to its end, or runs it if it provably never ran. True once the
        board may be given the journal's epoch, which makes it forget its record; False while the journal has not kept
        what that record told: until then no command begins."""
        self._needs_hello = False
        self._barred = None
        self._schema_hash = schema_hash
        self._unread = not self._epoch
        if self._unread:  # what the journal holds of this board nobody knows until it can be read
            return False
        rotate = hello.stored_epoch == self._epoch and hello.started > self._journal.last_wire_id(self._board)
        if self._under_way is not None:
            commit = self._under_way.commit
            yield from kept(commit, within_s=JOURNAL_PATIENCE_S)
            if not commit.done():
                return self._bar(commit)
            verdict = yield from self._settle(self._under_way, hello)
            rotate = rotate or verdict is Verdict.UNKNOWN_ROTATE
        if rotate or hello.stored_epoch not in (0, self._epoch):
            self._queue.doubt_restored()
        waited: Future[Any] = self._journal.rotate_epoch(self._board) if rotate else self._ending
        if not (yield from kept(waited, within_s=JOURNAL_PATIENCE_S)):  # in order: the end is kept before the epoch
            return self._bar(waited)
        return True

    @property
    def _epoch(self) -> int:
        return self._journal.epoch(self._board)

    def _settle(self, under_way: UnderWay, hello: HelloReply) -> Procedure[Verdict | None]:
        row = under_way.row
        error = under_way.commit.exception()
        if error is not None:
            self._end(row, CommandState.FAILED, _not_sent(error))
            return None
        safe_came = under_way.safe_came or self._queue.orders.safe_stands
        since = Circumstances(self._epoch, self._schema_hash, safe_came, now_s=self._clock.monotonic())
        verdict = settle(row, hello, since)
        if verdict in (Verdict.FETCH, Verdict.RESEND):
            yield from self._exchange(under_way, settling=verdict is Verdict.FETCH)
        elif verdict in UNSURE and not under_way.begun:  # whatever the board has forgotten: no byte of it has left
            self._end(row, CommandState.FAILED, NEVER_SENT)
        else:
            self._end(row, *ENDINGS[verdict])
        return verdict

    def _take_next(self, now_s: float) -> None:
        wire_id = self._journal.last_wire_id(self._board) + 1
        if wire_id > LAST_WIRE_ID:
            self._bar(self._journal.rotate_epoch(self._board))
            return
        self._queue.expire(now_s)
        command = self._queue.take()
        if command is None:
            return
        row = replace(command, state=CommandState.SENT, wire_id=wire_id, sent_at=self._clock.time())
        self._under_way = UnderWay(row, self._journal.record(row))
        self._under_way.commit.add_done_callback(lambda _commit: self._queue.wake())

    def _bar(self, until: Future[Any]) -> bool:
        """No command before this is kept; then HELLO tells afresh. A future that failed bars for good."""
        self._barred = until if not until.done() or until.exception() is None else Future()
        until.add_done_callback(lambda _until: self._queue.wake())
        return False

    def _ending_before_it_began(self, under_way: UnderWay, now_s: float) -> tuple[CommandState, CommandError] | None:
        error = under_way.commit.exception()
        if error is not None:
            return CommandState.FAILED, _not_sent(error)
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
                self._needs_hello = True
            case Refused(error=error):
                self._refused(row, error.code)
            case _:
                self._needs_hello = True

    def _answered(self, row: Command, reply: CommandReply, *, sent_s: float) -> None:
        if reply.id != row.wire_id:
            self._needs_hello = True
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

    def _end(self, row: Command, state: CommandState, error: CommandError | None) -> None:
        self._under_way = None
        self._give_up_s = float("inf")
        self._ending = self._journal.record(finished(row, state, clock=self._clock, error=error, result=row.result))
        if row.origin is CommandOrigin.ON_CONNECT and error is not None:
            self._reporter.on_connect_failed(f"{row.channel or row.action} is {state}: {error.detail}")


def _done() -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future


def _not_sent(error: BaseException) -> CommandError:
    return CommandError("journal", f"not sent: {error}")
