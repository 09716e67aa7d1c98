"""One life of a link: what to ask the board next, and what its answers change.

The session decides about the line; this decides about the board: bring it up, settle what was under way, then SAFE
before commands before polls. Runs in the board thread; waits nowhere.
"""

import logging
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.board.commands import Ask, AskKind, CommandQueue, Journal, latched
from gateway.board.describe import SchemaRecords, describe
from gateway.board.lane import CommandLane
from gateway.board.poller import Polled, Poller
from gateway.board.procedure import Procedure, ProcedureFailed, Request, ask, done
from gateway.board.report import Reporter
from gateway.errors import BoardOffline, LinkError, SchemaError
from gateway.model import BoardState, FailsafeCause, Reason, Schema
from gateway.protocol.events import (
    Answered,
    BoardReset,
    Event,
    EventReceived,
    Exchange,
    LineReceived,
    Opened,
    Refused,
    SessionLost,
    SetBaud,
    TimedOut,
    Unanswered,
    Write,
)
from gateway.protocol.messages import Clear, HelloFlag, HelloReply, Log, PollStatus, Safe, SetEpoch
from gateway.protocol.session import Session

CONTENTION_S = 10.0  # two lost sessions within this, without a reset, are another writer's work


class Link(Protocol):
    """An open byte channel to a board; every failure is a LinkError."""

    def read(self) -> bytes:
        """What has come; never blocks."""
        ...

    def write(self, data: bytes) -> None:
        """Bounded by a write timeout."""
        ...

    def set_baud(self, baud: int) -> None:
        """Changes the rate."""
        ...

    def wait(self, timeout_s: float | None) -> None:
        """Until bytes, a wake, or the time."""
        ...

    def close(self) -> None:
        """Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a board's conversations share, whichever link carries them."""

    board: str
    queue: CommandQueue
    lane: CommandLane
    poller: Poller
    reporter: Reporter
    journal: Journal
    schemas: SchemaRecords
    link_timeout_s: float
    failsafe_latch: bool


