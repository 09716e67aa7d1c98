"""What a re-enacting board says to each frame, on recordings written by hand. Whole sessions: tests/board."""

import pytest

from gateway.link.recording import Header, Recording
from gateway.link.replay_board import ReplayBoard
from gateway.link.replay_script import script_of
from gateway.link.tap import Trace, TraceKind
from gateway.protocol import messages as m
from gateway.protocol.framing import Deframer, Frame, encode
from tests.link.fakes import FakeClock

SID = 0x11  # of the recorded session
OURS = 0x22
HELLO_REPLY = m.HelloReply(1, 0, 54, 1, 0, SID, 7, 5, 5, 0, 3, 100, 0xABCD)
POLLED = m.PollReply(0, 0, 1_000_000, 9, 0, b"\x07")


def sent(at_s: float, message: m.Message, *, seq: int) -> Trace:
    return Trace(TraceKind.SENT, at_s, at_s, encode(message.TYPE, seq, SID, payload=message.to_bytes()))


def received(at_s: float, message: m.Message, *, seq: int) -> Trace:
    return Trace(TraceKind.RECEIVED, at_s, at_s, encode(message.TYPE, seq, SID, payload=message.to_bytes()))


def polls(first_s: float, times_s: list[float], *, lost: tuple[float, ...] = ()) -> list[Trace]:
    """Polls at these times after `first_s`, each answered after 2 ms; value and `t_us` tell which it is."""
    traces = []
    for number, after_s in enumerate(times_s):
        at_s = first_s + after_s
        traces.append(sent(at_s, m.Poll(0), seq=number + 1))
        if after_s not in lost:
            t_us = round(at_s * 1e6)
            traces.append(received(at_s + 0.002, m.PollReply(0, 0, t_us, 9, 0, bytes((number,))), seq=number + 1))
    return traces


def hello(at_s: float) -> list[Trace]:
    opened = Trace(TraceKind.OPENED, at_s, at_s, b"/dev/ttyACM0")
    asked = sent(at_s, m.Hello(1, 1, 0, SID, 7, 0), seq=0)
    return [opened, asked, received(at_s + 0.003, HELLO_REPLY, seq=0)]


class Table:
    """A host that speaks frame by frame."""

    def __init__(self, traces: list[Trace], *, speed: float = 1.0, from_s: float = 0.0) -> None:
        self.clock = FakeClock()
        script = script_of(Recording(Header(), tuple(traces)), from_s=from_s)
        self.board = ReplayBoard(script, speed=speed, clock=self.clock)
        self._seq = 0

    def ask(self, message: m.Message, *, sid: int = OURS, wait_s: float = 0.01) -> list[Frame]:
        self._seq += 1
        seq = 0 if isinstance(message, m.Hello) else self._seq
        self.board.receive(encode(message.TYPE, seq, sid, payload=message.to_bytes()))
        return self.hear(wait_s)

    def hear(self, wait_s: float) -> list[Frame]:
        self.clock.ms += round(wait_s * 1000)
        return [piece for piece in Deframer().feed(self.board.transmit()) if isinstance(piece, Frame)]

    def connect(self) -> m.HelloReply:
        (frame,) = self.ask(m.Hello(1, 1, 2000, 0x99990000 | OURS, 8, 0))
        assert (frame.type, frame.sid) == (m.HelloReply.TYPE, OURS)
        return m.HelloReply.from_bytes(frame.payload)

    def poll(self, *, wait_s: float = 0.01) -> m.PollReply | None:
        frames = [frame for frame in self.ask(m.Poll(0), wait_s=wait_s) if frame.type == m.PollReply.TYPE]
        return m.PollReply.from_bytes(frames[0].payload) if frames else None


def value(reply: m.PollReply | None) -> int | None:
    return None if reply is None else reply.values[0]


TENTHS = [0.1 * each for each in range(1, 40)]


def test_it_greets_as_recorded_but_remembers_no_command() -> None:
    reply = Table(hello(5)).connect()
    assert (reply.resets, reply.schema_hash, reply.channels) == (3, 0xABCD, 1)
    assert (reply.session, reply.stored_epoch, reply.started, reply.done) == (0x99990000 | OURS, 0, 0, 0)


def test_polls_get_the_recorded_answers_in_turn() -> None:
    table = Table([*hello(5), *polls(5, TENTHS)])
    table.connect()
    assert [value(table.poll(wait_s=0.1)) for _ in range(20)] == list(range(20))


def test_what_was_lost_stays_lost_however_often_one_asks() -> None:
    spoke = received(5.3, m.Log(b"still here"), seq=9)
    asked = polls(5, [0.1, 0.2, 3.0, 3.1], lost=(0.2,))
    table = Table([*hello(5), *asked[:3], spoke, *asked[3:]])
    table.connect()
    assert value(table.poll(wait_s=0.1)) == 0
    assert [table.poll(wait_s=0.1) for _ in range(10)] == [None] * 10


