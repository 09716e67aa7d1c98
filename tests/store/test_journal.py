"""The journal in memory: rows, pages that stay put while rows come, bounded memory, epochs and wire ids."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import JournalError
from gateway.model import Command, CommandState
from gateway.store.journal import FINAL_ROWS, MemoryJournal

PATIENCE_S = 20  # how long a test waits for another thread; reached only when it fails


def command(
    number: int, state: CommandState = CommandState.QUEUED, *, board: str = "uno", wire_id: int | None = None
) -> Command:
    return Command(
        id=f"{number:024x}",
        board=board,
        virtual=True,
        target=0,
        payload=b"\1",
        schema_hash=1,
        hold_ms=0,
        created_at=1_700_000_000.0 + number,
        expires_at=1_700_000_010.0 + number,
        deadline_s=110.0 + number,
        channel="led",
        value=True,
        state=state,
        wire_id=wire_id,
    )


def numbers(rows: list[Command]) -> list[int]:
    return [int(row.id, 16) for row in rows]


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


# ---- rows ----


def test_a_row_can_be_read_when_its_future_is_done(journal: MemoryJournal) -> None:
    queued = command(1)
    journal.record(queued).result(0)
    assert journal.get(queued.id) == queued
    assert journal.get("nobody") is None


def test_a_row_takes_the_place_of_its_former_self(journal: MemoryJournal) -> None:
    for state in (CommandState.QUEUED, CommandState.SENT, CommandState.DONE):
        journal.record(command(1, state)).result(0)
        row = journal.get(command(1).id)
        assert row is not None
        assert row.state is state
    assert len(journal.page("uno")[0]) == 1


def test_every_change_is_announced_after_it_can_be_read(journal: MemoryJournal) -> None:
    seen: list[CommandState] = []
    states = [CommandState.QUEUED, CommandState.SENT, CommandState.DONE]
    ready = threading.Event()

    def follow() -> None:
        sequence = 0
        while not seen or not seen[-1].final:
            ready.set()
            sequence = journal.feed.wait(after=sequence, timeout_s=PATIENCE_S)
            row = journal.get(command(1).id)
            assert row is not None
            assert states.index(row.state) + 1 >= sequence
            seen.append(row.state)

    with ThreadPoolExecutor(1) as pool:
        follower = pool.submit(follow)
        assert ready.wait(PATIENCE_S)
        for state in states:
            journal.record(command(1, state))
        follower.result(PATIENCE_S)
    assert journal.feed.sequence == 3


@pytest.mark.parametrize("state", [state for state in CommandState if state.final])
def test_a_final_row_never_changes(journal: MemoryJournal, state: CommandState) -> None:
    ended = command(1, state)
    journal.record(ended).result(0)
    journal.record(ended).result(0)
    before = journal.feed.sequence
    for other in (command(1, CommandState.SENT), replace(ended, result=7), replace(ended, finished_at=1.0)):
        with pytest.raises(JournalError, match=f"{ended.id} has ended"):
            journal.record(other).result(0)
    assert journal.get(ended.id) == ended
    assert journal.feed.sequence == before


# ---- pages ----


def test_a_page_has_the_newest_first_and_one_board_only(journal: MemoryJournal) -> None:
    for number in (3, 1, 2):
        journal.record(command(number))
    journal.record(command(9, board="mega"))
    rows, cursor = journal.page("uno")
    assert (numbers(rows), cursor) == ([3, 2, 1], None)
    assert journal.page("nobody") == ([], None)


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (1, [1]), (4, [4]), (5, [4, 1]), (8, [4, 4]), (9, [4, 4, 1])])
def test_pages_join_without_a_gap(journal: MemoryJournal, count: int, sizes: list[int]) -> None:
    for number in range(count):
        journal.record(command(number))
    pages: list[list[int]] = []
    cursor: str | None = None
    while not pages or cursor is not None:
        rows, cursor = journal.page("uno", before=cursor, limit=4)
        pages.append(numbers(rows))
    assert [len(page) for page in pages] == sizes
    assert [number for page in pages for number in page] == list(reversed(range(count)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(1, 7), st.lists(st.integers(0, 5), max_size=12))
def test_rows_that_come_meanwhile_disturb_no_later_page(old: int, limit: int, arrivals: list[int]) -> None:
    journal = MemoryJournal()
    for number in range(old):
        journal.record(command(number))
    newest, seen = old, []
    rows, cursor = journal.page("uno", limit=limit)
    seen += numbers(rows)
    while cursor is not None:
        for _ in range(arrivals.pop() if arrivals else 0):
            journal.record(command(newest))
            newest += 1
        rows, cursor = journal.page("uno", before=cursor, limit=limit)
        seen += numbers(rows)
    assert seen == list(reversed(range(old)))


def test_a_cursor_outlives_its_row(journal: MemoryJournal) -> None:
    for number in (1, 2, 4, 5):
        journal.record(command(number))
    assert numbers(journal.page("uno", before=command(3).id)[0]) == [2, 1]


@pytest.mark.parametrize("cursor", ["", "two words", "x" * 33, "ö", "a\n", "../etc"])
def test_a_cursor_that_nobody_gave_is_refused(journal: MemoryJournal, cursor: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        journal.page("uno", before=cursor)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_without_rows_is_refused(journal: MemoryJournal, limit: int) -> None:
    with pytest.raises(ValueError, match="at least 1 row"):
        journal.page("uno", limit=limit)


# ---- bounded memory ----


def test_final_rows_are_forgotten_oldest_first_and_no_others(journal: MemoryJournal) -> None:
    waiting = [command(number, CommandState.SENT if number else CommandState.QUEUED) for number in range(20)]
    for row in waiting:
        journal.record(row)
    for number in range(20, 20 + FINAL_ROWS + 5):
        journal.record(command(number, CommandState.DONE))
    assert all(journal.get(row.id) == row for row in waiting)
    assert all(journal.get(command(number).id) is None for number in range(20, 25))
    rows, cursor = journal.page("uno", limit=10 * FINAL_ROWS)
    assert numbers(rows) == [*reversed(range(25, 20 + FINAL_ROWS + 5)), *reversed(range(20))]
    assert cursor is None


def test_a_row_that_just_ended_is_there_however_old() -> None:
    journal = MemoryJournal(final_rows=3)
    journal.record(command(0))
    for number in range(1, 4):
        journal.record(command(number, CommandState.DONE))
    journal.record(command(0, CommandState.EXPIRED))
    row = journal.get(command(0).id)
    assert row is not None
    assert row.state is CommandState.EXPIRED
    assert journal.get(command(1).id) is None


def test_boards_have_their_own_bound() -> None:
    journal = MemoryJournal(final_rows=3)
    journal.record(command(0, CommandState.DONE, board="mega"))
    for number in range(1, 5):
        journal.record(command(number, CommandState.DONE))
    assert journal.get(command(0).id) is not None
    assert journal.get(command(1).id) is None


# ---- epochs and wire ids ----


def draws(*values: int) -> Callable[[int], int]:
    left = iter(values)

    def draw(bits: int) -> int:
        assert bits == 32
        return next(left)

    return draw


def test_an_epoch_is_never_0_and_never_another_boards() -> None:
    journal = MemoryJournal(random_bits=draws(0, 5, 5, 0, 6, 6, 5, 7))
    assert [journal.epoch("uno"), journal.epoch("mega"), journal.epoch("uno")] == [5, 6, 5]
    assert journal.rotate_epoch("uno").result(0) == 7
    assert [journal.epoch("uno"), journal.epoch("mega")] == [7, 6]


def test_each_journal_has_its_own_epochs() -> None:
    assert len({MemoryJournal().epoch("uno") for _ in range(5)}) == 5


def test_a_rotation_never_gives_the_same_epoch_again() -> None:
    journal = MemoryJournal(random_bits=draws(5, 5, 8))
    assert journal.epoch("uno") == 5
    assert journal.rotate_epoch("uno").result(0) == 8


def test_wire_ids_are_counted_by_board(journal: MemoryJournal) -> None:
    assert journal.last_wire_id("uno") == 0
    journal.record(command(1, CommandState.SENT, wire_id=7))
    journal.record(command(2, CommandState.SENT, wire_id=3))
    journal.record(command(3, CommandState.SENT, board="mega", wire_id=90))
    journal.record(command(4))
    assert (journal.last_wire_id("uno"), journal.last_wire_id("mega")) == (7, 90)


def test_wire_ids_outlive_their_rows() -> None:
    journal = MemoryJournal(final_rows=1)
    journal.record(command(0, CommandState.DONE, wire_id=90))
    journal.record(command(1, CommandState.DONE, wire_id=7))
    assert journal.get(command(0).id) is None
    assert journal.last_wire_id("uno") == 90


def test_wire_ids_start_again_with_a_new_epoch(journal: MemoryJournal) -> None:
    sent = command(1, CommandState.SENT, wire_id=7)
    journal.record(sent)
    before = journal.feed.sequence
    epoch = journal.rotate_epoch("uno").result(0)
    assert journal.epoch("uno") == epoch
    assert journal.feed.sequence == before + 1
    assert journal.last_wire_id("uno") == 0
    journal.record(replace(sent, state=CommandState.UNKNOWN))
    assert journal.last_wire_id("uno") == 0, "an id of the epoch before"
    journal.record(command(2, CommandState.SENT, wire_id=1))
    assert journal.last_wire_id("uno") == 1


def test_many_threads_write_and_page_at_once(journal: MemoryJournal) -> None:
    def write(first: int) -> None:
        for number in range(first, 800, 4):
            journal.record(command(number))
            journal.record(command(number, CommandState.DONE, wire_id=number))
            rows = numbers(journal.page("uno", limit=5)[0])
            assert rows == sorted(set(rows), reverse=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert numbers(journal.page("uno", limit=1000)[0]) == list(reversed(range(800)))
    assert (journal.feed.sequence, journal.last_wire_id("uno")) == (1600, 799)
