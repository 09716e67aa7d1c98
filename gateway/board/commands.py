"""The crossing into a board thread: views put commands and orders in, the board thread takes them out.

One `CommandQueue` per board. Methods under "views" may be called from any thread and never wait without a bound; those
under "board thread" belong to the worker. No lock is held while the journal is called. Nothing here touches a port.
"""

import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field, replace
from typing import Protocol

from gateway.board.orders import Orders
from gateway.board.schema import Resolved, resolve_action, resolve_write
from gateway.errors import (
    BoardOffline,
    JournalError,
    QueueFull,
    RequestError,
    UnknownCommand,
    WrongState,
)
from gateway.model import Clock, Command, CommandError, CommandState, Schema, Value

JOURNAL_TIMEOUT_S = 5.0  # how long a view waits for its row to be kept
SAFE_CAME = CommandError("safe", "SAFE was asked for before the command began")


class Journal(Protocol):
    """Where commands are kept. `record` is asynchronous: the future resolves when the row is as durable as it gets."""

    def record(self, command: Command) -> Future[None]:
        """Keeps the command as it stands, in place of any earlier row of its id."""
        ...

    def get(self, command_id: str) -> Command | None:
        """The command of that id as it stands."""
        ...

    def epoch(self, board: str) -> int:
        """The identity of this journal toward one board: 32 bits, never 0."""
        ...

    def rotate_epoch(self, board: str) -> Future[int]:
        """Gives the board a new epoch; wire ids start again at 1."""
        ...

    def last_wire_id(self, board: str) -> int:
        """The highest wire id recorded in this epoch, 0 at first."""
        ...


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """What a client asks for, not yet held against any schema: a channel and its value, or an action and its
    arguments, as JSON gave them. The hold is 0 for none; `expires_in_ms` is how long it may wait to begin."""

    channel: str | None = None
    value: object = None
    action: str | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    hold_ms: int = 0
    expires_in_ms: int = 10_000


