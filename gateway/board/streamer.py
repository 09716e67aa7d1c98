"""Readings that the board sends by itself, under a lease (PROTOCOL.md, "Stream"). Owned by the board thread.

Has the face of the Poller, and asks it for what only a poll can do: the first readings of a session, a look after a
command, and everything on a board that can't stream. The lease is renewed at half its length, so that a dead gateway
silences the board; the requests for it are all that a stream takes of the line's one exchange.
"""

import logging
from math import inf

from gateway.board.clock import RESONATOR_ERROR, WRAP_US
from gateway.board.poller import Poller
from gateway.board.procedure import Procedure, Request, error_name
from gateway.board.report import Reporter
from gateway.board.sampler import Sampler
from gateway.model import Clock, Mode, Schema
from gateway.protocol.events import Answered, EventReceived, Refused
from gateway.protocol.messages import ALL_GROUPS, PollStatus, Stream, Telemetry

LEASE_S = 2.0  # how long a board streams to a dead gateway
LEASE_UNIT_S = 0.1  # of the request
RENEWED_S = LEASE_S / 2
OVERDUE_S = LEASE_S / 8  # so long a renewal waits for commands
QUIET_PERIODS, QUIET_S = 3, 0.3  # without a sample, whichever is longer, the board is degraded; as long as a first RTO
SOON_S = 0.1  # a sample that comes by then is as good as a look out of turn
SHORTEST_POLL_S = 0.005  # where it can't stream
SEQ_WRAP = 256


