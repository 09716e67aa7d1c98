"""The thread that owns one board: opens its port, keeps a conversation going, tries again for ever.

All waiting of the board thread happens here, in `Link.wait` while a port is open and in `Wake.wait` while none is.
Other threads reach it through the command queue, `stop`, and nothing else.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from gateway.board.absence import Absence
from gateway.board.backoff import Backoff
from gateway.board.bring_up import BringUp
from gateway.board.commands import CommandQueue, CommandRequest, Journal
from gateway.board.conversation import Conversation, Link, Parts
from gateway.board.describe import SchemaRecords
from gateway.board.identity import Identity
from gateway.board.lane import CommandLane
from gateway.board.latch import Latch
from gateway.board.on_connect import OnConnect
from gateway.board.poller import Poller
from gateway.board.report import Reporter, Sink
from gateway.board.sampler import Sampler
from gateway.board.streamer import SHORTEST_POLL_S, Streamer
from gateway.board.vitals import VitalsKeeper
from gateway.errors import BoardOffline, LinkError, WrongState
from gateway.heartbeat import Heartbeat
from gateway.link.arbiter import Finder, Found, PortArbiter, StillLooking
from gateway.link.serial_port import is_virtual, open_port
from gateway.link.wake import Wake
from gateway.link.wanted import Wanted
from gateway.model import BoardState, BoardStatus, Clock, Command, FailsafeCause, Mode, Reason
from gateway.protocol.connect import DEFAULT_BAUD, connect_plan
from gateway.protocol.session import Session, Terms, following_session

REOPEN_S = 0.1  # after a session was lost: the board is most likely still there
LOOKING_S = 0.5  # between two looks for a port that is not there, which cost next to nothing
SKETCH_FAILSAFE_S = 2.0  # a sketch's own limit of silence, unless it sets another; the shorter of the two counts
SIGNS_OF_LIFE = 4  # within the limit, so that one lost PING trips nothing

logger = logging.getLogger(__name__)


class Traits(Protocol):
    """What the connect procedure needs to know of an open port."""

    @property
    def answers_at_once(self) -> bool:
        """Opening did not reset the board."""
        ...

    @property
    def fixed_baud(self) -> bool:
        """The rate means nothing on this port."""
        ...


class OpenLink(Link, Protocol):
    """A link, and what kind of port it is."""

    @property
    def traits(self) -> Traits:
        """Known once it is open."""
        ...


Opener = Callable[..., OpenLink]
"""`open_port`, or a test's own: (url, *, baud, wake) -> OpenLink, raising LinkError."""


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """One board as configured; `baud` None tries the usual rates."""

    name: str
    port: str
    baud: int | None = DEFAULT_BAUD
    mode: Mode = Mode.POLL
    poll_interval_s: float = 0.1
    failsafe_after_s: float = 2.0
    failsafe_latch: bool = False
    link_timeout_s: float = 2.0
    settle_within_s: float = 600.0
    on_connect: tuple[CommandRequest, ...] = ()


