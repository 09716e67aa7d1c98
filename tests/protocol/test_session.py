"""The session against a board that is spelled out frame by frame, with a clock that is a number."""

import itertools

import pytest

from gateway.model import Reason
from gateway.protocol import messages as m
from gateway.protocol.connect import LEAVE_BOOTLOADER, SEARCH_BAUDS, Step, StepKind, connect_plan
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
from gateway.protocol.framing import Frame, decode, encode
from gateway.protocol.session import LinkCounters, Session, Terms, following_session

HELLO_ONLY = (Step(StepKind.HELLO, 0.5, tries=8, baud=250_000),)


def hello_reply(session: int, *, version: int = 1) -> m.HelloReply:
    return m.HelloReply(version, 0, 54, 3, 0, session, 0, 0, 0, 0, 0, 1000, 0xABCD)


class Bench:
    """A session, its clock, and what it asked for."""

    def __init__(self, plan: tuple[Step, ...] = HELLO_ONLY, *, session_id: int = 0x11223344) -> None:
        self.now = 100.0
        self.counters = LinkCounters()
        self.epochs = itertools.count(7)
        self.session = Session(
            plan,
            session_id=session_id,
            terms=lambda: Terms(2000, next(self.epochs), 1),
            counters=self.counters,
            patience_s=6.0,
            now_s=self.now,
        )

    def events(self) -> list[Event]:
        return list(self.session.events())

    def advance(self, seconds: float = 0.0) -> list[Event]:
        self.now += seconds
        self.session.advance(self.now)
        return self.events()

    def until_due(self) -> list[Event]:
        deadline_s = self.session.deadline_s
        assert deadline_s is not None
        return self.advance(max(0.0, deadline_s - self.now))

    def receive(self, data: bytes) -> list[Event]:
        self.session.receive(data, self.now)
        return self.events()

    def reply(self, message: m.Message, *, seq: int, sid: int | None = None) -> list[Event]:
        sid = self.session.session_id % 256 if sid is None else sid
        return self.receive(encode(message.TYPE, seq, sid, payload=message.to_bytes()))

    def open(self) -> "Bench":
        self.advance()
        opened = self.reply(hello_reply(self.session.session_id), seq=0)
        assert [type(event) for event in opened] == [Opened]
        return self

    def send(self, message: m.Message, **options: float) -> Frame:
        self.session.send(message, self.now, **options)  # type: ignore[arg-type]
        return frame_of(self.events())


def frame_of(events: list[Event]) -> Frame:
    (written,) = [event.data for event in events if isinstance(event, Write)]
    frame = decode(written.strip(b"\0"))
    assert frame is not None
    return frame


def written(events: list[Event]) -> list[bytes]:
    return [event.data for event in events if isinstance(event, Write)]


# ---- connecting ----


def test_a_board_that_answers_at_once_is_greeted_before_any_silence() -> None:
    bench = Bench(connect_plan(baud=115_200, answers_at_once=True, fixed_baud=False))
    first = bench.advance()
    assert first[0] == SetBaud(115_200)
    hello = m.Hello.from_bytes(frame_of(first).payload)
    assert hello == m.Hello(1, 1, 2000, 0x11223344, 7, 1)
    (opened,) = bench.reply(hello_reply(0x11223344), seq=0)
    assert isinstance(opened, Opened)
    assert opened.baud == 115_200
    assert bench.session.idle


def test_a_board_that_opening_reset_hears_nothing_for_two_and_a_half_seconds_then_leave_then_hello() -> None:
    bench = Bench(connect_plan(baud=250_000, answers_at_once=False, fixed_baud=False))
    assert bench.advance() == [SetBaud(250_000)]
    assert bench.advance(2.49) == []
    assert bench.advance(0.01) == [SetBaud(115_200), Write(LEAVE_BOOTLOADER)]
    assert bench.advance(0.24) == []
    greeting = bench.advance(0.01)
    assert greeting[0] == SetBaud(250_000)
    assert frame_of(greeting).type == m.Hello.TYPE


def test_a_board_that_opening_did_not_reset_may_sit_in_a_bootloader_and_is_told_to_leave_before_any_silence() -> None:
    bench = Bench(connect_plan(baud=250_000, answers_at_once=True, fixed_baud=False))
    hello = written(bench.advance())
    assert bench.advance(0.5) == [SetBaud(115_200), Write(LEAVE_BOOTLOADER)]
    again = bench.advance(0.25)
    assert again[0] == SetBaud(250_000)
    assert written(again) == hello
    assert bench.advance(0.5) == []
    assert bench.advance(2.49) == []
    assert bench.advance(0.01) == [SetBaud(115_200), Write(LEAVE_BOOTLOADER)]