class CommandIds:
    """Ids that sort by creation and never repeat: microseconds since 1970 in hex, then 32 random bits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp = 0

    def next(self) -> str:
        """24 characters, URL-safe; a host clock that steps back does not make them go back."""
        with self._lock:
            self._stamp = max(self._stamp + 1, int(self._clock.time() * 1_000_000))
            return f"{self._stamp:016x}{secrets.token_hex(4)}"


def finished(
    command: Command,
    state: CommandState,
    *,
    clock: Clock,
    error: CommandError | None = None,
    result: Value | None = None,
) -> Command:
    """The command in a final state, stamped with the time of now."""
    return replace(command, state=state, error=error, result=result, finished_at=clock.time())


class CommandQueue:
    """Bounded queue of commands for one board, and the gate in front of it."""

    def __init__(
        self,
        board: str,
        *,
        virtual: bool,
        journal: Journal,
        clock: Clock,
        wake: Callable[[], None],
        ids: CommandIds,
        limit: int,
    ) -> None:
        self._board = board
        self._virtual = virtual
        self._journal = journal
        self._clock = clock
        self.orders = Orders(board)
        """SAFE and CLEAR for the board thread to carry out."""
        self.wake = wake
        """Interrupts the board thread's wait; from any thread."""
        self._ids = ids
        self._limit = limit
        self._lock = threading.Lock()
        self._queued: deque[Command] = deque()
        self._entering = 0
        self._schema: Schema | None = None
        self._refusal: RequestError | None = BoardOffline(f"board {board} is not connected yet")

    # ---- views ----

    def submit(self, request: CommandRequest) -> Command:
        """Checks a request against the board's schema, records it and queues it.

        Raises BoardOffline, WrongState, QueueFull, JournalError, or UnknownTarget, NotWritable and InvalidCommand
        for what the schema does not allow; nothing is queued then.
        """
        schema = self._open_schema()
        command = self._command(request, _resolve(schema, request), schema)
        with self._lock:
            if len(self._queued) + self._entering >= self._limit:
                raise QueueFull(f"the queue of board {self._board} is full: its queue_limit is {self._limit}")
            self._entering += 1
        try:
            self._keep(command)
        except JournalError:
            with self._lock:
                self._entering -= 1
            raise
        with self._lock:
            self._entering -= 1
            refusal = self._refusal
            if not isinstance(refusal, WrongState):
                self._queued.append(command)
        if isinstance(refusal, WrongState):  # SAFE came while the row was being kept
            return self._cancel(command, SAFE_CAME)
        self.wake()
        return command

    def cancel(self, command_id: str) -> Command:
        """Takes a queued command back; asked again, gives the same. Raises UnknownCommand, and WrongState once it
        was sent or has ended otherwise."""
        with self._lock:
            queued = next((command for command in self._queued if command.id == command_id), None)
            if queued is not None:
                self._queued.remove(queued)
        if queued is not None:
            return self._cancel(queued, CommandError("cancelled", "cancelled on request"))
        command = self._journal.get(command_id)
        if command is None or command.board != self._board:
            raise UnknownCommand(f"board {self._board} has no command {command_id}")
        if command.state is not CommandState.CANCELLED:
            state = "being sent" if command.state is CommandState.QUEUED else command.state
            raise WrongState(f"command {command_id} is {state} and can no longer be cancelled")
        return command

    def safe(self, *, timeout_s: float) -> None:
        """All outputs to their safe values, past everything queued, which is cancelled. Returns once the board
        confirmed; raises BoardOffline where it did not: the order stands all the same."""
        order = self.orders.safe()
        with self._lock:
            if not isinstance(self._refusal, BoardOffline):
                self._refusal = WrongState(f"SAFE was asked for on board {self._board}, and not cleared since")
        self.cancel_all()
        self._confirmed(order, timeout_s)

    def clear(self, *, timeout_s: float) -> None:
        """Leaves the failsafe. Returns once the board confirmed; raises BoardOffline where it did not, and WrongState
        where SAFE was asked for since."""
        self._confirmed(self.orders.clear(), timeout_s)

    # ---- board thread ----

    def open(self, schema: Schema) -> None:
        """From now on commands that fit `schema` are taken, unless SAFE was asked for."""
        with self._lock:
            self._schema = schema
            if not self.orders.safe_stands:
                self._refusal = None

    def refuse(self, refusal: RequestError) -> None:
        """From now on `submit` raises `refusal`; what is queued stays queued."""
        with self._lock:
            self._refusal = refusal

    def cancel_all(self) -> None:
        """SAFE came: nothing that is queued may begin any more."""
        with self._lock:
            cancelled = list(self._queued)
            self._queued.clear()
        for command in cancelled:
            self._cancel(command, SAFE_CAME)

    def take(self) -> Command | None:
        """The next command to send, out of the queue."""
        with self._lock:
            return self._queued.popleft() if self._queued else None

    def expire(self, now_s: float) -> None:
        """Ends every queued command whose deadline has passed."""
        with self._lock:
            overdue = [command for command in self._queued if command.deadline_s <= now_s]
            for command in overdue:
                self._queued.remove(command)
        for command in overdue:
            detail = "the board did not take it before its deadline"
            self._record_final(command, CommandState.EXPIRED, CommandError("expired", detail))

    def next_deadline_s(self) -> float | None:
        """The monotonic moment at which `expire` has something to do."""
        with self._lock:
            return min((command.deadline_s for command in self._queued), default=None)

    # ---- both ----

    def _open_schema(self) -> Schema:
        with self._lock:
            if self._refusal is not None:
                raise _again(self._refusal)
            assert self._schema is not None, "an open gate has a schema"
            return self._schema

    def _command(self, request: CommandRequest, resolved: Resolved, schema: Schema) -> Command:
        now_s, time_s = self._clock.monotonic(), self._clock.time()
        expires_in_s = request.expires_in_ms / 1000
        # A held command may not begin later than its own hold after it was accepted: its client may be gone by then.
        begins_within_s = min(expires_in_s, request.hold_ms / 1000) if request.hold_ms else expires_in_s
        return Command(
            id=self._ids.next(),
            board=self._board,
            virtual=self._virtual,
            target=resolved.target,
            payload=resolved.payload,
            schema_hash=schema.sketch.schema_hash,
            hold_ms=request.hold_ms,
            created_at=time_s,
            expires_at=time_s + expires_in_s,
            deadline_s=now_s + begins_within_s,
            channel=request.channel,
            value=resolved.value,
            action=request.action,
            arguments=resolved.arguments,
            returns=resolved.returns,
        )

    def _confirmed(self, order: Future[None], timeout_s: float) -> None:
        self.wake()
        try:
            order.result(timeout_s)
        except FutureTimeoutError:
            raise BoardOffline(f"board {self._board} did not confirm within {timeout_s:g} s") from None

    def _keep(self, command: Command) -> None:
        try:
            self._journal.record(command).result(JOURNAL_TIMEOUT_S)
        except FutureTimeoutError:
            raise JournalError(f"the journal did not answer within {JOURNAL_TIMEOUT_S:g} s") from None

    def _cancel(self, command: Command, error: CommandError) -> Command:
        return self._record_final(command, CommandState.CANCELLED, error)

    def _record_final(self, command: Command, state: CommandState, error: CommandError) -> Command:
        ended = finished(command, state, clock=self._clock, error=error)
        self._journal.record(ended)
        return ended


def _again(refusal: RequestError) -> RequestError:
    """A fresh copy to raise: an exception raised by many threads would gather all their tracebacks."""
    return type(refusal)(str(refusal))


def _resolve(schema: Schema, request: CommandRequest) -> Resolved:
    if request.channel is not None:
        return resolve_write(schema, request.channel, request.value, hold_ms=request.hold_ms)
    assert request.action is not None, "a request names a channel or an action"
    return resolve_action(schema, request.action, request.arguments, hold_ms=request.hold_ms)
