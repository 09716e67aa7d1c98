"""The virtual board as a port uses it: due moments, a busy sketch, any bytes. Its answers are in the conversations."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.virtual_board import RING_BYTES, VirtualBoard
from gateway.link.virtual_table import BoardTable, reading
from gateway.model import ValueType
from gateway.protocol import messages as m
from gateway.protocol.framing import Deframer, Frame, encode
from tests.link.fakes import FakeClock

SID = 0x44


def request(message: m.Message, *, seq: int = 0) -> bytes:
    return encode(message.TYPE, seq, SID, payload=message.to_bytes())


HELLO = request(m.Hello(1, 1, 0, session=SID, epoch=7, unix_time=0))


def frames(data: bytes) -> list[Frame]:
    return [frame for frame in Deframer().feed(data) if isinstance(frame, Frame)]


@pytest.fixture
def board(clock: FakeClock) -> VirtualBoard:
    """In a session, with its answers read."""
    board = VirtualBoard(clock=clock)
    board.receive(HELLO)
    board.receive(request(m.SetEpoch(7)))
    board.transmit()
    return board


class TestDue:
    def test_first_it_repeats_boot_then_nothing(self, clock: FakeClock) -> None:
        board = VirtualBoard(clock=clock)
        began_s = clock.monotonic()
        assert board.due_s() == pytest.approx(began_s + 0.2)
        clock.ms += 200
        assert [frame.type for frame in frames(board.transmit())] == [m.Boot.TYPE, m.Boot.TYPE]
        assert board.due_s() is None

    def test_a_session_waits_for_silence(self, clock: FakeClock, board: VirtualBoard) -> None:
        assert board.due_s() == pytest.approx(clock.monotonic() + 2)
        clock.ms += 2000
        assert not board.transmit()
        assert board.due_s() is None

    def test_the_soonest_of_hold_and_stream(self, clock: FakeClock, board: VirtualBoard) -> None:
        board.receive(request(m.RunCommand(1, 22, 700, b"\x10")))
        assert board.due_s() == pytest.approx(clock.monotonic() + 0.7)
        board.receive(request(m.Stream(0, period_ms=300, lease=4)))
        assert board.due_s() == pytest.approx(clock.monotonic() + 0.3)
        clock.ms += 300
        board.transmit()
        assert board.due_s() == pytest.approx(clock.monotonic() + 0.1)  # the end of the lease
        clock.ms += 100
        board.transmit()
        assert board.due_s() == pytest.approx(clock.monotonic() + 0.3)  # the hold

    def test_late_it_makes_up_for_each_moment(self, clock: FakeClock, board: VirtualBoard) -> None:
        board.receive(request(m.Stream(0, period_ms=10, lease=5)))
        board.transmit()
        clock.ms += 1000
        samples = [m.Telemetry.from_bytes(frame.payload) for frame in frames(board.transmit())]
        assert len(samples) == 49
        assert {later.t_us - sooner.t_us for sooner, later in pairwise(samples)} == {10_000}

    def test_a_stream_does_not_outgrow_a_reader_that_is_late(self, clock: FakeClock, board: VirtualBoard) -> None:
        board.receive(request(m.Stream(0, period_ms=1, lease=50)))
        board.transmit()
        clock.ms += 4000
        late = frames(board.transmit())
        assert 60 < len(late) < 80
        clock.ms += 1
        [next_one] = frames(board.transmit())
        assert (next_one.seq - late[0].seq) % 256 == 4000 % 256, "the others used up their numbers"


class TestBusySketch:
    def test_it_answers_when_it_polls_again(self, clock: FakeClock, board: VirtualBoard) -> None:
        board.freeze()
        board.receive(request(m.Ping(9), seq=3))
        clock.ms += 300
        assert board.transmit() == b""
        assert board.due_s() is None
        board.thaw()
        [reply] = frames(board.transmit())
        assert (reply.type, reply.seq) == (m.PingReply.TYPE, 3)

    def test_its_ring_keeps_the_first_bytes(self, board: VirtualBoard) -> None:
        board.freeze()
        for seq in range(10):
            board.receive(request(m.Ping(0x01020304), seq=seq + 1))
        fit = RING_BYTES // len(request(m.Ping(0x01020304), seq=1))
        board.thaw()
        assert [frame.seq for frame in frames(board.transmit())] == list(range(1, fit + 1))

    def test_a_missed_beat_of_a_stream_is_missed(self, clock: FakeClock, board: VirtualBoard) -> None:
        board.receive(request(m.Stream(0, period_ms=10, lease=50)))
        board.transmit()
        board.freeze()
        clock.ms += 105
        board.thaw()
        [only] = frames(board.transmit())
        assert only.seq == 10, "BOOT was 0, the ten beats are 1 to 10"
        assert board.due_s() == pytest.approx(clock.monotonic() + 0.005)

    def test_thawing_a_board_that_polls_changes_nothing(self, board: VirtualBoard) -> None:
        board.thaw()
        assert board.transmit() == b""

    def test_a_reset_ends_it(self, board: VirtualBoard) -> None:
        board.freeze()
        board.reset()
        board.receive(HELLO)
        assert frames(board.transmit())[-1].type == m.HelloReply.TYPE


@given(st.lists(st.binary(max_size=80)))
def test_any_bytes_are_answered_or_counted(chunks: list[bytes]) -> None:
    board = VirtualBoard(clock=FakeClock())
    for chunk in chunks:
        board.receive(chunk)
    board.transmit()
    board.receive(b"\0" + HELLO)
    assert frames(board.transmit())[-1].type == m.HelloReply.TYPE


@given(st.sampled_from(sorted(m.REQUESTS)), st.binary(max_size=54))
def test_any_request_of_a_session_gets_exactly_one_answer(request_type: int, payload: bytes) -> None:
    board = VirtualBoard(clock=FakeClock())
    board.receive(HELLO)
    board.receive(request(m.SetEpoch(7)))
    board.transmit()
    board.receive(encode(request_type, 200, SID, payload=payload))
    [answer] = frames(board.transmit())
    assert answer.seq == 200
    assert answer.type in (request_type | m.REPLY, m.ErrorReply.TYPE)


def test_an_empty_sketch_has_no_group_and_nothing_to_describe(clock: FakeClock) -> None:
    table = BoardTable(m.BoardRecord("Bench", "empty", "0", ""), channels=[], actions=[])
    board = VirtualBoard(clock=clock, table=table)
    board.receive(HELLO)
    board.transmit()
    for ask in (m.Poll(0), m.Describe(1, 0, 0), m.Describe(2, 0, 0)):
        board.receive(request(ask))
        assert [frame.type for frame in frames(board.transmit())] == [m.ErrorReply.TYPE]


def test_a_channel_that_can_not_be_read_is_in_no_group() -> None:
    from dataclasses import replace

    row = reading("hidden", "", ValueType.U8, lambda _core: 0)
    hidden = replace(row, record=replace(row.record, flags=0))
    seen = reading("seen", "", ValueType.U8, lambda _core: 0)
    table = BoardTable(m.BoardRecord("Bench", "hidden", "0", ""), channels=[hidden, seen], actions=[])
    assert table.groups == ((1,),)
