"""A board's clock against the host's: when, by the host's seconds, its `micros()` said this (PROTOCOL.md, "Time").

Pure; owned by the board thread. A resonator runs off by thousands of ppm, so the rate is estimated with the offset: a
straight line through the exchanges with the smallest round trips. In each of these the board read its clock at some
moment between sending and receiving, so each lies off the true line by half its round trip at most, and the bound of
the estimate follows from these alone: it supposes a steady rate, and nothing of how the line delays.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Self

from gateway.model import ClockEstimate

RING = 64  # exchanges that are looked at
SPACING_S = 1.0  # of each such time the best enters the ring, so that it spans a minute, as a good rate needs
FEWEST = 8  # exchanges before there is an estimate
KEPT_SHARE, KEPT_FEWEST = 4, 4  # the line goes through the best quarter of the ring
MAX_GAP_S = 3600.0  # after a longer silence nobody knows how often micros() wrapped
WRAP_US = 2**32
RESONATOR_ERROR = 0.01  # board clocks run off by up to 0.2 %
RESOLUTION_S = 1e-5  # micros() counts in steps of 4 us at 16 MHz, of 8 at 8 MHz


@dataclass(frozen=True, slots=True)
class Exchange:
    """The board's clock said `board_s` at `host_s`, give or take `error_s`."""

    board_s: float
    host_s: float
    error_s: float


@dataclass(frozen=True, slots=True)
class Line:
    """Least squares through exchanges: host seconds over board seconds, both told from the middle of them all.

    Height and slope are sums of the exchanges' host seconds with weights that follow from the board's seconds alone, so
    their errors are such sums of the exchanges' errors, and so are the bounds. `pulls` has for each exchange how much a
    second of its error turns the line, and the bound of that error.
    """

    board_s: float
    host_s: float
    slope: float
    pulls: tuple[tuple[float, float], ...]
    rate_ppm: float
    """How much faster the board's clock runs than the host's."""
    rate_error_ppm: float

    @classmethod
    def through(cls, exchanges: Sequence[Exchange]) -> Self | None:
        """None where the board's clock stands still. Else the slope is above 0: exchanges don't overlap."""
        if len({x.board_s for x in exchanges}) == 1:
            return None
        board_s, host_s = fmean(x.board_s for x in exchanges), fmean(x.host_s for x in exchanges)
        squares = sum((x.board_s - board_s) ** 2 for x in exchanges)
        slope = sum((x.board_s - board_s) * (x.host_s - host_s) for x in exchanges) / squares
        pulls = tuple(((x.board_s - board_s) / squares, x.error_s) for x in exchanges)
        rate_error = sum(abs(pull) * error_s for pull, error_s in pulls)
        return cls(board_s, host_s, slope, pulls, (1 / slope - 1) * 1e6, rate_error * 1e6)

    def at(self, board_s: float) -> tuple[float, float]:
        """Host seconds and the bound of their error: half a round trip amid the exchanges, more away from them."""
        ahead_s, share = board_s - self.board_s, 1 / len(self.pulls)
        error_s = sum([abs(share + ahead_s * pull) * error_s for pull, error_s in self.pulls])
        return self.host_s + self.slope * ahead_s, error_s


class BoardClock:
    """What is known of the clock of one board within one session. Takes exchanges whose request was sent once: of
    others nobody knows which copy was answered."""

    def __init__(self) -> None:
        self._told: tuple[int, float] | None = None  # the last moment: by the board's clock, and the earliest second
        self.begin()

    def begin(self) -> None:
        """Forgets everything: another session, perhaps another start of the board."""
        self._heard_s = float("-inf")
        self._board_us = 0  # as of the last exchange, without wraps
        self._forget()

    def exchange(self, t_us: int, *, sent_s: float, received_s: float) -> None:
        """The board answered `t_us` to a request sent at `sent_s`; the answer was here by `received_s`."""
        if sent_s - self._heard_s > MAX_GAP_S:
            self.begin()
        self._heard_s = received_s
        self._board_us += (t_us - self._board_us) % WRAP_US
        seen = Exchange(self._board_us / 1e6, (sent_s + received_s) / 2, (received_s - sent_s) / 2 + RESOLUTION_S)
        if not self._agrees(seen):
            self._forget()
        self._enter(seen, sent_s)

    def host_time(self, t_us: int) -> tuple[float, float] | None:
        """The host's second at which the board's clock said `t_us`, no more than half a wrap from its last answer, and
        the bound of its error; None until enough is known."""
        return None if self._line is None else self._line.at(self._extended(t_us) / 1e6)

    def earliest(self, t_us: int, *, received_s: float, sent_s: float = float("-inf")) -> float:
        """The earliest second of the host at which the board can have said `t_us`: after the sending, if it was
        asked; after what it said before, by as much as its clock tells; by the estimate, less its error; and never
        after the receiving. Minus infinity where nothing is known of the board's clock at all."""
        board_us = self._extended(t_us)
        found = self.host_time(t_us)
        estimate_s = sent_s if found is None else found[0] - found[1]
        earliest_s = min(max(estimate_s, sent_s, self._passed_s(board_us)), received_s)
        self._told = board_us, earliest_s
        return earliest_s

    def estimate(self) -> ClockEstimate | None:
        """As of the last exchange; None until enough is known."""
        if self._line is None:
            return None
        _host_s, error_s = self._line.at(self._board_us / 1e6)
        return ClockEstimate(self._line.rate_ppm, self._line.rate_error_ppm, error_s)

    def _passed_s(self, board_us: int) -> float:
        """What was told last, and as much later as the board's clock says, but for a resonator's worst error."""
        if self._told is None:
            return float("-inf")
        told_us, told_s = self._told
        passed_s = (board_us - told_us) / 1e6
        return told_s + passed_s - abs(passed_s) * RESONATOR_ERROR

    def _extended(self, t_us: int) -> int:
        ahead_us = (t_us - self._board_us + WRAP_US // 2) % WRAP_US - WRAP_US // 2
        return self._board_us + ahead_us

    def _forget(self) -> None:
        self._ring: deque[Exchange] = deque(maxlen=RING)
        self._best: Exchange | None = None  # since _slot_s
        self._slot_s = 0.0
        self._line: Line | None = None
        self._told = None

    def _agrees(self, seen: Exchange) -> bool:
        """The line can be true together with this exchange; else the board's clock has jumped, or its rate changed."""
        if self._line is None:
            return True
        host_s, error_s = self._line.at(seen.board_s)
        return abs(host_s - seen.host_s) <= error_s + seen.error_s

    def _enter(self, exchange: Exchange, sent_s: float) -> None:
        if self._best is not None and sent_s < self._slot_s + SPACING_S:
            self._best = min(self._best, exchange, key=_error_s)
            return
        if self._best is not None:
            self._ring.append(self._best)
            self._draw()
        self._slot_s, self._best = sent_s, exchange

    def _draw(self) -> None:
        if len(self._ring) >= FEWEST:
            kept = max(len(self._ring) // KEPT_SHARE, KEPT_FEWEST)
            newest_first = reversed(self._ring)  # so that of equally good ones the newer stay
            self._line = Line.through(sorted(newest_first, key=_error_s)[:kept])


def _error_s(exchange: Exchange) -> float:
    return exchange.error_s
