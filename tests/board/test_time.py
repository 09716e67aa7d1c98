"""Clocks through the whole board thread: a day in which everything wraps that can, and a clock that runs off."""

from dataclasses import replace
from itertools import pairwise

import pytest

from gateway.board import worker
from gateway.board.clock import FEWEST
from gateway.board.lane import LAST_WIRE_ID
from gateway.link.virtual_board import VirtualBoard
from gateway.model import BoardState, Command, CommandState, Reason, Sample
from gateway.protocol.events import Answered
from gateway.protocol.messages import Ping, PingReply
from tests.board.world import FakeClock, Line, World

DAY_S = 86_400.0
MICROS_WRAP_S = 2**32 / 1e6
MILLIS_WRAP_S = 2**32 / 1e3
POLL_S = 10
PATIENT_S = 65.0  # the longest failsafe there is
RESONATOR_PPM = 2_021.0  # as seen on an Uno


class SkewedClock(FakeClock):
    """The board's own clock: runs `ppm` fast against the world's."""

    def __init__(self, world: World, ppm: float) -> None:
        super().__init__()
        self._world = world
        self.rate = 1 + ppm / 1e6

    def monotonic(self) -> float:
        return self._world.clock.now * self.rate


class SkewedBoard(VirtualBoard):
    """A board with such a clock, in a world that asks for its due times by the world's."""

    def __init__(self, world: World, ppm: float) -> None:
        self.skewed = SkewedClock(world, ppm)
        super().__init__(clock=self.skewed, table=world.pins.table())

    def due_s(self) -> float | None:
        due_s = super().due_s()
        return None if due_s is None else due_s / self.skewed.rate


def of(world: World, channel: str) -> list[Sample]:
    return [samples[channel] for samples in world.sink.samples if channel in samples]


def test_samples_carry_the_boards_time_once_it_is_known_and_never_flatter() -> None:
    world = World(Line(delay_s=0.05))
    world.board = SkewedBoard(world, RESONATOR_PPM)
    world.run(120)
    skewed = world.board.skewed
    for sample in of(world, "uptime_ms"):
        assert isinstance(sample.value, int)
        truth_s = (sample.value / 1000 + 1000.0 * skewed.rate) / skewed.rate
        assert sample.monotonic_s <= truth_s + 0.002
        assert sample.time_s == pytest.approx(sample.monotonic_s + 1.7e9)
    estimate = world.status.clock
    assert estimate is not None
    assert estimate.rate_ppm == pytest.approx(RESONATOR_PPM, abs=2)
    assert estimate.error_s == pytest.approx(0.025, rel=1)  # half of the 50 ms that every answer takes


def test_a_sketch_that_was_busy_makes_a_sample_no_older_than_it_is() -> None:
    """Stamped with the moment of sending it would look 25 ms older."""
    world = World(poll_interval_s=1.0)
    world.at(30.995, world.board.freeze)
    world.at(31.025, world.board.thaw)
    world.run(40)
    (late,) = [sample for sample in of(world, "uptime_ms") if sample.value == 31_025]
    assert late.monotonic_s == pytest.approx(1031.025, abs=0.001)
    assert late.monotonic_s <= 1031.025


def test_a_clock_is_unknown_again_in_each_session_and_while_there_is_none() -> None:
    world = World()
    known: list[bool] = []

    def look() -> None:
        known.append(world.status.clock is not None)

    def cut(*, dead: bool) -> None:
        world.line.dead = dead

    world.at(20, look)
    world.at(21, world.board.reset)
    world.at(22, look)
    world.at(40, look)
    world.at(41, lambda: cut(dead=True))
    world.at(60, look)
    world.at(61, lambda: cut(dead=False))
    world.at(90, look)
    world.run(91)
    assert known == [True, False, True, False, True]
    assert world.status.resets == 1
    without = (BoardState.CONNECTING, BoardState.OFFLINE)
    assert all(status.clock is None for status in world.sink.statuses if status.state in without)
    entered = [later for former, later in pairwise(world.sink.statuses) if former.state is BoardState.CONNECTING]
    assert {status.clock for status in entered if status.state is BoardState.ONLINE} == {None}


