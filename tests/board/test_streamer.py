"""Readings that the board sends by itself, through the whole board thread: what is published, what is counted, when it
begins again, and that nothing looks fresher than it is."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from gateway.board.streamer import LEASE_S, QUIET_S, RENEWED_S, SHORTEST_POLL_S, Gaps
from gateway.link.virtual_board import VirtualBoard
from gateway.link.virtual_table import reading
from gateway.model import BoardState, Command, CommandState, FailsafeCause, Mode, ValueType
from gateway.protocol.framing import Deframer, Frame, encode
from gateway.protocol.messages import ErrorCode, ErrorReply, Log, Poll, Stream, Telemetry
from tests.board.test_time import SkewedBoard, of
from tests.board.world import Line, World

PERIOD_S = 0.01
WRAP_US = 2**32


def streaming(line: Line | None = None, *, interval_s: float = PERIOD_S, **settings: object) -> World:
    return World(line, mode=Mode.STREAM, poll_interval_s=interval_s, **settings)  # type: ignore[arg-type]


def uptimes(world: World) -> list[int]:
    return [int(sample.value or 0) for sample in of(world, "uptime_ms")]


def counter(world: World, name: str) -> int:
    return world.status.counters[name]


class Tap:
    """Everything that passes the world's board, as frames; `lie` may change what the board says, byte for byte."""

    def __init__(self, world: World, lie: Callable[[Frame], list[Frame]] = lambda frame: [frame]) -> None:
        self.asked: list[tuple[float, Frame]] = []
        self.said: list[tuple[float, Frame]] = []
        self._world, self._lie = world, lie
        self._receive, self._transmit = world.board.receive, world.board.transmit
        self._in, self._out = Deframer(), Deframer()
        world.board.receive = self.receive  # type: ignore[method-assign]
        world.board.transmit = self.transmit  # type: ignore[method-assign]

    def receive(self, data: bytes) -> None:
        self.asked += [(self._world.clock.now, piece) for piece in self._in.feed(data) if isinstance(piece, Frame)]
        self._receive(data)

    def transmit(self) -> bytes:
        frames = [piece for piece in self._out.feed(self._transmit()) if isinstance(piece, Frame)]
        self.said += [(self._world.clock.now, frame) for frame in frames]
        return b"".join(changed.to_wire() for frame in frames for changed in self._lie(frame))

    def times(self, kind: int) -> list[float]:
        """When the host asked for this."""
        return [at_s for at_s, frame in self.asked if frame.type == kind]


# ---- what comes ----


def test_a_board_streams_at_its_period_and_each_sample_is_published_once() -> None:
    world = streaming().run(10)
    taken = uptimes(world)
    steps = {later - former for former, later in pairwise(taken[1:])}
    assert steps == {10}
    assert len(taken) == pytest.approx(1000, abs=3)
    assert (counter(world, "samples_skipped"), counter(world, "polls_missed")) == (0, 0)
    assert counter(world, "frames_unexpected") == 0
    assert (world.status.mode, world.status.state) == (Mode.STREAM, BoardState.ONLINE)
    assert world.pins.safe_calls == 0


def test_the_lease_is_renewed_at_half_its_length_and_nothing_else_is_asked_but_ping() -> None:
    world = streaming()
    tap = Tap(world)
    world.run(10)
    renewals = tap.times(Stream.TYPE)
    assert [round(later - former, 1) for former, later in pairwise(renewals)] == [RENEWED_S] * (len(renewals) - 1)
    assert len(renewals) == 10
    assert len(tap.times(Poll.TYPE)) == 1, "the first readings"


def test_a_dead_gateway_silences_the_board_by_the_lease() -> None:
    world = streaming().run(5.3)
    world.board.transmit()
    tap = Tap(world)
    world.clock.now += 60
    world.board.transmit()
    moments = [Telemetry.from_bytes(frame.payload).t_us / 1e6 for _, frame in tap.said if frame.type == 0x43]
    assert 5.3 < max(moments) <= 5.3 + LEASE_S
    assert world.board.due_s() is None
    assert world.pins.safe_calls == 1


def test_polling_boards_are_not_asked_to_stream() -> None:
    world = World(poll_interval_s=PERIOD_S)
    tap = Tap(world)
    world.run(2)
    assert not tap.times(Stream.TYPE)
    assert world.status.mode is Mode.POLL


