"""The file format of a recorded link: what a recorder writes and a replay reads. RECORDING.md describes it.

Pure but for `Recording.read`. A file that was cut off or damaged is read up to the damage and again from the next sound
record on; only a file that never was a recording is refused.
"""

import binascii
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.errors import GatewayError
from gateway.link.tap import Trace, TraceKind

VERSION = 1
TITLE = b"gateway link recording "
"""What the first line begins with; the version follows."""
SYNC = b"\xa5\x5a"
HEAD = struct.Struct("<BHqq")  # kind, bytes of data, monotonic and Unix time in microseconds
CRC = struct.Struct("<I")
OVERHEAD = len(SYNC) + HEAD.size + CRC.size
MAX_DATA = 0xFFFF
MAX_HEADER = 4096  # bytes of the second line
MAX_FILE_BYTES = 64_000_000  # that are read; in memory it takes ten times as much

DESCRIPTION = 6
MISSED = 7
_CODES: Mapping[TraceKind, int] = MappingProxyType(
    {
        TraceKind.OPENED: 1,
        TraceKind.BAUD: 2,
        TraceKind.SENT: 3,
        TraceKind.RECEIVED: 4,
        TraceKind.CLOSED: 5,
    }
)
_KINDS = {code: kind for kind, code in _CODES.items()}


class RecordingError(GatewayError):
    """A file can't be read as a recording; the text says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself: the board's name in the configuration, its port, when recording began (RFC 3339) and
    the version of the gateway. Empty where nobody knows."""

    board: str = ""
    port: str = ""
    started_at: str = ""
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """What a board said of itself: its board record, how many channels and actions it has, and their records as they
    count for the schema hash."""

    board: bytes
    channels: int
    actions: int
    records: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        """Both counts, then each record behind its length, the board's first."""
        records = (self.board, *self.records)
        return bytes((self.channels, self.actions)) + b"".join(bytes((len(each),)) + each for each in records)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Description | None":
        """None for bytes that are not exactly one."""
        records = []
        at = 2
        while at < len(data):
            end = at + 1 + data[at]
            if end > len(data):
                return None
            records.append(data[at + 1 : end])
            at = end
        return cls(records[0], data[0], data[1], tuple(records[1:])) if records else None


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a file that are no sound record; `cut_off` where they are its end and begin like one."""

    offset: int
    size: int
    cut_off: bool

    def __str__(self) -> str:
        if self.cut_off:
            return f"cut off in the middle of a record, {self.size} bytes before the end"
        return f"{self.size} damaged bytes at offset {self.offset}"


@dataclass(frozen=True, slots=True)
class Recording:
    """The contents of a file. `description` is the last one in it, None where the file does not tell; `missed` counts
    traces that the recorder could not keep up with."""

    header: Header
    traces: tuple[Trace, ...]
    description: Description | None = None
    missed: int = 0
    damage: tuple[Damage, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "Recording":
        """Raises RecordingError."""
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise RecordingError(f"can't read the recording {path}: {error.strerror or error}") from error
        if len(data) > MAX_FILE_BYTES:
            cure = "record less at a time (gateway record --for 1h)"
            raise RecordingError(f"{path} is larger than {MAX_FILE_BYTES // 10**6} MB, more than can be played; {cure}")
        try:
            return decode(data)
        except RecordingError as error:
            raise RecordingError(f"{path}: {error}") from None


# ---- writing ----


def encode_header(header: Header) -> bytes:
    """The first two lines of a file."""
    facts = {"board": header.board, "port": header.port, "started_at": header.started_at, "gateway": header.gateway}
    return TITLE + b"%d\n" % VERSION + json.dumps(facts).encode() + b"\n"


def encode_trace(trace: Trace) -> bytes:
    """One record; data of over 65 535 bytes, which no read or write has, are cut."""
    return _record(_CODES[trace.kind], trace.data[:MAX_DATA], monotonic_s=trace.monotonic_s, time_s=trace.time_s)


def encode_description(description: Description, *, monotonic_s: float, time_s: float) -> bytes:
    """What the board says of itself."""
    return _record(DESCRIPTION, description.to_bytes(), monotonic_s=monotonic_s, time_s=time_s)


def encode_missed(count: int, *, monotonic_s: float, time_s: float) -> bytes:
    """So many traces before this were not recorded."""
    return _record(MISSED, count.to_bytes(4, "little"), monotonic_s=monotonic_s, time_s=time_s)


def _record(code: int, data: bytes, *, monotonic_s: float, time_s: float) -> bytes:
    body = HEAD.pack(code, len(data), round(monotonic_s * 1e6), round(time_s * 1e6)) + data
    return SYNC + body + CRC.pack(binascii.crc32(body))


# ---- reading ----


def decode(data: bytes) -> Recording:
    """What a file's bytes hold. Raises RecordingError where they are none, or of a version to come."""
    header, at = _header(data)
    traces: list[Trace] = []
    description: Description | None = None
    missed = 0
    damage: list[Damage] = []
    for found in _records(data, at):
        match found:
            case Damage():
                damage.append(found)
            case (int() as code, _, _, bytes() as body) if code == DESCRIPTION:
                description = Description.from_bytes(body) or description
            case (int() as code, _, _, bytes() as body) if code == MISSED:
                missed += int.from_bytes(body, "little")
            case (code, monotonic_s, time_s, body) if code in _KINDS:
                traces.append(Trace(_KINDS[code], monotonic_s, time_s, body))
    return Recording(header, tuple(traces), description, missed, tuple(damage))