class BoardWorker:
    """One board's thread. `start`, `stop` and `join` are for the main thread; all else runs in the thread itself.

    `under_way` and `latched` are what the journal kept of the gateway's last life: the command that was sent and not
    settled, and why the outputs were to stay latched.
    """

    def __init__(
        self,
        settings: BoardSettings,
        *,
        queue: CommandQueue,
        sink: Sink,
        journal: Journal,
        schemas: SchemaRecords,
        wake: Wake,
        under_way: Command | None = None,
        latched: FailsafeCause | None = None,
        absence: Absence | None = None,
        finder: Finder | None = None,
        clock: Clock = time,
        open_link: Opener = open_port,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._wake = wake
        self._clock = clock
        self._open_link = open_link
        self._finder = finder or PortArbiter([Wanted(settings.name, settings.port)]).finder(settings.name)
        self._told_found = ""
        self._backoff = Backoff(random=uniform)
        self._session_id = 1 + int(uniform() * 0xFFFFFFFE)
        self._stopping = threading.Event()
        self._absence = absence or Absence(wake=wake.set, clock=clock)
        self._thread = threading.Thread(target=self.run, name=f"board-{settings.name}", daemon=True)
        self.heartbeat = Heartbeat(self._thread.name, wake=wake.set)
        reporter = Reporter(initial_status(settings, latched=latched), sink=sink, clock=clock)
        lane = CommandLane(
            settings.name,
            queue=queue,
            journal=journal,
            reporter=reporter,
            clock=clock,
            settle_within_s=settings.settle_within_s,
        )
        if under_way is not None:
            lane.restore(under_way, clock.monotonic())
        latch = Latch(queue, lane, journal=journal, reporter=reporter, keeps_silence=settings.failsafe_latch)
        sampler = Sampler(reporter=reporter, clock=clock)
        poller = _source(settings, sampler=sampler, reporter=reporter, clock=clock)
        self._journal = journal
        self._parts = Parts(
            queue=queue,
            lane=lane,
            latch=latch,
            on_connect=OnConnect(settings.on_connect, queue=queue, reporter=reporter, clock=clock),
            poller=poller,
            sampler=sampler,
            reporter=reporter,
            vitals=VitalsKeeper(reporter=reporter, clock=clock),
            bring_up=BringUp(
                reporter=reporter,
                identity=Identity(self._finder, reporter=reporter, journal=journal, schemas=schemas),
                lane=lane,
                latch=latch,
                poller=poller,
                journal=journal,
                schemas=schemas,
                clock=clock,
            ),
            link_timeout_s=settings.link_timeout_s,
            keep_alive_s=min(settings.failsafe_after_s, SKETCH_FAILSAFE_S) / SIGNS_OF_LIFE,
        )

    def start(self) -> None:
        """Begins to work; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Asks the thread to end; returns at once."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        """Waits for the thread to end, if it was started; False where it has not by then."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # ---- the board thread ----

    def run(self) -> None:
        """The thread's whole life, until `stop`."""
        while not self._stopping.is_set():
            try:
                if self._away() is None:
                    self._rest(self._one_link())
                else:
                    self._stay_away()
            except Exception:  # a fault of ours must not leave the board without its thread
                logger.exception("%s: unexpected error; starting again", self._settings.name)
                self._recover()
        self._refuse(BoardOffline("the gateway is stopping"))
        self._absence.port_closed()
        self._absence.port_taken()

    def _recover(self) -> None:
        try:
            self._offline(LinkError(Reason.NO_ANSWER, "an unexpected error, see the gateway's log; trying again"))
        except Exception:
            logger.exception("%s: unexpected error while telling of one", self._settings.name)
        self._rest(self._backoff.next_s())

    def _one_link(self) -> float:
        """One attempt, from opening the port to losing it; gives the seconds to rest before the next."""
        try:
            found = self._finder.find()
        except StillLooking:
            return LOOKING_S
        except LinkError as error:
            self._parts.reporter.update(port=self._settings.port)
            self._offline(error)
            return LOOKING_S
        try:
            link = self._open_link(found.port, baud=self._settings.baud or DEFAULT_BAUD, wake=self._wake)
        except LinkError as error:
            return self._lost(error, established=False)
        self._tell_found(found)
        session = self._new_session(link.traits)
        try:
            return self._converse(link, Conversation(link, session, self._parts))
        finally:
            self._session_id = session.session_id
            link.close()

    def _converse(self, link: Link, conversation: Conversation) -> float:
        try:
            while not self._stopping.is_set() and self._away() is None:
                self.heartbeat.beat()
                conversation.step(self._clock.monotonic())
                deadline_s = conversation.deadline_s()
                link.wait(None if deadline_s is None else max(0.0, deadline_s - self._clock.monotonic()))
        except LinkError as error:
            return self._lost(error, established=conversation.established)
        return 0.0

    def _tell_found(self, found: Found) -> None:
        self._parts.reporter.update(port=found.port)
        if found.told and found.told != self._told_found:
            self._told_found = found.told
            self._parts.reporter.event(found.told, level=logging.INFO)

    def _lost(self, error: LinkError, *, established: bool) -> float:
        """Gives the seconds to rest; none, and nothing to tell, while another port may be the board's."""
        if not established and self._finder.in_vain(error):
            return 0.0
        self._offline(error)
        return self._pause_after(error.reason, established=established)

    def _new_session(self, traits: Traits) -> Session:
        self._session_id = following_session(self._session_id)
        plan = connect_plan(
            baud=self._settings.baud, answers_at_once=traits.answers_at_once, fixed_baud=traits.fixed_baud
        )
        return Session(
            plan,
            session_id=self._session_id,
            terms=self._terms,
            counters=self._parts.reporter.link,
            patience_s=self._settings.link_timeout_s,
            now_s=self._clock.monotonic(),
        )

    def _terms(self) -> Terms:
        return Terms(
            failsafe_ms=round(self._settings.failsafe_after_s * 1000),
            epoch=self._journal.epoch(self._settings.name),
            unix_time=int(self._clock.time()),
        )

    def _offline(self, error: LinkError) -> None:
        why = f"board {self._settings.name} is offline, {error.reason}: {error}"
        self._refuse(BoardOffline(why))
        self._parts.lane.lost(self._clock.monotonic())
        self._parts.reporter.went_offline(error.reason, str(error))

    def _refuse(self, refusal: BoardOffline | WrongState) -> None:
        """Neither commands nor orders can be carried out now."""
        self._parts.queue.refuse(refusal)
        self._parts.queue.orders.went_offline(str(refusal))

    def _pause_after(self, reason: Reason, *, established: bool) -> float:
        if established and reason is not Reason.PORT_BUSY:
            self._backoff.reset()
            return REOPEN_S
        if reason is Reason.PORT_MISSING:
            return LOOKING_S
        return self._backoff.next_s()

    def _rest(self, pause_s: float) -> None:
        """Waits between two attempts; commands still end at their deadlines."""
        until_s = self._clock.monotonic() + pause_s
        while not self._stopping.is_set() and self._away() is None and self._clock.monotonic() < until_s:
            self._wait(until_s)

    def _away(self) -> BoardState | None:
        return self._absence.state(self._clock.monotonic())

    def _stay_away(self) -> None:
        """Somebody else has the port; queued commands wait, or end at their deadlines."""
        shown: BoardState | None = None
        self._parts.lane.lost(self._clock.monotonic())
        while not self._stopping.is_set() and (state := self._away()) is not None:
            if state is not shown:
                self._tell_away(state)
            shown = state
            self._absence.port_closed()
            self._wait(self._absence.until_s)
        self._backoff.reset()
        what = "its port is taken back"
        self._refuse(BoardOffline(f"board {self._settings.name} is connecting: {what}"))
        self._parts.reporter.update(state=BoardState.CONNECTING, detail=what)
        self._parts.reporter.event(what, level=logging.INFO)
        self._absence.port_taken()

    def _tell_away(self, state: BoardState) -> None:
        name, port = self._settings.name, self._parts.reporter.status.port
        detail = f"its port {port} is let go; POST /api/v1/boards/{name}/resume takes it back"
        self._refuse(WrongState(f"board {name} is {state}: {detail}"))
        self._parts.reporter.went_away(state, detail)

    def _wait(self, until_s: float) -> None:
        """Until then, a wake, or a command's end: those come without a port too."""
        queue, lane, now_s = self._parts.queue, self._parts.lane, self._clock.monotonic()
        self.heartbeat.beat()
        queue.expire(now_s)
        lane.give_up(now_s)
        moments = [each for each in (queue.next_deadline_s(), lane.deadline_s, until_s) if each not in (None, inf)]
        self._wake.wait(max(0.0, min(moments) - now_s) if moments else None)


def _source(settings: BoardSettings, *, sampler: Sampler, reporter: Reporter, clock: Clock) -> Poller | Streamer:
    """Where readings come from. A board that can't stream is polled, no faster than any."""
    interval_s = settings.poll_interval_s
    if settings.mode is Mode.POLL:
        return Poller(interval_s, sampler=sampler, reporter=reporter, clock=clock)
    poller = Poller(max(interval_s, SHORTEST_POLL_S), sampler=sampler, reporter=reporter, clock=clock)
    return Streamer(interval_s, poller=poller, sampler=sampler, reporter=reporter, clock=clock)


def initial_status(settings: BoardSettings, *, latched: FailsafeCause | None = None) -> BoardStatus:
    """What is known of a board before its thread has begun."""
    return BoardStatus(settings.name, is_virtual(settings.port), settings.port, mode=settings.mode, failsafe=latched)
