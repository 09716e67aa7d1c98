"""The wake: set by any thread, cleared by the wait it ended."""

import select
import threading

import pytest

from gateway.link.wake import Wake
from tests.link.fakes import LATER_S, open_descriptors


def test_a_wait_ends_with_its_time(wake: Wake) -> None:
    assert not wake.wait(0)
    assert not wake.wait(0.001)
    assert not wake.wait(-1)


def test_a_set_ends_the_next_wait_and_only_that(wake: Wake) -> None:
    wake.set()
    wake.set()
    assert wake.wait(None)
    assert not wake.wait(0)


def test_another_thread_ends_a_wait(wake: Wake) -> None:
    timer = threading.Timer(LATER_S, wake.set)
    timer.start()
    assert wake.wait(30)
    timer.join()


def test_it_can_be_selected_while_it_is_set(wake: Wake) -> None:
    assert not select.select([wake], [], [], 0)[0]
    wake.set()
    assert select.select([wake], [], [], 0)[0]
    wake.wait(0)
    assert not select.select([wake], [], [], 0)[0]


def test_any_number_of_sets_neither_blocks_nor_stays(wake: Wake) -> None:
    for _ in range(5000):
        wake.set()
    assert wake.wait(0)
    assert not wake.wait(0)


def test_a_signal_handler_may_set_it_in_the_middle_of_a_set(wake: Wake) -> None:
    with wake._open:
        wake.set()
    assert wake.wait(0)


def test_close_releases_it_and_a_late_set_is_harmless() -> None:
    before = open_descriptors()
    wake = Wake()
    wake.close()
    wake.close()
    wake.set()
    assert open_descriptors() == before
    with pytest.raises(OSError, match="Bad file descriptor"):
        wake.wait(0)
