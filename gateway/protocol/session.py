"""One life of a link as the host sees it: connecting, sessions, and one outstanding exchange.

Bytes and the time go in, events come out; every decision about the line is made here and nothing waits here. The
owner of the link calls `receive` with what it read, `advance` when time has passed, acts on `events`, and waits until
`deadline_s`. No I/O and no clock: `now_s` is a monotonic second that the caller gives. PROTOCOL.md, "Procedures".
"""

import enum
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.protocol import messages
from gateway.protocol.connect import DEFAULT_BAUD, Connecting, Step, renewal_plan, wrong_version
from gateway.protocol.events import (
    Answered,
    BoardReset,
    Event,
    EventReceived,
    LineReceived,
    Opened,
    Refused,
    SessionLost,
    TimedOut,
    Unanswered,
    Write,
)
from gateway.protocol.framing import MAX_WIRE, Deframer, Frame, Text, encode
from gateway.protocol.messages import Boot, ErrorCode, ErrorReply, Hello, HelloReply, Message, MessageError, Safe
from gateway.protocol.round_trip import RoundTrip

SAFE_INTERVAL_S = 0.1
SENDS = 6  # of a request that may be repeated: once and five retransmissions
TEXT_QUIET_S = 0.05  # after so long without a byte, text that nothing ended is a line
BITS_PER_BYTE = 10  # 8N1


def following_session(session_id: int) -> int:
    """The next session id of a port: its low byte is one more, skipping 0, so that late frames of the former session
    can't be taken for this one's."""
    low = session_id % 0x100 % 0xFF + 1
    return (session_id & 0xFFFFFF00) | low


@dataclass(slots=True)
class LinkCounters:
    """Health of a board's link since the gateway began; one instance lives through all its sessions."""

    bytes_received: int = 0
    bytes_sent: int = 0
    frames_received: int = 0
    frames_rejected: int = 0
    frames_unexpected: int = 0
    retransmissions: int = 0
    text_lines: int = 0
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What the host offers in every HELLO on a link; `failsafe_ms` 0 keeps the sketch's own limit."""

    failsafe_ms: int
    epoch: int
    unix_time: int


class Phase(enum.Enum):
    """Where a session is."""

    CONNECTING = enum.auto()
    OPEN = enum.auto()
    FAILED = enum.auto()


@dataclass(slots=True)
class Outstanding:
    """The one request that waits for its reply; it may be sent `sends_left` times more, none after `not_after_s`."""

    request: Message
    wire: bytes
    seq: int
    sid: int
    sent_s: float
    due_s: float
    not_after_s: float
    sends_left: int
    sent_once: bool = True


