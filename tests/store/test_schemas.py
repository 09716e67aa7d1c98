"""The schema cache: a file that can't be trusted counts as not there, a disk that can't be written costs a log line."""

import errno
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gateway.protocol.messages import schema_hash
from gateway.store.schemas import KEPT, MAX_FILE_BYTES, SchemaCache

RECORDS = (b"\x01\x02\x03", b"\xff\x00", b"led")
HASH = schema_hash(RECORDS)
PATIENCE_S = 20  # how long a test waits for another thread; reached only when it fails


def at_once(work: Callable[[], None]) -> None:
    work()


def cache(directory: Path | None) -> SchemaCache:
    return SchemaCache(directory, hash_of=schema_hash, background=at_once)


def file_of(directory: Path, records: Sequence[bytes] = RECORDS) -> Path:
    return directory / f"schema-{schema_hash(records):08x}.txt"


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_was_put_can_be_got(tmp_path: Path, *, on_disk: bool) -> None:
    schemas = cache(tmp_path if on_disk else None)
    assert schemas.get(HASH) is None
    schemas.put(HASH, list(RECORDS))
    assert schemas.get(HASH) == RECORDS
    assert bool(list(tmp_path.iterdir())) is on_disk


def test_the_next_process_knows_it_too(tmp_path: Path) -> None:
    cache(tmp_path / "state").put(HASH, RECORDS)
    assert cache(tmp_path / "state").get(HASH) == RECORDS


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    cache(directory).put(HASH, RECORDS)
    assert file_of(directory).stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in directory.iterdir()] == [file_of(directory).name]


def test_files_are_written_by_a_thread_of_their_own(tmp_path: Path) -> None:
    writers: list[threading.Thread] = []
    before = set(threading.enumerate())
    schemas = SchemaCache(tmp_path, hash_of=schema_hash)
    real_fsync, entered, go_on = os.fsync, threading.Event(), threading.Event()

    def slow_fsync(descriptor: int) -> None:
        entered.set()
        assert go_on.wait(PATIENCE_S)
        real_fsync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", slow_fsync)
        schemas.put(HASH, RECORDS)
        assert entered.wait(PATIENCE_S)
        writers += [thread for thread in threading.enumerate() if thread not in before]
        assert [(thread.name, thread.daemon) for thread in writers] == [("schema-cache", True)]
        assert schemas.get(HASH) == RECORDS
        assert not file_of(tmp_path).exists(), "never a file that is not whole"
        go_on.set()
        for writer in writers:
            writer.join(PATIENCE_S)
    assert cache(tmp_path).get(HASH) == RECORDS


def test_no_thread_to_be_had_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    schemas = SchemaCache(tmp_path, hash_of=schema_hash)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    schemas.put(HASH, RECORDS)
    assert schemas.get(HASH) == RECORDS


# ---- files that can't be trusted ----


