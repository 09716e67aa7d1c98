"""Back-off: doubles to its ceiling, jitters within bounds, starts again after a reset."""

import random

import pytest

from gateway.board.backoff import Backoff


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(random=lambda: 0.5)
    assert [backoff.next_s() for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.8), (0.25, 0.9), (1.0, 1.2)])
def test_jitter_is_a_fifth_either_way_and_does_not_add_up(draw: float, factor: float) -> None:
    backoff = Backoff(random=lambda: draw)
    assert [backoff.next_s() for _ in range(7)] == pytest.approx([factor * wait for wait in (1, 2, 4, 8, 16, 30, 30)])


def test_two_boards_lost_together_do_not_come_back_in_step() -> None:
    one, other = (Backoff(random=random.Random(seed).random) for seed in (1, 2))
    assert all(one.next_s() != other.next_s() for _ in range(6))


def test_a_reset_starts_again_at_the_shortest() -> None:
    backoff = Backoff(random=lambda: 0.5)
    for _ in range(4):
        backoff.next_s()
    backoff.reset()
    assert [backoff.next_s(), backoff.next_s()] == [1, 2]