def test_a_stream_begins_anew_in_each_session() -> None:
    world = streaming()
    world.at(3, world.board.reset)
    world.at(6, world.board.power_cycle)
    world.at(9, lambda: setattr(world.line, "failing", "port_missing"))
    world.at(9.3, lambda: setattr(world.line, "failing", None))
    world.run(12)
    assert counter(world, "sessions") == 4
    assert uptimes(world)[-1] == pytest.approx(6000, abs=20)
    moments = [sample.monotonic_s - 1000 for sample in of(world, "uptime_ms")]
    (gone,) = [former for former, later in pairwise(moments) if later - former > 2 * PERIOD_S]
    assert gone == pytest.approx(9, abs=0.02)
    assert counter(world, "samples_skipped") == 0, "what a session cost is a gap, and no beat of a stream"
    assert (world.status.state, world.status.resets) == (BoardState.ONLINE, 2)


def many(world: World) -> None:
    """A board whose readings fill three groups."""
    table = world.pins.table()
    channels = [*table.channels, *(reading(f"extra_{n}", "", ValueType.U32, lambda _core: 7) for n in range(25))]
    world.board = VirtualBoard(
        clock=world.clock,
        table=type(table)(table.board, channels=channels, actions=table.actions, on_safe=table.on_safe),
    )


def test_all_groups_come_in_turn_each_once_an_interval() -> None:
    world = streaming(interval_s=0.03)
    many(world)
    world.run(5)
    for channel in ("uptime_ms", "extra_10", "extra_24"):
        moments = [sample.monotonic_s for sample in of(world, channel)]
        assert len(moments) == pytest.approx(5 / 0.03, abs=3)
        assert all(0.02 < later - former < 0.04 for former, later in pairwise(moments[2:]))
    assert counter(world, "samples_skipped") == 0


# ---- commands, PING and holds beside it ----


def test_commands_go_through_beside_a_stream() -> None:
    world = streaming(interval_s=0.002)
    commands: list[Command] = []
    for number in range(40):
        world.at(
            1 + number * 0.05,
            lambda number=number: commands.append(world.submit(action="beep", arguments={"times": number % 13})),
        )
    world.run(4)
    assert {world.now_is(command).state for command in commands} == {CommandState.DONE}
    assert world.pins.beeps == [number % 13 for number in range(40)]
    assert counter(world, "samples_skipped") == 0
    assert len(uptimes(world)) == pytest.approx(2000, abs=5)


def test_commands_without_end_leave_room_for_the_renewal() -> None:
    world = streaming(Line(delay_s=0.02), limit=1000)
    for number in range(400):
        world.at(1 + number * 0.01, lambda: world.submit(action="beep", arguments={"times": 1}))
    world.run(12)
    assert len(world.pins.beeps) == 400
    steps = {later - former for former, later in pairwise(uptimes(world)[1:])}
    assert steps == {10}, "the lease never ended"


def test_a_command_is_looked_at_only_where_its_sample_would_be_long_in_coming() -> None:
    for interval_s, polls in ((0.05, 1), (1.0, 2)):
        world = streaming(interval_s=interval_s)
        tap = Tap(world)
        world.at(2.5, lambda world=world: world.submit(channel="led", value=True))
        world.run(5)
        assert len(tap.times(Poll.TYPE)) == polls
        assert of(world, "led")[-1].value is True


def test_a_hold_that_ended_is_told_once_each_time() -> None:
    world = streaming()
    for at_s in (1, 2):
        world.at(at_s, lambda: world.submit(channel="fan", value=50, hold_ms=300))
    world.run(4)
    lapses = [entry.time_s - 1.7e9 - 1000 for entry in world.sink.entries if "a hold ended" in entry.message]
    assert lapses == [pytest.approx(1.3, abs=0.05), pytest.approx(2.3, abs=0.05)]
    assert of(world, "fan")[-1].value == 0


def test_a_board_that_went_safe_shows_it_in_a_sample_and_its_commands_wait() -> None:
    world = streaming(failsafe_latch=True)
    world.at(2, lambda: setattr(world.clock, "now", world.clock.now + 2.5))  # the host slept
    world.run(6)
    assert world.pins.safe_calls == 1
    assert world.status.failsafe is FailsafeCause.LINK


# ---- what does not come ----


def test_what_the_board_had_no_room_for_is_counted_and_a_gap() -> None:
    world = streaming()
    world.at(2.005, lambda: setattr(world.board.port, "has_room", False))
    world.at(2.105, lambda: setattr(world.board.port, "has_room", True))
    world.run(4)
    assert counter(world, "samples_skipped") == 10
    assert max(later - former for former, later in pairwise(uptimes(world))) == 110
    assert BoardState.DEGRADED not in world.sink.states()


