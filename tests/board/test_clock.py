"""A board's clock mapped to the host's: never fresher than the truth, whatever the rate, the delays and the wraps."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.board.clock import FEWEST, MAX_GAP_S, SPACING_S, WRAP_US, BoardClock

BEGAN_S = 5_000.0
RESONATOR_PPM = 2_021.0  # as seen on an Uno


@dataclass(frozen=True)
class Seen:
    """One exchange, and what only the test knows of it."""

    t_us: int
    sent_s: float
    received_s: float
    truth_s: float


class Board:
    """A clock that runs `ppm` too fast and showed `shows_us` at BEGAN_S; it is asked over a line with given delays."""

    def __init__(self, ppm: float, *, shows_us: int = 0) -> None:
        self.rate = 1 + ppm / 1e6
        self.shows_us = shows_us

    def micros(self, at_s: float) -> int:
        return int(self.shows_us + (at_s - BEGAN_S) * self.rate * 1e6) % WRAP_US

    def answer(self, sent_s: float, there_s: float, back_s: float) -> Seen:
        truth_s = sent_s + there_s
        return Seen(self.micros(truth_s), sent_s, truth_s + back_s, truth_s)


def take(clock: BoardClock, seen: Seen) -> None:
    clock.exchange(seen.t_us, sent_s=seen.sent_s, received_s=seen.received_s)


def polls(
    board: Board, count: int, *, delay: Callable[[], tuple[float, float]], every_s: float = 0.1
) -> Iterator[Seen]:
    sent_s = BEGAN_S
    for _ in range(count):
        seen = board.answer(sent_s, *delay())
        yield seen
        sent_s = max(sent_s + every_s, seen.received_s)


def usual(seed: int = 1) -> Callable[[], tuple[float, float]]:
    """An Uno behind its USB chip: 1 to 4 ms, the longer part on the way back; now and then a sketch that is busy."""
    chance = random.Random(seed)

    def delay() -> tuple[float, float]:
        busy_s = chance.choice((0.05, 0.2)) if chance.random() < 0.05 else 0.0
        return busy_s + chance.uniform(0.0004, 0.0015), chance.uniform(0.0018, 0.003)

    return delay


@settings(max_examples=60, deadline=None)
@given(
    ppm=st.floats(-5_000, 5_000),
    shows_us=st.integers(0, WRAP_US - 1),
    every_s=st.sampled_from((0.005, 0.1, 1.0, 20.0)),
    line=st.tuples(st.sampled_from((0.0, 0.0001, 0.003, 0.2)), st.sampled_from((0.0, 0.2, 0.5, 1.0))),
    seed=st.integers(0, 99),
)
def test_no_moment_is_later_than_the_truth_and_every_bound_holds(
    ppm: float, shows_us: int, every_s: float, line: tuple[float, float], seed: int
) -> None:
    """A line has a longest round trip and the part of each that the request takes: the worst are all one way."""
    longest_s, asymmetry = line
    chance = random.Random(seed)
    clock, board = BoardClock(), Board(ppm, shows_us=shows_us)

    def delay() -> tuple[float, float]:
        round_trip_s = chance.uniform(0.0, longest_s)
        return round_trip_s * asymmetry, round_trip_s * (1 - asymmetry)

    former_s = 0.0
    for seen in polls(board, 300, delay=delay, every_s=every_s):
        take(clock, seen)
        moment_s = clock.earliest(seen.t_us, sent_s=seen.sent_s, received_s=seen.received_s)
        assert seen.sent_s <= moment_s <= seen.truth_s + 1e-6
        assert former_s <= moment_s
        former_s = moment_s
        if found := clock.host_time(seen.t_us):
            assert abs(found[0] - seen.truth_s) <= found[1]
    estimate = clock.estimate()
    if estimate:
        assert abs(estimate.rate_ppm - ppm) <= estimate.rate_error_ppm * 1.01 + 1


def test_a_resonators_rate_is_found_to_a_few_ppm_within_a_minute() -> None:
    clock, board = BoardClock(), Board(RESONATOR_PPM)
    for seen in polls(board, 640, delay=usual()):
        take(clock, seen)
    estimate = clock.estimate()
    assert estimate is not None
    assert estimate.rate_ppm == pytest.approx(RESONATOR_PPM, abs=20)
    assert estimate.rate_error_ppm < 200
    assert estimate.error_s < 0.005


def test_a_sample_that_a_busy_sketch_took_late_is_not_made_older_than_it_is() -> None:
    """The gain over stamping with the moment of sending: the board looked at its clock 200 ms later."""
    clock, board = BoardClock(), Board(RESONATOR_PPM)
    for seen in polls(board, 300, delay=usual()):
        take(clock, seen)
    late = board.answer(seen.received_s + 0.1, 0.2, 0.002)
    take(clock, late)
    moment_s = clock.earliest(late.t_us, sent_s=late.sent_s, received_s=late.received_s)
    assert late.truth_s - 0.01 < moment_s <= late.truth_s


def test_nothing_is_claimed_before_enough_is_known() -> None:
    clock, board = BoardClock(), Board(RESONATOR_PPM)
    delay = usual()
    for number in range(FEWEST + 1):
        assert clock.estimate() is None
        seen = board.answer(BEGAN_S + number * SPACING_S, *delay())
        assert clock.host_time(seen.t_us) is None
        earliest_s = clock.earliest(seen.t_us, sent_s=seen.sent_s, received_s=seen.received_s)
        assert seen.sent_s <= earliest_s <= seen.truth_s
        take(clock, seen)
    assert clock.estimate() is not None


@settings(max_examples=60, deadline=None)
@given(
    ppm=st.floats(-9_900, 9_900),
    shows_us=st.integers(0, WRAP_US - 1),
    every_s=st.sampled_from((0.001, 0.02, 0.4)),
    longest_s=st.sampled_from((0.0, 0.003, 0.2)),
    seed=st.integers(0, 99),
)
def test_moments_that_no_request_asked_for_are_never_later_than_the_truth(
    ppm: float, shows_us: int, every_s: float, longest_s: float, seed: int
) -> None:
    """Asked once a second, at other times it speaks by itself: from the first answer on, estimate or none."""
    chance = random.Random(seed)
    clock, board = BoardClock(), Board(ppm, shows_us=shows_us)
    former_s, spoke_s = 0.0, BEGAN_S
    for seen in polls(board, 20, delay=lambda: (chance.uniform(0, longest_s), 0.001), every_s=1.0):
        while spoke_s < seen.sent_s and former_s:
            delayed_s = spoke_s + chance.choice((0.0, 0.003, 5.0))
            moment_s = clock.earliest(board.micros(spoke_s), received_s=delayed_s)
            assert former_s <= moment_s <= spoke_s + 1e-5
            assert moment_s > spoke_s - longest_s - 0.002 - 0.02 * (spoke_s - BEGAN_S)
            former_s, spoke_s = moment_s, spoke_s + every_s
        spoke_s = max(spoke_s, seen.received_s)
        take(clock, seen)
        former_s = clock.earliest(seen.t_us, sent_s=seen.sent_s, received_s=seen.received_s)


def test_without_any_exchange_nobody_knows_when_it_was() -> None:
    assert BoardClock().earliest(5, received_s=1.0) == float("-inf")


def test_a_clock_that_jumped_tells_nothing_of_what_was_before() -> None:
    """Else a moment would be counted on from one that another clock told, and look fresher than it is."""
    clock, board = BoardClock(), Board(0.0)
    for seen in polls(board, 20, delay=lambda: (0.001, 0.001), every_s=1.0):
        take(clock, seen)
        clock.earliest(seen.t_us, sent_s=seen.sent_s, received_s=seen.received_s)
    board.shows_us += 30_000_000
    jumped = board.answer(seen.received_s + 1.0, 0.1, 0.2)
    take(clock, jumped)
    assert clock.earliest(jumped.t_us, sent_s=jumped.sent_s, received_s=jumped.received_s) == jumped.sent_s


def test_many_polls_in_a_short_time_are_one_exchange() -> None:
    """Else a fast poll's ring spans less than a second, and its rate is noise."""
    clock, board = BoardClock(), Board(RESONATOR_PPM)
    for seen in polls(board, 200, delay=lambda: (0.001, 0.002), every_s=0.005):
        take(clock, seen)
    assert seen.received_s < BEGAN_S + SPACING_S * FEWEST
    assert clock.estimate() is None


