"""The crossing into a board thread: views put commands and orders in, the board thread takes them out.

One `CommandQueue` per board. Methods under "views" may be called from any thread and never wait without a bound; those
under "board thread" belong to the worker. No lock is held while the journal is called. Nothing here touches a port.
"""

import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from gateway.board.orders import Orders
from gateway.board.schema import Resolved, resolve_action, resolve_write
from gateway.errors import (
    BoardOffline,
    GatewayError,
    JournalError,
    KeyReused,
    QueueFull,
    RequestError,
    UnknownCommand,
    WrongState,
)
from gateway.model import (
    Clock,
    Command,
    CommandError,
    CommandOrigin,
    CommandState,
    FailsafeCause,
    IdempotencyKey,
    Schema,
    Value,
)

STAMP_DIGITS = 16  # of an id, which sort it
JOURNAL_TIMEOUT_S = 5.0  # how long a view waits for its row to be kept
LATCH_PATIENCE_S = 1.0  # how long the answer to a SAFE waits for that to be kept; the board does not
EXPIRES_MS = 10_000
EXPIRES_OFFLINE_MS = 60_000  # of a command that may wait for its board to come back
SAFE_CAME = CommandError("safe", "SAFE was asked for before the command began")
CANCELLED = CommandError("cancelled", "cancelled on request")
KEPT_TOO_LATE = CommandError("journal", "kept too late: its client had been told that it was not queued")
OTHER_BOARD = CommandError("cancelled", "the gateway was restarted with another kind of board on this port")
OTHER_BOARD_SINCE = CommandError("unknown", f"{OTHER_BOARD.detail}: nobody can be asked if it ran")
DOUBTFUL = CommandError(
    "unknown",
    "the board has taken commands that the journal does not know, from another gateway or one that was put back from a "
    "backup: nobody can tell if it ran since",
)
OLD_LIST = CommandError("cancelled", "the board connected anew before it was sent")


class Journal(Protocol):
    """Where commands are kept. What changes it is asynchronous: the future resolves once the change is as durable as it
    gets, and only then can it be seen. Changes are kept in the order in which they were asked for."""

    def record(self, command: Command, *, key: IdempotencyKey | None = None) -> Future[None]:
        """Keeps the command as it stands, in place of any earlier row of its id. The future fails with JournalError
        where that can't be; a final row is tried again until it can. With `key`, fails with KeyTaken and keeps nothing
        where a command is kept under that key already."""
        ...

    def get(self, command_id: str) -> Command | None:
        """The command of that id as it stands."""
        ...

    def keyed(self, key: IdempotencyKey) -> tuple[str, str] | None:
        """The id of the command that is kept under this key, and the fingerprint that came with it."""
        ...

    def epoch(self, board: str) -> int:
        """The identity of this journal toward one board: 32 bits; 0 where the journal can't be read."""
        ...

    def rotate_epoch(self, board: str) -> Future[int]:
        """Gives the board a new epoch; wire ids start again at 1."""
        ...

    def last_wire_id(self, board: str) -> int:
        """The highest wire id recorded in this epoch, 0 at first."""
        ...

    def keep_latch(self, board: str, cause: FailsafeCause | None) -> Future[None]:
        """Keeps why the board's outputs are to stay latched, None where they are not."""
        ...


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """What a client asks for, not yet held against any schema: a channel and its value, or an action and its
    arguments, as JSON gave them. The hold is 0 for none; `expires_in_ms` is how long it may wait to begin, the usual
    time where it is None; `waits_offline` is for those that are to wait for a board that is away."""

    channel: str | None = None
    value: object = None
    action: str | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    hold_ms: int = 0
    expires_in_ms: int | None = None
    waits_offline: bool = False
    key: IdempotencyKey | None = None

    @property
    def begins_within_s(self) -> float:
        """How long it may wait to begin."""
        usual_ms = EXPIRES_OFFLINE_MS if self.waits_offline else EXPIRES_MS
        return (usual_ms if self.expires_in_ms is None else self.expires_in_ms) / 1000


Refusal = RequestError | JournalError
"""Why a board takes no command now."""


