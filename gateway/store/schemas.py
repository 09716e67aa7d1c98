"""Descriptions of boards, kept by schema hash so that a known board is online without being asked for every record.

A cache and nothing more: a file that is missing, damaged or not what its name says counts as not there, and a disk that
is full or read-only costs one log line. Files are read at construction and written by a short-lived thread
(`schema-cache`), so that a board thread never waits for a disk.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

KEPT = 64  # descriptions; the oldest go first
MAX_FILE_BYTES = 256 * 1024  # 128 channels and 128 actions with 4 arguments each stay below half of this
_PATTERN = "schema-*.txt"

_log = logging.getLogger(__name__)


class SchemaCache:
    """Records of DESCRIBE as sent, by schema hash; in memory, and as files of one record per line in hex."""

    def __init__(
        self,
        directory: Path | None,
        *,
        hash_of: Callable[[Sequence[bytes]], int],
        background: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        """Reads what `directory` holds; None keeps everything in memory. `hash_of` is the protocol's schema hash;
        `background` runs the file work."""
        self._directory = directory
        self._background = background or _in_thread
        self._lock = threading.Lock()
        self._failed = False  # the last write; only its first failure in a row is worth a warning
        self._records = _load(directory, hash_of) if directory else {}

    def get(self, schema_hash: int) -> tuple[bytes, ...] | None:
        """The channels' records, then each action's and its arguments'; None where they are not known."""
        return self._records.get(schema_hash)

    def put(self, schema_hash: int, records: Sequence[bytes]) -> None:
        """Keeps records that were found to be sound. Returns at once and raises nothing."""
        kept = tuple(records)
        with self._lock:
            if self._records.get(schema_hash) == kept:
                return
            self._records[schema_hash] = kept
            forgotten = next(iter(self._records)) if len(self._records) > KEPT else None
            if forgotten is not None:
                del self._records[forgotten]
        directory = self._directory
        if directory:
            self._background(lambda: self._store(directory, schema_hash, records=kept, forgotten=forgotten))

    def _store(self, directory: Path, schema_hash: int, *, records: Iterable[bytes], forgotten: int | None) -> None:
        path = _path(directory, schema_hash)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(path, "".join(f"{record.hex()}\n" for record in records).encode())
            if forgotten is not None:
                _path(directory, forgotten).unlink(missing_ok=True)
        except OSError as error:
            level = logging.DEBUG if self._failed else logging.WARNING
            _log.log(level, "schema cache can't write %s, so it stays in memory: %s", path, error)
            self._failed = True
        else:
            self._failed = False


def _in_thread(work: Callable[[], None]) -> None:
    try:
        threading.Thread(target=work, name="schema-cache", daemon=True).start()
    except RuntimeError as error:  # no more threads: the records stay in memory
        _log.warning("schema cache can't write now: %s", error)


def _path(directory: Path, schema_hash: int) -> Path:
    return directory / f"schema-{schema_hash:08x}.txt"


def _load(directory: Path, hash_of: Callable[[Sequence[bytes]], int]) -> dict[int, tuple[bytes, ...]]:
    """All sound files, oldest first, so that the newest are forgotten last."""
    found = []
    for path in _listed(directory):
        try:
            records = _read(path)
            schema_hash = hash_of(records)
            if path != _path(directory, schema_hash):
                raise ValueError("its records do not have the hash of its name")
            found.append((path.stat().st_mtime, schema_hash, records))
        except (OSError, ValueError) as error:
            _log.warning("schema cache ignores %s: %s", path, error)
    found.sort(key=lambda aged: aged[0])
    return {schema_hash: records for _, schema_hash, records in found[-KEPT:]}


def _listed(directory: Path) -> list[Path]:
    try:
        return list(directory.glob(_PATTERN))
    except OSError as error:
        _log.warning("schema cache %s can't be read: %s", directory, error)
        return []


def _read(path: Path) -> tuple[bytes, ...]:
    """Raises OSError for a file that can't be read, ValueError for one that holds no records."""
    if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError("not a file of a description")
    return tuple(bytes.fromhex(line) for line in path.read_text(encoding="ascii").splitlines())


def _replace(path: Path, data: bytes) -> None:
    """Puts a whole new file, readable by its owner only, in the place of any old one."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)  # left by a process that was killed
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
