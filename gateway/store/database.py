"""The file of the journal: taken by one gateway alone, checked, opened; its transactions; what went wrong in words.

One connection writes, for its caller's thread; others read, any number at a time, and never wait for the writer (WAL).
Any call may come after a failure: what can't be opened now is tried again at the next call.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from gateway.errors import JournalError
from gateway.store.tables import METADATA

FORMAT = 1  # of the tables, in `PRAGMA user_version`
APPLICATION_ID = 0x41726447  # "ArdG", in `PRAGMA application_id`: what tells a journal from other SQLite files
FILE_MODE = 0o600  # SQLite gives the same to the files beside it
BUSY_TIMEOUT_S = 1.0  # for another program that writes to the file, which none should
READERS = 4  # connections that stay open; more are opened when as many views read at once
WAL_BYTES = 4 * 1024 * 1024  # what is kept of the file beside it once its rows have been moved
CHECKED_BYTES = 32 * 1024 * 1024  # a file up to this size is read whole at the start, in some 0.1 s, to find damage
VACUUM_PAGES = 500  # given back to the file system at once

TABLES_THERE = "SELECT count(*) FROM sqlite_master"

Synchronous = Literal["full", "normal"]

CAUSES = {
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_READONLY": "it may not be written; mend its permissions, or how its disk is mounted",
    "SQLITE_PERM": "it may not be opened; mend its permissions",
    "SQLITE_CANTOPEN": "it can't be opened; is its directory there, and may it be written?",
    "SQLITE_IOERR": "its disk fails; look after it",
    "SQLITE_BUSY": "another program holds it; close that one",
    "SQLITE_LOCKED": "another program holds it; close that one",
    "SQLITE_NOMEM": "there is no memory left; free some",
    "SQLITE_CORRUPT": "it is damaged; stop the gateway and move the file away, a new one is made at the next start",
    "SQLITE_NOTADB": "it is no journal any more; stop the gateway and move the file away",
}
"""Failures of the surroundings, not of a row: SQLite's primary error, and what a person is told."""

PASSING = ("SQLITE_FULL", "SQLITE_BUSY")  # after these the same connection will do


class JournalRefused(JournalError):
    """This file must not be used as the journal; the text says why, and the cure."""


