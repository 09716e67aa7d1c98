"""The journal's file: who may use it, what is refused and left alone, what SQLite's errors become."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from gateway.errors import JournalError
from gateway.store import database as module
from gateway.store.database import APPLICATION_ID, FORMAT, Database, JournalRefused
from gateway.store.journal import Journal
from tests.store.rows import command


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(path)
    yield database
    database.close()


def written(path: Path, rows: int = 0) -> Path:
    """A journal file, closed."""
    journal = Journal(Database(path), boards=["uno"])
    for number in range(rows):
        journal.record(command(number))
    journal.close(timeout_s=20)
    return path


def pragma(path: Path, name: str) -> object:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]
    finally:
        connection.close()


# ---- a new file ----


def test_a_new_file_is_its_owners_alone_and_says_what_it_is(path: Path, database: Database) -> None:
    database.open()
    with database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO boards (name, epoch, last_wire_id) VALUES ('uno', 1, 0)")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir() if ".lock" not in file.name}
    assert modes == dict.fromkeys(("journal.db", "journal.db-shm", "journal.db-wal"), 0o600)
    assert (pragma(path, "application_id"), pragma(path, "user_version")) == (APPLICATION_ID, FORMAT)
    assert (pragma(path, "auto_vacuum"), pragma(path, "journal_mode")) == (2, "wal")


@pytest.mark.parametrize(("synchronous", "number"), [("full", 2), ("normal", 1)])
def test_it_waits_for_the_disk_as_configured(path: Path, synchronous: module.Synchronous, number: int) -> None:
    database = Database(path, synchronous=synchronous)
    with database.transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == number
    database.close()


@pytest.mark.parametrize("left", [b"", None])
def test_what_a_crash_in_the_middle_of_making_it_leaves_is_made_whole(path: Path, left: bytes | None) -> None:
    if left is None:  # the pragmas were written, the tables not yet
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        assert path.stat().st_size > 0
    else:
        path.write_bytes(left)
    journal = Journal(Database(path), boards=["uno"])
    assert journal.epoch("uno") != 0
    journal.close()
    assert pragma(path, "auto_vacuum") == 2


def test_what_is_done_in_a_transaction_that_fails_is_undone(database: Database) -> None:
    insert = "INSERT INTO boards (name, epoch, last_wire_id) VALUES ('uno', 1, 0)"

    def insert_twice() -> None:
        with database.transaction() as connection:
            for _ in range(2):
                connection.exec_driver_sql(insert)

    with pytest.raises(IntegrityError):
        insert_twice()
    with database.transaction() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM boards").scalar_one() == 0
        connection.exec_driver_sql(insert)
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM boards").scalar_one() == 1


def test_readers_write_nothing(database: Database) -> None:
    database.open()
    with pytest.raises(JournalError, match="may not be written"), database.reading() as connection:
        connection.exec_driver_sql("DELETE FROM boards")


def test_a_reader_sees_one_state_whatever_is_written_meanwhile(database: Database) -> None:
    database.open()
    with database.reading() as reader:
        count = "SELECT count(*) FROM boards"
        assert reader.exec_driver_sql(count).scalar_one() == 0
        with database.transaction() as connection:
            connection.exec_driver_sql("INSERT INTO boards (name, epoch, last_wire_id) VALUES ('uno', 1, 0)")
        assert reader.exec_driver_sql(count).scalar_one() == 0
    with database.reading() as reader:
        assert reader.exec_driver_sql(count).scalar_one() == 1


# ---- one gateway at a time ----


def test_a_second_gateway_is_refused_until_the_first_lets_go(path: Path, database: Database) -> None:
    database.open()
    second = Database(path)
    with pytest.raises(JournalRefused, match=rf"another gateway uses the journal {path}; .*journal\.path or state_dir"):
        second.open()
    database.close()
    second.open()
    second.close()


def test_the_second_disturbs_nothing(path: Path, database: Database) -> None:
    database.open()
    with pytest.raises(JournalRefused):
        Journal(Database(path), boards=["uno"])
    with pytest.raises(JournalRefused), Database(path).transaction():
        pass
    with database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM boards")


# ---- files that must not be used ----


def other_sqlite(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name)")
    connection.close()


def others_empty_sqlite(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA application_id=7")
    connection.execute("CREATE TABLE gone (name)")
    connection.execute("DROP TABLE gone")
    connection.close()


def newer(path: Path) -> None:
    written(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={FORMAT + 1}")
    connection.close()


def cut_short(path: Path) -> None:
    written(path, rows=200)
    path.write_bytes(path.read_bytes()[:20_000])


def overwritten(path: Path) -> None:
    written(path, rows=200)
    data = bytearray(path.read_bytes())
    data[40_000:44_000] = b"\xa5" * 4_000
    path.write_bytes(data)


def unknown_state(path: Path) -> None:
    written(path, rows=1)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE boards SET latch='sometimes'")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda path: path.write_text("Dear diary, this is no database at all. " * 100),
            ["is no journal", "journal.path"],
        ),
        (lambda path: path.write_bytes(b"\0" * 8192), ["is no journal", "journal.path"]),
        (other_sqlite, ["is no journal", "journal.path"]),
        (others_empty_sqlite, ["is no journal", "journal.path"]),
        (newer, ["newer gateway", f"format {FORMAT + 1}", f"knows {FORMAT}"]),
        (cut_short, ["is damaged", "move it away"]),
        (overwritten, ["is damaged", "move it away"]),
        (unknown_state, ["'sometimes'", "move the file away"]),
    ],
)
def test_a_file_that_must_not_be_used_is_refused_and_left_alone(path: Path, spoil: object, words: list[str]) -> None:
    assert callable(spoil)
    spoil(path)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(JournalRefused) as caught:
            Journal(Database(path), boards=["uno"])
        for word in (str(path), *words):
            assert word in str(caught.value)
    assert path.read_bytes() == before


def test_damage_in_a_file_too_large_to_be_read_whole_is_found_when_it_is_met(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overwritten(path)
    monkeypatch.setattr(module, "CHECKED_BYTES", 0)
    journal = Journal(Database(path), boards=["uno"])
    outcomes = [journal.record(command(number)) for number in range(400)]
    journal.commit_pending()
    journal.close()
    assert any("it is damaged; stop the gateway" in str(future.exception(0)) for future in outcomes)


# ---- failures of the surroundings ----


def test_a_file_that_may_not_be_written_is_told_and_opened_anew(database: Database) -> None:
    """`query_only` stands for a disk mounted read-only: root may write any other."""
    with database.transaction() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
    with (
        pytest.raises(JournalError, match="may not be written; mend its permissions"),
        database.transaction() as connection,
    ):
        connection.exec_driver_sql("DELETE FROM boards")
    with database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM boards")


def test_another_program_that_holds_the_file_is_told(
    path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.01)
    database.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="another program holds it"), database.transaction():
        pass
    other.close()
    with database.transaction():
        pass


@pytest.mark.parametrize(
    "name", ["SQLITE_IOERR_WRITE", "SQLITE_FULL", "SQLITE_READONLY_DBMOVED", "SQLITE_CORRUPT_INDEX"]
)
def test_errors_have_a_cause_and_a_cure(database: Database, path: Path, name: str) -> None:
    database.open()
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorname = name
    with (
        pytest.raises(JournalError, match=rf"the journal {path} can't be written: .+; ") as caught,
        database.transaction(),
    ):
        raise error
    assert caught.value.__cause__ is error


def test_an_error_of_the_row_itself_is_no_failure_of_the_disk(database: Database) -> None:
    with pytest.raises(Exception, match="NOT NULL") as caught, database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO boards (name) VALUES ('uno')")
    assert not isinstance(caught.value, JournalError)


def test_a_read_only_disk_without_a_wal_is_read_as_it_stands(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite finds no place for the WAL's index; injected, since root may write anywhere."""
    written(path, rows=3)
    connect = sqlite3.connect

    refusal = sqlite3.OperationalError("unable to open database file")
    refusal.sqlite_errorname = "SQLITE_CANTOPEN"

    def without_index(address: str, **options: object) -> sqlite3.Connection:
        if str(address).endswith("?mode=ro"):
            raise refusal
        return connect(address, **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(sqlite3, "connect", without_index)
    database = Database(path)
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM commands").scalar_one() == 3
    path.with_name("journal.db-wal").write_bytes(b"something that the file does not hold yet")
    database.close()
    with pytest.raises(JournalError, match="can't be read: it can't be opened"), Database(path).reading():
        pass
