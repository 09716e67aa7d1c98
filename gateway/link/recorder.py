"""Writes traces into files: one file for a command, or a bounded ring of files beside a board that is served.

`RecordingFile` belongs to its caller's thread. A `Recorder` has a thread of its own (`recorder-NAME`), reads the
board's `Traffic` at its own pace and never touches the port: a slow or full disk costs the recording, never the board.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from gateway.link.recording import Description, Header, encode_description, encode_header, encode_missed, encode_trace
from gateway.link.tap import Trace
from gateway.link.traffic import Traffic
from gateway.model import Clock

FILES = 8  # of a ring: the oldest goes as a whole
LOOK_S = 0.5  # between two looks at the traffic; what a crash of the gateway costs at most
SUFFIX = ".recording"
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600

Describe = Callable[[], Description | None]
"""What the board last said of itself, None while nobody knows. Any thread."""

logger = logging.getLogger(__name__)


class RecordingFile:
    """One file, begun anew. Every method raises OSError."""

    def __init__(self, path: Path, header: Header, *, clock: Clock, replaces: bool = False) -> None:
        """Readable by its owner only: it holds whatever was commanded. FileExistsError unless it may replace one."""
        self._clock = clock
        self._described: Description | None = None
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0) | (os.O_TRUNC if replaces else os.O_EXCL)
        self._file = os.fdopen(os.open(path, flags, FILE_MODE), "wb", buffering=0)
        self.size = 0
        self.path = path
        try:
            self._write(encode_header(replace(header, started_at=_rfc3339(clock.time()))))
        except OSError:
            self._file.close()
            raise

    def append(self, traces: Iterable[Trace], *, description: Description | None = None, missed: int = 0) -> None:
        """The traces, after how many are missing before them and what is new of the board's description."""
        monotonic_s, time_s = self._clock.monotonic(), self._clock.time()
        pieces = []
        if missed:
            pieces.append(encode_missed(missed, monotonic_s=monotonic_s, time_s=time_s))
        if description is not None and description != self._described:
            pieces.append(encode_description(description, monotonic_s=monotonic_s, time_s=time_s))
            self._described = description
        pieces += map(encode_trace, traces)
        if pieces:
            self._write(b"".join(pieces))

    def close(self) -> None:
        """Again is fine."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        """All of it: an unbuffered file may take less at a time."""
        rest = memoryview(data)
        while rest:
            written = self._file.write(rest) or 0
            self.size += written
            rest = rest[written:]


class Recorder:
    """Keeps the newest traffic of one board in a directory of its own, in files of at most `keep_bytes` together."""

    def __init__(
        self, traffic: Traffic, directory: Path, *, header: Header, keep_bytes: int, describe: Describe, clock: Clock
    ) -> None:
        self._traffic = traffic
        self._directory = directory
        self._header = header
        self._keep_bytes = keep_bytes
        self._describe = describe
        self._clock = clock
        self._next_after = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name=f"recorder-{header.board}", daemon=True)

    def start(self) -> None:
        """Begins to record; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Asks the thread to write what there is and to end; returns at once."""
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Waits for the thread to end, if it was started; False where it has not by then."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # ---- the recorder's thread ----

    def run(self) -> None:
        """The thread's whole life: until `stop`, or until the disk refuses, which is told once."""
        try:
            self._directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            while self._fill_one_file():
                pass
        except OSError as error:
            logger.warning(
                "%s: its link is not recorded any more: %s can't be written: %s; the board itself goes on",
                self._header.board,
                self._directory,
                error.strerror or error,
            )

    def _fill_one_file(self) -> bool:
        """True once the file is full, False once all is written after `stop`."""
        file = self._new_file()
        try:
            while file.size < self._keep_bytes // FILES:
                stopping = self._stopping.wait(LOOK_S)
                self._take(file)
                if stopping:
                    return False
        finally:
            file.close()
        return True

    def _take(self, file: RecordingFile) -> None:
        page = self._traffic.after(self._next_after)
        self._next_after = page.next_after
        file.append(page.traces, description=self._describe(), missed=page.missed or 0)

    def _new_file(self) -> RecordingFile:
        """Makes room, then a file whose name sorts after all others."""
        files = sorted(self._directory.glob(f"*{SUFFIX}"))
        sizes = [file.stat().st_size for file in files]
        while files and sum(sizes) > self._keep_bytes * (FILES - 2) // FILES:  # a file ends somewhat above its share
            files.pop(0).unlink(missing_ok=True)
            sizes.pop(0)
        number = 1 + max((_number(file) for file in files), default=0)
        return RecordingFile(self._directory / f"{number:06d}{SUFFIX}", self._header, clock=self._clock)


def _number(file: Path) -> int:
    return int(file.stem) if file.stem.isdecimal() else 0


def _rfc3339(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
