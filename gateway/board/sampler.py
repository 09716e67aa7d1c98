"""What a board says of its readings, made into published samples. Owned by the board thread.

Poller and Streamer get the values in two ways; here both become the same: unpacked by the schema, stamped by the
board's clock, told to the reporter with what the board says of itself.
"""

from math import isinf

from gateway.board.clock import BoardClock
from gateway.board.latch import cause_in_poll
from gateway.board.report import Reporter, unix_time
from gateway.board.schema import groups, unpack_group
from gateway.errors import SchemaError
from gateway.model import Channel, Clock, Sample, Schema, Value
from gateway.protocol.events import Answered
from gateway.protocol.messages import PollReply, Telemetry


class Sampler:
    """The samples of one board, whoever asks for them."""

    def __init__(self, *, reporter: Reporter, clock: Clock) -> None:
        self._reporter = reporter
        self._clock = clock
        self._board_clock = BoardClock()
        self._groups: tuple[tuple[Channel, ...], ...] = ()
        self._round_trip_s: float | None = None

    @property
    def group_count(self) -> int:
        """How many groups make all readings."""
        return len(self._groups)

    def begin(self, schema: Schema) -> None:
        """A session of a board with this schema begins."""
        self._groups = groups(schema) or ((),)
        self._board_clock.begin()

    def told_time(self, exchange: Answered, t_us: int) -> float:
        """An answer told the board's time. Gives the earliest monotonic second at which it can have been so."""
        if exchange.round_trip_s is None:  # sent more than once, and nobody knows which copy was answered
            return exchange.sent_s
        self._round_trip_s = exchange.round_trip_s
        received_s = self._clock.monotonic()
        self._board_clock.exchange(t_us, sent_s=exchange.sent_s, received_s=received_s)
        return self._board_clock.earliest(t_us, sent_s=exchange.sent_s, received_s=received_s)

    def answered(self, exchange: Answered, reply: PollReply) -> bool:
        """A poll's reply; False where its values are not as the board described them."""
        values = self._values(reply)
        if values is None:
            return False
        # The board looks at its clock and samples then: no age made from that moment flatters.
        self._publish(reply, values, sampled_s=self.told_time(exchange, reply.t_us))
        return True

    def heard(self, event: Telemetry) -> bool:
        """Values that no request asked for; False likewise, and where nothing tells how old they are."""
        values = self._values(event)
        sampled_s = self._board_clock.earliest(event.t_us, received_s=self._clock.monotonic())
        if values is None or isinf(sampled_s):
            return False
        self._publish(event, values, sampled_s=sampled_s)
        return True

    def _values(self, said: PollReply | Telemetry) -> dict[str, Value | None] | None:
        try:
            return unpack_group(self._groups[said.group], said.values)
        except (IndexError, SchemaError):
            return None

    def _publish(self, said: PollReply | Telemetry, values: dict[str, Value | None], *, sampled_s: float) -> None:
        time_s = unix_time(sampled_s, clock=self._clock)
        self._reporter.sampled(
            {name: Sample(value, sampled_s, time_s) for name, value in values.items()},
            failsafe=cause_in_poll(said.status),
            round_trip_s=self._round_trip_s,
            clock=self._board_clock.estimate(),
        )