@pytest.mark.parametrize("busy_s", [0.205, 1.0, 2.7])
def test_beats_that_a_busy_sketch_missed_are_counted_however_many(busy_s: float) -> None:
    """After 256 beats their numbers have wrapped, and the board's clock tells how often. A renewal that waited in its
    ring keeps even a lease that would have ended meanwhile."""
    world = streaming(interval_s=0.002, link_timeout_s=5.0)
    world.at(2.0905, world.board.freeze)
    world.at(2.0905 + busy_s, world.board.thaw)
    world.run(8)
    gap_ms = max(later - former for former, later in pairwise(uptimes(world)))
    assert gap_ms == pytest.approx(busy_s * 1000, abs=3)
    assert counter(world, "samples_skipped") == pytest.approx(gap_ms / 2 - 1, abs=1)


def test_what_is_missing_while_the_first_answer_is_lost_is_counted() -> None:
    """The board streams since it was first asked, though the host had to ask twice."""
    world = streaming()
    tap = Tap(world, lambda frame: [frame] if frame.type != Stream.TYPE | 0x80 or len(asked()) > 1 else [])

    def asked() -> list[float]:
        return tap.times(Stream.TYPE)

    world.at(0.025, lambda: setattr(world.board.port, "has_room", False))
    world.at(0.065, lambda: setattr(world.board.port, "has_room", True))
    world.run(0.5)
    assert [at_s - 1000 for at_s in asked()] == [0, pytest.approx(0.03)]
    assert max(later - former for former, later in pairwise(uptimes(world))) == 50
    assert counter(world, "samples_skipped") == 4


def test_what_a_log_line_used_up_is_no_skipped_sample() -> None:
    world = streaming()
    session = world.board._session  # the sketch prints by the library
    for at_s in (1, 1.5, 2):
        world.at(at_s, lambda: session._say(Log(b"hello"), sid=session._id & 0xFF))
    world.run(4)
    assert world.sink.messages().count("hello") == 3
    assert counter(world, "samples_skipped") == 0


@pytest.mark.parametrize("line", [Line(drop=0.002), Line(flip=0.002, chunk=3)], ids=["lossy", "noisy"])
def test_what_the_line_lost_is_counted_and_every_sample_is_right(line: Line) -> None:
    world = streaming(line)
    tap = Tap(world)
    world.run(20)
    taken = uptimes(world)
    assert all(later > former for former, later in pairwise(taken))
    sent = sum(frame.type == Telemetry.TYPE for _, frame in tap.said)
    came = len(taken) - len([1 for _, frame in tap.said if frame.type == 0x83])
    assert 0 < counter(world, "samples_skipped") == pytest.approx(sent - came, abs=counter(world, "sessions") * 3)
    assert world.status.state is BoardState.ONLINE


def test_an_event_that_comes_twice_or_late_is_dropped_and_counted() -> None:
    world = streaming()
    kept: list[Frame] = []

    def lie(frame: Frame) -> list[Frame]:
        if frame.type != Telemetry.TYPE:
            return [frame]
        kept.append(frame)
        return [frame, frame] if len(kept) % 10 else [frame, kept[-5]]

    Tap(world, lie)
    world.run(3)
    taken = uptimes(world)
    assert {later - former for former, later in pairwise(taken[1:])} == {10}
    assert counter(world, "frames_unexpected") == pytest.approx(len(kept), abs=1)
    assert counter(world, "samples_skipped") == 0


def test_events_of_another_session_or_of_another_shape_are_dropped_and_counted() -> None:
    world = streaming()
    number = 0

    def lie(frame: Frame) -> list[Frame]:
        nonlocal number
        if frame.type != Telemetry.TYPE:
            return [frame]
        number += 1
        said = Telemetry.from_bytes(frame.payload)
        match number % 4:
            case 1:
                return [Frame(frame.type, frame.seq, frame.sid % 255 + 1, frame.payload)]
            case 2:
                return [Frame(frame.type, frame.seq, frame.sid, frame.payload[:-1])]
            case 3:
                return [Frame(frame.type, frame.seq, frame.sid, bytes([said.group + 1]) + frame.payload[1:])]
        return [frame]

    Tap(world, lie)
    world.run(4)
    assert {later - former for former, later in pairwise(uptimes(world)[2:])} == {40}
    assert counter(world, "frames_unexpected") == pytest.approx(number * 3 / 4, abs=4)
    assert counter(world, "samples_skipped") == pytest.approx(number / 4, abs=2), "those of no session of ours"


