"""Whether a board's outputs are latched at their safe values, what a person ordered about it, and the gate for commands
that follows from both. Owned by the board thread.

A latch by silence is opened by the gateway itself, unless the configuration says otherwise; one by SAFE only by a
person. What is known stands in the reporter's status and nowhere else; what has to outlive the gateway, in the journal.
"""

from gateway.board.commands import CommandQueue, Journal
from gateway.board.lane import CommandLane
from gateway.board.procedure import Procedure, ProcedureFailed, Request, error_name
from gateway.board.report import Reporter
from gateway.errors import JournalError, WrongState
from gateway.model import FailsafeCause
from gateway.protocol.events import Answered, Refused
from gateway.protocol.messages import Clear, HelloFlag, PollStatus, Safe


def cause_in_hello(flags: int) -> FailsafeCause | None:
    """What the flags of a HELLO reply say."""
    return _cause(latched=flags & HelloFlag.LATCHED, by_safe=flags & HelloFlag.LATCHED_BY_SAFE)


def cause_in_poll(status: int) -> FailsafeCause | None:
    """What the status byte of a POLL reply says."""
    return _cause(latched=status & PollStatus.FAILSAFE, by_safe=status & PollStatus.FAILSAFE_BY_SAFE)


class Latch:
    """The latch of one board."""

    def __init__(
        self,
        queue: CommandQueue,
        lane: CommandLane,
        *,
        journal: Journal,
        reporter: Reporter,
        keeps_silence: bool,
    ) -> None:
        self._queue = queue
        self._lane = lane
        self._journal = journal
        self._reporter = reporter
        self._keeps_silence = keeps_silence

    @property
    def safe_due(self) -> bool:
        """SAFE comes before anything else."""
        return self._queue.orders.safe_due

    @property
    def clear_due(self) -> bool:
        """A person asked for CLEAR, or the host's own silence is over."""
        return self._queue.orders.clear_due or self._only_silence()

    @property
    def is_open(self) -> bool:
        """Commands may begin."""
        return self._reporter.status.failsafe is None and not self._queue.orders.safe_stands

    def make_safe(self) -> Procedure[None]:
        """Carries out SAFE."""
        exchange = yield Request(Safe())
        if isinstance(exchange, Refused):
            why = error_name(exchange.error.code)
            self._queue.orders.safe_ended(WrongState(f"the board refused SAFE: {why}"))
        elif isinstance(exchange, Answered):
            self._lane.safe_came()
            self._queue.cancel_all()
            self._reporter.failsafe(FailsafeCause.SAFE)
            self._queue.orders.safe_found()
            self._queue.orders.safe_ended()
        self.set_gate()

    def clear(self) -> Procedure[None]:
        """Carries out CLEAR. Raises ProcedureFailed where the board does not answer."""
        exchange = yield Request(Clear())
        if isinstance(exchange, Refused):
            self._queue.orders.clear_ended(WrongState(f"the board refused CLEAR: {error_name(exchange.error.code)}"))
            self.set_gate()
        elif isinstance(exchange, Answered):
            self._reporter.failsafe(None)
            self._queue.orders.clear_found()
            self.set_gate()  # before anyone is told: the next command may come at once
            self._queue.orders.clear_ended()
        else:
            raise ProcedureFailed("Clear: no answer")

    def take_over(self, cause: FailsafeCause | None) -> Procedure[None]:
        """A session stands on a board that is latched by `cause`. One that forgot its SAFE (power loss, another
        sketch) is told again, and so is one that forgot a silence which the configuration keeps."""
        forgotten = cause is None and self._keeps_silence and self._reporter.status.failsafe is FailsafeCause.LINK
        if cause is not FailsafeCause.SAFE and (self._queue.orders.safe_stands or forgotten):
            yield from self.make_safe()  # the status stays until then: a link lost meanwhile must not forget it, too
            return
        self._reporter.failsafe(cause)
        if cause is FailsafeCause.SAFE:
            self._queue.orders.safe_found()
            self._queue.cancel_all()
        elif self._only_silence() and not self._lane.occupied:
            yield from self.clear()

    def set_gate(self) -> None:
        """Opens or shuts the queue by what is known now; to be called while the board is up."""
        self._keep()
        schema = self._reporter.status.schema
        board = self._reporter.status.board
        if self._lane.barred:
            detail = f"the journal does not keep what became of the commands of board {board}; mend its disk"
            if not self._journal.epoch(board):
                detail = "the journal can't be read; mend its disk, and the gateway goes on by itself"
            self._queue.refuse(JournalError(detail))
            return
        if self.is_open and schema is not None:
            self._queue.open(schema)
            return
        by_safe = self._queue.orders.safe_stands or self._reporter.status.failsafe is FailsafeCause.SAFE
        why = "by SAFE" if by_safe else "since the host was silent"
        detail = f"outputs of board {board} are latched {why}; POST /api/v1/boards/{board}/clear leaves that state"
        self._queue.refuse(WrongState(detail))

    def _keep(self) -> None:
        """What must hold after a restart of the gateway too."""
        board, cause = self._reporter.status.board, self._reporter.status.failsafe
        if self._queue.orders.safe_stands:
            cause = FailsafeCause.SAFE
        self._journal.keep_latch(board, None if cause is FailsafeCause.LINK and not self._keeps_silence else cause)
        if self._queue.orders.safe_stands:  # a view gave that order, and kept it, while this looked
            self._journal.keep_latch(board, FailsafeCause.SAFE)

    def _only_silence(self) -> bool:
        silent = self._reporter.status.failsafe is FailsafeCause.LINK
        return silent and not self._keeps_silence and not self._queue.orders.safe_stands


def _cause(*, latched: int, by_safe: int) -> FailsafeCause | None:
    if not latched:
        return None
    return FailsafeCause.SAFE if by_safe else FailsafeCause.LINK