class Database:
    """One journal file. `synchronous` normal leaves out the wait for the disk at each commit."""

    def __init__(self, path: Path, *, synchronous: Synchronous = "full") -> None:
        """Opens nothing yet."""
        self.path = path
        self._synchronous = synchronous
        self._claim: sqlite3.Connection | None = None
        self._writer: Connection | None = None
        self._readers: Engine | None = None
        self._opening_readers = threading.Lock()

    def open(self) -> None:
        """Takes the file for this gateway and makes it ready to be written, unless that is done. JournalError where
        that can't be now, JournalRefused where it never will be with this file."""
        if self._writer is not None:
            return
        with self._explained("written"):
            self._claim = self._claim or self._claimed()
            self._create_file()
            self._writer = self._new_writer()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """The writing connection; what was done with it is durable when this ends, or else undone. Opens the file where
        it must. JournalError where the surroundings fail; whatever else is raised has to do with what was written."""
        self.open()
        assert self._writer is not None, "it is open"
        try:
            with self._explained("written"), self._writer.begin():
                yield self._writer
        except JournalError as error:
            if _primary(error.__cause__) not in PASSING or self._writer.in_transaction():
                self._drop_writer()  # what it has open may be another file, or none, by now
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the file, all of it committed. JournalError where there is none."""
        with self._explained("read"), self._reading_engine().connect() as connection:
            yield connection

    def vacuum(self) -> bool:
        """Gives some of the pages that nothing is left on back to the file system; True where there are more."""
        self.open()
        assert self._writer is not None, "it is open"
        raw = self._writer.connection.driver_connection
        assert raw is not None, "it is open"
        with self._explained("written"):
            free = _number(raw, "freelist_count")
            # Each step of the statement frees one page, and only a script takes all of its steps.
            raw.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
            return 0 < _number(raw, "freelist_count") < free

    def close(self) -> None:
        """Lets go of the file, for others to take it."""
        if self._readers is not None:
            self._readers.dispose()
        self._drop_writer()
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer.engine.dispose()
            self._writer = None

    # ---- opening ----

    def _claimed(self) -> sqlite3.Connection:
        """A lock for life, on a file of its own: SQLite's locks are there on every system, and end with the process."""
        beside = self.path.with_name(f"{self.path.name}.lock")
        claim = sqlite3.connect(beside, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            claim.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            claim.close()
            if _primary(error) == "SQLITE_BUSY":
                cure = "stop it, or give this one a journal of its own by journal.path or state_dir"
                raise JournalRefused(f"another gateway uses the journal {self.path}; {cure}") from error
            raise
        return claim

    def _create_file(self) -> None:
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))

    def _new_writer(self) -> Connection:
        engine = _engine(self._new_raw_writer, begin="BEGIN IMMEDIATE", size=1)
        try:
            connection = engine.connect()
            with connection.begin():
                if not connection.exec_driver_sql(TABLES_THERE).scalar_one():
                    METADATA.create_all(connection, checkfirst=False)
                    connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
                    connection.exec_driver_sql(f"PRAGMA user_version={FORMAT}")
        except BaseException:
            engine.dispose()
            raise
        return connection

    def _new_raw_writer(self) -> sqlite3.Connection:
        raw = self._connected("rw")
        try:
            if _empty(raw):
                raw.execute("PRAGMA auto_vacuum=INCREMENTAL")  # heeded before the first table, and before WAL
            elif self.path.stat().st_size <= CHECKED_BYTES:
                self._check_pages(raw)
            raw.execute("PRAGMA journal_mode=WAL")
            raw.execute(f"PRAGMA synchronous={self._synchronous}")
            raw.execute("PRAGMA fullfsync=ON")  # macOS, where a plain fsync does not reach the disk
            raw.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
        except BaseException:
            raw.close()
            raise
        return raw

    def _reading_engine(self) -> Engine:
        with self._opening_readers:
            if self._readers is None:
                self._readers = _engine(self._new_reader, begin="BEGIN", size=READERS)
            return self._readers

    def _new_reader(self) -> sqlite3.Connection:
        try:
            raw = self._connected("ro")
        except sqlite3.Error:
            # On a disk that can't be written WAL has no place for its index. Without a WAL there is nothing in it, and
            # the file alone can be read as it stands.
            if self._writer is not None or self._wal_bytes():
                raise
            raw = self._connected("ro&immutable=1")
        if _empty(raw):
            raw.close()
            raise JournalError(f"the journal {self.path} can't be read: it holds nothing yet")
        return raw

    def _connected(self, mode: str) -> sqlite3.Connection:
        """A connection to a file that is a journal, or an empty one."""
        address = f"{self.path.absolute().as_uri()}?mode={mode}"
        raw = sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            self._check_identity(raw)
        except BaseException:
            raw.close()
            raise
        return raw

    def _wal_bytes(self) -> int:
        wal = self.path.with_name(f"{self.path.name}-wal")
        return wal.stat().st_size if wal.exists() else 0

    # ---- is it a journal, and whole? ----

    def _check_identity(self, raw: sqlite3.Connection) -> None:
        move = "move the file away, or name another by journal.path"
        try:
            application, version = _number(raw, "application_id"), _number(raw, "user_version")
            empty = _empty(raw)
        except sqlite3.DatabaseError as error:
            match _primary(error):
                case "SQLITE_NOTADB":
                    raise JournalRefused(f"{self.path} is no journal of the gateway; {move}") from error
                case "SQLITE_CORRUPT":
                    raise JournalRefused(self._damaged(error)) from error
            raise
        if empty and application in (0, APPLICATION_ID):
            return
        if application != APPLICATION_ID:
            raise JournalRefused(f"{self.path} is no journal of the gateway; {move}")
        if version > FORMAT:
            raise JournalRefused(
                f"the journal {self.path} was written by a newer gateway (format {version}, this one knows {FORMAT}); "
                f"start that one, or {move}"
            )

    def _check_pages(self, raw: sqlite3.Connection) -> None:
        try:
            finding = str(raw.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            if _primary(error) in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
                raise JournalRefused(self._damaged(error)) from error
            raise
        if finding != "ok":
            raise JournalRefused(self._damaged(finding))

    def _damaged(self, finding: object) -> str:
        return (
            f"the journal {self.path} is damaged ({str(finding).splitlines()[0]}); move it away and start again: "
            "boards get new epochs, so that nothing runs twice, and `sqlite3 FILE .recover` reads what is left of it"
        )

    # ---- failures ----

    @contextmanager
    def _explained(self, what: Literal["read", "written"]) -> Iterator[None]:
        """Failures of the surroundings as JournalError."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            cause = CAUSES.get(_primary(error))
            if cause is None:
                raise
            raise JournalError(f"the journal {self.path} can't be {what}: {cause}") from error
        except OSError as error:
            raise JournalError(f"the journal {self.path} can't be {what}: {error.strerror or error}") from error


def _engine(connect: Callable[[], sqlite3.Connection], *, begin: str, size: int) -> Engine:
    """Python's sqlite3 begins transactions when it sees fit; here SQLAlchemy says when, and how."""
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=size, max_overflow=-1)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _primary(error: BaseException | None) -> str:
    """`SQLITE_IOERR` for `SQLITE_IOERR_WRITE`; empty for what SQLite did not say."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return "_".join(getattr(said, "sqlite_errorname", "").split("_")[:2])


def _number(raw: sqlite3.Connection, pragma: str) -> int:
    return int(raw.execute(f"PRAGMA {pragma}").fetchone()[0])


def _empty(raw: sqlite3.Connection) -> bool:
    return not raw.execute(TABLES_THERE).fetchone()[0]
