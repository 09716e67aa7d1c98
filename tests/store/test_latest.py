"""The latest readings: honest about age, immutable, read without a lock, and never the same tag for another picture."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import (
    BoardState,
    BoardStatus,
    Channel,
    LogEntry,
    Quality,
    Sample,
    Schema,
    Sketch,
    Value,
    ValueType,
)
from gateway.store.latest import LOG_ENTRIES, Latest, Reading

STALE_AFTER_S = 1.0
PATIENCE_S = 20  # how long a test waits for another thread; reached only when it fails
BOARDS = ("uno", "mega")
NAMES = ("a0", "a1", "led")


def channel(index: int, name: str, *, readable: bool = True) -> Channel:
    return Channel(index, name, "V", ValueType.F32, 0, -50.0, 50.0, None, readable, not readable, False, False)


def schema(schema_hash: int = 1) -> Schema:
    channels = (*(channel(index, name) for index, name in enumerate(NAMES)), channel(3, "horn", readable=False))
    return Schema("Arduino Uno", "", Sketch("gateway", "1.0.0", schema_hash), channels, ())


def status(schema_hash: int | None = 1, *, board: str = "uno", state: BoardState = BoardState.ONLINE) -> BoardStatus:
    known = schema(schema_hash) if schema_hash is not None else None
    return BoardStatus(board, True, f"virtual://{board}", state, schema=known)


def sample(value: Value | None, *, at_s: float = 100.0) -> Sample:
    return Sample(value, at_s, 1_700_000_000.0 + at_s)


@pytest.fixture
def latest() -> Latest:
    return Latest((status(board=name) for name in BOARDS), stale_after_s=dict.fromkeys(BOARDS, STALE_AFTER_S))


# ---- honesty ----


def test_a_frozen_board_looks_older_at_every_read(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": sample(2.5, at_s=100.0)})
    seen = [latest.snapshot("uno").readings(now_s)["a0"] for now_s in (100.0, 100.25, 101.0, 101.001, 9_999.0)]
    assert [reading.age_s for reading in seen] == pytest.approx([0.0, 0.25, 1.0, 1.001, 9_899.0])
    assert [reading.quality.value for reading in seen] == ["good", "good", "good", "stale", "stale"]
    assert {reading.value for reading in seen} == {2.5}
    assert latest.feed.sequence == 1


def test_a_status_is_no_sign_of_fresh_values(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": sample(2.5, at_s=100.0)})
    for _ in range(3):
        latest.publish_status(status())
    assert latest.snapshot("uno").readings(200.0)["a0"] == Reading(2.5, "V", Quality.STALE, 1_700_000_100.0, 100.0)


def test_samples_of_other_channels_freshen_nothing(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": sample(2.5, at_s=100.0)})
    latest.publish_samples("uno", {"a1": sample(1.0, at_s=150.0)})
    readings = latest.snapshot("uno").readings(150.0)
    assert (readings["a0"].quality, readings["a0"].age_s) == (Quality.STALE, 50.0)
    assert (readings["a1"].quality, readings["a1"].age_s) == (Quality.GOOD, 0.0)


def test_what_was_never_sampled_is_bad_and_has_no_age(latest: Latest) -> None:
    assert latest.snapshot("uno").readings(100.0)["a0"] == Reading(None, "V", Quality.BAD, None, None)


def test_what_could_not_be_read_is_bad_and_has_an_age(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": sample(None, at_s=100.0)})
    snapshot = latest.snapshot("uno")
    assert snapshot.readings(100.5)["a0"] == Reading(None, "V", Quality.BAD, 1_700_000_100.0, 0.5)
    assert snapshot.readings(500.0)["a0"].quality is Quality.BAD


def test_false_and_zero_are_values(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": sample(0.0), "led": sample(value=False)})
    readings = latest.snapshot("uno").readings(100.0)
    assert [readings[name].quality for name in ("a0", "led")] == [Quality.GOOD, Quality.GOOD]


def test_a_reader_whose_clock_was_read_first_sees_no_negative_age(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": sample(2.5, at_s=100.0)})
    assert latest.snapshot("uno").readings(99.9)["a0"].age_s == 0.0


@pytest.mark.fault(23)
def test_the_host_clock_has_no_say_in_age(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": Sample(2.5, 100.0, 9e9)})
    assert latest.snapshot("uno").readings(100.5)["a0"] == Reading(2.5, "V", Quality.GOOD, 9e9, 0.5)


def test_readings_are_the_readable_channels_in_index_order(latest: Latest) -> None:
    latest.publish_samples("uno", {"horn": sample(1.0), "led": sample(1.0), "stranger": sample(1.0)})
    assert list(latest.snapshot("uno").readings(100.0)) == list(NAMES)


# ---- schemas ----


@pytest.mark.fault(24)
def test_another_schema_withdraws_the_values_of_the_old_one(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": sample(2.5)})
    latest.publish_status(status(2))
    assert latest.snapshot("uno").readings(100.0)["a0"] == Reading(None, "V", Quality.BAD, None, None)
    latest.publish_status(status(1))
    assert latest.snapshot("uno").readings(100.0)["a0"].quality is Quality.BAD


def test_a_schema_that_was_forgotten_withdraws_values_too(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": sample(2.5)})
    latest.publish_status(status(None))
    assert latest.snapshot("uno").readings(100.0) == {}
    assert latest.snapshot("uno").generation(900.0) == 0
    latest.publish_status(status(1))
    assert latest.snapshot("uno").readings(100.0)["a0"].quality is Quality.BAD


def test_the_same_schema_keeps_the_values(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": sample(2.5)})
    latest.publish_status(status(1, state=BoardState.OFFLINE))
    snapshot = latest.snapshot("uno")
    assert (snapshot.status.state, snapshot.readings(100.0)["a0"].value) == (BoardState.OFFLINE, 2.5)


# ---- snapshots ----


def test_boards_do_not_mix(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": sample(2.5)})
    latest.publish_status(status(2, board="mega"))
    assert latest.boards() == BOARDS
    assert latest.snapshot("uno").readings(100.0)["a0"].value == 2.5
    assert latest.snapshot("mega").readings(100.0)["a0"].value is None


def test_an_unknown_board_is_a_key_error_and_no_change(latest: Latest) -> None:
    for call in (
        lambda: latest.snapshot("due"),
        lambda: latest.log("due"),
        lambda: latest.publish_samples("due", {}),
        lambda: latest.publish_status(status(board="due")),
        lambda: latest.append_log("due", LogEntry(0.0, "text", "")),
    ):
        with pytest.raises(KeyError):
            call()
    assert latest.feed.sequence == 0
    assert latest.boards() == BOARDS


def test_a_snapshot_in_hand_never_changes(latest: Latest) -> None:
    counters = {"timeouts": 1}
    samples = {"a0": sample(2.5)}
    latest.publish_status(replace(status(), counters=counters))
    latest.publish_samples("uno", samples)
    before = latest.snapshot("uno")
    picture = (before.sequence, before.readings(100.0), dict(before.status.counters))
    counters["timeouts"] = 99
    samples["a0"] = samples["a1"] = sample(9.9)
    latest.publish_samples("uno", {"a0": sample(3.5)})
    latest.publish_status(status(7))
    assert (before.sequence, before.readings(100.0), dict(before.status.counters)) == picture


@pytest.mark.parametrize("mapping", ["samples", "counters"])
def test_a_reader_can_write_into_nothing(latest: Latest, mapping: str) -> None:
    latest.publish_samples("uno", {"a0": sample(2.5)})
    snapshot = latest.snapshot("uno")
    target: Any = snapshot.samples if mapping == "samples" else snapshot.status.counters
    with pytest.raises(TypeError):
        target["a0"] = 1
    with pytest.raises(AttributeError):
        snapshot.sequence = 7  # type: ignore[misc]


def test_whoever_is_woken_reads_what_woke_it(latest: Latest) -> None:
    rounds = 300

    def write() -> None:
        for number in range(rounds):
            latest.publish_samples("uno", {"a0": sample(number)})

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    sequence = 0
    while sequence < rounds:
        sequence = latest.feed.wait(after=sequence, timeout_s=PATIENCE_S)
        snapshot = latest.snapshot("uno")
        assert snapshot.sequence >= sequence
        assert snapshot.samples["a0"].value == snapshot.sequence - 1


def test_writers_of_one_board_lose_nothing(latest: Latest) -> None:
    def write(prefix: int) -> None:
        for number in range(100):
            latest.publish_samples("uno", {f"{prefix}_{number}": sample(number)})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert latest.feed.sequence == 400
    assert len(latest.snapshot("uno").samples) == 400


# ---- the read path takes no lock ----


def locks_within(thing: object, seen: set[int]) -> Iterator[Any]:
    """Every lock or condition among an object's attributes, theirs included."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if hasattr(thing, "acquire"):
        yield thing
    elif type(thing).__module__.startswith("gateway."):
        for attribute in vars(thing).values() if hasattr(thing, "__dict__") else ():
            yield from locks_within(attribute, seen)