def _header(data: bytes) -> tuple[Header, int]:
    """The header, and where the records begin. A damaged second line costs what it tells, not the records."""
    title, newline, rest = data.partition(b"\n")
    if not title.startswith(TITLE) or not newline:
        raise RecordingError("no recording of a link: those begin with the line `gateway link recording 1`")
    version = title[len(TITLE) :]
    if version != b"%d" % VERSION:
        told = version[:8].decode(errors="replace")
        raise RecordingError(f"a recording of version {told}; this gateway reads version {VERSION}: a newer one may")
    line, newline, _ = rest[:MAX_HEADER].partition(b"\n")
    begin = len(title) + 1
    try:
        facts = json.loads(line) if newline else None
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        return Header(), begin
    return Header(**{name: _fact(facts, name) for name in Header.__slots__}), begin + len(line) + 1


def _fact(facts: dict[str, Any], name: str) -> str:
    fact = facts.get(name)
    return fact if isinstance(fact, str) else ""


def _records(data: bytes, at: int) -> Iterator[tuple[int, float, float, bytes] | Damage]:
    """Every sound record as (code, monotonic seconds, Unix seconds, data), and what lies between them."""
    while at < len(data):
        size = _size_of_sound_record(data, at)
        if size is None:
            end = _next_sound_record(data, at + 1)
            cut_off = end == len(data) and (SYNC.startswith(data[at : at + 2]) or data.startswith(SYNC, at))
            yield Damage(at, end - at, cut_off)
            at = end
            continue
        code, length, monotonic_us, time_us = HEAD.unpack_from(data, at + len(SYNC))
        begin = at + len(SYNC) + HEAD.size
        yield code, monotonic_us / 1e6, time_us / 1e6, data[begin : begin + length]
        at += size


def _size_of_sound_record(data: bytes, at: int) -> int | None:
    begin = at + len(SYNC)
    if not data.startswith(SYNC, at) or len(data) < begin + HEAD.size:
        return None
    length: int = HEAD.unpack_from(data, begin)[1]
    end = begin + HEAD.size + length
    if len(data) < end + CRC.size or CRC.unpack_from(data, end)[0] != binascii.crc32(memoryview(data)[begin:end]):
        return None
    return end + CRC.size - at


def _next_sound_record(data: bytes, at: int) -> int:
    """Where the next one begins, the end of the file where there is none."""
    while (at := data.find(SYNC, at)) >= 0:
        if _size_of_sound_record(data, at) is not None:
            return at
        at += 1
    return len(data)