def test_a_sample_that_nobody_asked_for_is_dropped_and_counted() -> None:
    world = World()
    event = Telemetry(0, 0, 5, 0, 0, bytes(10))
    world.at(
        1,
        lambda: world.say(
            encode(event.TYPE, 3, world.links[-1].world.board._session._id & 0xFF, payload=event.to_bytes())
        ),
    )
    world.run(2)
    assert counter(world, "frames_unexpected") == 1
    assert 0.005 not in uptimes(world)


# ---- silence and refusals ----


def test_samples_that_stay_away_degrade_the_board_and_are_asked_for_anew() -> None:
    """The lease is lost while the rest of the line works: only a new request brings the samples back."""
    world = streaming()
    world.at(2.2, lambda: setattr(world.board._session, "_lease", None))
    world.run(6)
    (degraded,) = [entry for entry in world.sink.entries if "no sample came" in entry.message]
    assert degraded.time_s - 1.7e9 - 1002.2 == pytest.approx(QUIET_S, abs=0.05)
    assert world.sink.states()[-2:] == [BoardState.DEGRADED, BoardState.ONLINE]
    assert "readings come again" in world.sink.messages()
    gap_s = max(later - former for former, later in pairwise(uptimes(world))) / 1000
    assert gap_s == pytest.approx(QUIET_S, abs=0.1)


def test_a_slow_stream_is_given_three_periods() -> None:
    world = streaming(interval_s=0.5)
    world.at(3.1, lambda: setattr(world.board._session, "_lease", None))
    world.at(3.15, lambda: setattr(world.board.port, "has_room", False))
    world.at(7, lambda: setattr(world.board.port, "has_room", True))
    world.run(10)
    (degraded,) = [entry for entry in world.sink.entries if "no sample came" in entry.message]
    assert degraded.time_s - 1.7e9 - 1003 == pytest.approx(1.5, abs=0.1)
    assert world.status.state is BoardState.ONLINE


def test_a_line_that_dies_is_lost_after_the_link_timeout() -> None:
    world = streaming()
    world.at(3, lambda: setattr(world.line, "dead", True))
    world.at(8, lambda: setattr(world.line, "dead", False))
    world.run(20)
    states = [state for state in world.sink.states() if state is not BoardState.CONNECTING]
    assert states[:3] == [BoardState.ONLINE, BoardState.DEGRADED, BoardState.OFFLINE]
    (lost,) = [entry for entry in world.sink.entries if "offline, no_answer" in entry.message][:1]
    assert 2.0 <= lost.time_s - 1.7e9 - 1003 <= 2.6
    assert world.status.state is BoardState.ONLINE
    assert uptimes(world)[-1] == pytest.approx(20_000, abs=20)


def refuse(code: ErrorCode, *, first: int = 0, last: int = 10**9) -> Callable[[Frame], list[Frame]]:
    """The board answers the STREAM requests of these numbers so."""
    count = 0

    def lie(frame: Frame) -> list[Frame]:
        nonlocal count
        if frame.type != Stream.TYPE | 0x80:
            return [frame] if frame.type != Telemetry.TYPE or first else []
        count += 1
        if not first <= count - 1 <= last:
            return [frame]
        return [Frame(ErrorReply.TYPE, frame.seq, frame.sid, ErrorReply(Stream.TYPE, code, 0).to_bytes())]

    return lie


@pytest.mark.parametrize("code", [ErrorCode.UNSUPPORTED, ErrorCode.BAD_TYPE, ErrorCode.BAD_TARGET])
def test_a_board_that_can_not_stream_is_polled_and_that_is_told_once(code: ErrorCode) -> None:
    world = streaming(interval_s=0.001)
    tap = Tap(world, refuse(code))
    world.run(3)
    polls = tap.times(Poll.TYPE)
    assert len(polls) == pytest.approx(3 / SHORTEST_POLL_S, rel=0.05)
    assert len(tap.times(Stream.TYPE)) == 1
    assert sum("can't stream" in message for message in world.sink.messages()) == 1
    assert f"this board can't stream ({code.name.lower()}): it is polled instead" in world.sink.messages()
    assert (world.status.mode, world.status.state) == (Mode.POLL, BoardState.ONLINE)


def test_a_board_that_can_not_stream_is_asked_again_in_the_next_session() -> None:
    world = streaming()
    world.board.port.has_room = True
    Tap(world, refuse(ErrorCode.UNSUPPORTED, last=0))
    world.at(2, world.board.reset)
    world.run(4)
    assert world.status.mode is Mode.STREAM


