"""Recent samples in memory: exact, bounded, lean, whole while a board thread appends, and with every gap left open."""

import sys
import threading
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.board.worker import initial_status
from gateway.model import Channel, Sample, Value, ValueType
from gateway.store.history import LENGTH, History
from gateway.store.latest import Latest
from tests.board.world import NAME, World

PATIENCE_S = 20


def channel(name: str, value_type: ValueType, *, scale: int = 0, readable: bool = True) -> Channel:
    return Channel(0, name, "", value_type, scale, 0, 1, None, readable, not readable, False, False)


def filled(values: Iterable[Value | None], of: Channel, *, length: int = LENGTH) -> History:
    history = History([of], length=length)
    for number, value in enumerate(values):
        history.append({of.name: Sample(value, 1000.0 + number, 1.7e9 + number)})
    return history


@pytest.mark.parametrize(
    ("value_type", "scale", "values"),
    [
        (ValueType.BOOL, 0, [True, False, None, True]),
        (ValueType.U8, 0, [0, 255, None]),
        (ValueType.I32, 0, [-(2**31), 2**31 - 1, 0, None]),
        (ValueType.U32, 9, [(2**32 - 1) * 10**9, 0, 10**9, None]),
        (ValueType.I32, 9, [-(2**31) * 10**9, None]),
        (ValueType.I16, -2, [21.5, -327.68, 0.0, None]),
        (ValueType.F32, 0, [21.3, 3.4028235e38, -1e-45, 0.0, None]),
        (ValueType.TEXT, 0, ["", "grüße", None, "x"]),
    ],
)
def test_every_value_comes_back_as_it_was(value_type: ValueType, scale: int, values: list[Value | None]) -> None:
    samples = filled(values, channel("a0", value_type, scale=scale)).samples("a0")
    assert [(sample.value, type(sample.value)) for sample in samples] == [(value, type(value)) for value in values]
    assert [sample.monotonic_s for sample in samples] == [1000.0 + number for number in range(len(values))]
    assert [sample.time_s for sample in samples] == [1.7e9 + number for number in range(len(values))]


@given(st.integers(1, 20), st.integers(0, 100))
def test_the_last_ones_are_kept_oldest_first(length: int, count: int) -> None:
    history = filled(range(count), channel("a0", ValueType.U8), length=length)
    assert [sample.value for sample in history.samples("a0")] == list(range(count))[-length:]


def test_samples_after_a_moment() -> None:
    history = filled(range(10), channel("a0", ValueType.U8), length=6)
    assert [sample.value for sample in history.samples("a0", after_s=1006.0)] == [7, 8, 9]
    assert history.samples("a0", after_s=1009.0) == []
    assert [sample.value for sample in history.samples("a0", after_time_s=1.7e9 + 7)] == [8, 9]


def test_a_channel_that_is_not_read_has_no_history() -> None:
    history = History([channel("horn", ValueType.BOOL, readable=False)])
    history.append({"horn": Sample(True, 1000.0, 1.7e9), "stranger": Sample(1, 1000.0, 1.7e9)})
    for name in ("horn", "stranger"):
        with pytest.raises(KeyError):
            history.samples(name)


@pytest.mark.parametrize(("value_type", "bytes_each"), [(ValueType.F32, 24), (ValueType.U32, 24), (ValueType.BOOL, 17)])
def test_a_sample_takes_as_few_bytes_as_the_readme_says(value_type: ValueType, bytes_each: int) -> None:
    of = channel("a0", value_type)
    history = filled((number % 2 for number in range(3 * LENGTH)), of)
    columns = history._rings["a0"]._columns
    assert sum(len(column) * column.itemsize for column in columns) == bytes_each * LENGTH  # type: ignore[attr-defined]
    assert sum(map(sys.getsizeof, columns)) < 1.1 * bytes_each * LENGTH  # with what they have in reserve


def test_a_reader_sees_whole_samples_while_a_board_thread_appends() -> None:
    history = History([channel("a0", ValueType.U32)], length=100)
    done = threading.Event()

    def write() -> None:
        for number in range(20_000):
            history.append({"a0": Sample(number, float(number), 1.7e9 + number)})
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        samples = history.samples("a0")
        assert all(sample.value == sample.monotonic_s == sample.time_s - 1.7e9 for sample in samples)
        assert all(later.monotonic_s - earlier.monotonic_s == 1 for earlier, later in pairwise(samples))
    writer.join(PATIENCE_S)
    assert len(history.samples("a0")) == 100


def test_missed_polls_and_time_offline_are_gaps() -> None:
    """The real board thread over a line that is cut twice, once for a second and once for good a while."""
    world = World()
    latest = Latest([initial_status(world.settings)], stale_after_s={NAME: 1.0})
    world.sink = latest  # type: ignore[assignment]
    world.worker = world.new_worker()
    for start_s, end_s in ((10, 11), (20, 40)):
        world.at(start_s, lambda: setattr(world.line, "dead", True))
        world.at(end_s, lambda: setattr(world.line, "dead", False))
    world.run(70)
    taken = [sample.monotonic_s - 1000 for sample in latest.snapshot(NAME).history.samples("temperature")]
    assert not [at_s for at_s in taken if 10.1 < at_s < 11 or 20.1 < at_s < 40]
    gaps = [(earlier, later) for earlier, later in pairwise(taken) if later - earlier > 0.5]
    assert len(gaps) == 2
    assert len(taken) == pytest.approx(10 * (10 + 9 + 70 - gaps[1][1]), abs=10)
