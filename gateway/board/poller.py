"""When to poll which group, and what a poll's reply means. Owned by the board thread."""

import logging

from gateway.board.procedure import Procedure, Request
from gateway.board.report import Reporter
from gateway.board.sampler import Sampler
from gateway.model import Clock, Schema
from gateway.protocol.events import Answered, EventReceived
from gateway.protocol.messages import Poll, PollReply, PollStatus, Telemetry

MISSES_TO_DEGRADE = 3  # polls in a row without an answer


class Poller:
    """Polls every group once per interval and publishes what comes. A lost poll is not repeated: the next is the
    retry."""

    def __init__(self, interval_s: float, *, sampler: Sampler, reporter: Reporter, clock: Clock) -> None:
        self.due_s = 0.0
        self._interval_s = interval_s
        self._sampler = sampler
        self._reporter = reporter
        self._clock = clock
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
        return self._sampler.group_count

    def begin(self, schema: Schema, now_s: float) -> None:
        """Polls by this schema from now on."""
        self._sampler.begin(schema)
        self._next_group = 0
        self._left = self.group_count
        self._misses = 0
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

    def take(self, event: EventReceived) -> bool:
        """Nobody asked for telemetry: always False."""
        self._reporter.link.frames_unexpected += isinstance(event.message, Telemetry)
        return False

    def _schedule_next(self, *, answered: bool) -> None:
        """The next group at once; after the last one, or a miss, the next round when it is due."""
        now_s = self._clock.monotonic()
        if answered:
            self._next_group = (self._next_group + 1) % self.group_count
            self._left -= 1
            if self._left:
                self.due_s = now_s
                return
        if now_s >= self._regular_s:  # else this was a round out of turn
            self._regular_s = max(self._regular_s + self._interval_s, now_s)
        self._left = self.group_count
        self.due_s = self._regular_s

    def _publish(self, exchange: Answered, reply: PollReply) -> bool:
        if not self._sampler.answered(exchange, reply):
            return False
        self._misses = 0
        if reply.status & PollStatus.HOLD_LAPSED:
            self._reporter.event("a hold ended: its output is at its safe value", level=logging.INFO)
        return True

    def _missed(self) -> None:
        self._misses += 1
        self._reporter.missed_poll()
        if self._misses >= MISSES_TO_DEGRADE:
            self._reporter.degraded(f"{self._misses} polls in a row were not answered")
