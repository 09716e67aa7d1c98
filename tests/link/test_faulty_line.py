"""A faulty line by itself: what it loses, changes and holds back, and that a seed repeats it."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.faulty_line import FaultyLine, LineFaults
from tests.link.fakes import FakeClock

MANY = 200_000
SIGMAS = 6  # with these seeds nothing is left to chance; another seed would miss such a limit once in 500 million


class Echo:
    """A board that says back whatever it hears, as far as it is switched on."""

    def __init__(self) -> None:
        self.heard = b""
        self.said = b""
        self.moment_s: float | None = None

    def receive(self, data: bytes) -> None:
        assert data
        self.heard += data

    def transmit(self) -> bytes:
        said, self.said = self.said, b""
        return said

    def due_s(self) -> float | None:
        return self.moment_s


def line_to(board: Echo, clock: FakeClock, **faults: object) -> FaultyLine:
    return FaultyLine(board, LineFaults(**faults), clock=clock)  # type: ignore[arg-type]


def through(data: Sequence[bytes], clock: FakeClock, **faults: object) -> tuple[bytes, bytes]:
    """What of the pieces arrives at the board, and what of the same pieces at the host."""
    board, arrived = Echo(), b""
    line = line_to(board, clock, **faults)
    for piece in data:
        board.said = piece
        line.receive(piece)
        arrived += line.transmit()
    return board.heard, arrived


def within_statistics(count: int, *, of: int, chance: float) -> bool:
    sigma = (of * chance * (1 - chance)) ** 0.5
    return abs(count - of * chance) < SIGMAS * sigma


def test_a_line_without_faults_changes_nothing(clock: FakeClock) -> None:
    every_byte = bytes(range(256))
    assert through([every_byte, b"", every_byte], clock) == (every_byte * 2, every_byte * 2)


@given(st.lists(st.binary(max_size=30)))
def test_a_seed_repeats_its_faults_however_the_bytes_are_cut(pieces: list[bytes]) -> None:
    faults = {"drop": 0.2, "corrupt": 0.3, "seed": 7}
    clock = FakeClock()
    assert through(pieces, clock, **faults) == through([b"".join(pieces)], clock, **faults)


def test_other_seeds_and_the_other_way_meet_other_faults(clock: FakeClock) -> None:
    data = [bytes(range(1, 256)) * 4]
    ways = {way for seed in (7, 8, None, None) for way in through(data, clock, drop=0.1, corrupt=0.1, seed=seed)}
    assert len(ways) == 8


def test_bytes_are_lost_at_their_rate_and_the_rest_keep_order(clock: FakeClock) -> None:
    data = bytes(index % 256 for index in range(MANY))
    for arrived in through([data], clock, drop=0.02, seed=1):
        assert within_statistics(MANY - len(arrived), of=MANY, chance=0.02)
        steps = {(later - sooner) % 256 for sooner, later in pairwise(arrived)}
        assert steps <= set(range(1, 6))


def test_bytes_are_changed_at_their_rate_to_any_other(clock: FakeClock) -> None:
    data = bytes(MANY)
    for arrived in through([data], clock, corrupt=0.02, seed=1):
        assert len(arrived) == MANY
        changed = [byte for byte in arrived if byte]
        assert within_statistics(len(changed), of=MANY, chance=0.02)
        assert set(changed) == set(range(1, 256))


@pytest.mark.parametrize(("faults", "left"), [({"drop": 1.0}, 0), ({"corrupt": 1.0}, 256)])
def test_certain_faults(clock: FakeClock, faults: dict[str, float], left: int) -> None:
    data = bytes(range(256))
    for arrived in through([data], clock, seed=1, **faults):
        assert len(arrived) == left
        assert not any(sent == came for sent, came in zip(data, arrived, strict=False))


class TestDelay:
    def test_each_way_takes_its_time(self, clock: FakeClock) -> None:
        board = Echo()
        line = line_to(board, clock, delay_s=0.02)
        line.receive(b"ask")
        assert line.due_s() == pytest.approx(clock.monotonic() + 0.02)
        clock.ms += 19
        assert line.transmit() == b""
        assert board.heard == b""
        clock.ms += 1
        assert line.transmit() == b""
        assert board.heard == b"ask"
        assert line.due_s() is None
        board.said = b"answer"
        assert line.transmit() == b""
        assert line.due_s() == pytest.approx(clock.monotonic() + 0.02)
        clock.ms += 20
        assert line.transmit() == b"answer"

    def test_the_soonest_moment_counts(self, clock: FakeClock) -> None:
        board = Echo()
        line = line_to(board, clock, delay_s=0.05)
        assert line.due_s() is None
        board.moment_s = clock.monotonic() + 0.03
        line.receive(b"x")
        assert line.due_s() == board.moment_s
        board.moment_s = clock.monotonic() + 0.3
        assert line.due_s() == pytest.approx(clock.monotonic() + 0.05)

    def test_bytes_stay_apart_under_way(self, clock: FakeClock) -> None:
        board = Echo()
        line = line_to(board, clock, delay_s=0.02)
        line.receive(b"one")
        clock.ms += 10
        line.receive(b"two")
        clock.ms += 10
        line.transmit()
        assert board.heard == b"one"
        clock.ms += 10
        line.transmit()
        assert board.heard == b"onetwo"