def test_boot_ends_the_silence_at_once() -> None:
    bench = Bench(connect_plan(baud=250_000, answers_at_once=False, fixed_baud=False))
    bench.advance()
    assert bench.advance(1.4) == []
    bench.reply(m.Boot(1, 0, 5), seq=0, sid=0)
    assert bench.session.deadline_s == bench.now
    assert frame_of(bench.advance()).type == m.Hello.TYPE


def test_boot_while_hello_is_outstanding_changes_nothing() -> None:
    bench = Bench()
    bench.advance()
    due_s = bench.session.deadline_s
    assert bench.reply(m.Boot(1, 0, 5), seq=0, sid=0) == []
    assert bench.session.deadline_s == due_s


def test_hello_is_repeated_as_the_same_bytes_eight_times_then_the_board_is_unanswered() -> None:
    bench = Bench()
    sent = [written(bench.until_due()) for _ in range(8)]
    assert len({data for (data,) in sent}) == 1
    (failed,) = bench.until_due()
    assert isinstance(failed, Unanswered)
    assert failed.reason is Reason.NO_ANSWER
    assert bench.session.deadline_s is None
    assert not bench.session.is_open


def test_automatic_baud_tries_each_rate_twice_and_never_1200() -> None:
    bench = Bench(connect_plan(baud=None, answers_at_once=False, fixed_baud=False))
    rates = []
    while bench.session.deadline_s is not None:
        for event in bench.until_due():
            if isinstance(event, SetBaud):
                rates.append(event.baud)
    assert rates == [250_000, 115_200, *SEARCH_BAUDS, *SEARCH_BAUDS]
    assert 1200 not in rates


@pytest.mark.parametrize("answers_at_once", [True, False])
def test_a_port_without_a_rate_gets_neither_search_nor_leave_sequence(answers_at_once: bool) -> None:
    for baud in (None, 115_200):
        plan = connect_plan(baud=baud, answers_at_once=answers_at_once, fixed_baud=True)
        assert {step.kind for step in plan} == {StepKind.LISTEN, StepKind.HELLO}
        assert len({step.baud for step in plan}) == 1


def test_an_answer_at_another_rate_names_that_rate() -> None:
    bench = Bench(connect_plan(baud=250_000, answers_at_once=True, fixed_baud=False))
    while True:
        events = bench.until_due()
        if SetBaud(57_600) in events:
            break
    (failed,) = bench.reply(hello_reply(bench.session.session_id), seq=0)
    assert isinstance(failed, Unanswered)
    assert failed.reason is Reason.WRONG_BAUD
    assert "57600" in failed.detail
    assert not bench.session.is_open


def test_another_protocol_version_is_reported_not_retried() -> None:
    bench = Bench()
    bench.advance()
    (failed,) = bench.reply(m.ErrorReply(m.Hello.TYPE, m.ErrorCode.VERSION, 2), seq=0)
    assert isinstance(failed, Unanswered)
    assert failed.reason is Reason.WRONG_VERSION
    assert "version 2" in failed.detail
    assert bench.session.deadline_s is None


@pytest.mark.parametrize(
    ("noise", "reason", "words"),
    [
        (b"Temperature: 21 C\r\n", Reason.WRONG_SKETCH, "Temperature: 21 C"),
        (b"\xf0\x80\x92\x05\xf7\x00" * 2, Reason.WRONG_BAUD, "12 bytes"),
        (b"p\r\n\x00", Reason.NO_ANSWER, "4 stray bytes"),
        (b"\xf9\x02\x05\xf0\x79\x02\x05S\0k\0\xf7", Reason.WRONG_SKETCH, "Firmata"),
        (encode(m.Hello.TYPE, 0, 0x44, payload=bytes(16)), Reason.WRONG_SKETCH, "echo"),
    ],
)
def test_what_came_instead_of_an_answer_names_the_cause(noise: bytes, reason: Reason, words: str) -> None:
    bench = Bench()
    bench.advance()
    bench.receive(noise)
    failed = [event for _ in range(12) if bench.session.deadline_s for event in bench.until_due()][-1]
    assert isinstance(failed, Unanswered)
    assert failed.reason is reason
    assert words in failed.detail


def test_a_greeting_for_another_session_or_of_another_kind_is_not_taken() -> None:
    bench = Bench()
    bench.advance()
    assert bench.reply(hello_reply(0x99999944), seq=0) == []
    assert bench.reply(hello_reply(0x11223344), seq=1) == []
    assert bench.reply(m.ErrorReply(m.Hello.TYPE, m.ErrorCode.NO_SESSION, 0), seq=0) == []
    assert bench.counters.frames_unexpected == 3
    assert not bench.session.is_open


# ---- exchanges ----


