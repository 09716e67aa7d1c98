"""The change feed: numbers rise, nobody who waits is forgotten."""

import threading

import pytest

from gateway.store.feed import ChangeFeed

PATIENCE_S = 20  # how long a test waits for another thread; reached only when it fails
FOREVER_S = 300.0  # a wait that only a wake-up can end in time


def test_the_sequence_starts_at_0_and_rises_by_1() -> None:
    feed = ChangeFeed()
    assert feed.sequence == 0
    assert [feed.advance(), feed.advance(), feed.sequence] == [1, 2, 2]


def test_a_change_before_the_wait_is_not_lost() -> None:
    feed = ChangeFeed()
    feed.advance()
    assert feed.wait(after=0, timeout_s=FOREVER_S) == 1


def test_a_wait_without_a_change_gives_the_sequence_as_it_is() -> None:
    feed = ChangeFeed()
    feed.advance()
    assert feed.wait(after=1, timeout_s=0.01) == 1
    assert feed.wait(after=7, timeout_s=0) == 1


def test_every_waiter_is_woken_by_every_change() -> None:
    feed, rounds, waiters = ChangeFeed(), 100, 6
    seen = threading.Semaphore(0)

    def follow() -> None:
        for number in range(rounds):
            assert feed.wait(after=number, timeout_s=FOREVER_S) == number + 1
            seen.release()

    threads = [threading.Thread(target=follow, daemon=True) for _ in range(waiters)]
    for thread in threads:
        thread.start()
    for _ in range(rounds):
        feed.advance()
        for _ in threads:
            assert seen.acquire(timeout=PATIENCE_S)


def test_a_change_is_announced_once_it_is_made() -> None:
    feed = ChangeFeed()
    with feed.change() as number:
        assert (number, feed.sequence) == (1, 0)
    assert feed.sequence == 1


def test_a_change_that_fails_is_none() -> None:
    feed = ChangeFeed()
    with pytest.raises(KeyError), feed.change():
        raise KeyError
    assert feed.sequence == 0
    assert feed.advance() == 1


def test_numbers_are_given_once_however_many_write() -> None:
    feed = ChangeFeed()
    taken: list[int] = []
    threads = [threading.Thread(target=lambda: taken.extend(feed.advance() for _ in range(200))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(taken) == list(range(1, 801))
