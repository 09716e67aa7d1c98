"""What the board counts itself: asked for now and then, when nothing else is to be done. Owned by the board thread."""

from collections import deque
from dataclasses import dataclass

from gateway.board.procedure import Procedure, Request
from gateway.board.report import Reporter
from gateway.model import BoardVitals, Clock, LineHealth
from gateway.protocol.events import Answered
from gateway.protocol.messages import Stats, StatsReply

INTERVAL_S = 10.0
KEPT = 61  # of which the first and the last are ten minutes apart
WRAP = 2**16  # of the board's counters; no line carries so many frames between two answers


@dataclass(frozen=True, slots=True)
class _Count:
    """Frames so far: those of the board since the session began."""

    at_s: float
    sound_here: int
    rejected_here: int
    sound_there: int
    rejected_there: int


class VitalsKeeper:
    """Asks STATS once per interval. An answer that is lost is not missed: the next comes soon enough."""

    def __init__(self, *, reporter: Reporter, clock: Clock) -> None:
        self.due_s = 0.0
        self._reporter = reporter
        self._clock = clock
        self._former: StatsReply | None = None
        self._counts: deque[_Count] = deque(maxlen=KEPT)

    def begin(self, now_s: float) -> None:
        """A session stands: what was counted before may be another board's, or another sketch's."""
        self.due_s = now_s
        self._former = None
        self._counts.clear()

    def ask(self) -> Procedure[None]:
        """One exchange."""
        exchange = yield Request(Stats(), sends=1)
        self.due_s = self._clock.monotonic() + INTERVAL_S
        if isinstance(exchange, Answered) and isinstance(exchange.reply, StatsReply):
            reply = exchange.reply
            self._count(reply)
            self._reporter.update(
                vitals=BoardVitals(
                    frames_received=reply.rx_good,
                    frames_rejected=reply.rx_bad,
                    overruns=reply.overruns,
                    loop_max_s=reply.loop_max_us / 1e6,
                    free_ram=reply.free_ram,
                    line=self._line(),
                )
            )

    def _count(self, reply: StatsReply) -> None:
        former, link = self._former or reply, self._reporter.link
        sound, rejected = (self._counts[-1].sound_there, self._counts[-1].rejected_there) if self._counts else (0, 0)
        sound += (reply.rx_good - former.rx_good) % WRAP
        rejected += (reply.rx_bad - former.rx_bad) % WRAP
        now_s = self._clock.monotonic()
        self._counts.append(_Count(now_s, link.frames_received, link.frames_rejected, sound, rejected))
        self._former = reply

    def _line(self) -> LineHealth | None:
        """None until there are two answers."""
        first, last = self._counts[0], self._counts[-1]
        if first is last:
            return None
        here = last.rejected_here - first.rejected_here
        there = last.rejected_there - first.rejected_there
        return LineHealth(
            frames_here=last.sound_here - first.sound_here + here,
            rejected_here=here,
            frames_there=last.sound_there - first.sound_there + there,
            rejected_there=there,
            span_s=last.at_s - first.at_s,
        )