def test_a_reply_ends_its_exchange_and_measures_the_round_trip() -> None:
    bench = Bench().open()
    frame = bench.send(m.Poll(0))
    assert not bench.session.idle
    bench.now += 0.02
    (answered,) = bench.reply(m.PollReply(0, 0, 1, 0, 0, b"\1"), seq=frame.seq)
    assert isinstance(answered, Answered)
    assert answered.round_trip_s == pytest.approx(0.02)
    assert answered.sent_s == 100.0
    assert bench.session.round_trip.smoothed_s == pytest.approx(0.02)
    assert bench.session.idle


@pytest.mark.fault(9)
def test_only_type_sequence_and_session_together_match() -> None:
    bench = Bench().open()
    frame = bench.send(m.Poll(0))
    reply = m.PollReply(0, 0, 1, 0, 0, b"\1")
    for attempt in (
        bench.reply(reply, seq=frame.seq - 1),
        bench.reply(reply, seq=frame.seq, sid=0x43),
        bench.reply(m.PingReply(1, 2, 3), seq=frame.seq),
        bench.reply(m.ErrorReply(m.Ping.TYPE, 2, 0), seq=frame.seq),
        bench.receive(encode(0x83, frame.seq, 0x44, payload=b"short")),
        bench.receive(encode(0x77, frame.seq, 0x44, payload=b"")),
    ):
        assert attempt == []
    assert bench.counters.frames_unexpected == 6
    assert not bench.session.idle


def test_silence_counts_from_the_first_request_that_nothing_was_heard_since() -> None:
    bench = Bench().open()
    bench.now += 100
    assert bench.session.unanswered_since_s is None, "nothing was asked, so nothing is owed"
    bench.send(m.Poll(0), sends=1)
    asked_s = bench.now
    bench.until_due()
    bench.send(m.Poll(0), sends=1)
    assert bench.session.unanswered_since_s == asked_s


@pytest.mark.fault(9)
def test_a_late_reply_to_nothing_is_counted_and_is_a_sign_of_life() -> None:
    bench = Bench().open()
    bench.send(m.Poll(0), sends=1)
    bench.until_due()
    assert bench.reply(m.PingReply(1, 2, 3), seq=1) == []
    assert bench.counters.frames_unexpected == 1
    assert bench.session.unanswered_since_s is None


@pytest.mark.fault(8)
def test_an_unanswered_request_goes_out_six_times_as_the_same_bytes_then_times_out() -> None:
    bench = Bench().open()
    bench.session.send(m.SetEpoch(9), bench.now)
    sent = written(bench.events())
    gaps = []
    while not bench.session.idle:
        before = bench.now
        events = bench.until_due()
        gaps.append(bench.now - before)
        sent += written(events)
    assert events == [TimedOut(m.SetEpoch(9))]
    assert len(sent) == 6
    assert len(set(sent)) == 1
    assert bench.counters.retransmissions == 5
    assert gaps == sorted(gaps)
    assert gaps[-1] <= 1.0


@pytest.mark.fault(10)
def test_a_retransmitted_exchange_says_nothing_of_the_round_trip() -> None:
    bench = Bench().open()
    frame = bench.send(m.SetEpoch(9))
    bench.until_due()
    (answered,) = bench.reply(m.SetEpochReply(9), seq=frame.seq)
    assert isinstance(answered, Answered)
    assert answered.round_trip_s is None
    assert bench.session.round_trip.smoothed_s is None


def test_a_poll_is_sent_once() -> None:
    bench = Bench().open()
    bench.send(m.Poll(0), sends=1)
    assert bench.until_due() == [TimedOut(m.Poll(0))]


def test_nothing_is_repeated_after_its_deadline() -> None:
    bench = Bench().open()
    command = m.RunCommand(1, 0, 0, b"\1")
    bench.send(command, not_after_s=bench.now + 0.1)
    assert bench.until_due() == [TimedOut(command)]
    assert bench.counters.retransmissions == 0


@pytest.mark.fault(10)
def test_the_timeout_adapts_to_slow_replies_instead_of_storming() -> None:
    bench = Bench().open()
    for _ in range(30):
        frame = bench.send(m.Ping(1))
        bench.now += 0.2
        bench.reply(m.PingReply(1, 2, 3), seq=frame.seq)
    bench.send(m.Ping(1))
    assert bench.session.deadline_s is not None
    assert 0.2 < bench.session.deadline_s - bench.now < 0.3


def test_an_error_ends_the_exchange() -> None:
    bench = Bench().open()
    frame = bench.send(m.Poll(9))
    error = m.ErrorReply(m.Poll.TYPE, m.ErrorCode.BAD_TARGET, 9)
    assert bench.reply(error, seq=frame.seq) == [Refused(m.Poll(9), error)]
    assert bench.session.idle


def test_busy_is_answered_by_the_same_bytes_when_they_fall_due() -> None:
    bench = Bench().open()
    frame = bench.send(m.SetEpoch(3))
    assert bench.reply(m.ErrorReply(m.SetEpoch.TYPE, m.ErrorCode.BUSY, 0), seq=frame.seq) == []
    assert frame_of(bench.until_due()) == frame


