"""The ring in memory and the ring of files: bounded, in order, honest about what is missing."""

import errno
import logging
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.link import recorder
from gateway.link.recorder import FILES, Recorder, RecordingFile
from gateway.link.recording import Description, Header, Recording
from gateway.link.tap import Trace, TraceKind
from gateway.link.traffic import MAX_TRACES, Traffic
from tests.link.fakes import LATER_S, FakeClock

PATIENCE_S = 30
DESCRIPTION = Description(b"\x00", 1, 0, (b"record",))


def trace(number: int, data: bytes = b"") -> Trace:
    return Trace(TraceKind.RECEIVED, float(number), 1e9 + number, data)


def numbers(traces: tuple[Trace, ...]) -> list[int]:
    return [round(each.monotonic_s) for each in traces]


class TestTraffic:
    def test_pages_follow_one_another(self) -> None:
        traffic = Traffic()
        for number in range(1, 6):
            traffic(trace(number))
        first = traffic.after(0, limit=3)
        second = traffic.after(first.next_after)
        assert numbers(first.traces) == [1, 2, 3]
        assert numbers(second.traces) == [4, 5]
        assert (first.missed, second.missed, second.next_after) == (0, 0, traffic.last)
        assert traffic.after(5).traces == ()

    def test_a_slow_reader_is_told_what_it_missed(self) -> None:
        traffic = Traffic(max_traces=3)
        for number in range(1, 11):
            traffic(trace(number))
        page = traffic.after(2)
        assert numbers(page.traces) == [8, 9, 10]
        assert page.missed == 5

    def test_a_number_of_another_life_is_told(self) -> None:
        traffic = Traffic()
        traffic(trace(1))
        page = traffic.after(4711)
        assert numbers(page.traces) == [1]
        assert page.missed is None

    def test_bytes_are_bounded_too(self) -> None:
        traffic = Traffic(max_bytes=100)
        for number in range(1, 50):
            traffic(trace(number, bytes(30)))
        assert numbers(traffic.after(0).traces) == [47, 48, 49]

    def test_memory_stays_flat(self) -> None:
        traffic = Traffic()
        for number in range(MAX_TRACES + 100):
            traffic(trace(number, bytes(50)))
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(5 * MAX_TRACES):
            traffic(trace(number, bytes(50)))
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < MAX_TRACES * 400, "as much as the traces it replaced"

    def test_a_reader_waits_for_the_next(self) -> None:
        traffic = Traffic()
        timer = threading.Timer(LATER_S, lambda: traffic(trace(1)))
        timer.start()
        assert numbers(traffic.after(0, wait_s=PATIENCE_S).traces) == [1]
        timer.join()
        assert traffic.after(1, wait_s=0.01).traces == ()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[RecordingFile]:
    found = RecordingFile(tmp_path / "a.recording", Header("uno"), clock=FakeClock())
    yield found
    found.close()


class TestFile:
    def test_it_holds_what_was_appended_and_a_description_once(self, file: RecordingFile) -> None:
        file.append([trace(1)], description=DESCRIPTION)
        file.append([trace(2)], description=DESCRIPTION, missed=4)
        file.append([])
        file.close()
        found = Recording.read(file.path)
        assert numbers(found.traces) == [1, 2]
        assert (found.description, found.missed) == (DESCRIPTION, 4)
        assert found.header.started_at.endswith("Z")
        assert file.path.stat().st_size == file.size
        assert file.path.read_bytes().count(DESCRIPTION.to_bytes()) == 1

    @pytest.mark.skipif(os.name != "posix", reason="rights are POSIX's")
    def test_nobody_else_may_read_it(self, file: RecordingFile) -> None:
        assert file.path.stat().st_mode & 0o777 == 0o600

    def test_it_replaces_no_file_unasked(self, file: RecordingFile) -> None:
        with pytest.raises(FileExistsError):
            RecordingFile(file.path, Header(), clock=FakeClock())
        RecordingFile(file.path, Header("other"), clock=FakeClock(), replaces=True).close()
        assert Recording.read(file.path).header.board == "other"


@pytest.fixture
def new_recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recorder]:
    monkeypatch.setattr(recorder, "LOOK_S", 0.01)

    def make(traffic: Traffic, *, keep_bytes: int = 1 << 20) -> Recorder:
        return Recorder(
            traffic,
            tmp_path / "uno",
            header=Header("uno", "virtual://uno"),
            keep_bytes=keep_bytes,
            describe=lambda: DESCRIPTION,
            clock=FakeClock(),
        )

    return make


def recorded(directory: Path) -> list[Recording]:
    return [Recording.read(path) for path in sorted(directory.iterdir())]


class TestRecorder:
    def test_what_passed_is_on_disk_when_it_has_stopped(
        self, new_recorder: Callable[..., Recorder], tmp_path: Path
    ) -> None:
        traffic = Traffic()
        one = new_recorder(traffic)
        one.start()
        for number in range(200):
            traffic(trace(number, b"x" * 20))
        one.stop()
        assert one.join(PATIENCE_S)
        (found,) = recorded(tmp_path / "uno")
        assert numbers(found.traces) == list(range(200))
        assert found.description == DESCRIPTION

    def test_it_stays_below_its_bound(self, new_recorder: Callable[..., Recorder], tmp_path: Path) -> None:
        keep_bytes = FILES * 8192
        traffic = Traffic()
        one = new_recorder(traffic, keep_bytes=keep_bytes)
        one.start()
        written = 0
        pause = threading.Event()
        for _ in range(100):
            for _ in range(50):
                traffic(trace(written, b"x" * 20))
                written += 1
            while one._next_after < traffic.last:
                assert one._thread.is_alive()
                pause.wait(0.002)
        one.stop()
        assert one.join(PATIENCE_S)
        files = sorted((tmp_path / "uno").iterdir())
        assert 3 <= len(files) <= FILES
        assert sum(path.stat().st_size for path in files) <= keep_bytes
        kept = [number for found in recorded(tmp_path / "uno") for number in numbers(found.traces)]
        assert kept == list(range(kept[0], written))
        assert all(found.description == DESCRIPTION for found in recorded(tmp_path / "uno"))

    def test_what_it_could_not_keep_up_with_is_counted(
        self, new_recorder: Callable[..., Recorder], tmp_path: Path
    ) -> None:
        traffic = Traffic(max_traces=10)
        for number in range(15):
            traffic(trace(number))
        one = new_recorder(traffic)
        one.stop()
        one.run()
        (found,) = recorded(tmp_path / "uno")
        assert (found.missed, len(found.traces)) == (5, 10)

    def test_another_start_goes_on_in_a_file_of_its_own(
        self, new_recorder: Callable[..., Recorder], tmp_path: Path
    ) -> None:
        for number in (1, 2):
            traffic = Traffic()
            traffic(trace(number))
            one = new_recorder(traffic)
            one.stop()
            one.run()
        assert [numbers(found.traces) for found in recorded(tmp_path / "uno")] == [[1], [2]]

    def test_a_full_disk_ends_it_with_one_line(
        self,
        new_recorder: Callable[..., Recorder],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def full(self: RecordingFile, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        traffic = Traffic()
        one = new_recorder(traffic)
        monkeypatch.setattr(RecordingFile, "_write", full)
        with caplog.at_level(logging.WARNING):
            one.start()
            traffic(trace(1))
            assert one.join(PATIENCE_S)
        assert [record.message for record in caplog.records] == [
            f"uno: its link is not recorded any more: {one._directory} can't be written: No space left on device; "
            "the board itself goes on"
        ]
