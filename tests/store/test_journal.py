"""The journal on its disk, round by round without its thread: groups, failures, crashes and starts.

A crash is played by a copy of the files as they are: that is all that a killed process leaves. A full disk is SQLite's
own `max_page_count`, a stalled or missing one is injected between journal and file."""

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from gateway.errors import JournalError, KeyTaken
from gateway.model import (
    Command,
    CommandError,
    CommandOrigin,
    CommandState,
    FailsafeCause,
    IdempotencyKey,
    ValueType,
)
from gateway.store import tables
from gateway.store.database import Database, JournalRefused
from gateway.store.journal import STALLED_S, Journal
from gateway.store.pending import GROUP
from tests.store.rows import HandClock, command, numbers

PATIENCE_S = 20  # how long a test waits for another thread; reached only when it fails
BOARDS = ("mega", "uno")
DAY_S = 24 * 3600.0
MEGABYTE = bytes(1_000_000)
KEY = IdempotencyKey("client", "key", "print")


class Disk(Database):
    """A journal file on a disk that can be made to wait or to fail."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, synchronous="normal")
        self.transactions = 0
        self.failure: JournalError | None = None
        self.lies = 0
        """So many commits from now are called failed, though they are not."""
        self.waiting = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        if self.failure is not None:
            raise self.failure
        self.transactions += 1
        with super().transaction() as connection:
            yield connection
            self.waiting.set()
            assert self.goes_on.wait(PATIENCE_S)
        if self.lies:
            self.lies -= 1
            raise JournalError("the disk fails")

    def bound(self, pages: int | None) -> None:
        """So many pages, and then it is full; None gives it room again."""
        with super().transaction() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages or 1_000_000}")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "journal.db")


@pytest.fixture
def open_journal(disk: Disk, clock: HandClock) -> Iterator[Callable[..., Journal]]:
    opened: list[Journal] = []

    def _open(database: Database = disk, **options: Any) -> Journal:
        opened.append(Journal(database, boards=BOARDS, clock=clock, **options))
        return opened[-1]

    yield _open
    for journal in opened:
        journal.close()


@pytest.fixture
def journal(open_journal: Callable[..., Journal]) -> Journal:
    return open_journal()


def crashed(journal: Journal, path: Path, disk: Disk) -> Database:
    """What a crash at this moment would leave behind: the files as they are."""
    path.mkdir()
    for name in ("", "-wal"):
        file = disk.path.with_name(disk.path.name + name)
        if file.exists():
            shutil.copy(file, path / file.name)
    return Database(path / disk.path.name)


def why(future: "Future[Any]") -> str:
    """The sentence that the future failed with."""
    assert future.done()
    error = future.exception(0)
    assert isinstance(error, JournalError)
    return str(error)


# ---- groups ----


def test_what_gathers_is_committed_at_once(journal: Journal, disk: Disk) -> None:
    before, transactions = journal.feed.sequence, disk.transactions
    kept = [journal.record(command(number)) for number in range(5)]
    assert journal.commit_pending()
    assert [future.result(0) for future in kept] == [None] * 5
    assert (journal.feed.sequence, disk.transactions) == (before + 1, transactions + 1)


def test_nothing_can_be_seen_before_it_is_committed(journal: Journal) -> None:
    before, epoch = journal.feed.sequence, journal.epoch("uno")
    asked = [
        journal.record(command(1, CommandState.SENT, wire_id=5), key=KEY),
        journal.keep_latch("uno", FailsafeCause.SAFE),
    ]

    def seen() -> tuple[object, ...]:
        return (
            journal.get(command(1).id),
            journal.page("uno")[0],
            journal.open_commands("uno"),
            journal.keyed(KEY),
            journal.last_wire_id("uno"),
            journal.latch("uno"),
            journal.feed.sequence,
        )

    assert seen() == (None, [], [], None, 0, None, before)
    assert not any(future.done() for future in asked)
    journal.commit_pending()
    row = command(1, CommandState.SENT, wire_id=5)
    assert seen() == (row, [row], [row], (row.id, "print"), 5, FailsafeCause.SAFE, before + 1)
    rotated = journal.rotate_epoch("uno")
    assert (journal.epoch("uno"), journal.last_wire_id("uno")) == (epoch, 5)
    journal.commit_pending()
    assert (journal.epoch("uno"), journal.last_wire_id("uno")) == (rotated.result(0), 0)


def test_a_long_queue_is_written_in_several_groups(journal: Journal, disk: Disk) -> None:
    transactions = disk.transactions
    kept = [journal.record(command(number)) for number in range(GROUP + 1)]
    journal.commit_pending()
    assert (kept[GROUP - 1].done(), kept[GROUP].done()) == (True, False)
    journal.commit_pending()
    assert kept[GROUP].done()
    assert disk.transactions == transactions + 2


def test_what_was_cancelled_in_time_is_not_written(journal: Journal) -> None:
    kept = [journal.record(command(number)) for number in range(3)]
    assert kept[1].cancel()
    journal.commit_pending()
    assert numbers(journal.page("uno")[0]) == [2, 0]
    assert not kept[0].cancel()


def test_it_tells_its_newest_id_and_why_nothing_can_be_kept(journal: Journal, disk: Disk) -> None:
    assert journal.newest_id() is None
    for number, board in enumerate(("uno", "mega", "uno")):
        journal.record(command(number, board=board))
    journal.commit_pending()
    assert journal.newest_id() == command(2).id
    assert journal.fault is None
    disk.failure = JournalError("the disk is full")
    journal.record(command(3))
    journal.commit_pending()
    assert journal.fault == "the disk is full"
    disk.failure = None
    journal.record(command(4))
    journal.commit_pending()
    assert journal.fault is None


@pytest.mark.parametrize("state", [CommandState.QUEUED, CommandState.DONE])
def test_a_row_that_can_not_be_kept_harms_no_other(
    journal: Journal, state: CommandState, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [command(0), replace(command(1, state), wire_id=2**70), command(2, CommandState.DONE), command(3)]
    kept = [journal.record(row) for row in rows]
    assert journal.commit_pending()
    assert numbers(journal.page("uno")[0]) == [3, 2, 0]
    assert "the journal can't keep this" in why(kept[1])
    assert [future.exception(0) for future in (kept[0], *kept[2:])] == [None] * 3
    assert "can't keep" in caplog.text


def test_of_one_group_one_gets_the_key(journal: Journal) -> None:
    kept = [journal.record(command(number), key=KEY) for number in range(3)]
    journal.commit_pending()
    assert [type(future.exception(0)) for future in kept] == [type(None), KeyTaken, KeyTaken]
    assert (numbers(journal.page("uno")[0]), journal.keyed(KEY)) == ([0], (command(0).id, "print"))


def test_a_final_row_stays_within_one_group(journal: Journal) -> None:
    rows = [command(1), command(1, CommandState.DONE), command(1, CommandState.SENT), command(1, CommandState.FAILED)]
    kept = [journal.record(row) for row in rows]
    journal.commit_pending()
    assert journal.get(rows[1].id) == rows[1]
    assert [future.exception(0) is None for future in kept] == [True, True, False, False]


def test_a_latch_that_stands_is_not_written_again(journal: Journal, disk: Disk) -> None:
    assert journal.keep_latch("uno", None).done()
    journal.keep_latch("uno", FailsafeCause.SAFE)
    again = journal.keep_latch("uno", None)
    assert not again.done(), "it is about to change"
    journal.commit_pending()
    assert again.done()
    transactions = disk.transactions
    assert journal.keep_latch("uno", None).done()
    journal.commit_pending()
    assert disk.transactions == transactions


# ---- a full disk ----


def test_a_full_disk_refuses_commands_and_goes_on_reading(
    journal: Journal, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    journal.record(command(1))
    journal.commit_pending()
    disk.bound(1)
    for number in (2, 3):
        kept = journal.record(replace(command(number), payload=MEGABYTE))
        assert journal.commit_pending(), "nothing has to be tried again"
        assert why(kept) == f"the journal {disk.path} can't be written: the disk is full; free some space"
    assert numbers(journal.page("uno")[0]) == [1]
    assert journal.get(command(2).id) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"], "once"
    disk.bound(None)
    journal.record(command(4))
    journal.commit_pending()
    assert numbers(journal.page("uno")[0]) == [4, 1]


def test_ends_wait_for_room_in_their_order_and_nothing_overtakes_them(journal: Journal, disk: Disk) -> None:
    disk.bound(1)
    large = replace(command(1, CommandState.DONE), payload=MEGABYTE)
    kept = {number: journal.record(command(number)) for number in (8,)}
    kept |= {1: journal.record(large), 2: journal.record(command(2)), 3: journal.record(command(3, CommandState.DONE))}
    for _ in range(2):
        assert not journal.commit_pending()
        assert kept[8].exception(0) is None, "it came before, and there is room for it"
        assert "disk is full" in why(kept[2])
        assert [kept[number].done() for number in (1, 3)] == [False, False]
        assert numbers(journal.page("uno")[0]) == [8], "though there is room for 2 and 3"
    kept[4] = journal.record(command(4))
    disk.bound(None)
    assert journal.commit_pending()
    assert numbers(journal.page("uno")[0]) == [8, 4, 3, 1]
    assert [kept[number].exception(0) for number in (1, 3, 4)] == [None] * 3


def test_an_epoch_and_a_latch_wait_for_room_too(journal: Journal, disk: Disk) -> None:
    disk.failure = JournalError("the disk is gone")
    epoch = journal.epoch("uno")
    asked = [journal.rotate_epoch("uno"), journal.keep_latch("uno", FailsafeCause.SAFE)]
    assert not journal.commit_pending()
    assert (journal.epoch("uno"), journal.latch("uno")) == (epoch, None)
    disk.failure = None
    assert journal.commit_pending()
    assert all(future.exception(0) is None for future in asked)
    assert journal.latch("uno") is FailsafeCause.SAFE
    assert journal.epoch("uno") != epoch


def test_a_latch_that_is_said_with_every_poll_waits_for_room_once(journal: Journal, disk: Disk) -> None:
    disk.failure = JournalError("the disk is gone")
    for _ in range(2):
        asked = [journal.keep_latch("uno", FailsafeCause.SAFE) for _ in range(3)]
        assert len(journal._pending._entries) == 1
        assert not journal.commit_pending()
    cleared = journal.keep_latch("uno", None)
    safe = journal.keep_latch("uno", FailsafeCause.SAFE)
    disk.failure = None
    assert journal.commit_pending()
    assert all(future.exception(0) is None for future in (*asked, cleared, safe))
    assert journal.latch("uno") is FailsafeCause.SAFE, "the last that was said"


def test_the_thread_tries_again_by_itself(
    journal: Journal, disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.store.journal.RETRY_S", 0.01)
    caplog.set_level("INFO")
    disk.failure = JournalError("the disk is gone")
    ended = journal.record(command(1, CommandState.DONE))
    journal.start()
    refused = journal.record(command(2))
    assert isinstance(refused.exception(PATIENCE_S), JournalError)
    assert not ended.done()
    disk.failure = None
    ended.result(PATIENCE_S)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_what_was_kept_though_the_disk_called_it_failed_is_found_to_be_kept(journal: Journal, disk: Disk) -> None:
    disk.lies = 1
    kept = journal.record(command(1), key=KEY)
    assert journal.commit_pending()
    assert kept.exception(0) is None
    assert journal.keyed(KEY) == (command(1).id, "print")
    journal.record(command(2), key=KEY)
    journal.commit_pending()
    assert numbers(journal.page("uno")[0]) == [1]


# ---- a disk that does not answer ----


def test_nobody_waits_for_a_stalled_disk(journal: Journal, disk: Disk, clock: HandClock) -> None:
    old = command(1, CommandState.DONE)
    journal.record(old)
    journal.commit_pending()
    journal.start()
    disk.waiting.clear()
    disk.goes_on.clear()
    try:
        stuck = journal.record(command(2))
        assert disk.waiting.wait(PATIENCE_S)
        assert not stuck.cancel(), "it is being written"
        assert journal.get(old.id) == old
        assert (journal.get("0" * 24), journal.keyed(KEY)) == (None, None), "these ask the disk"
        assert numbers(journal.page("uno")[0]) == [1]
        clock.advance(STALLED_S)
        behind = journal.record(command(3))
        clock.advance(0.1)
        assert "has not answered for 5 s" in why(journal.record(command(5)))
        ended = journal.record(command(6, CommandState.DONE))
        assert not any(future.done() for future in (stuck, behind, ended))
    finally:
        disk.goes_on.set()
    for future in (stuck, behind, ended):
        future.result(PATIENCE_S)
    assert numbers(journal.page("uno")[0]) == [6, 3, 2, 1]


def test_closing_does_not_wait_for_a_stalled_disk(journal: Journal, disk: Disk) -> None:
    journal.start()
    disk.waiting.clear()
    disk.goes_on.clear()
    try:
        asked = [journal.record(command(1))]
        assert disk.waiting.wait(PATIENCE_S)
        asked += [journal.record(command(2, CommandState.DONE)), journal.rotate_epoch("uno")]
        journal.close(timeout_s=0.01)
        assert ["stopping" in why(future) for future in asked] == [True] * 3
    finally:
        disk.goes_on.set()
        journal._thread.join(PATIENCE_S)


# ---- closing ----


@pytest.mark.parametrize("started", [True, False])
def test_closing_writes_what_is_left(open_journal: Callable[..., Journal], disk: Disk, *, started: bool) -> None:
    journal = open_journal()
    if started:
        journal.start()
    kept = [journal.record(command(number)) for number in range(2 * GROUP)]
    journal.close(timeout_s=PATIENCE_S)
    journal.close()
    assert all(future.exception(0) is None for future in kept)
    assert why(journal.record(command(9_999, CommandState.DONE))) == "the gateway is stopping"
    assert len(open_journal().open_commands("uno")) == 2 * GROUP


def test_closing_fails_what_can_not_be_written(journal: Journal, disk: Disk) -> None:
    journal.start()
    disk.failure = JournalError("the disk is gone")
    ended = journal.record(command(1, CommandState.DONE))
    journal.close(timeout_s=PATIENCE_S)
    assert "stopping" in why(ended)


def test_its_thread_has_a_name_and_ends(journal: Journal) -> None:
    journal.start()
    named = [thread for thread in threading.enumerate() if thread.name == "journal"]
    assert [thread.daemon for thread in named] == [True]
    journal.close(timeout_s=PATIENCE_S)
    assert not named[0].is_alive()


# ---- what a crash leaves, and what a start finds ----


def test_what_was_confirmed_survives_a_crash(
    journal: Journal, open_journal: Callable[..., Journal], disk: Disk, tmp_path: Path
) -> None:
    journal.record(command(1, CommandState.SENT, wire_id=9), key=KEY)
    journal.record(command(2, CommandState.DONE))
    journal.rotate_epoch("mega")
    journal.keep_latch("mega", FailsafeCause.LINK)
    journal.commit_pending()
    journal.record(command(3))
    after = open_journal(crashed(journal, tmp_path / "crash", disk))
    assert numbers(after.page("uno")[0]) == [2, 1]
    assert numbers(after.open_commands("uno")) == [1]
    assert after.keyed(KEY) == (command(1).id, "print")
    assert [after.epoch(board) for board in BOARDS] == [journal.epoch(board) for board in BOARDS]
    assert (after.last_wire_id("uno"), after.latch("mega"), after.latch("uno")) == (9, FailsafeCause.LINK, None)


def test_epochs_stay_and_new_boards_get_their_own(open_journal: Callable[..., Journal], disk: Disk) -> None:
    first = open_journal()
    epochs = {board: first.epoch(board) for board in BOARDS}
    first.close()
    taken = iter([0, *epochs.values(), 77])
    second = Journal(disk, boards=("uno", "nano"), random_bits=lambda _bits: next(taken))
    assert second.epoch("uno") == epochs["uno"]
    assert second.epoch("nano") == 77, "not 0, and neither that of a board which is not configured any more"
    second.close()
    assert {board: open_journal().epoch(board) for board in BOARDS} == epochs


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=15))
def test_a_crash_between_any_two_writes_leaves_one_command_under_way_at_most(
    tmp_path_factory: pytest.TempPathFactory, groups: list[int]
) -> None:
    """Of a board that begins each command when the one before has ended, however its rows fall into groups."""
    folder = tmp_path_factory.mktemp("crash")
    disk = Disk(folder / "journal.db")
    journal = Journal(disk, boards=BOARDS)
    lives = [
        command(number, state, wire_id=None if state is CommandState.QUEUED else number + 1)
        for number in range(sum(groups) // 3 + 1)
        for state in (CommandState.QUEUED, CommandState.SENT, CommandState.DONE)
    ]
    rows = iter(lives)
    for group, size in enumerate(groups):
        for _ in range(size):
            journal.record(next(rows))
        journal.commit_pending()
        after = Journal(crashed(journal, folder / str(group), disk), boards=BOARDS)
        under_way = [row for row in after.open_commands("uno") if row.state is CommandState.SENT]
        assert len(under_way) <= 1
        assert all(after.last_wire_id("uno") >= (row.wire_id or 0) for row in under_way)
        assert [exactly(row) for row in after.page("uno")[0]] == [exactly(row) for row in journal.page("uno")[0]]
        after.close()
    journal.close()


def test_a_deadline_goes_on_with_the_time_of_day(
    open_journal: Callable[..., Journal], disk: Disk, clock: HandClock
) -> None:
    journal = open_journal()
    at_s = clock.time()
    plain = replace(command(1), created_at=at_s, expires_at=at_s + 10, deadline_s=clock.monotonic() + 10)
    held = replace(plain, id="2", hold_ms=4000, deadline_s=clock.monotonic() + 4)
    long_held = replace(plain, id="3", hold_ms=60_000)
    for row in (plain, held, long_held):
        journal.record(row)
    journal.close()

    class Rebooted(HandClock):
        """Three seconds later by the time of day; the monotonic clock began anew."""

        def monotonic(self) -> float:
            return 50.0

        def time(self) -> float:
            return at_s + 3

    after = Journal(disk, boards=BOARDS, clock=Rebooted())
    deadlines = {row.id: row.deadline_s for row in after.open_commands("uno")}
    after.close()
    assert deadlines == pytest.approx({plain.id: 57.0, "2": 51.0, "3": 57.0})


def test_a_clock_that_was_set_back_gives_a_command_no_more_time_than_it_had(
    open_journal: Callable[..., Journal], disk: Disk, clock: HandClock
) -> None:
    journal = open_journal()
    plain = replace(command(1), created_at=clock.time(), expires_at=clock.time() + 10)
    held = replace(plain, id="2", hold_ms=4000)
    for row in (plain, held):
        journal.record(row)
    journal.close()
    clock.advance(-DAY_S)
    after = Journal(disk, boards=BOARDS, clock=clock)
    left = {row.id: row.deadline_s - clock.monotonic() for row in after.open_commands("uno")}
    after.close()
    assert left == pytest.approx({plain.id: 10.0, "2": 4.0})


def test_a_start_reads_the_newest_and_leaves_the_rest_on_the_disk(
    open_journal: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.journal.LOADED_ROWS", 3)
    first = open_journal()
    for number in range(8):
        first.record(command(number, CommandState.DONE))
    first.close()
    second = open_journal()
    for number in range(8, 10):
        second.record(command(number, CommandState.DONE))
    second.commit_pending()
    rows, cursor = second.page("uno", limit=4)
    rows += second.page("uno", before=cursor, limit=100)[0]
    assert numbers(rows) == list(reversed(range(10)))
    assert second.get(command(0).id) is not None


TEXT = st.text(max_size=20)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**31), 2**32 - 1),
    st.floats(allow_nan=False),
    st.floats(width=32, allow_nan=False),
    TEXT,
)
TIMES = st.floats(0, 4e9).map(lambda second: round(second, 6))
IDS = st.integers(0, 2**64).map(lambda number: f"{number:024x}")
U32 = st.integers(0, 2**32 - 1)
COMMANDS = st.builds(
    Command,
    id=IDS,
    board=st.sampled_from(BOARDS),
    virtual=st.booleans(),
    target=st.integers(0, 255),
    payload=st.binary(max_size=54),
    schema_hash=U32,
    hold_ms=st.integers(0, 65_535),
    created_at=TIMES,
    expires_at=TIMES,
    deadline_s=st.just(0.0),
    channel=st.none() | TEXT,
    value=st.none() | VALUES,
    action=st.none() | TEXT,
    arguments=st.none() | st.dictionaries(TEXT, VALUES, max_size=4),
    returns=st.sampled_from(ValueType),
    origin=st.sampled_from(CommandOrigin),
    state=st.sampled_from(CommandState),
    wire_id=st.none() | U32,
    result=st.none() | VALUES,
    error=st.none() | st.builds(CommandError, TEXT, TEXT),
    sent_at=st.none() | TIMES,
    finished_at=st.none() | TIMES,
)


def exactly(command: Command | None) -> str:
    """Tells 1 from 1.0 and from True, and 0.0 from -0.0."""
    assert command is not None
    return repr(replace(command, deadline_s=0.0))


@pytest.fixture(scope="module")
def shared_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("round") / "journal.db", synchronous="normal")
    yield database
    database.close()


@settings(deadline=None)
@given(rows=st.lists(COMMANDS, max_size=5, unique_by=lambda row: row.id))
def test_every_value_of_a_command_comes_back(shared_database: Database, rows: list[Command]) -> None:
    with shared_database.transaction() as connection:
        tables.keep_commands(connection, rows)
    with shared_database.reading() as connection:
        found = tables.commands(connection, [row.id for row in rows], clock=HandClock())
    assert {row.id: exactly(row) for row in rows} == {name: exactly(row) for name, row in found.items()}


# ---- what is old ----


def test_what_is_old_is_forgotten_and_nothing_else(journal: Journal, clock: HandClock, disk: Disk) -> None:
    now = clock.time()
    old, young = now - 7 * DAY_S - 1, now - 7 * DAY_S + 1
    for number, state, end in (
        (1, CommandState.DONE, old),
        (2, CommandState.DONE, young),
        (3, CommandState.QUEUED, None),
        (4, CommandState.SENT, None),
        (5, CommandState.UNKNOWN, old),
    ):
        journal.record(command(number, state, finished_at=end))
    journal.commit_pending()
    journal.prune(now)
    assert numbers(journal.page("uno")[0]) == [4, 3, 2]
    assert [journal.get(command(number).id) is None for number in range(1, 6)] == [True, False, False, False, True]


def test_old_keys_are_forgotten(journal: Journal, clock: HandClock, disk: Disk) -> None:
    for number, age_s in ((1, DAY_S - 1), (2, 0.0)):
        journal.record(command(number), key=replace(KEY, key=str(number)))
        journal.commit_pending()
        clock.advance(age_s)
    clock.advance(2)
    journal.prune(clock.time())
    with disk.reading() as connection:
        kept = connection.exec_driver_sql("SELECT key FROM idempotency_keys").scalars().all()
    assert kept == ["2"]


def test_a_key_whose_command_is_forgotten_is_free(journal: Journal, clock: HandClock) -> None:
    """The clock was a month ahead when the command came, and had been set right when it ended."""
    journal.record(command(1), key=KEY)
    journal.commit_pending()
    clock.advance(-30 * DAY_S)
    journal.record(command(1, CommandState.DONE, finished_at=clock.time()))
    journal.commit_pending()
    clock.advance(8 * DAY_S)
    journal.prune(clock.time())
    assert journal.get(command(1).id) is None
    assert journal.keyed(KEY) is None
    kept = journal.record(command(2), key=KEY)
    journal.commit_pending()
    assert kept.exception(0) is None
    assert journal.keyed(KEY) == (command(2).id, KEY.fingerprint)


def test_much_that_is_old_goes_in_parts_and_gives_its_room_back(
    journal: Journal, clock: HandClock, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2500):
        journal.record(replace(command(number, CommandState.DONE, finished_at=1.0), payload=bytes(1000)))
    while journal._pending:
        journal.commit_pending()
    transactions = disk.transactions
    coming: list[Future[None]] = []
    commit = journal.commit_pending

    def commit_what_came() -> bool:
        coming.append(journal.record(command(10_000 + len(coming))))
        return commit()

    monkeypatch.setattr(journal, "commit_pending", commit_what_came)
    with disk.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    journal.prune(clock.time())
    assert all(future.done() for future in coming)
    assert disk.transactions - transactions > 2500 // 500
    assert len(journal.page("uno", limit=1000)[0]) == len(coming) > 2500 // 500
    with disk.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA freelist_count").scalar_one() == 0
        assert connection.exec_driver_sql("PRAGMA page_count").scalar_one() < pages / 2


def test_the_thread_forgets_what_is_old_soon_after_the_start_and_then_hourly(
    journal: Journal, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    changed = threading.Condition()

    def prune(now: float) -> None:
        with changed:
            asked.append(now)
            changed.notify_all()

    def until(count: int, number: int) -> None:
        """The thread looks at the time whenever it has written something."""
        journal.record(command(number)).result(PATIENCE_S)
        with changed:
            assert changed.wait_for(lambda: len(asked) >= count, PATIENCE_S)

    monkeypatch.setattr(journal, "prune", prune)
    journal.start()
    journal.record(command(1)).result(PATIENCE_S)
    assert asked == []
    clock.advance(60)
    until(1, 2)
    clock.advance(3599)
    journal.record(command(3)).result(PATIENCE_S)
    assert len(asked) == 1
    clock.advance(1)
    until(2, 4)


def test_forgetting_fails_quietly(journal: Journal, disk: Disk, clock: HandClock) -> None:
    disk.failure = JournalError("the disk is gone")
    journal.prune(clock.time())
    disk.failure = None
    journal.record(command(1))
    assert journal.commit_pending()


# ---- a start without a disk ----


def test_without_a_place_for_its_file_it_starts_and_refuses_commands(
    open_journal: Callable[..., Journal], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(tmp_path / "unplugged" / "journal.db")
    journal = open_journal(disk)
    kept, rotated = journal.record(command(1)), journal.rotate_epoch("uno")
    assert not journal.commit_pending(), "the file still has to be opened"
    cure = (
        f"the journal {disk.path} can't be written: it can't be opened; is its directory there, and may it be written?"
    )
    assert [why(kept), why(rotated)] == [cure, cure]
    assert [journal.epoch("uno"), journal.last_wire_id("uno"), journal.latch("uno")] == [0, 0, None]
    assert journal.open_commands("uno") == []
    for ask in (lambda: journal.get("1"), lambda: journal.page("uno"), lambda: journal.keyed(KEY)):
        with pytest.raises(JournalError, match="can't be read"):
            ask()
    assert cure in caplog.text
    disk.path.parent.mkdir()
    before = journal.feed.sequence
    assert journal.commit_pending()
    assert journal.epoch("uno") != 0
    assert journal.feed.sequence == before + 1
    journal.record(command(2))
    journal.commit_pending()
    assert numbers(journal.page("uno")[0]) == [2]


def test_what_nobody_could_read_at_the_start_ends_as_soon_as_it_can_be_read(
    journal: Journal, open_journal: Callable[..., Journal], disk: Disk, tmp_path: Path
) -> None:
    journal.record(command(1, CommandState.SENT, wire_id=3))
    journal.record(command(2))
    journal.commit_pending()
    crashed(journal, tmp_path / "mounted", disk)
    late = Disk(tmp_path / "plugged" / "journal.db")
    after = open_journal(late)
    assert after.open_commands("uno") == []
    (tmp_path / "mounted").rename(tmp_path / "plugged")
    assert after.commit_pending()
    ends = {number: after.get(command(number).id) for number in (1, 2)}
    assert [row and (row.state, row.error and row.error.code) for row in ends.values()] == [
        (CommandState.UNKNOWN, "unknown"),
        (CommandState.CANCELLED, "cancelled"),
    ]
    assert after.last_wire_id("uno") == 3
    assert after.open_commands("uno") == []


@pytest.mark.parametrize("wal", [True, False])
def test_from_a_disk_that_can_not_be_written_it_tells_what_it_can(
    journal: Journal, open_journal: Callable[..., Journal], disk: Disk, tmp_path: Path, *, wal: bool
) -> None:
    """Root may write everywhere, so that the failure is injected where SQLite would report it."""
    journal.record(command(1, CommandState.SENT, wire_id=3))
    journal.keep_latch("uno", FailsafeCause.SAFE)
    journal.commit_pending()
    if not wal:
        journal.close()
    crashed(journal, tmp_path / "read-only", disk)
    read_only = Disk(tmp_path / "read-only" / "journal.db")
    read_only.failure = JournalError("it may not be written")
    after = open_journal(read_only)
    assert after.epoch("uno") == journal.epoch("uno") != 0
    assert (numbers(after.open_commands("uno")), after.last_wire_id("uno")) == ([1], 3)
    assert after.latch("uno") is FailsafeCause.SAFE
    refused, ended = after.record(command(2)), after.record(command(1, CommandState.UNKNOWN))
    rotated = after.rotate_epoch("uno")
    assert not after.commit_pending()
    assert why(refused) == "it may not be written"
    assert [ended.done(), rotated.done()] == [False, False]
    read_only.failure = None
    assert after.commit_pending()
    assert ended.exception(0) is None
    assert after.open_commands("uno") == []
    assert rotated.result(0) == after.epoch("uno") != journal.epoch("uno")


def test_a_file_that_must_not_be_used_stays_refused(open_journal: Callable[..., Journal], disk: Disk) -> None:
    disk.path.write_text("a letter")
    with pytest.raises(JournalRefused, match="no journal"):
        open_journal()
    disk.path.unlink()
    open_journal()