def become_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def become_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_text(""),
    "cut short": lambda path: path.write_text(path.read_text()[:-3]),
    "one digit changed": lambda path: path.write_text(path.read_text().replace("ff", "fe")),
    "no hex": lambda path: path.write_text("hello\n"),
    "no ASCII": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "zeros, as after a power cut": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "another's": lambda path: path.write_text(f"{b'other'.hex()}\n"),
    "a directory": become_directory,
    "a link to nowhere": become_dangling_link,
    "a pipe": become_pipe,
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_damaged_file_is_ignored(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    other = (b"another",)
    cache(tmp_path).put(HASH, RECORDS)
    cache(tmp_path).put(schema_hash(other), other)
    DAMAGE[damage](file_of(tmp_path))
    schemas = cache(tmp_path)
    assert schemas.get(HASH) is None
    assert schemas.get(schema_hash(other)) == other
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(file_of(tmp_path)) in caplog.text


def test_a_file_too_large_for_any_board_is_ignored(tmp_path: Path) -> None:
    for size, ignored in ((MAX_FILE_BYTES // 2 - 1, False), (MAX_FILE_BYTES // 2, True)):
        records = [bytes(size)]
        cache(tmp_path).put(schema_hash(records), records)
        assert (cache(tmp_path).get(schema_hash(records)) is None) is ignored


def test_more_files_than_are_kept_do_not_all_come_into_memory(tmp_path: Path) -> None:
    hashes = []
    for number in range(KEPT + 2):
        record = number.to_bytes(2, "little")
        hashes.append(schema_hash([record]))
        file_of(tmp_path, [record]).write_text(f"{record.hex()}\n")
        os.utime(file_of(tmp_path, [record]), (number, number))
    schemas = cache(tmp_path)
    assert [schemas.get(value) is not None for value in hashes] == [False] * 2 + [True] * KEPT


def test_a_damaged_file_is_mended_by_the_next_put(tmp_path: Path) -> None:
    file_of(tmp_path).write_text("hello\n")
    cache(tmp_path).put(HASH, RECORDS)
    assert cache(tmp_path).get(HASH) == RECORDS


def test_a_file_that_can_not_be_read_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache(tmp_path).put(HASH, RECORDS)

    def refuse(*_args: object, **_kwargs: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert cache(tmp_path).get(HASH) is None


def test_a_directory_that_can_not_be_listed_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> list[Path]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "glob", refuse)
    schemas = cache(tmp_path)
    schemas.put(HASH, RECORDS)
    assert schemas.get(HASH) == RECORDS


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text("{}")
    cache(tmp_path).put(HASH, RECORDS)
    assert (tmp_path / "tokens.json").read_text() == "{}"


# ---- disks that can't be written ----


def test_a_disk_that_can_not_be_written_costs_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    blocker = tmp_path / "state"
    blocker.write_text("a file where the directory should be")
    schemas = cache(blocker)
    schemas.put(HASH, RECORDS)
    schemas.put(schema_hash([b"more"]), [b"more"])
    assert schemas.get(HASH) == RECORDS
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG"]
    blocker.unlink()
    schemas.put(schema_hash([b"third"]), [b"third"])
    assert cache(blocker).get(schema_hash([b"third"])) == (b"third",)


def test_a_full_disk_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache(tmp_path).put(HASH, RECORDS)
    schemas = cache(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    schemas.put(schema_hash([b"more"]), [b"more"])
    assert [path.name for path in tmp_path.iterdir()] == [file_of(tmp_path).name]
    assert schemas.get(schema_hash([b"more"])) == (b"more",)


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    file_of(tmp_path).with_suffix(".new").write_text("half a fi")
    cache(tmp_path).put(HASH, RECORDS)
    assert [path.name for path in tmp_path.iterdir()] == [file_of(tmp_path).name]


def test_the_same_records_are_written_once(tmp_path: Path) -> None:
    work: list[Callable[[], None]] = []
    schemas = SchemaCache(tmp_path, hash_of=schema_hash, background=work.append)
    schemas.put(HASH, RECORDS)
    schemas.put(HASH, list(RECORDS))
    assert len(work) == 1


# ---- bounded memory ----


def test_the_oldest_are_forgotten_in_memory_and_on_disk(tmp_path: Path) -> None:
    schemas = cache(tmp_path)
    hashes = []
    for number in range(KEPT + 3):
        record = number.to_bytes(2, "little")
        hashes.append(schema_hash([record]))
        schemas.put(hashes[-1], [record])
        os.utime(file_of(tmp_path, [record]), (number, number))
    reloaded = cache(tmp_path)
    for each in (schemas, reloaded):
        assert [each.get(value) is not None for value in hashes] == [False] * 3 + [True] * KEPT
    assert len(list(tmp_path.iterdir())) == KEPT
    reloaded.put(HASH, RECORDS)
    assert [reloaded.get(value) is not None for value in hashes[3:5]] == [False, True]


def test_forgetting_in_memory_alone() -> None:
    schemas = cache(None)
    for number in range(KEPT + 1):
        schemas.put(number, [b"x"])
    assert [schemas.get(0), schemas.get(1), schemas.get(KEPT)] == [None, (b"x",), (b"x",)]