def test_asked_more_often_it_repeats_and_asked_less_it_leaves_out() -> None:
    fast = Table([*hello(5), *polls(5, TENTHS)])
    fast.connect()
    seen = [value(fast.poll(wait_s=0.02)) for _ in range(100)]
    assert seen == sorted(seen, key=lambda each: each or 0)
    assert len(set(seen)) < 35
    slow = Table([*hello(5), *polls(5, TENTHS)])
    slow.connect()
    seen = [value(slow.poll(wait_s=0.5)) for _ in range(7)]
    assert seen[-1] == pytest.approx(3.0 / 0.1, abs=11)


def test_the_first_poll_finds_its_answer_wherever_it_is() -> None:
    table = Table([*hello(5), *polls(5, [2.5, 2.6])])
    table.connect()
    assert value(table.poll()) == 0


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_the_boards_clock_goes_as_the_hosts(speed: float) -> None:
    table = Table([*hello(5), *polls(5, TENTHS)], speed=speed)
    table.connect()
    told = []
    for _ in range(12):
        asked_s = table.clock.monotonic()
        reply = table.poll(wait_s=0.1 / speed)
        assert reply is not None
        told.append(reply.t_us / 1e6 - asked_s)
    assert max(told) - min(told) < 0.02
    (frame,) = table.ask(m.Ping(3))
    assert m.PingReply.from_bytes(frame.payload).t_us / 1e6 - table.clock.monotonic() == pytest.approx(
        told[-1], abs=0.05
    )


def test_where_the_recording_was_silent_so_is_the_board() -> None:
    lost = tuple(each for each in TENTHS if 1 < each < 3)
    table = Table([*hello(5), *polls(5, TENTHS, lost=lost)])
    table.connect()
    answered = [bool(table.ask(m.Ping(1), wait_s=0.1)) for _ in range(38)]
    assert answered[:9] == [True] * 9
    assert answered[13:27] == [False] * 14
    assert answered[33:36] == [True] * 3


def test_a_reply_that_nobody_waited_for_belongs_to_no_session() -> None:
    table = Table([*hello(5), received(5.5, POLLED, seq=77), *polls(5, [0.9, 1.5])])
    table.connect()
    frames = table.hear(2)
    assert [(frame.type, frame.seq, frame.sid) for frame in frames] == [(m.PollReply.TYPE, 77, 0)]


@pytest.mark.parametrize(
    ("message", "sid", "answer"),
    [
        (m.RunCommand(1, 0, 0, b"\x01"), OURS, m.ErrorReply(4, m.ErrorCode.UNSUPPORTED, 0)),
        (m.Safe(), OURS, m.ErrorReply(6, m.ErrorCode.UNSUPPORTED, 0)),
        (m.Stream(0, 10, 20), OURS, m.ErrorReply(9, m.ErrorCode.UNSUPPORTED, 0)),
        (m.Stats(), OURS, m.ErrorReply(10, m.ErrorCode.UNSUPPORTED, 0)),
        (m.SetId(5), OURS, m.ErrorReply(11, m.ErrorCode.UNSUPPORTED, 0)),
        (m.Poll(0), 0x33, m.ErrorReply(3, m.ErrorCode.NO_SESSION, 0)),
        (m.SetEpoch(8), OURS, m.SetEpochReply(8)),
        (m.Clear(), OURS, m.ClearReply()),
    ],
)
def test_other_requests_are_answered_as_far_as_they_can_be(message: m.Message, sid: int, answer: m.Message) -> None:
    table = Table([*hello(5), *polls(5, TENTHS)])
    table.connect()
    (frame,) = table.ask(message, sid=sid)
    assert (frame.type, frame.payload) == (answer.TYPE, answer.to_bytes())


@pytest.mark.parametrize(
    ("frame_type", "payload", "code"), [(0x3E, b"", m.ErrorCode.BAD_TYPE), (m.Ping.TYPE, b"", m.ErrorCode.BAD_LENGTH)]
)
def test_what_is_no_request_is_refused(frame_type: int, payload: bytes, code: m.ErrorCode) -> None:
    table = Table([*hello(5), *polls(5, TENTHS)])
    table.connect()
    table.board.receive(encode(frame_type, 9, OURS, payload=payload))
    (frame,) = table.hear(0.01)
    assert m.ErrorReply.from_bytes(frame.payload).code == code


def test_hello_sent_again_is_the_same_hello() -> None:
    table = Table([*hello(5), *polls(5, TENTHS)])
    asked = m.Hello(1, 1, 2000, 0x99990000 | OURS, 8, 0)
    first, again = table.ask(asked), table.ask(asked)
    assert first == again


def test_in_the_middle_of_a_session_it_greets_at_once() -> None:
    late = Table([*hello(5), *polls(5, TENTHS), *hello(9)], from_s=2)
    assert late.connect().schema_hash == 0xABCD
    assert value(late.poll()) == 19


def test_a_session_that_came_late_is_waited_for() -> None:
    opened = Trace(TraceKind.OPENED, 5, 5, b"/dev/ttyACM0")
    table = Table([opened, *hello(7)[1:], *polls(7, TENTHS)])
    assert table.ask(m.Hello(1, 1, 2000, OURS, 8, 0), wait_s=0.5) == []
    assert [frame.type for frame in table.hear(2)] == [m.HelloReply.TYPE]