class Session:
    """The host's end of the protocol on one open link. Raises nothing for any bytes; misuse raises ValueError."""

    def __init__(
        self,
        plan: tuple[Step, ...],
        *,
        session_id: int,
        terms: Callable[[], Terms],
        counters: LinkCounters,
        patience_s: float,
        now_s: float,
    ) -> None:
        """`terms` is asked anew for each HELLO; `patience_s` is how long a known board may take to come back."""
        self.session_id = session_id
        self.unanswered_since_s: float | None = None
        """When the first request was sent that nothing has been heard since; None while the board owes no answer."""
        self.round_trip = RoundTrip()
        self._terms = terms
        self._patience_s = patience_s
        self._counters = counters
        self._deframer = Deframer()
        self._events: deque[Event] = deque()
        self._outstanding: Outstanding | None = None
        self._seq = 0
        self._last_byte_s = now_s
        self._begin(plan, now_s, baud=0, known=False)

    # ---- what the owner of the link calls ----

    @property
    def is_open(self) -> bool:
        """True while a session stands."""
        return self._phase is Phase.OPEN

    @property
    def idle(self) -> bool:
        """True when a session stands and nothing is outstanding: `send` may be called."""
        return self.is_open and self._outstanding is None

    @property
    def deadline_s(self) -> float | None:
        """The moment by which `advance` must be called; None when only bytes can change anything."""
        moments = []
        if self._phase is Phase.CONNECTING:
            moments.append(self._connecting.due_s)
        if self._outstanding is not None:
            moments.append(self._outstanding.due_s)
        if self._deframer.holds_text:
            moments.append(self._last_byte_s + TEXT_QUIET_S)
        return min(moments, default=None)

    def events(self) -> Iterator[Event]:
        """What has happened and is to be written, oldest first; each is given once."""
        while self._events:
            yield self._events.popleft()

    def receive(self, data: bytes, now_s: float) -> None:
        """Takes bytes that were read; any bytes give events or move counters."""
        if not data:
            return
        self._last_byte_s = now_s
        if self._phase is Phase.CONNECTING:
            self._connecting.hear(data)
        self._counters.bytes_received += len(data)
        rejected = self._deframer.rejects.total
        for piece in self._deframer.feed(data):
            if isinstance(piece, Frame):
                self._take_frame(piece, now_s)
            else:
                self._take_line(piece)
        self._counters.frames_rejected += self._deframer.rejects.total - rejected

    def advance(self, now_s: float) -> None:
        """Does what has fallen due: the end of a text, the next step of connecting, a retransmission, a timeout."""
        if self._deframer.holds_text and now_s >= self._last_byte_s + TEXT_QUIET_S:
            for text in self._deframer.quiet():
                self._take_line(text)
        if self._phase is Phase.CONNECTING and now_s >= self._connecting.due_s:
            for event in self._connecting.advance(now_s):
                self._emit(event)
        if self._outstanding is not None and now_s >= self._outstanding.due_s:
            self._overdue(self._outstanding, now_s)

    def send(self, request: Message, now_s: float, *, sends: int = SENDS, not_after_s: float = float("inf")) -> None:
        """Begins an exchange that ends in Answered, Refused or TimedOut, or is dropped by BoardReset or SessionLost.

        Unanswered, it is sent `sends` times in all, but not again after `not_after_s`. Raises ValueError unless
        `idle`; SAFE alone may displace what is outstanding, and is repeated until it is answered.
        """
        if not (self.idle or (self.is_open and isinstance(request, Safe))):
            raise ValueError(f"{type(request).__name__} while the session is not idle")
        self._seq = (self._seq + 1) % 0x100
        sid = self.session_id % 0x100
        wire = encode(request.TYPE, self._seq, sid, payload=request.to_bytes())
        due_s = now_s + self._timeout_s(request, wire)
        self._outstanding = Outstanding(request, wire, self._seq, sid, now_s, due_s, not_after_s, sends - 1)
        if self.unanswered_since_s is None:
            self.unanswered_since_s = now_s
        self._emit(Write(wire))

    def renew(self, now_s: float) -> None:
        """Begins a new session on the open link; ends in Opened or Unanswered."""
        self.session_id = following_session(self.session_id)
        self._outstanding = None
        self._begin(renewal_plan(self._patience_s), now_s, baud=self._connecting.baud, known=True)

    # ---- inside ----

    def _begin(self, plan: tuple[Step, ...], now_s: float, *, baud: int, known: bool) -> None:
        terms = self._terms()
        hello = Hello(
            messages.VERSION, messages.VERSION, terms.failsafe_ms, self.session_id, terms.epoch, terms.unix_time
        )
        wire = encode(Hello.TYPE, 0, self.session_id % 0x100, payload=hello.to_bytes())
        self._connecting = Connecting(plan, hello=wire, baud=baud, known=known, now_s=now_s)
        self._phase = Phase.CONNECTING

    def _emit(self, event: Event) -> None:
        if isinstance(event, Write):
            self._counters.bytes_sent += len(event.data)
        elif isinstance(event, Unanswered):
            self._phase = Phase.FAILED
        self._events.append(event)

    def _overdue(self, waiting: Outstanding, now_s: float) -> None:
        self.round_trip.lost()
        until_answered = isinstance(waiting.request, Safe)
        if not until_answered and (waiting.sends_left == 0 or now_s > waiting.not_after_s):
            self._outstanding = None
            self._emit(TimedOut(waiting.request))
            return
        waiting.sends_left -= 1
        waiting.sent_once = False
        waiting.due_s = now_s + self._timeout_s(waiting.request, waiting.wire)
        self._counters.retransmissions += 1
        self._emit(Write(waiting.wire))

    def _timeout_s(self, request: Message, wire: bytes) -> float:
        if isinstance(request, Safe):
            return SAFE_INTERVAL_S
        baud = self._connecting.baud or DEFAULT_BAUD  # 0 until the first step of connecting
        return self.round_trip.timeout_s((len(wire) + MAX_WIRE) * BITS_PER_BYTE / baud)

    def _take_line(self, text: Text) -> None:
        self._counters.text_lines += 1
        self._connecting.lines = self._connecting.lines or [text.line]
        self._emit(LineReceived(text.line))

    def _take_frame(self, frame: Frame, now_s: float) -> None:
        self._counters.frames_received += 1
        self._connecting.sound += 1
        table = messages.EVENTS if frame.type in messages.EVENTS else messages.REPLIES
        try:
            message = table[frame.type].from_bytes(frame.payload)
        except (KeyError, MessageError):
            taken = False
        else:
            taken = self._take_message(frame, message, now_s)
        if not taken:
            self._counters.frames_unexpected += 1

    def _take_message(self, frame: Frame, message: Message, now_s: float) -> bool:
        """True where the message was expected."""
        if isinstance(message, Boot):
            return self._take_boot(now_s)
        if self._phase is Phase.CONNECTING:
            return self._take_hello(frame, message)
        if not self.is_open or frame.sid != self.session_id % 0x100:
            return False
        self.unanswered_since_s = None  # a late reply is a sign of life too
        if frame.type in messages.EVENTS:
            self._emit(EventReceived(frame.seq, message))
            return True
        return self._outstanding is not None and self._take_answer(self._outstanding, frame, message, now_s)

    def _take_boot(self, now_s: float) -> bool:
        if self.is_open:
            self._emit(BoardReset())
            self.renew(now_s)
        elif self._phase is Phase.CONNECTING:
            self._connecting.sketch_heard(now_s)
        return True

    def _take_hello(self, frame: Frame, reply: Message) -> bool:
        if (frame.seq, frame.sid) != (0, self.session_id % 0x100):
            return False
        if isinstance(reply, HelloReply) and reply.session == self.session_id:
            outcome = self._connecting.answered(reply)
        elif isinstance(reply, ErrorReply) and (reply.request_type, reply.code) == (Hello.TYPE, ErrorCode.VERSION):
            outcome = wrong_version(reply.detail)
        else:
            return False
        self._phase = Phase.OPEN
        self._seq = 0
        self.unanswered_since_s = None
        self._counters.sessions += isinstance(outcome, Opened)
        self._emit(outcome)
        return True

    def _take_answer(self, waiting: Outstanding, frame: Frame, reply: Message, now_s: float) -> bool:
        if frame.seq != waiting.seq:
            return False
        if isinstance(reply, ErrorReply):
            return reply.request_type == waiting.request.TYPE and self._take_error(waiting, reply, now_s)
        if frame.type != waiting.request.TYPE | messages.REPLY:
            return False
        round_trip_s = now_s - waiting.sent_s if waiting.sent_once else None
        if round_trip_s is not None:
            self.round_trip.measured(round_trip_s)
        self._outstanding = None
        self._emit(Answered(waiting.request, reply, waiting.sent_s, round_trip_s))
        return True

    def _take_error(self, waiting: Outstanding, error: ErrorReply, now_s: float) -> bool:
        if error.code == ErrorCode.BUSY:
            return True  # the same bytes go out again when they fall due
        if error.code == ErrorCode.NO_SESSION:
            self._emit(SessionLost())
            self.renew(now_s)
            return True
        self._outstanding = None
        self._emit(Refused(waiting.request, error))
        return True