def test_reading_takes_no_lock(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": sample(2.5)})
    latest.append_log("uno", LogEntry(1.0, "text", "hello"))
    locks = list(locks_within(latest, set()))
    assert len(locks) == 2, "the feed's and the log's"

    def read() -> tuple[Any, ...]:
        snapshot = latest.snapshot("uno")
        return (
            latest.boards(),
            latest.feed.sequence,
            len(snapshot.readings(100.0)),
            snapshot.generation(900.0),
            len(latest.log("uno")),
        )

    with ThreadPoolExecutor(2) as pool, ExitStack() as held:
        for lock in locks:
            held.enter_context(lock)
        write = pool.submit(latest.publish_samples, "uno", {"a0": sample(3.5)})
        assert pool.submit(read).result(PATIENCE_S) == (BOARDS, 1, 3, 1, 1)
        with pytest.raises(TimeoutError):  # a lock that holds no writer up would prove nothing
            write.result(0.05)
    assert latest.snapshot("uno").samples["a0"].value == 3.5


# ---- the tag ----

STEPS: st.SearchStrategy[tuple[str, Any, Any]] = st.one_of(
    st.tuples(
        st.just("samples"),
        st.dictionaries(st.sampled_from((*NAMES, "horn")), st.sampled_from((None, 1.0, 2.0, False)), max_size=3),
        st.sampled_from((0.0, 0.5, 3.0)),
    ),
    st.tuples(st.just("status"), st.sampled_from(list(BoardState)), st.sampled_from((None, 1, 2))),
    st.tuples(st.just("time"), st.sampled_from((0.0, 0.3, 0.7, 1.0, 5.0)), st.none()),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_two_pictures_never_share_a_tag(steps: list[tuple[str, Any, Any]]) -> None:
    latest = Latest([status()], stale_after_s={"uno": STALE_AFTER_S})
    now_s = 100.0
    pictures: dict[tuple[int, int], object] = {}
    for kind, first, second in (("time", 0.0, None), *steps):
        match kind:
            case "samples":
                old = {name: sample(value, at_s=now_s - second) for name, value in first.items()}
                latest.publish_samples("uno", old)
            case "status":
                latest.publish_status(status(second, state=first))
            case _:
                now_s += first
        snapshot = latest.snapshot("uno")
        readings = snapshot.readings(now_s)
        picture = (snapshot.status.state, {name: (each.value, each.quality) for name, each in readings.items()})
        assert pictures.setdefault((snapshot.sequence, snapshot.generation(now_s)), picture) == picture


def test_the_generation_rises_exactly_when_time_turns_a_reading_stale(latest: Latest) -> None:
    latest.publish_samples("uno", {"a0": sample(1.0, at_s=100.0), "a1": sample(1.0, at_s=100.5), "led": sample(None)})
    snapshot = latest.snapshot("uno")
    assert [snapshot.generation(now_s) for now_s in (100.5, 101.0, 101.1, 101.5, 101.6, 999.0)] == [0, 0, 1, 1, 2, 2]


# ---- the log ----


def test_the_log_keeps_the_last_entries_oldest_first(latest: Latest) -> None:
    for number in range(LOG_ENTRIES + 3):
        latest.append_log("uno", LogEntry(float(number), "text", str(number)))
    kept = latest.log("uno")
    assert [entry.message for entry in kept] == [str(number) for number in range(3, LOG_ENTRIES + 3)]
    assert latest.log("mega") == ()
    assert latest.feed.sequence == 0
