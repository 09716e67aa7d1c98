"""What every journal promises, the one on a disk and the one that stands in for it in worlds and desks: rows, pages
that stay put while rows come, idempotency keys, epochs, wire ids and latches."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import JournalError, KeyTaken
from gateway.model import Clock, Command, CommandState, FailsafeCause, IdempotencyKey
from gateway.store.database import Database
from gateway.store.journal import Journal
from tests.memory_journal import MemoryJournal
from tests.store.rows import HandClock, command, numbers

PATIENCE_S = 20  # how long a test waits for another thread; reached only when it fails
BOARDS = ("mega", "uno")
DAY_S = 24 * 3600.0

AnyJournal = Journal | MemoryJournal


class Make(Protocol):
    """Makes a new journal for `BOARDS`."""

    def __call__(
        self, *, random_bits: Callable[[int], int] | None = None, clock: Clock | None = None
    ) -> AnyJournal: ...


@pytest.fixture(params=["memory", "disk", "disk, little memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    made: list[Journal] = []

    def in_memory(**given: Any) -> MemoryJournal:
        return MemoryJournal(BOARDS, **{name: value for name, value in given.items() if value is not None})

    def on_disk(**given: Any) -> Journal:
        options = {name: value for name, value in given.items() if value is not None}
        if "little" in request.param:
            options["final_rows"] = 2
        database = Database(tmp_path / f"{len(made)}.db", synchronous="normal")
        made.append(Journal(database, boards=BOARDS, **options))
        made[-1].start()
        return made[-1]

    yield in_memory if request.param == "memory" else on_disk
    for journal in made:
        journal.close()


@pytest.fixture
def journal(make: Make) -> AnyJournal:
    return make()


def keep(journal: AnyJournal, *rows: Command) -> None:
    """Returns once all of them are kept."""
    for kept in [journal.record(row) for row in rows]:
        kept.result(PATIENCE_S)


def refused(kept: "Future[Any]") -> BaseException | None:
    return kept.exception(PATIENCE_S)


# ---- rows ----


def test_a_row_can_be_read_when_its_future_is_done(journal: AnyJournal) -> None:
    queued = command(1)
    keep(journal, queued)
    assert journal.get(queued.id) == queued
    assert journal.get("nobody") is None


def test_a_row_takes_the_place_of_its_former_self(journal: AnyJournal) -> None:
    for state in (CommandState.QUEUED, CommandState.SENT, CommandState.DONE):
        keep(journal, command(1, state))
        row = journal.get(command(1).id)
        assert row is not None
        assert row.state is state
    assert len(journal.page("uno")[0]) == 1


def test_every_change_is_announced_after_it_can_be_read(journal: AnyJournal) -> None:
    seen: list[CommandState] = []
    states = [CommandState.QUEUED, CommandState.SENT, CommandState.DONE]
    ready = threading.Event()
    sequence = journal.feed.sequence

    def follow(sequence: int) -> None:
        while not seen or not seen[-1].final:
            ready.set()
            sequence = journal.feed.wait(after=sequence, timeout_s=PATIENCE_S)
            row = journal.get(command(1).id)
            assert row is not None
            seen.append(row.state)

    with ThreadPoolExecutor(1) as pool:
        follower = pool.submit(follow, sequence)
        assert ready.wait(PATIENCE_S)
        keep(journal, *(command(1, state) for state in states))
        follower.result(PATIENCE_S)
    assert journal.feed.sequence > sequence
    assert seen == sorted(seen, key=states.index)


@pytest.mark.parametrize("state", [state for state in CommandState if state.final])
def test_a_final_row_never_changes(journal: AnyJournal, state: CommandState) -> None:
    ended = command(1, state)
    keep(journal, ended, ended, replace(ended, deadline_s=7.0))
    before = journal.feed.sequence
    for other in (command(1, CommandState.SENT), replace(ended, result=7), replace(ended, finished_at=1.0)):
        error = refused(journal.record(other))
        assert isinstance(error, JournalError)
        assert f"{ended.id} has ended" in str(error)
    row = journal.get(ended.id)
    assert row is not None
    assert replace(row, deadline_s=ended.deadline_s) == ended
    assert journal.feed.sequence == before


def test_a_final_row_never_changes_however_long_ago_it_ended(journal: AnyJournal) -> None:
    ended = [command(number, CommandState.DONE) for number in range(5)]
    keep(journal, *ended)
    for row in ended:
        assert isinstance(refused(journal.record(replace(row, state=CommandState.QUEUED))), JournalError)
        keep(journal, row)


# ---- pages ----


def test_a_page_has_the_newest_first_and_one_board_only(journal: AnyJournal) -> None:
    keep(journal, *(command(number) for number in (3, 1, 2)), command(9, board="mega"))
    rows, cursor = journal.page("uno")
    assert (numbers(rows), cursor) == ([3, 2, 1], None)
    assert journal.page("nobody") == ([], None)


@pytest.mark.parametrize("state", [CommandState.QUEUED, CommandState.DONE])
@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (1, [1]), (4, [4]), (5, [4, 1]), (8, [4, 4]), (9, [4, 4, 1])])
def test_pages_join_without_a_gap(journal: AnyJournal, state: CommandState, count: int, sizes: list[int]) -> None:
    keep(journal, *(command(number, state) for number in range(count)))
    pages: list[list[int]] = []
    cursor: str | None = None
    while not pages or cursor is not None:
        rows, cursor = journal.page("uno", before=cursor, limit=4)
        pages.append(numbers(rows))
    assert [len(page) for page in pages] == sizes
    assert [number for page in pages for number in page] == list(reversed(range(count)))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 20), st.integers(1, 7), st.lists(st.integers(0, 5), max_size=8), st.booleans())
def test_rows_that_come_meanwhile_disturb_no_later_page(
    make: Make, old: int, limit: int, arrivals: list[int], ended: bool
) -> None:
    journal = make()
    state = CommandState.DONE if ended else CommandState.QUEUED
    keep(journal, *(command(number, state) for number in range(old)))
    newest, seen = old, []
    rows, cursor = journal.page("uno", limit=limit)
    seen += numbers(rows)
    while cursor is not None:
        coming = arrivals.pop() if arrivals else 0
        keep(journal, *(command(number, state) for number in range(newest, newest + coming)))
        newest += coming
        rows, cursor = journal.page("uno", before=cursor, limit=limit)
        seen += numbers(rows)
    assert seen == list(reversed(range(old)))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(CommandState), max_size=14),
    st.frozensets(st.sampled_from(CommandState)),
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(0, 15)),
)
def test_a_page_can_be_of_some_states_only(
    make: Make, rows: list[CommandState], wanted: frozenset[CommandState], limit: int, before: int | None
) -> None:
    journal = make()
    keep(journal, *(command(number, state) for number, state in enumerate(rows)))
    older = range(len(rows) if before is None else min(before, len(rows)))
    fitting = [number for number in reversed(older) if rows[number] in wanted]
    cursor = None if before is None else command(before).id
    page, cursor = journal.page("uno", before=cursor, limit=limit, states=wanted)
    assert numbers(page) == fitting[:limit]
    assert cursor == (page[-1].id if len(fitting) > limit else None)


def test_a_cursor_outlives_its_row(journal: AnyJournal) -> None:
    keep(journal, *(command(number) for number in (1, 2, 4, 5)))
    assert numbers(journal.page("uno", before=command(3).id)[0]) == [2, 1]


@pytest.mark.parametrize("cursor", ["", "two words", "x" * 33, "ö", "a\n", "../etc"])
def test_a_cursor_that_nobody_gave_is_refused(journal: AnyJournal, cursor: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        journal.page("uno", before=cursor)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_without_rows_is_refused(journal: AnyJournal, limit: int) -> None:
    with pytest.raises(ValueError, match="at least 1 row"):
        journal.page("uno", limit=limit)


# ---- what a restart goes on with ----


def test_commands_that_have_not_ended_are_told_oldest_first(journal: AnyJournal) -> None:
    keep(journal, command(3), command(1, CommandState.SENT), command(2, CommandState.DONE), command(4, board="mega"))
    keep(journal, command(5, board="gone"), command(6, CommandState.FAILED, board="gone"))
    assert numbers(journal.open_commands("uno")) == [1, 3]
    assert numbers(journal.open_elsewhere(BOARDS)) == [5]
    assert numbers(journal.open_elsewhere(["gone"])) == [1, 3, 4]


# ---- idempotency keys ----


def test_a_key_tells_its_command(journal: AnyJournal) -> None:
    key = IdempotencyKey("client", "key", "print")
    assert journal.keyed(key) is None
    journal.record(command(1), key=key).result(PATIENCE_S)
    assert journal.keyed(key) == (command(1).id, "print")
    assert journal.keyed(replace(key, fingerprint="other")) == (command(1).id, "print")
    assert journal.keyed(replace(key, client="other")) is None
    assert journal.keyed(replace(key, key="other")) is None


def test_under_one_key_one_command_is_kept(journal: AnyJournal) -> None:
    key = IdempotencyKey("client", "key", "print")
    answers = [refused(journal.record(command(number), key=key)) for number in range(3)]
    assert answers[0] is None
    assert [type(answer) for answer in answers[1:]] == [KeyTaken, KeyTaken]
    assert numbers(journal.page("uno")[0]) == [0]
    assert journal.keyed(key) == (command(0).id, "print")


def test_of_many_at_once_one_gets_the_key(journal: AnyJournal) -> None:
    key = IdempotencyKey("client", "key", "print")
    together = threading.Barrier(4)

    def ask(number: int) -> bool:
        together.wait(PATIENCE_S)
        return refused(journal.record(command(number), key=key)) is None

    with ThreadPoolExecutor(4) as pool:
        kept = [number for number, got in enumerate(pool.map(ask, range(4))) if got]
    assert numbers(journal.page("uno")[0]) == kept
    assert len(kept) == 1


def test_a_key_is_free_again_after_a_day(make: Make) -> None:
    clock = HandClock()
    journal = make(clock=clock)
    key = IdempotencyKey("client", "key", "print")
    journal.record(command(1), key=key).result(PATIENCE_S)
    clock.advance(DAY_S - 1)
    assert isinstance(refused(journal.record(command(2), key=key)), KeyTaken)
    clock.advance(2)
    assert journal.keyed(key) is None
    journal.record(command(3), key=replace(key, fingerprint="new")).result(PATIENCE_S)
    assert journal.keyed(key) == (command(3).id, "new")


# ---- epochs, wire ids and latches ----


def draws(*values: int) -> Callable[[int], int]:
    left = iter(values)

    def draw(bits: int) -> int:
        assert bits == 32
        return next(left)

    return draw


def test_an_epoch_is_never_0_and_never_another_boards(make: Make) -> None:
    journal = make(random_bits=draws(0, 5, 5, 0, 6, 6, 5, 7))
    assert [journal.epoch("mega"), journal.epoch("uno"), journal.epoch("mega")] == [5, 6, 5]
    assert journal.rotate_epoch("mega").result(PATIENCE_S) == 7
    assert [journal.epoch("mega"), journal.epoch("uno")] == [7, 6]


def test_each_journal_has_its_own_epochs(make: Make) -> None:
    assert len({make().epoch("uno") for _ in range(5)}) == 5


def test_a_rotation_never_gives_the_same_epoch_again(make: Make) -> None:
    journal = make(random_bits=draws(4, 5, 5, 8))
    assert journal.epoch("uno") == 5
    assert journal.rotate_epoch("uno").result(PATIENCE_S) == 8


def test_wire_ids_are_counted_by_board(journal: AnyJournal) -> None:
    assert journal.last_wire_id("uno") == 0
    keep(
        journal,
        command(1, CommandState.SENT, wire_id=7),
        command(2, CommandState.SENT, wire_id=3),
        command(3, CommandState.SENT, board="mega", wire_id=90),
        command(4),
    )
    assert (journal.last_wire_id("uno"), journal.last_wire_id("mega")) == (7, 90)


def test_wire_ids_start_again_with_a_new_epoch(journal: AnyJournal) -> None:
    sent = command(1, CommandState.SENT, wire_id=7)
    keep(journal, sent)
    before = journal.feed.sequence
    epoch = journal.rotate_epoch("uno").result(PATIENCE_S)
    assert journal.epoch("uno") == epoch
    journal.feed.wait(after=before, timeout_s=PATIENCE_S)
    assert journal.feed.sequence == before + 1
    assert journal.last_wire_id("uno") == 0
    keep(journal, replace(sent, state=CommandState.UNKNOWN))
    assert journal.last_wire_id("uno") == 0, "an id of the epoch before"
    keep(journal, command(2, CommandState.SENT, wire_id=1))
    assert journal.last_wire_id("uno") == 1


def test_a_latch_is_kept_until_it_is_lifted(journal: AnyJournal) -> None:
    assert journal.latch("uno") is None
    for cause in (FailsafeCause.SAFE, FailsafeCause.SAFE, FailsafeCause.LINK, None):
        journal.keep_latch("uno", cause).result(PATIENCE_S)
        assert (journal.latch("uno"), journal.latch("mega")) == (cause, None)
    assert journal.epoch("uno") != 0


def test_a_latch_that_changes_twice_at_once_ends_as_it_was_asked_last(journal: AnyJournal) -> None:
    asked = [journal.keep_latch("uno", cause) for cause in (FailsafeCause.SAFE, None, FailsafeCause.SAFE, None)]
    for kept in asked:
        kept.result(PATIENCE_S)
    assert journal.latch("uno") is None


def test_many_threads_write_and_page_at_once(journal: AnyJournal) -> None:
    def write(first: int) -> None:
        for number in range(first, 200, 4):
            keep(journal, command(number), command(number, CommandState.DONE, wire_id=number))
            rows = numbers(journal.page("uno", limit=5)[0])
            assert rows == sorted(set(rows), reverse=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert numbers(journal.page("uno", limit=1000)[0]) == list(reversed(range(200)))
    assert journal.last_wire_id("uno") == 199
