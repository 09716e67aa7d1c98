"""When to poll which group, and what a poll's reply means. Owned by the board thread."""

import logging

from gateway.board.clock import BoardClock
from gateway.board.latch import cause_in_poll
from gateway.board.procedure import Procedure, Request
from gateway.board.report import Reporter, unix_time
from gateway.board.schema import groups, unpack_group
from gateway.errors import SchemaError
from gateway.model import Channel, Clock, Sample, Schema
from gateway.protocol.events import Answered
from gateway.protocol.messages import Poll, PollReply, PollStatus

MISSES_TO_DEGRADE = 3  # polls in a row without an answer


class Poller:
    """Polls every group once per interval and publishes what comes. A lost poll is not repeated: the next is the
    retry."""

    def __init__(self, interval_s: float, *, reporter: Reporter, clock: Clock) -> None:
        self.due_s = 0.0
        self._interval_s = interval_s
        self._reporter = reporter
        self._clock = clock
        self._board_clock = BoardClock()
        self._groups: tuple[tuple[Channel, ...], ...] = ()
        self._next_group = 0
        self._left = 0
        self._regular_s = 0.0
        self._misses = 0

    def hurry(self, now_s: float) -> None:
        """A command ran: what it changed is worth a look as soon as nothing is more urgent."""
        self.due_s = min(self.due_s, now_s)

    @property
    def overdue_s(self) -> float:
        """From then on even commands have to let a poll pass."""
        return self.due_s + self._interval_s

    @property
    def group_count(self) -> int:
        """How many polls make one round."""
        return len(self._groups)

    def begin(self, schema: Schema, now_s: float) -> None:
        """Polls by this schema from now on."""
        self._groups = groups(schema) or ((),)
        self._next_group = 0
        self._left = len(self._groups)
        self._misses = 0
        self._board_clock.begin()
        self.due_s = self._regular_s = now_s

    def poll(self) -> Procedure[bool]:
        """Polls the group that is due and publishes its samples; False for a miss."""
        group = self._next_group
        exchange = yield Request(Poll(group), sends=1)
        answered = False
        match exchange:
            case Answered(reply=PollReply() as reply) if reply.group == group:
                answered = self._publish(exchange, reply)
        if not answered:
            self._missed()
        self._schedule_next(answered=answered)
        return answered

    def told_time(self, exchange: Answered, t_us: int) -> float:
        """An answer told the board's time. Gives the earliest monotonic second at which it can have been so."""
        if exchange.round_trip_s is None:  # sent more than once, and nobody knows which copy was answered
            return exchange.sent_s
        received_s = self._clock.monotonic()
        self._board_clock.exchange(t_us, sent_s=exchange.sent_s, received_s=received_s)
        return self._board_clock.earliest(t_us, sent_s=exchange.sent_s, received_s=received_s)

    def _schedule_next(self, *, answered: bool) -> None:
        """The next group at once; after the last one, or a miss, the next round when it is due."""
        now_s = self._clock.monotonic()
        if answered:
            self._next_group = (self._next_group + 1) % len(self._groups)
            self._left -= 1
            if self._left:
                self.due_s = now_s
                return
        if now_s >= self._regular_s:  # else this was a round out of turn
            self._regular_s = max(self._regular_s + self._interval_s, now_s)
        self._left = len(self._groups)
        self.due_s = self._regular_s

    def _publish(self, exchange: Answered, reply: PollReply) -> bool:
        try:
            values = unpack_group(self._groups[reply.group], reply.values)
        except SchemaError:
            return False
        # The board looks at its clock and samples then: no age made from that moment flatters.
        sampled_s = self.told_time(exchange, reply.t_us)
        time_s = unix_time(sampled_s, clock=self._clock)
        samples = {name: Sample(value, sampled_s, time_s) for name, value in values.items()}
        self._misses = 0
        self._reporter.polled(
            samples,
            failsafe=cause_in_poll(reply.status),
            round_trip_s=exchange.round_trip_s,
            clock=self._board_clock.estimate(),
        )
        if reply.status & PollStatus.HOLD_LAPSED:
            self._reporter.event("a hold ended: its output is at its safe value", level=logging.INFO)
        return True

    def _missed(self) -> None:
        self._misses += 1
        self._reporter.polls_missed += 1
        if self._misses >= MISSES_TO_DEGRADE:
            self._reporter.degraded(self._misses)