@pytest.mark.fault(23)
def test_moments_just_before_the_last_answer_are_told_too_across_a_wrap() -> None:
    clock, board = BoardClock(), Board(0.0, shows_us=WRAP_US - 20_000_000)
    for seen in polls(board, 201, delay=lambda: (0.001, 0.001)):
        take(clock, seen)
    assert seen.t_us < 1_000_000  # wrapped just now
    before_s = seen.truth_s - 15
    found = clock.host_time(board.micros(before_s))
    assert found is not None
    assert found[0] == pytest.approx(before_s, abs=1e-5)


@pytest.mark.parametrize("gap_s", [MAX_GAP_S - 60, MAX_GAP_S + 60])
def test_a_gap_of_an_hour_begins_anew(gap_s: float) -> None:
    clock, board = BoardClock(), Board(RESONATOR_PPM)
    for seen in polls(board, 640, delay=usual()):
        take(clock, seen)
    take(clock, board.answer(seen.received_s + gap_s, 0.001, 0.002))
    assert (clock.estimate() is None) is (gap_s > MAX_GAP_S)


@pytest.mark.parametrize("jump_s", [-1.0, -0.05, 0.05, 1.0])
def test_a_clock_that_jumped_is_not_believed(jump_s: float) -> None:
    clock, board = BoardClock(), Board(RESONATOR_PPM)
    for seen in polls(board, 640, delay=usual()):
        take(clock, seen)
    board.shows_us += int(jump_s * 1e6)
    after = board.answer(seen.received_s + 0.1, 0.001, 0.002)
    take(clock, after)
    assert clock.estimate() is None
    assert clock.earliest(after.t_us, sent_s=after.sent_s, received_s=after.received_s) == after.sent_s


def test_a_session_begins_with_nothing_known() -> None:
    clock, board = BoardClock(), Board(RESONATOR_PPM)
    for seen in polls(board, 640, delay=usual()):
        take(clock, seen)
    clock.begin()
    assert clock.estimate() is None
    take(clock, board.answer(seen.received_s + 0.1, 0.001, 0.002))
    assert clock.estimate() is None


def test_a_clock_that_stands_still_tells_nothing_and_does_no_harm() -> None:
    clock = BoardClock()
    for number in range(FEWEST * 3):
        clock.exchange(7, sent_s=BEGAN_S + number, received_s=BEGAN_S + number + 0.003)
    assert clock.estimate() is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, WRAP_US - 1), min_size=30, max_size=60))
def test_a_clock_that_says_anything_does_no_harm(shown: list[int]) -> None:
    clock = BoardClock()
    for number, t_us in enumerate(shown):
        sent_s = BEGAN_S + number
        clock.exchange(t_us, sent_s=sent_s, received_s=sent_s + 0.003)
        assert sent_s <= clock.earliest(t_us, sent_s=sent_s, received_s=sent_s + 0.003) <= sent_s + 0.003