class Conversation:
    """Drives one session on one link. `step` raises LinkError when this link has to be given up."""

    def __init__(self, link: Link, session: Session, parts: Parts) -> None:
        self.established = False
        """True once a session stood on this link."""
        self._link = link
        self._session = session
        self._parts = parts
        self._procedure: Procedure[None] | None = None
        self._awaited: Future[Any] | None = None
        self._up = False
        self._cause: FailsafeCause | None = None
        self._lost_s = float("-inf")

    def step(self, now_s: float) -> None:
        """Takes what has come, does what is due, asks what is next."""
        self._session.receive(self._link.read(), now_s)
        self._session.advance(now_s)
        self._parts.queue.expire(now_s)
        self._drain(now_s)
        while self._begin_next(now_s):
            self._drain(now_s)
        if self._session.is_open and now_s >= self._silent_at_s():
            detail = f"the board has been silent for {self._parts.link_timeout_s:g} s; trying again"
            raise LinkError(Reason.NO_ANSWER, detail)

    def deadline_s(self) -> float | None:
        """The moment by which `step` must be called again."""
        moments = [self._session.deadline_s, self._parts.queue.next_deadline_s()]
        if self._session.is_open:
            moments.append(self._silent_at_s())
        if self._up and self._session.idle and self._procedure is None:
            moments.append(self._parts.poller.due_s)
        return min((moment for moment in moments if moment is not None), default=None)

    def _silent_at_s(self) -> float:
        return self._session.last_heard_s + self._parts.link_timeout_s

    # ---- events ----

    def _drain(self, now_s: float) -> None:
        for event in self._session.events():
            self._handle(event, now_s)

    def _handle(self, event: Event, now_s: float) -> None:
        match event:
            case Write(data):
                self._link.write(data)
            case SetBaud(baud):
                self._link.set_baud(baud)
            case Answered() | Refused() | TimedOut():
                self._resume(event, now_s)
            case Opened(hello, baud):
                self._opened(hello, baud, now_s)
            case Unanswered(reason, detail):
                raise LinkError(reason, detail)
            case BoardReset():
                self._parts.reporter.was_reset()
                self._session_ended("the board was reset")
            case SessionLost():
                self._session_lost(now_s)
            case LineReceived(line):
                self._parts.reporter.line(line)
            case EventReceived(message=Log(text=text)):
                self._parts.reporter.line(text.decode(errors="replace"))

    def _opened(self, hello: HelloReply, baud: int, now_s: float) -> None:
        self.established = True
        self._parts.reporter.greeted(hello, baud=baud, now_s=now_s)
        self._start(self._bring_up(hello), now_s)

    def _session_ended(self, what: str) -> None:
        self._abandon()
        self._up = False
        self._parts.queue.refuse(BoardOffline(f"board {self._parts.board} is connecting: {what}"))
        self._parts.reporter.update(state=BoardState.CONNECTING, reason=None, detail=what)
        self._parts.reporter.event(what, level=logging.WARNING)

    def _session_lost(self, now_s: float) -> None:
        if now_s - self._lost_s < CONTENTION_S:
            detail = "another program writes to this port (a serial monitor?): close it"
            raise LinkError(Reason.PORT_BUSY, detail)
        self._lost_s = now_s
        self._session_ended("the board no longer knows the session")

    # ---- procedures ----

    def _start(self, procedure: Procedure[None], now_s: float) -> None:
        self._abandon()
        self._procedure = procedure
        self._resume(None, now_s)

    def _abandon(self) -> None:
        if self._procedure is not None:
            self._procedure.close()
        self._procedure = self._awaited = None

    def _resume(self, exchange: Exchange | None, now_s: float) -> None:
        if self._procedure is None:
            return
        try:
            step = self._procedure.send(exchange)
        except StopIteration:
            self._procedure = None
        except ProcedureFailed as error:
            self._procedure = None
            self._session_ended(str(error))
            self._session.regreet(now_s)
        except SchemaError as error:
            raise LinkError(Reason.SCHEMA_REFUSED, f"what the sketch offers can't be published: {error}") from error
        else:
            if isinstance(step, Request):
                self._session.send(step.message, now_s, sends=step.sends, not_after_s=step.not_after_s)
            else:
                self._await(step)

    def _await(self, future: Future[Any]) -> None:
        self._awaited = future
        future.add_done_callback(lambda _future: self._parts.queue.wake())

    def _begin_next(self, now_s: float) -> bool:
        """Starts or resumes the most urgent procedure that can go on; False when there is nothing to do now."""
        if self._awaited is not None:
            if not self._awaited.done():
                return False
            self._awaited = None
            self._resume(None, now_s)
            return True
        if self._session.is_open and (asked := self._parts.queue.take_ask(AskKind.SAFE)):
            self._start(self._make_safe(asked), now_s)
            return True
        if not self._up or self._procedure is not None:
            return False
        if self._parts.lane.needs_hello:
            self._regreet_for_record(now_s)
            return True
        procedure = self._next_procedure(now_s)
        if procedure is not None:
            self._start(procedure, now_s)
        return procedure is not None

    def _next_procedure(self, now_s: float) -> Procedure[None] | None:
        parts = self._parts
        if self._cause is FailsafeCause.SAFE and parts.lane.occupied:
            return parts.lane.run()
        if asked := parts.queue.take_ask(AskKind.CLEAR):
            return self._clear(asked)
        if self._cause is FailsafeCause.LINK and not parts.failsafe_latch and not parts.lane.occupied:
            return self._clear(None)
        if self._cause is None and parts.lane.ready(now_s):
            return parts.lane.run()
        if now_s >= parts.poller.due_s:
            return self._poll()
        return None

    def _regreet_for_record(self, now_s: float) -> None:
        self._up = False
        self._session.regreet(now_s)

    def _bring_up(self, hello: HelloReply) -> Procedure[None]:
        """From the answer to HELLO to `online`: schema, settlement, epoch, latch."""
        parts = self._parts
        schema = yield from describe(hello, parts.schemas)
        parts.reporter.update(schema=schema)
        yield from self._settle(hello, schema)
        yield from self._adopt_epoch(hello)
        yield from self._take_latch(hello)
        parts.poller.begin(schema, self._session.last_heard_s)
        for _ in range(parts.poller.group_count):  # nobody sees `online` before there is something to read
            yield from self._poll()
        self._up = True
        self._open_gate()
        parts.reporter.came_online()

    def _settle(self, hello: HelloReply, schema: Schema) -> Procedure[None]:
        if hello.flags & HelloFlag.LATCHED_BY_SAFE:
            self._parts.lane.safe_came()
        yield from self._parts.lane.settle(hello, schema.sketch.schema_hash)
        if self._parts.lane.needs_hello:
            raise ProcedureFailed("the command under way is still not settled")

    def _adopt_epoch(self, hello: HelloReply) -> Procedure[None]:
        journal, board = self._parts.journal, self._parts.board
        epoch = journal.epoch(board)
        if hello.stored_epoch == epoch and hello.started > journal.last_wire_id(board):
            epoch = yield from done(journal.rotate_epoch(board))
        if hello.stored_epoch != epoch:
            yield from ask(SetEpoch(epoch))

    def _take_latch(self, hello: HelloReply) -> Procedure[None]:
        """Takes over the board's latch. One by SAFE that the board forgot (power loss, another sketch) is set again:
        only a person ends it. One by silence is ended here, unless the configuration says otherwise."""
        cause = _cause(hello.flags & HelloFlag.LATCHED, hello.flags & HelloFlag.LATCHED_BY_SAFE)
        if self._parts.reporter.status.failsafe is FailsafeCause.SAFE and cause is not FailsafeCause.SAFE:
            yield from ask(Safe())
            cause = FailsafeCause.SAFE
        elif cause is FailsafeCause.LINK and not self._parts.failsafe_latch:
            self._latched(cause)
            yield from ask(Clear())
            cause = None
        self._latched(cause)

    def _poll(self) -> Procedure[None]:
        parts = self._parts
        polled = yield from parts.poller.poll()
        if polled is not None:
            self._polled(polled)
            return
        parts.reporter.polls_missed = parts.poller.missed
        if parts.poller.degraded:
            parts.reporter.degraded(parts.poller.misses)

    def _polled(self, polled: Polled) -> None:
        cause = _cause(polled.status & PollStatus.FAILSAFE, polled.status & PollStatus.FAILSAFE_BY_SAFE)
        self._parts.reporter.polled(polled.samples, failsafe=cause, round_trip_s=self._session.round_trip.smoothed_s)
        self._latched(cause)
        if polled.status & PollStatus.HOLD_LAPSED:
            self._parts.reporter.event("a hold ended: its output is at its safe value", level=logging.INFO)
        if self._up:
            self._open_gate()

    def _make_safe(self, asked: Ask) -> Procedure[None]:
        yield Request(Safe())
        self._parts.lane.safe_came()
        self._latched(FailsafeCause.SAFE)
        self._open_gate()
        asked.done.set_result(None)
        if not self._up:  # it interrupted the bring-up
            raise ProcedureFailed("SAFE came first")

    def _clear(self, asked: Ask | None) -> Procedure[None]:
        yield from ask(Clear())
        self._latched(None)
        self._open_gate()
        if asked is not None:
            asked.done.set_result(None)

    def _latched(self, cause: FailsafeCause | None) -> None:
        self._cause = cause
        if cause is FailsafeCause.SAFE:
            self._parts.queue.cancel_all()
        self._parts.reporter.failsafe(cause)

    def _open_gate(self) -> None:
        schema = self._parts.reporter.status.schema
        if self._cause is None and schema is not None:
            self._parts.queue.open(schema)
        elif self._cause is not None:
            why = "by SAFE" if self._cause is FailsafeCause.SAFE else "since the host was silent"
            self._parts.queue.refuse(latched(self._parts.board, why))


def _cause(latched: int, by_safe: int) -> FailsafeCause | None:
    if not latched:
        return None
    return FailsafeCause.SAFE if by_safe else FailsafeCause.LINK
