"""What a board thread tells the world: its status, its readings, its log. Owned by the board thread; never waits."""

import logging
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any, Protocol

from gateway.board.clock import RESONATOR_ERROR
from gateway.model import (
    BoardState,
    BoardStatus,
    Clock,
    ClockEstimate,
    FailsafeCause,
    LogEntry,
    Reason,
    Sample,
    Value,
)
from gateway.protocol.messages import HelloReply
from gateway.protocol.session import LinkCounters
from gateway.text import printable

LOG_LINES_PER_S = 20.0  # of board text; a sketch that prints in a loop must not drown everything else
LOG_BURST = 100.0
RESETS_KEPT = 100  # times of resets, for a diagnosis
UPTIME_WRAP_MS = 2**32
RESET_SLACK_MS = 1000.0  # a board that was reset answers with an uptime at least so far behind

logger = logging.getLogger(__name__)


class Sink(Protocol):
    """Where a board thread publishes; each call returns at once."""

    def publish_status(self, status: BoardStatus) -> None:
        """The board's status is now this."""
        ...

    def publish_samples(self, board: str, samples: dict[str, Sample], *, status: BoardStatus) -> None:
        """These channels were sampled, and the board's status is now this, both at once."""
        ...

    def append_log(self, board: str, entry: LogEntry) -> None:
        """One line for the board's log."""
        ...


