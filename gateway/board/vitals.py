"""What the board counts itself: asked for now and then, when nothing else is to be done. Owned by the board thread."""

from gateway.board.procedure import Procedure, Request
from gateway.board.report import Reporter
from gateway.model import BoardVitals, Clock
from gateway.protocol.events import Answered
from gateway.protocol.messages import Stats, StatsReply

INTERVAL_S = 10.0


class VitalsKeeper:
    """Asks STATS once per interval. An answer that is lost is not missed: the next comes soon enough."""

    def __init__(self, *, reporter: Reporter, clock: Clock) -> None:
        self.due_s = 0.0
        self._reporter = reporter
        self._clock = clock

    def begin(self, now_s: float) -> None:
        """A session stands."""
        self.due_s = now_s

    def ask(self) -> Procedure[None]:
        """One exchange."""
        exchange = yield Request(Stats(), sends=1)
        self.due_s = self._clock.monotonic() + INTERVAL_S
        if isinstance(exchange, Answered) and isinstance(exchange.reply, StatsReply):
            reply = exchange.reply
            self._reporter.update(
                vitals=BoardVitals(
                    frames_received=reply.rx_good,
                    frames_rejected=reply.rx_bad,
                    overruns=reply.overruns,
                    loop_max_s=reply.loop_max_us / 1e6,
                    free_ram=reply.free_ram,
                )
            )
