"""The host's end of the link under any bytes at any time: events or counters, never an exception, never a standstill.

What single functions make of any bytes stands with them (test_framing, test_receiver, test_messages, and under
tests/board and tests/link); here is the session whole, with the sends and the clock of its owner between the bytes, and
against a virtual board behind a line that loses and invents bytes.
"""

import os
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.link.virtual_board import VirtualBoard
from gateway.protocol import messages as m
from gateway.protocol.connect import connect_plan
from gateway.protocol.events import (
    Answered,
    BoardReset,
    Event,
    EventReceived,
    LineReceived,
    Opened,
    Refused,
    SessionLost,
    SetBaud,
    TimedOut,
    Unanswered,
    Write,
)
from gateway.protocol.framing import encode
from gateway.protocol.session import LinkCounters, Session, Terms
from tests.protocol.golden import GOLDEN

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))  # `make fuzz` asks for more
SESSION_ID = 0x11223344  # that of the golden frames, so that some of them fit
KNOWN_EVENTS = (
    *(Write, SetBaud, Opened, Unanswered, Answered, Refused, TimedOut),
    *(BoardReset, SessionLost, LineReceived, EventReceived),
)
REQUESTS: tuple[m.Message, ...] = (m.Ping(7), m.Poll(0), m.Safe(), m.Clear(), m.RunCommand(1, 3, 0, b"\1"))


class Owner:
    """A session as its owner treats it: every event is taken, and what it promises is held to."""

    def __init__(self, *, answers_at_once: bool) -> None:
        self.now_s = 100.0
        self.counters = LinkCounters()
        self.exchanges = 0  # begun and neither ended nor dropped
        self.session = Session(
            connect_plan(baud=None, answers_at_once=answers_at_once, fixed_baud=False),
            session_id=SESSION_ID,
            terms=lambda: Terms(2000, 7, 1),
            counters=self.counters,
            patience_s=6.0,
            now_s=self.now_s,
        )

    def take_events(self) -> bytes:
        """What is to be written."""
        written = b""
        for event in self.session.events():
            assert isinstance(event, KNOWN_EVENTS)
            self._count(event)
            if isinstance(event, Write):
                written += event.data
        assert self.exchanges == (self.session.is_open and not self.session.idle)
        return written

    def _count(self, event: Event) -> None:
        if isinstance(event, (Answered, Refused, TimedOut)):
            assert self.exchanges == 1, "an exchange ended that nobody began"
            self.exchanges = 0
        elif isinstance(event, (BoardReset, SessionLost)):
            self.exchanges = 0

    def receive(self, data: bytes) -> bytes:
        counted = self.counters.bytes_received
        self.session.receive(data, self.now_s)
        assert self.counters.bytes_received == counted + len(data)
        return self.take_events()

    def advance(self, seconds: float) -> bytes:
        """Time passes, with a call at every deadline in between: each such call must move the deadline."""
        until_s = self.now_s + seconds
        written = b""
        while (due_s := self.session.deadline_s) is not None and due_s <= until_s:
            self.now_s = max(self.now_s, due_s)
            self.session.advance(self.now_s)
            written += self.take_events()
            assert self.session.deadline_s is None or self.session.deadline_s > self.now_s, "the owner would spin"
        self.now_s = until_s
        self.session.advance(self.now_s)
        return written + self.take_events()

    def send(self, request: m.Message) -> bytes:
        if self.session.idle or (self.session.is_open and isinstance(request, m.Safe)):
            self.session.send(request, self.now_s)
            self.exchanges = 1
        return self.take_events()