class CommandIds:
    """Ids that sort by creation and never repeat: microseconds since 1970 in hex, then 32 random bits. They begin after
    `newest`, an id of an earlier life: the host's clock may have been set back since."""

    def __init__(self, clock: Clock, *, newest: str | None = None) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp = int(newest[:STAMP_DIGITS], 16) if newest else 0

    def next(self) -> str:
        """24 characters, URL-safe; a host clock that steps back does not make them go back."""
        with self._lock:
            self._stamp = max(self._stamp + 1, int(self._clock.time() * 1_000_000))
            return f"{self._stamp:0{STAMP_DIGITS}x}{secrets.token_hex(4)}"


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
        safe_stands: bool = False,
    ) -> None:
        self.board = board
        self._virtual = virtual
        self._journal = journal
        self._clock = clock
        self.orders = Orders(board, safe_stands=safe_stands)
        """SAFE and CLEAR for the board thread to carry out."""
        self.wake = wake
        """Interrupts the board thread's wait; from any thread."""
        self._ids = ids
        self._limit = limit
        self._lock = threading.Lock()
        self._queued: deque[Command] = deque()
        self._restored: frozenset[str] = frozenset()
        self._entering = 0
        self._schema: Schema | None = None
        self._refusal: Refusal | None = BoardOffline(f"board {board} is not connected yet")

    def restore(self, commands: Sequence[Command]) -> Command | None:
        """Before the board thread begins: these had not ended when the gateway last did. Gives the one that was sent,
        which only the board's record can end. A command for a virtual board never goes to a real one, nor the other way
        round, and no board is asked for another's; what `on_connect` asked for it asks again."""
        under_way = None
        for command in commands:
            if command.virtual != self._virtual and command.state is CommandState.SENT:
                self._record_final(command, CommandState.UNKNOWN, OTHER_BOARD_SINCE)
            elif command.virtual != self._virtual:
                self._cancel(command, OTHER_BOARD)
            elif command.state is CommandState.SENT:
                under_way = command
            elif command.origin is CommandOrigin.ON_CONNECT:
                self._cancel(command, OLD_LIST)
            else:
                self._queued.append(command)
        self._restored = frozenset(command.id for command in self._queued)
        return under_way

    # ---- views ----

    def former(self, key: IdempotencyKey) -> Command | None:
        """The command that this key has brought already. Raises KeyReused where it came with another request."""
        found = self._journal.keyed(key)
        if found is None:
            return None
        command_id, fingerprint = found
        if fingerprint != key.fingerprint:
            raise KeyReused(f"the idempotency key {key.key} came with another request, command {command_id}")
        return self._journal.get(command_id)

    def submit(self, request: CommandRequest) -> Command:
        """Checks a request against the board's schema, records it and queues it.

        Raises BoardOffline, WrongState, QueueFull, JournalError, KeyTaken, or UnknownTarget, NotWritable and
        InvalidCommand for what the schema does not allow; nothing is queued then.
        """
        safes = self.orders.safes
        schema = self._open_schema(waits_offline=request.waits_offline)
        command = self._command(request, _resolve(schema, request), schema)
        with self._lock:
            if len(self._queued) + self._entering >= self._limit:
                raise QueueFull(f"the queue of board {self.board} is full: its queue_limit is {self._limit}")
            self._entering += 1
        try:
            self._keep(command, request.key)
        except GatewayError:
            with self._lock:
                self._entering -= 1
            raise
        with self._lock:
            self._entering -= 1
            safe_came = self.orders.safes != safes or self.orders.safe_stands
            if not safe_came:
                self._queued.append(command)
        if safe_came:  # while the row was being kept
            return self._cancel_durably(command, SAFE_CAME)
        self.wake()
        return command

    def cancel(self, command_id: str) -> Command:
        """Takes a queued command back; asked again, gives the same. Raises UnknownCommand, WrongState once it was sent
        or has ended otherwise, and JournalError where it will not begin but that could not be kept yet."""
        with self._lock:
            queued = next((command for command in self._queued if command.id == command_id), None)
            if queued is not None:
                self._queued.remove(queued)
        if queued is not None:
            return self._cancel_durably(queued, CANCELLED)
        command = self._journal.get(command_id)
        if command is None or command.board != self.board:
            raise UnknownCommand(f"board {self.board} has no command {command_id}")
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
                self._refusal = WrongState(f"SAFE was asked for on board {self.board}, and not cleared since")
        kept = self._journal.keep_latch(self.board, FailsafeCause.SAFE)
        self.cancel_all()
        try:
            self._confirmed(order, timeout_s)
        finally:  # whoever is told that it stands is told so for the next life, too, if the disk can
            with suppress(FutureTimeoutError, JournalError):
                kept.result(LATCH_PATIENCE_S)

    def clear(self, *, timeout_s: float) -> None:
        """Leaves the failsafe. Returns once the board confirmed; raises BoardOffline where it did not, and WrongState
        where SAFE was asked for since. What was not confirmed in time is not asked of the board any more. Raises
        JournalError where the board would not be asked: what became of its last command is not kept."""
        with self._lock:
            refusal = self._refusal
        if isinstance(refusal, JournalError):
            raise _again(refusal)
        order = self.orders.clear()
        try:
            self._confirmed(order, timeout_s)
        finally:
            self.orders.withdraw_clear(order)

    # ---- board thread ----

    def open(self, schema: Schema) -> None:
        """From now on commands that fit `schema` are taken, unless SAFE was asked for."""
        with self._lock:
            self._schema = schema
            if not self.orders.safe_stands:
                self._refusal = None

    def refuse(self, refusal: Refusal) -> None:
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

    def doubt_restored(self) -> None:
        """The board has run commands that the journal does not know: what it holds as queued may be among them."""
        with self._lock:
            doubtful = [command for command in self._queued if command.id in self._restored]
            for command in doubtful:
                self._queued.remove(command)
        for command in doubtful:
            self._record_final(command, CommandState.UNKNOWN, DOUBTFUL)

    def put_first(self, requests: Sequence[CommandRequest], schema: Schema) -> list[RequestError]:
        """Queues what `on_connect` asks for before everything else, in place of what is left of its last time. Gives
        what was wrong with those that do not fit the schema; they are recorded as failed."""
        with self._lock:
            left = [command for command in self._queued if command.origin is CommandOrigin.ON_CONNECT]
            for command in left:
                self._queued.remove(command)
        for command in left:
            self._cancel(command, OLD_LIST)
        fitting, errors = [], []
        for request in requests:
            try:
                resolved = _resolve(schema, request)
            except RequestError as error:
                errors.append(error)
                failed = self._command(request, _as_asked(request), schema, origin=CommandOrigin.ON_CONNECT)
                self._record_final(failed, CommandState.FAILED, CommandError("invalid", str(error)))
            else:
                fitting.append(self._command(request, resolved, schema, origin=CommandOrigin.ON_CONNECT))
        for command in fitting:
            self._journal.record(command)
        with self._lock:
            self._queued.extendleft(reversed(fitting))
        return errors

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

    def _open_schema(self, *, waits_offline: bool) -> Schema:
        with self._lock:
            refusal, schema = self._refusal, self._schema
        if refusal is None:
            assert schema is not None, "an open gate has a schema"
            return schema
        if not waits_offline or schema is None or not isinstance(refusal, BoardOffline):
            raise _again(refusal)
        if self.orders.safe_stands:
            raise WrongState(f"SAFE was asked for on board {self.board}, and not cleared since")
        return schema

    def _command(
        self,
        request: CommandRequest,
        resolved: Resolved,
        schema: Schema,
        *,
        origin: CommandOrigin = CommandOrigin.CLIENT,
    ) -> Command:
        now_s, time_s = self._clock.monotonic(), self._clock.time()
        expires_in_s = request.begins_within_s
        # A held command may not begin later than its own hold after it was accepted: its client may be gone by then.
        begins_within_s = min(expires_in_s, request.hold_ms / 1000) if request.hold_ms else expires_in_s
        return Command(
            id=self._ids.next(),
            board=self.board,
            virtual=self._virtual,
            target=resolved.target,
            payload=resolved.payload,
            schema_hash=schema.sketch.schema_hash,
            hold_ms=request.hold_ms,
            created_at=time_s,
            expires_at=time_s + begins_within_s,
            deadline_s=now_s + begins_within_s,
            channel=request.channel,
            value=resolved.value,
            action=request.action,
            arguments=resolved.arguments,
            returns=resolved.returns,
            origin=origin,
        )

    def _confirmed(self, order: Future[None], timeout_s: float) -> None:
        self.wake()
        try:
            order.result(timeout_s)
        except FutureTimeoutError:
            raise BoardOffline(f"board {self.board} did not confirm within {timeout_s:g} s") from None

    def _keep(self, command: Command, key: IdempotencyKey | None) -> None:
        row = self._journal.record(command, key=key)
        try:
            row.result(JOURNAL_TIMEOUT_S)
        except FutureTimeoutError:
            if not row.cancel():  # it is being written at this moment
                row.add_done_callback(lambda _row: self._disown(command))
            raise JournalError(f"the journal did not answer within {JOURNAL_TIMEOUT_S:g} s") from None

    def _disown(self, command: Command) -> None:
        """Its client was told that it is not queued: it may not look as if it still were."""
        if self._journal.get(command.id) is not None:
            self._cancel(command, KEPT_TOO_LATE)

    def _cancel(self, command: Command, error: CommandError) -> None:
        self._record_final(command, CommandState.CANCELLED, error)

    def _cancel_durably(self, command: Command, error: CommandError) -> Command:
        """Whoever is told that a command is cancelled must not see it come back after a crash."""
        ended = finished(command, CommandState.CANCELLED, clock=self._clock, error=error)
        try:
            self._journal.record(ended).result(JOURNAL_TIMEOUT_S)
        except FutureTimeoutError:
            why = "it will not begin unless the gateway is started anew: the journal did not keep that"
            raise JournalError(f"{why} within {JOURNAL_TIMEOUT_S:g} s") from None
        return ended

    def _record_final(self, command: Command, state: CommandState, error: CommandError) -> None:
        self._journal.record(finished(command, state, clock=self._clock, error=error))


def _as_asked(request: CommandRequest) -> Resolved:
    """What is shown of a request that fits nothing."""
    arguments = {name: value for name, value in request.arguments.items() if isinstance(value, Value)}
    value = request.value if isinstance(request.value, Value) else None
    return Resolved(target=0, payload=b"", value=value, arguments=None if request.action is None else arguments)


def _again(refusal: Refusal) -> Refusal:
    """A fresh copy to raise: an exception raised by many threads would gather all their tracebacks."""
    return type(refusal)(str(refusal))


def _resolve(schema: Schema, request: CommandRequest) -> Resolved:
    if request.channel is not None:
        return resolve_write(schema, request.channel, request.value, hold_ms=request.hold_ms)
    assert request.action is not None, "a request names a channel or an action"
    return resolve_action(schema, request.action, request.arguments, hold_ms=request.hold_ms)