class Streamer:
    """Keeps a board streaming its groups, one after another, so that each comes once per interval."""

    def __init__(
        self, interval_s: float, *, poller: Poller, sampler: Sampler, reporter: Reporter, clock: Clock
    ) -> None:
        self._interval_s = interval_s
        self._poller = poller
        self._sampler = sampler
        self._reporter = reporter
        self._clock = clock
        self._gaps = Gaps()
        self._forget()

    @property
    def due_s(self) -> float:
        """When there is something to ask for."""
        return min(self._asking_s, self._poller.due_s if self._polls_left or self._cannot else inf)

    @property
    def overdue_s(self) -> float:
        """From then on even commands have to let a request pass."""
        return self._poller.overdue_s if self._cannot else self._asking_s + OVERDUE_S

    @property
    def group_count(self) -> int:
        """How many polls make one round."""
        return self._sampler.group_count

    def hurry(self, now_s: float) -> None:
        """A command ran: what it changed is worth a look, unless it comes soon by itself."""
        if self._cannot or self._interval_s > SOON_S:
            self._look(now_s, polls=self.group_count)

    def begin(self, schema: Schema, now_s: float) -> None:
        """Polls every group once by this schema, then streams."""
        self._forget()
        self._poller.begin(schema, now_s)
        self._polls_left = self.group_count
        self._period_ms = max(1, round(self._interval_s * 1000 / self.group_count))

    def poll(self) -> Procedure[bool]:
        """Asks for what is due: the stream, or one group out of turn; False for a miss."""
        if self._clock.monotonic() >= self._asking_s:
            return (yield from self._ask())
        answered = yield from self._poller.poll()
        self._polls_left = max(0, self._polls_left - answered)
        if not self._polls_left and self._since_s is None and not self._cannot:
            self._renewal_s = self._clock.monotonic()
            self._quiet_s = self._renewal_s + self._patience_s
        return answered

    def take(self, event: EventReceived) -> bool:
        """An event came; True where it was a sample, which is published then."""
        message = event.message
        if not isinstance(message, Telemetry):
            self._gaps.other()
            return False
        if self._since_s is None or self._gaps.is_old(message.t_us) or not self._sample(event.seq, message):
            self._reporter.link.frames_unexpected += 1
            return False
        return True

    # ---- inside ----

    def _sample(self, seq: int, message: Telemetry) -> bool:
        self._reporter.samples_skipped += self._gaps.before(seq, message.t_us, period_ms=self._period_ms)
        if not self._sampler.heard(message):
            return False
        now_s = self._clock.monotonic()
        self._quiet_s = now_s + self._patience_s
        if message.status & PollStatus.HOLD_LAPSED:  # only a poll's reply takes it back, and tells of it once
            self._look(now_s, polls=1)
        return True

    def _forget(self) -> None:
        self._granted = self._cannot = False
        self._polls_left = 0
        self._period_ms = 1
        self._since_s: float | None = None  # a request was sent that the board, if it streams, has known ever since
        self._renewal_s = self._quiet_s = inf
        self._gaps.begin()

    @property
    def _asking_s(self) -> float:
        return min(self._renewal_s, self._quiet_s)

    @property
    def _patience_s(self) -> float:
        return max(QUIET_PERIODS * self._period_ms / 1000, QUIET_S)

    def _look(self, now_s: float, *, polls: int) -> None:
        self._polls_left = max(self._polls_left, polls)
        self._poller.hurry(now_s)

    def _ask(self) -> Procedure[bool]:
        """Asks for the stream, or for more of it. A lost request is not repeated: the next is the retry."""
        asked_s = self._clock.monotonic()
        if asked_s >= self._quiet_s:
            self._reporter.degraded(f"no sample came for {self._patience_s:g} s")
            self._quiet_s = asked_s + self._patience_s
        if self._since_s is None:
            self._since_s = asked_s
        exchange = yield Request(Stream(ALL_GROUPS, self._period_ms, round(LEASE_S / LEASE_UNIT_S)), sends=1)
        match exchange:
            case Answered():
                self._grant(exchange.sent_s, since_s=self._since_s)
                return True
            case Refused(error=error):
                self._refuse(error_name(error.code))
            case _:
                self._reporter.missed_poll()
                self._renewal_s = self._clock.monotonic()
        return False

    def _grant(self, sent_s: float, *, since_s: float) -> None:
        now_s = self._clock.monotonic()
        if now_s >= since_s + LEASE_S * (1 - RESONATOR_ERROR):
            self._gaps.begin()  # the former lease may be over, and then another beat has begun
            self._quiet_s = now_s + self._patience_s
        if not self._granted:
            self._reporter.update(mode=Mode.STREAM)
        self._granted = True
        self._since_s = sent_s
        self._renewal_s = sent_s + RENEWED_S

    def _refuse(self, why: str) -> None:
        """Once in a lease it is asked for anew; at first it means that the board can't."""
        now_s = self._clock.monotonic()
        if self._granted:
            self._granted, self._renewal_s = False, now_s
            return
        self._forget()
        self._cannot = True
        self._poller.hurry(now_s)
        self._reporter.update(mode=Mode.POLL)
        self._reporter.event(f"this board can't stream ({why}): it is polled instead", level=logging.WARNING)


class Gaps:
    """What is missing between the samples of one lease, by the numbers of events: every beat uses one up, sent or
    not, and so does every LOG and CHANGE."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Nobody knows what came before the next sample."""
        self._former: tuple[int, int] | None = None
        self._others = 0

    def other(self) -> None:
        """An event that is no sample came."""
        self._others += 1

    def is_old(self, t_us: int) -> bool:
        """This sample is no later than the former: it came twice, or late."""
        return self._former is not None and not 0 < (t_us - self._former[1]) % WRAP_US < WRAP_US // 2

    def before(self, seq: int, t_us: int, *, period_ms: int) -> int:
        """A sample came: how many beats since the former gave none. Numbers wrap; how often, the board's clock
        tells."""
        former, others = self._former, self._others
        self._former, self._others = (seq, t_us), 0
        if former is None:
            return 0
        numbers = (seq - former[0]) % SEQ_WRAP
        beats = (t_us - former[1]) % WRAP_US / (period_ms * 1000)
        wraps = max(0, round((beats + others - numbers) / SEQ_WRAP))
        return max(0, numbers + wraps * SEQ_WRAP - others - 1)
