"""One life of a link: drives the session, and chooses what to ask the board next.

The session decides about the line; this decides the order of things: SAFE first, then a session is brought up, then a
command under way, orders, polls that can wait no longer, new commands, polls. Runs in the board thread; waits nowhere.
"""

import logging
from dataclasses import dataclass
from typing import Protocol

from gateway.board.bring_up import BringUp
from gateway.board.commands import CommandQueue
from gateway.board.lane import CommandLane
from gateway.board.latch import Latch
from gateway.board.on_connect import OnConnect
from gateway.board.poller import Poller
from gateway.board.procedure import BeginAgain, Procedure, ProcedureFailed, Request, Within
from gateway.board.report import Reporter
from gateway.board.sampler import Sampler
from gateway.board.streamer import Streamer
from gateway.board.vitals import VitalsKeeper
from gateway.errors import BoardOffline, LinkError, SchemaError
from gateway.model import BoardState, Reason
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
from gateway.protocol.messages import HelloReply, Log, Ping, PingReply
from gateway.protocol.session import Session

CONTENTION_S = 10.0  # two lost sessions within this, without a reset, are another writer's work
FAILURES_ALLOWED = 3  # procedures in a row that fail before the link is given up


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

    queue: CommandQueue
    lane: CommandLane
    latch: Latch
    on_connect: OnConnect
    poller: Poller | Streamer
    sampler: Sampler
    reporter: Reporter
    vitals: VitalsKeeper
    bring_up: BringUp
    link_timeout_s: float
    keep_alive_s: float
    """After so long without a request a PING goes out, lest the board takes us for dead."""