def test_a_board_that_is_polled_rarely_tells_its_time_by_ping() -> None:
    world = World(poll_interval_s=20.0, failsafe_after_s=60.0, link_timeout_s=60.0).run(45)
    assert len(of(world, "uptime_ms")) < FEWEST
    assert world.status.clock is not None


def test_an_answer_to_a_repeated_request_tells_no_time() -> None:
    sampler = World().worker._parts.sampler
    for number in range(20):
        repeated = Answered(Ping(0), PingReply(0, number * 1_000_000, 0), sent_s=900.0 + number, round_trip_s=None)
        assert sampler.told_time(repeated, number * 1_000_000) == repeated.sent_s
    assert sampler._board_clock.estimate() is None


class Day:
    """A board that is polled every ten seconds; both its clocks wrap after an hour, micros every 71.6 minutes then."""

    both_wrap_s = 3_600.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Else a PING every half second keeps the board from its failsafe, and the day is long for the tests, too.
        monkeypatch.setattr(worker, "SKETCH_FAILSAFE_S", PATIENT_S)
        self.world = World(
            Line(delay_s=0.002), poll_interval_s=POLL_S, failsafe_after_s=PATIENT_S, link_timeout_s=3 * POLL_S
        )
        table = replace(self.world.pins.table(), failsafe_ms=round(PATIENT_S * 1000))
        self.world.clock.now = 1000.0 - (MILLIS_WRAP_S - self.both_wrap_s)
        self.world.board = VirtualBoard(clock=self.world.clock, table=table)
        self.world.clock.now = 1000.0
        self.commands: list[Command] = []
        self.fan: list[int] = []

    def submit(self, **request: object) -> None:
        self.commands.append(self.world.submit(**request))

    def look_at_fan(self) -> None:
        self.fan.append(int(self.world.pins.fan))

    def fail(self, reason: Reason | None) -> None:
        self.world.line.failing = reason


def moments(world: World) -> list[float]:
    """When each poll's samples were taken, as published."""
    return [samples["uptime_ms"].monotonic_s for samples in world.sink.samples if "uptime_ms" in samples]


@pytest.mark.exhaustive
@pytest.mark.fault(23)
def test_a_day_in_which_micros_millis_and_sequence_numbers_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    day = Day(monkeypatch)
    world = day.world.run(DAY_S)
    assert [state for state in world.sink.states() if state is not BoardState.CONNECTING] == [BoardState.ONLINE]
    assert (world.pins.safe_calls, world.status.resets) == (0, 0)
    counters = world.status.counters
    assert counters["frames_received"] > 30 * 256  # sequence numbers wrapped as often
    assert (counters["sessions"], counters["polls_missed"], counters["retransmissions"]) == (1, 0, 0)
    taken = moments(world)
    assert len(taken) == pytest.approx(DAY_S / POLL_S, abs=2)
    assert {round(later - earlier) for earlier, later in pairwise(taken)} == {POLL_S}  # none early, none missing
    uptimes = [sample.value for sample in of(world, "uptime_ms")]
    assert sum(later < earlier for earlier, later in pairwise(uptimes)) == 1  # millis wrapped
    assert world.status.clock is not None
    assert world.status.clock.rate_ppm == pytest.approx(0, abs=1)
    # Known ever since it was first: twenty wraps of micros shook nothing.
    known = [status.clock is not None for status in world.sink.statuses]
    assert all(known[known.index(True) :])


