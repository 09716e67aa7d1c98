"""The three ways to wait, each over a fake port; serial_port's tests use them over real ones."""

import os
import selectors
import socket
from dataclasses import dataclass, field

import pytest

from gateway.link.waits import SLICE_S, ScheduledWait, SelectorWait, SlicedWait
from gateway.link.wake import Wake
from tests.link.fakes import FakeClock, open_descriptors


@dataclass
class FakeWake:
    """Lets the clock run instead of waiting; woken at a given moment."""

    clock: FakeClock
    set_at_s: float = float("inf")
    waits: list[float | None] = field(default_factory=list)

    def wait(self, timeout_s: float | None) -> bool:
        self.waits.append(timeout_s)
        end_s = self.set_at_s if timeout_s is None else self.clock.monotonic() + max(0.0, timeout_s)
        woken = self.set_at_s <= end_s
        self.clock.ms = round(min(self.set_at_s, end_s) * 1000)
        return woken


@dataclass
class FakePort:
    """Has bytes from a given moment on, and is due at another."""

    clock: FakeClock
    bytes_at_s: float = float("inf")
    due: float | None = None

    @property
    def in_waiting(self) -> int:
        return int(self.clock.monotonic() >= self.bytes_at_s)

    def due_s(self) -> float | None:
        return self.due


class TestScheduled:
    @pytest.mark.parametrize(
        ("timeout_s", "due_in_s", "waited_s"),
        [(2.0, None, 2.0), (2.0, 0.5, 0.5), (0.25, 0.5, 0.25), (None, 0.5, 0.5), (None, None, None)],
    )
    def test_it_waits_for_the_time_or_until_the_board_is_due(
        self, clock: FakeClock, timeout_s: float | None, due_in_s: float | None, waited_s: float | None
    ) -> None:
        wake = FakeWake(clock, set_at_s=clock.monotonic() + 60)
        port = FakePort(clock, due=None if due_in_s is None else clock.monotonic() + due_in_s)
        ScheduledWait(port, wake=wake, clock=clock)(timeout_s)  # type: ignore[arg-type]
        assert wake.waits == [waited_s]

    def test_bytes_end_it_at_once(self, clock: FakeClock) -> None:
        wake = FakeWake(clock)
        ScheduledWait(FakePort(clock, bytes_at_s=0), wake=wake, clock=clock)(None)  # type: ignore[arg-type]
        assert not wake.waits


class TestSliced:
    def test_bytes_end_it_within_a_slice(self, clock: FakeClock) -> None:
        began_s = clock.monotonic()
        wake = FakeWake(clock)
        SlicedWait(FakePort(clock, bytes_at_s=began_s + 0.1), wake=wake, clock=clock)(None)  # type: ignore[arg-type]
        assert began_s + 0.1 <= clock.monotonic() <= began_s + 0.1 + SLICE_S

    def test_a_wake_ends_it_at_once(self, clock: FakeClock) -> None:
        set_at_s = clock.monotonic() + 0.007
        SlicedWait(FakePort(clock), wake=FakeWake(clock, set_at_s), clock=clock)(None)  # type: ignore[arg-type]
        assert clock.monotonic() == set_at_s

    @pytest.mark.parametrize("timeout_s", [0, 0.003, 0.005, 0.012])
    def test_the_time_ends_it(self, clock: FakeClock, timeout_s: float) -> None:
        end_s = clock.monotonic() + timeout_s
        wake = FakeWake(clock)
        SlicedWait(FakePort(clock), wake=wake, clock=clock)(timeout_s)  # type: ignore[arg-type]
        assert clock.monotonic() == pytest.approx(end_s)
        assert all(waited_s is not None and waited_s <= SLICE_S for waited_s in wake.waits)


class TestSelector:
    def test_bytes_end_it_and_stay(self, wake: Wake) -> None:
        host, board = socket.socketpair()
        with host, board:
            wait = SelectorWait(host.fileno(), wake=wake)
            board.send(b"x")
            wait(None)
            wait(None)
            wait.close()

    def test_a_wake_ends_it_and_is_cleared(self, wake: Wake) -> None:
        host, board = socket.socketpair()
        with host, board:
            wait = SelectorWait(host.fileno(), wake=wake)
            wake.set()
            wait(None)
            assert not wake.wait(0)
            wait(0)
            wait.close()

    def test_a_descriptor_that_can_not_be_watched_leaves_none_open(self, wake: Wake) -> None:
        before = open_descriptors()
        with pytest.raises((OSError, ValueError)):
            SelectorWait(-1, wake=wake)
        assert open_descriptors() == before

    def test_closed_it_holds_nothing(self, wake: Wake) -> None:
        host, board = socket.socketpair()
        with host, board:
            before = open_descriptors()
            wait = SelectorWait(os.dup(host.fileno()), wake=wake)
            assert isinstance(wait._selector, selectors.BaseSelector)
            wait.close()
            assert open_descriptors() == before + 1