def test_a_renewal_that_is_refused_is_asked_for_anew() -> None:
    world = streaming()
    Tap(world, refuse(ErrorCode.OUT_OF_RANGE, first=2, last=2))
    world.run(6)
    assert world.status.mode is Mode.STREAM
    assert {later - former for former, later in pairwise(uptimes(world)[1:])} == {10}


def test_renewals_may_be_lost() -> None:
    """A stream outlives the loss of a renewal: half a lease is left to repeat it."""
    world = streaming()
    for at_s in (3, 5, 7):
        world.at(at_s + 0.9, lambda: setattr(world.line, "lose_replies", 2))
    world.run(12)
    assert counter(world, "polls_missed") > 0
    assert {later - former for former, later in pairwise(uptimes(world)[20:])} <= {10, 20}
    assert world.status.state is BoardState.ONLINE


# ---- time ----


@pytest.mark.parametrize("ppm", [-9_500.0, -2_021.0, 0.0, 2_021.0, 9_500.0])
def test_no_sample_looks_fresher_than_it_is_with_or_without_an_estimate(ppm: float) -> None:
    world = streaming(Line(delay_s=0.03))
    world.board = SkewedBoard(world, ppm)
    world.run(40)
    rate = world.board.skewed.rate
    ages = []
    for sample in of(world, "uptime_ms"):
        assert isinstance(sample.value, int)
        truth_s = (sample.value / 1000 + 1000.0 * rate) / rate
        assert sample.monotonic_s <= truth_s + 0.002
        ages.append(truth_s - sample.monotonic_s)
    assert max(ages) < 0.1
    moments = [sample.monotonic_s for sample in of(world, "uptime_ms")]
    assert all(former < later for former, later in pairwise(moments))
    assert world.status.clock is not None
    assert world.status.clock.rate_ppm == pytest.approx(ppm, abs=50)


@pytest.mark.parametrize("stalled_at_s", [2.0, 30.0], ids=["without an estimate", "with one"])
def test_samples_that_a_stalled_host_reads_late_are_as_old_as_they_are(stalled_at_s: float) -> None:
    world = streaming()
    world.at(stalled_at_s, lambda: setattr(world.clock, "now", world.clock.now + 0.9))
    world.run(stalled_at_s + 3)
    late = [sample for sample in of(world, "uptime_ms") if stalled_at_s < int(sample.value or 0) / 1000]
    assert counter(world, "samples_skipped") == 0
    for sample in late:
        truth_s = 1000 + int(sample.value or 0) / 1000
        assert truth_s - 0.05 < sample.monotonic_s <= truth_s + 0.001


def test_numbers_and_micros_may_wrap_and_nothing_is_skipped() -> None:
    world = streaming(interval_s=0.02)
    world.clock.now = 1000.0 - (WRAP_US / 1e6 - 30)
    world.board = VirtualBoard(clock=world.clock, table=world.pins.table())
    world.clock.now = 1000.0
    world.run(60)
    assert {later - former for former, later in pairwise(uptimes(world)[1:])} == {20}
    assert counter(world, "samples_skipped") == 0
    assert counter(world, "frames_unexpected") == 0
    moments = [sample.monotonic_s for sample in of(world, "uptime_ms")]
    assert all(0.005 < later - former < 0.035 for former, later in pairwise(moments[2:]))


# ---- what is missing ----


def before(gaps: Gaps, number: int, at_ms: float) -> int:
    return gaps.before(number % 256, round(at_ms * 1000) % WRAP_US, period_ms=10)


@pytest.mark.parametrize("missing", [0, 1, 5, 254, 255, 256, 257, 1000])
def test_gaps_count_what_is_missing_past_every_wrap(missing: int) -> None:
    for start in (0, 200, 255):
        for others in (0, 3):
            gaps = Gaps()
            assert before(gaps, start, 4_294_960) == 0
            for _ in range(others):
                gaps.other()
            beats = missing + 1
            assert before(gaps, start + beats + others, 4_294_960 + beats * 10) == missing
            assert before(gaps, start + beats + others + 1, 4_294_960 + beats * 10 + 10) == 0


def test_gaps_forgive_a_beat_that_comes_late() -> None:
    gaps = Gaps()
    before(gaps, 0, 0)
    assert before(gaps, 1, 30) == 0, "its number says that it is the next"
    assert before(gaps, 3, 40) == 1


def test_a_new_lease_misses_nothing() -> None:
    gaps = Gaps()
    before(gaps, 0, 0)
    gaps.begin()
    assert before(gaps, 9, 5000) == 0