class Conversation:
    """Drives one session on one link. `step` raises LinkError when this link has to be given up."""

    def __init__(self, link: Link, session: Session, parts: Parts) -> None:
        self.established = False
        """True once the board was online on this link."""
        self._link = link
        self._session = session
        self._parts = parts
        self._procedure: Procedure[None] | None = None
        self._request: Request | None = None
        self._awaited: Within | None = None
        self._awaited_until_s = 0.0
        self._making_safe = False
        self._up = False
        self._failures = 0
        self._lost_s = self._sent_s = float("-inf")

    def step(self, now_s: float) -> None:
        """Takes what has come, does what is due, asks what is next."""
        self._session.receive(self._link.read(), now_s)
        self._session.advance(now_s)
        self._parts.queue.expire(now_s)
        if not self._session.is_open:
            self._parts.lane.give_up(now_s)
        self._drain(now_s)
        while self._go_on(now_s):
            self._drain(now_s)
        silent_at_s = self._silent_at_s()
        if silent_at_s is not None and now_s >= silent_at_s:
            detail = f"the board has not answered for {self._parts.link_timeout_s:g} s; trying again"
            raise LinkError(Reason.NO_ANSWER, detail)

    def deadline_s(self) -> float | None:
        """The moment by which `step` must be called again."""
        moments = [self._session.deadline_s, self._parts.queue.next_deadline_s(), self._silent_at_s()]
        if not self._session.is_open:
            moments.append(self._parts.lane.deadline_s)
        if self._session.idle:
            moments.append(self._sent_s + self._parts.keep_alive_s)
        if self._awaited is not None:
            moments.append(self._awaited_until_s)
        if self._up and self._session.idle and self._procedure is None:
            moments += [self._parts.poller.due_s, self._parts.vitals.due_s]
            if self._may_begin:
                moments.append(self._parts.on_connect.due_s)
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def _may_begin(self) -> bool:
        return self._parts.latch.is_open and not self._parts.lane.barred

    def _silent_at_s(self) -> float | None:
        since_s = self._session.unanswered_since_s
        return since_s + self._parts.link_timeout_s if self._session.is_open and since_s is not None else None

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
            case Answered(reply=PingReply(t_us=t_us)):
                self._parts.sampler.told_time(event, t_us)
            case Refused(request=Ping()) | TimedOut(request=Ping()):
                pass  # a sign of life is all it was for
            case Answered() | Refused() | TimedOut():
                self._resume(event, now_s)
            case Opened(hello, baud):
                self._opened(hello, baud, now_s)
            case Unanswered(reason, detail):
                raise LinkError(reason, detail)
            case BoardReset():
                self._parts.reporter.was_reset()
                self._session_ended("the board was reset", now_s)
            case SessionLost():
                self._session_lost(now_s)
            case LineReceived(line):
                self._parts.reporter.line(line)
            case EventReceived():
                self._take(event)

    def _take(self, event: EventReceived) -> None:
        if isinstance(event.message, Log):
            self._parts.reporter.line(event.message.text.decode(errors="replace"))
        if self._parts.poller.take(event) and self._up:
            self._parts.latch.set_gate()

    def _opened(self, hello: HelloReply, baud: int, now_s: float) -> None:
        if not self._session.is_open:
            return  # the board was reset again, in the same breath
        self._sent_s = now_s
        self._parts.queue.orders.came_back()
        self._parts.reporter.greeted(hello, baud=baud, now_s=now_s)
        self._start(self._bring_up(hello), now_s)

    def _session_ended(self, what: str, now_s: float) -> None:
        self._abandon()
        self._up = False
        self._parts.lane.lost(now_s)
        board = self._parts.reporter.status.board
        self._parts.queue.refuse(BoardOffline(f"board {board} is connecting: {what}"))
        self._parts.reporter.update(state=BoardState.CONNECTING, reason=None, detail=what, clock=None, vitals=None)
        self._parts.reporter.event(what, level=logging.WARNING)

    def _session_lost(self, now_s: float) -> None:
        if now_s - self._lost_s < CONTENTION_S:
            detail = "another program writes to this port (a serial monitor?): close it"
            raise LinkError(Reason.PORT_BUSY, detail)
        self._lost_s = now_s
        self._session_ended("the board no longer knows the session", now_s)

    # ---- procedures ----

    def _start(self, procedure: Procedure[None], now_s: float) -> None:
        self._abandon()
        self._procedure = procedure
        self._resume(None, now_s)

    def _abandon(self) -> None:
        if self._procedure is not None:
            self._procedure.close()
        self._procedure = self._request = self._awaited = None
        self._making_safe = False

    def _resume(self, exchange: Exchange | None, now_s: float) -> None:
        if self._procedure is None:
            return
        try:
            step = self._procedure.send(exchange)
        except StopIteration:
            self._procedure = None
            self._making_safe = False
        except (ProcedureFailed, BeginAgain) as error:
            self._procedure = None
            self._begin_again(error, now_s)
        except SchemaError as error:
            raise LinkError(Reason.SCHEMA_REFUSED, f"what the sketch offers can't be published: {error}") from error
        else:
            self._go_for(step, now_s)

    def _go_for(self, step: Request | Within, now_s: float) -> None:
        if isinstance(step, Request):
            self._request = step
            self._send_request(now_s)
        else:
            self._awaited, self._awaited_until_s = step, now_s + step.timeout_s
            step.future.add_done_callback(lambda _future: self._parts.queue.wake())

    def _send_request(self, now_s: float) -> None:
        """Sends what the procedure asks, now or once a PING is answered; SAFE waits for nobody."""
        request = self._request
        if request is not None and (self._session.idle or (self._making_safe and self._session.is_open)):
            self._request = None
            self._sent_s = now_s
            self._session.send(request.message, now_s, sends=request.sends, not_after_s=request.not_after_s)

    def _begin_again(self, error: ProcedureFailed | BeginAgain, now_s: float) -> None:
        self._failures += isinstance(error, ProcedureFailed)
        if self._failures >= FAILURES_ALLOWED:
            raise LinkError(Reason.NO_ANSWER, f"the board says HELLO and then fails: {error}") from error
        self._session_ended(str(error), now_s)
        self._session.renew(now_s)

    # ---- what is next ----

    def _go_on(self, now_s: float) -> bool:
        """Starts or resumes the most urgent thing that can go on; False when there is nothing to do now."""
        if self._session.is_open and self._parts.latch.safe_due and not self._making_safe:
            self._abandon()
            self._making_safe = True
            self._procedure = self._make_safe()
            self._resume(None, now_s)
            return True
        if self._awaited is not None and (self._awaited.future.done() or now_s >= self._awaited_until_s):
            self._awaited = None
            self._resume(None, now_s)
            return True
        if self._request is not None and self._session.idle:
            self._send_request(now_s)
            return True
        if self._procedure is None and self._up:
            return self._begin_next(now_s) or self._keep_alive(now_s)
        return self._keep_alive(now_s)

    def _begin_next(self, now_s: float) -> bool:
        if not self._session.idle:
            return False
        if self._parts.lane.needs_hello:
            self._up = False
            self._session.renew(now_s)
            return True
        procedure = self._next_procedure(now_s)
        if procedure is not None:
            self._start(procedure, now_s)
        return procedure is not None

    def _next_procedure(self, now_s: float) -> Procedure[None] | None:
        lane, latch, poller = self._parts.lane, self._parts.latch, self._parts.poller
        if now_s >= poller.overdue_s:
            return self._poll()
        if lane.occupied and lane.ready(now_s):
            return self._run_command()
        if latch.clear_due and not lane.occupied:
            return latch.clear()
        if self._may_begin:
            self._parts.on_connect.enter()
            if lane.ready(now_s):
                return self._run_command()
        if now_s >= poller.due_s:
            return self._poll()
        return self._parts.vitals.ask() if now_s >= self._parts.vitals.due_s else None

    def _keep_alive(self, now_s: float) -> bool:
        if self._session.idle and now_s >= self._sent_s + self._parts.keep_alive_s:
            self._sent_s = now_s
            self._session.send(Ping(0), now_s, sends=1)
            return True
        return False

    def _bring_up(self, hello: HelloReply) -> Procedure[None]:
        yield from self._parts.bring_up.run(hello)
        self._up = self.established = True
        self._parts.on_connect.connected()
        self._parts.vitals.begin(self._sent_s)
        self._failures = 0

    def _run_command(self) -> Procedure[None]:
        yield from self._parts.lane.run()
        self._parts.poller.hurry(self._sent_s)

    def _poll(self) -> Procedure[None]:
        if (yield from self._parts.poller.poll()):
            self._parts.latch.set_gate()

    def _make_safe(self) -> Procedure[None]:
        yield from self._parts.latch.make_safe()
        if not self._up:  # the bring-up was interrupted, perhaps in the middle of a command
            raise BeginAgain("SAFE came first")