PAYLOADS = st.binary(max_size=54)
REPLIES = st.builds(
    lambda kind, seq, sid, payload: encode(kind, seq, sid, payload=payload),
    st.sampled_from([*m.REPLIES, *m.EVENTS]) | st.integers(0, 255),
    st.integers(0, 4),
    st.sampled_from([0x44, 0x45, 0x46, 0]) | st.integers(0, 255),
    PAYLOADS,
)
OPENING = st.builds(
    lambda low: encode(
        m.HelloReply.TYPE,
        0,
        low,
        payload=m.HelloReply(1, 32, 54, 3, 0, SESSION_ID - 0x44 + low, 7, 0, 0, 0, 0, 9, 1).to_bytes(),
    ),
    st.integers(0x44, 0x47),
)
FITTING = st.builds(
    lambda reply, seq, sid: encode(reply.TYPE, seq, sid, payload=reply.to_bytes()),
    st.sampled_from(
        [
            *(m.PingReply(7, 1, 2), m.SafeReply(), m.ClearReply(), m.Boot(1, 0, 3)),
            *(m.ErrorReply(request.TYPE, code, 0) for request in REQUESTS for code in (1, 5, 8)),
        ]
    ),
    st.integers(1, 6),
    st.integers(0x44, 0x46),
)
GOLDEN_WIRES = st.sampled_from([golden.wire for golden in GOLDEN])
BYTES = st.one_of(st.binary(max_size=90), GOLDEN_WIRES, REPLIES, OPENING, FITTING)
CUT = st.builds(lambda data, at: data[at % (len(data) + 1) :], BYTES, st.integers(0, 70))

SECONDS = st.floats(0, 4) | st.sampled_from([0.0, 0.05, 0.1, 0.3, 2.5, 30.0])
STEPS: st.SearchStrategy[Callable[[Owner], bytes]] = st.one_of(
    st.builds(lambda data: lambda owner: owner.receive(data), BYTES | CUT),
    st.builds(lambda data: lambda owner: owner.receive(data), OPENING),
    st.builds(lambda seconds: lambda owner: owner.advance(seconds), SECONDS),
    st.builds(lambda request: lambda owner: owner.send(request), st.sampled_from(REQUESTS)),
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.booleans(), st.lists(STEPS, max_size=25))
def test_a_session_takes_anything_at_any_time(at_once: bool, steps: list[Callable[[Owner], bytes]]) -> None:
    owner = Owner(answers_at_once=at_once)
    for step in steps:
        step(owner)


class SimulatedClock:
    """The board's clock, which follows its owner's."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s


class Line:
    """A virtual board at the end of a line that damages what goes over it."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.board = VirtualBoard(clock=self.clock)
        self.owner = Owner(answers_at_once=True)

    def carry(self, written: bytes, damage: Callable[[bytes], bytes]) -> None:
        """Both ways until neither has anything to say; a renewed session writes again, so it is bounded."""
        for _ in range(6):
            self.board.receive(damage(written))
            written = self.owner.receive(damage(self.board.transmit()))
            if not written:
                return

    def advance(self, seconds: float, damage: Callable[[bytes], bytes]) -> None:
        written = self.owner.advance(seconds)
        self.clock.now_s = self.owner.now_s
        self.carry(written, damage)


def damage_with(start: int, stop: int, noise: bytes) -> Callable[[bytes], bytes]:
    """Replaces a stretch of what is carried by other bytes."""
    return lambda data: data[:start] + noise + data[stop:] if len(data) > start else data


DAMAGE = st.builds(
    lambda at, lost, noise: damage_with(at, at + lost, noise),
    st.integers(0, 40),
    st.integers(0, 30),
    st.binary(max_size=20),
)
LINE_STEPS = st.tuples(st.just(bytes) | DAMAGE, st.sampled_from(REQUESTS) | st.none(), st.floats(0.001, 3))


@settings(max_examples=EXAMPLES // 3, deadline=None)
@given(st.lists(LINE_STEPS, max_size=15))
def test_both_ends_survive_a_line_that_damages_anything_and_then_find_each_other_again(
    steps: list[tuple[Callable[[bytes], bytes], m.Message | None, float]],
) -> None:
    line = Line()
    for damage, request, seconds in steps:
        if request is not None:
            line.carry(line.owner.send(request), damage)
        line.advance(seconds, damage)
    if not line.owner.session.is_open and line.owner.session.deadline_s is None:
        line.owner.session.renew(line.owner.now_s)  # it gave up; its owner would open the port again
    for _ in range(80):
        line.advance(0.1, bytes)
    answered = line.owner.counters.frames_received
    line.carry(line.owner.send(m.Ping(1)), bytes)
    assert line.owner.session.idle
    assert line.owner.counters.frames_received > answered
