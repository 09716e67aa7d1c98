"""When to poll which group, and what a poll's reply means. Owned by the board thread."""

from dataclasses import dataclass

from gateway.board.procedure import Procedure, Request
from gateway.board.schema import groups, unpack_group
from gateway.errors import SchemaError
from gateway.model import Channel, Clock, Sample, Schema
from gateway.protocol.events import Answered
from gateway.protocol.messages import Poll, PollReply

MISSES_TO_DEGRADE = 3  # polls in a row without an answer


@dataclass(frozen=True, slots=True)
class Polled:
    """One answered poll: the board's status bits, and its samples by channel name."""

    status: int
    samples: dict[str, Sample]


class Poller:
    """Polls every group once per interval. A lost poll is not repeated: the next one is the retry."""

    def __init__(self, interval_s: float, *, clock: Clock) -> None:
        self.due_s = 0.0
        self.misses = 0
        self.missed = 0
        """Unanswered polls: in a row, and in all."""
        self._interval_s = interval_s
        self._clock = clock
        self._groups: tuple[tuple[Channel, ...], ...] = ()
        self._next_group = 0
        self._round_s = 0.0

    @property
    def degraded(self) -> bool:
        """True after three misses in a row."""
        return self.misses >= MISSES_TO_DEGRADE

    def begin(self, schema: Schema, now_s: float) -> None:
        """A session stands: polls from now on, by this schema."""
        self._groups = groups(schema) or ((),)
        self._next_group = 0
        self.misses = 0
        self.due_s = self._round_s = now_s

    @property
    def group_count(self) -> int:
        """How many polls make one round."""
        return len(self._groups)

    def poll(self) -> Procedure[Polled | None]:
        """Polls the group that is due; None for a miss."""
        group = self._next_group
        exchange = yield Request(Poll(group), sends=1)
        self._schedule_next()
        match exchange:
            case Answered(reply=PollReply() as reply) if reply.group == group:
                samples = self._samples(exchange, reply)
                if samples is not None:
                    self.misses = 0
                    return Polled(reply.status, samples)
        self.misses += 1
        self.missed += 1
        return None

    def _schedule_next(self) -> None:
        self._next_group = (self._next_group + 1) % len(self._groups)
        now_s = self._clock.monotonic()
        if self._next_group == 0:
            self._round_s = max(self._round_s + self._interval_s, now_s)
        self.due_s = self._round_s

    def _samples(self, exchange: Answered, reply: PollReply) -> dict[str, Sample] | None:
        try:
            values = unpack_group(self._groups[reply.group], reply.values)
        except SchemaError:
            return None
        # Stamped with the moment the poll was sent: the board sampled later, so no age made from it flatters.
        time_s = self._clock.time() - (self._clock.monotonic() - exchange.sent_s)
        return {name: Sample(value, exchange.sent_s, time_s) for name, value in values.items()}