def test_a_second_request_is_misuse_but_safe_displaces_what_is_outstanding_and_is_repeated_for_ever() -> None:
    bench = Bench().open()
    poll = bench.send(m.Poll(0))
    with pytest.raises(ValueError, match="not idle"):
        bench.session.send(m.Poll(0), bench.now)
    safe = bench.send(m.Safe())
    for _ in range(50):
        before = bench.now
        assert frame_of(bench.until_due()) == safe
        assert bench.now - before == pytest.approx(0.1)
    assert bench.reply(m.PollReply(0, 0, 1, 0, 0, b"\1"), seq=poll.seq) == []
    (answered,) = bench.reply(m.SafeReply(), seq=safe.seq)
    assert isinstance(answered, Answered)


def test_nothing_is_sent_before_a_session_stands() -> None:
    with pytest.raises(ValueError, match="Safe while"):
        Bench().session.send(m.Safe(), 100.0)


@pytest.mark.fault(23)
def test_sequence_numbers_wrap() -> None:
    bench = Bench().open()
    seen = []
    for _ in range(257):
        frame = bench.send(m.Ping(1))
        seen.append(frame.seq)
        bench.reply(m.PingReply(1, 2, 3), seq=frame.seq)
    assert seen[:2] == [1, 2]
    assert seen[254:] == [255, 0, 1]
    assert bench.session.idle


# ---- resets and text ----


def test_boot_in_a_session_means_reset_and_a_new_session_at_once() -> None:
    bench = Bench().open()
    bench.send(m.RunCommand(1, 0, 0, b"\1"))
    assert bench.reply(m.Boot(1, 0, 5), seq=0, sid=0) == [BoardReset()]
    hello = m.Hello.from_bytes(frame_of(bench.advance()).payload)
    assert hello.session == 0x11223345
    assert hello.epoch == 8, "the terms are those of now"
    (opened,) = bench.reply(hello_reply(0x11223345), seq=0)
    assert isinstance(opened, Opened)
    assert bench.counters.sessions == 2


def test_boot_after_failure_is_nobodys_business() -> None:
    bench = Bench()
    while bench.session.deadline_s is not None:
        bench.until_due()
    assert bench.reply(m.Boot(1, 0, 5), seq=0, sid=0) == []
    assert bench.reply(m.PingReply(1, 2, 3), seq=0) == []
    assert bench.session.deadline_s is None


def test_a_known_board_is_waited_for_and_never_told_to_be_another() -> None:
    bench = Bench().open()
    bench.reply(m.Boot(1, 0, 5), seq=0, sid=0)
    began_s = bench.now
    bench.receive(b"setup() prints for a while\r\n")
    while bench.session.deadline_s is not None:
        events = bench.until_due()
    (failed,) = events
    assert isinstance(failed, Unanswered)
    assert failed.reason is Reason.NO_ANSWER
    assert bench.now - began_s == pytest.approx(6.0)


def test_no_session_begins_a_new_one() -> None:
    bench = Bench().open()
    frame = bench.send(m.Poll(0))
    assert bench.reply(m.ErrorReply(m.Poll.TYPE, m.ErrorCode.NO_SESSION, 0), seq=frame.seq) == [SessionLost()]
    assert frame_of(bench.advance()).sid == 0x45


def test_session_ids_change_their_low_byte_and_skip_zero() -> None:
    ids = [0x112233FE]
    for _ in range(3):
        ids.append(following_session(ids[-1]))
    assert [each & 0xFF for each in ids] == [0xFE, 0xFF, 0x01, 0x02]
    assert {each >> 8 for each in ids} == {0x112233}


def test_events_of_this_session_are_given_others_are_not() -> None:
    bench = Bench().open()
    log = m.Log(b"pump on")
    assert bench.reply(log, seq=9) == [EventReceived(9, log)]
    assert bench.reply(log, seq=9, sid=0x43) == []


def test_text_is_a_line_when_something_ends_it() -> None:
    bench = Bench().open()
    assert bench.receive(b"hello\r\nwor") == []
    assert bench.advance(0.049) == []
    assert bench.advance(0.001) == [LineReceived("hello"), LineReceived("wor")]
    assert bench.receive(b"ld\n\0") == [LineReceived("ld")]
    assert bench.counters.text_lines == 3
    assert bench.session.deadline_s is None


def test_bytes_and_rejects_are_counted() -> None:
    bench = Bench().open()
    before = bench.counters.bytes_received
    assert bench.receive(b"") == []
    assert bench.receive(b"\xff\xfe\0" + b"\x80" * 600 + b"\0") == []
    assert bench.counters.bytes_received - before == 604
    assert bench.counters.frames_rejected == 2
    assert bench.counters.bytes_sent > 0