@pytest.mark.fault(23)
def test_timeouts_are_neither_early_nor_missing_when_the_clocks_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    day = Day(monkeypatch)
    world, wrap_s = day.world, day.both_wrap_s
    world.at(wrap_s - 2, lambda: day.submit(channel="fan", value=99, hold_ms=5000))
    world.at(wrap_s + 2.9, day.look_at_fan)
    world.at(wrap_s + 3.1, day.look_at_fan)
    second_s = wrap_s + MICROS_WRAP_S
    world.at(second_s - 15, lambda: setattr(world.line, "dead", True))
    world.at(second_s + 60, lambda: setattr(world.line, "dead", False))
    world.run(second_s + 120)
    assert day.fan == [99, 0]
    assert world.now_is(day.commands[0]).state is CommandState.DONE
    (lost,) = [entry for entry in world.sink.entries if "offline, no_answer" in entry.message]
    silent_s = lost.time_s - 1.7e9 - 1000.0 - (second_s - 15)
    assert 3 * POLL_S <= silent_s <= 4 * POLL_S  # the link timeout, since the first poll that nothing answered
    assert world.pins.safe_calls == 1
    assert world.status.state is BoardState.ONLINE
    assert world.status.failsafe is None


@pytest.mark.fault(23)
def test_a_link_lost_while_the_boards_clocks_wrap_is_no_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    day = Day(monkeypatch)
    day.world.at(day.both_wrap_s - 1, lambda: day.fail(Reason.PORT_MISSING))
    day.world.at(day.both_wrap_s + 2, lambda: day.fail(None))
    world = day.world.run(day.both_wrap_s + 60)
    assert BoardState.OFFLINE in world.sink.states()
    assert (world.status.state, world.status.resets) == (BoardState.ONLINE, 0)
    taken = moments(world)
    assert all(earlier < later for earlier, later in pairwise(taken))


@pytest.mark.fault(23)
def test_ids_that_end_while_the_clocks_wrap_begin_again_in_a_new_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    day = Day(monkeypatch)
    world, wrap_s = day.world, day.both_wrap_s
    world.at(wrap_s - 3, lambda: setattr(world.journal._of("uno"), "last_wire_id", LAST_WIRE_ID - 1))
    for number, at_s in enumerate((wrap_s - 2, wrap_s - 0.001, wrap_s + 1)):
        world.at(at_s, lambda number=number: day.submit(action="beep", arguments={"times": number}))
    world.run(wrap_s + 60)
    assert [world.now_is(command).wire_id for command in day.commands] == [LAST_WIRE_ID, 1, 2]
    assert {world.now_is(command).state for command in day.commands} == {CommandState.DONE}
    assert world.pins.beeps == [0, 1, 2]


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
@pytest.mark.fault(23)
def test_a_step_of_the_hosts_clock_moves_timestamps_and_nothing_else(step_s: float) -> None:
    world = World()
    steady = world.clock.time
    world.at(30, lambda: setattr(world.clock, "time", lambda: steady() + step_s))
    world.run(60)
    assert (world.status.counters["sessions"], world.status.counters["polls_missed"]) == (1, 0)
    taken = of(world, "uptime_ms")
    assert len(taken) == pytest.approx(600, abs=2)
    assert all(0.05 < later.monotonic_s - earlier.monotonic_s < 0.15 for earlier, later in pairwise(taken[2:]))
    steps = [round(later.time_s - earlier.time_s) for earlier, later in pairwise(taken)]
    assert sorted(set(steps)) == sorted({0, round(step_s)})
    assert world.status.clock is not None


@pytest.mark.fault(23)
def test_a_host_that_slept_takes_up_the_boards_time_where_it_was() -> None:
    world = World(link_timeout_s=30.0)
    world.at(30, lambda: setattr(world.clock, "now", world.clock.now + 1800))
    world.run(1900)
    taken = moments(world)
    assert all(earlier <= later for earlier, later in pairwise(taken))
    assert world.status.clock is not None
    assert world.status.clock.rate_ppm == pytest.approx(0, abs=2)
    assert world.status.resets == 0