class Reporter:
    """The board's status as last published, and the rate-bounded log of what it printed."""

    def __init__(self, status: BoardStatus, *, sink: Sink, clock: Clock) -> None:
        self.status = status
        self.link = LinkCounters()
        self.polls_missed = 0
        self.samples_skipped = 0
        self.lines_dropped = 0
        self.on_connect_failures = 0
        self._sink = sink
        self._clock = clock
        self._tokens = LOG_BURST
        self._tokens_s = clock.monotonic()
        self._greeting: tuple[int, float] | None = None
        self._boot_seen = False
        self._baud = 0

    def update(self, **changes: Any) -> None:
        """Publishes the status with these fields changed, and the counters as they stand."""
        status = self._changed(**changes)
        if status != self.status:
            self.status = status
            self._sink.publish_status(status)

    def sampled(
        self,
        samples: dict[str, Sample],
        *,
        failsafe: FailsafeCause | None,
        round_trip_s: float | None,
        clock: ClockEstimate | None,
    ) -> None:
        """Samples of one group came: publishes them and what came with them of the board in one step."""
        former = self.status
        state = BoardState.ONLINE if former.state is BoardState.DEGRADED else former.state
        detail = None if state is BoardState.ONLINE else former.detail
        self.status = self._changed(
            state=state, detail=detail, failsafe=failsafe, round_trip_s=round_trip_s, clock=clock
        )
        self._sink.publish_samples(former.board, samples, status=self.status)
        if former.state is BoardState.DEGRADED:
            self.event("readings come again", level=logging.INFO)
        self._note_failsafe(former.failsafe)

    def wrote(self, channel: str, value: Value, *, sent_s: float) -> None:
        """The board has just applied this value: who reads the output after the command is done must see it. The
        board keeps what it applied as the output's reading, so the next poll says the same, or what came since."""
        sample = Sample(value, sent_s, unix_time(sent_s, clock=self._clock))
        self._sink.publish_samples(self.status.board, {channel: sample}, status=self.status)

    def failsafe(self, cause: FailsafeCause | None) -> None:
        """The board's latch is this now."""
        former = self.status.failsafe
        self.update(failsafe=cause)
        self._note_failsafe(former)

    def missed_poll(self) -> None:
        """A request for readings, or for a stream of them, was not answered."""
        self.polls_missed += 1
        self.update()

    def degraded(self, what: str) -> None:
        """Readings stay away though the link is up."""
        if self.status.state is BoardState.ONLINE:
            detail = f"{what}: a blocked loop in the sketch, or a noisy line"
            self.update(state=BoardState.DEGRADED, detail=detail)
            self.event(detail, level=logging.WARNING)

    def was_reset(self) -> None:
        """The board said BOOT in the middle of a session."""
        self._boot_seen = True

    def greeted(self, hello: HelloReply, *, baud: int, now_s: float) -> None:
        """A session stands. A board that said BOOT was reset since the last one, and so was one whose uptime is
        behind what its last HELLO promised."""
        if self._boot_seen or (self._greeting is not None and _is_behind(hello.uptime_ms, self._greeting, now_s)):
            resets_at = (*self.status.resets_at, self._clock.time())[-RESETS_KEPT:]
            self.update(resets=self.status.resets + 1, resets_at=resets_at)
        self._boot_seen = False
        self._greeting = hello.uptime_ms, now_s
        self._baud = baud

    def came_online(self) -> None:
        """The board talks to us and its schema is published."""
        before = self.status.state
        self.update(state=BoardState.ONLINE, reason=None, detail=None)
        if before is not BoardState.ONLINE:
            schema = self.status.schema
            sketch = f"{schema.sketch.name} {schema.sketch.version} on {schema.model}" if schema else "no schema"
            self.event(f"online: {sketch}, {self._baud} baud", level=logging.INFO)

    def went_offline(self, reason: Reason, detail: str) -> None:
        """An attempt failed or the line was lost; a repeated failure is logged for the curious only."""
        repeated = (self.status.state, self.status.reason) == (BoardState.OFFLINE, reason)
        self.update(state=BoardState.OFFLINE, reason=reason, detail=detail, round_trip_s=None, clock=None, vitals=None)
        if repeated:
            logger.debug("%s: still offline, %s: %s", self.status.board, reason, detail)
        else:
            self.event(f"offline, {reason}: {detail}", level=logging.WARNING)

    def went_away(self, state: BoardState, detail: str) -> None:
        """The port was let go on purpose: `state` is `released` or `flashing`."""
        self.update(state=state, reason=None, detail=detail, round_trip_s=None, clock=None, vitals=None)
        self.event(f"{state}: {detail}", level=logging.INFO)

    def on_connect_failed(self, what: str) -> None:
        """A command of the configuration's `on_connect` did not end as done."""
        self.on_connect_failures += 1
        self.update()
        self.event(f"on_connect: {what}", level=logging.WARNING)

    def event(self, message: str, *, level: int) -> None:
        """A link event, for the board's log and the gateway's."""
        logger.log(level, "%s: %s", self.status.board, message)
        self._sink.append_log(self.status.board, LogEntry(self._clock.time(), "link", message))

    def line(self, text: str) -> None:
        """A line the board printed, unless it prints faster than anyone could read."""
        now_s = self._clock.monotonic()
        self._tokens = min(self._tokens + (now_s - self._tokens_s) * LOG_LINES_PER_S, LOG_BURST)
        self._tokens_s = now_s
        if self._tokens < 1:
            self.lines_dropped += 1
            return
        self._tokens -= 1
        self._sink.append_log(self.status.board, LogEntry(self._clock.time(), "text", printable(text)))

    def _changed(self, **changes: Any) -> BoardStatus:
        counters = asdict(self.link) | {
            "polls_missed": self.polls_missed,
            "samples_skipped": self.samples_skipped,
            "log_lines_dropped": self.lines_dropped,
            "on_connect_failed": self.on_connect_failures,
        }
        return replace(self.status, counters=MappingProxyType(counters), **changes)

    def _note_failsafe(self, former: FailsafeCause | None) -> None:
        cause = self.status.failsafe
        if cause is not former:
            text = "outputs are free" if cause is None else f"outputs are latched at their safe values by {cause}"
            self.event(text, level=logging.INFO if cause is None else logging.WARNING)


def unix_time(monotonic_s: float, *, clock: Clock) -> float:
    """The Unix time that it was at that monotonic second, by the clock as it stands now."""
    return clock.time() - (clock.monotonic() - monotonic_s)


def _is_behind(uptime_ms: int, greeting: tuple[int, float], now_s: float) -> bool:
    former_uptime_ms, at_s = greeting
    elapsed_ms = (now_s - at_s) * 1000
    behind_ms = (former_uptime_ms + elapsed_ms - uptime_ms) % UPTIME_WRAP_MS
    slack_ms = RESET_SLACK_MS + elapsed_ms * RESONATOR_ERROR
    return slack_ms < behind_ms < UPTIME_WRAP_MS - slack_ms
