"""The file format: what was written is read again, cut off or damaged wherever it may be."""

import contextlib
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link import recording
from gateway.link.recording import (
    OVERHEAD,
    SYNC,
    Description,
    Header,
    Recording,
    RecordingError,
    decode,
    encode_description,
    encode_header,
    encode_missed,
    encode_trace,
)
from gateway.link.tap import Trace, TraceKind

HEADER = Header("uno", "/dev/ttyACM0", "2026-01-02T03:04:05.678Z", "0.1.0")
DESCRIPTION = Description(b"\x03Uno\x02ab\x011\x00", 1, 1, (b"channel", b"\x01action", b"argument"))
TRACES = (
    Trace(TraceKind.OPENED, 10.0, 1_700_000_000.0, b"/dev/ttyACM0"),
    Trace(TraceKind.BAUD, 10.000001, 1_700_000_000.000001, b"250000"),
    Trace(TraceKind.SENT, 10.5, 1_700_000_000.5, b"\0\x04\x03\x02\x44\x03\x4f\x8b\0"),
    Trace(TraceKind.RECEIVED, 10.503, 1_700_000_000.503, b"text\r\n\0\xa5\x5a\x04\x00\x00"),
    Trace(TraceKind.RECEIVED, 10.6, 1_700_000_000.6, SYNC * 40),
    Trace(TraceKind.CLOSED, 12.0, 1_700_000_002.0, "unplugged ä".encode()),
)
HEAD = encode_header(HEADER)
PIECES = [encode_trace(trace) for trace in TRACES]
WHOLE = HEAD + b"".join(PIECES)
ENDS = list(itertools.accumulate((len(piece) for piece in PIECES), initial=len(HEAD)))

traces = st.builds(
    Trace,
    st.sampled_from(TraceKind),
    st.integers(0, 10**15).map(lambda us: us / 1e6),
    st.integers(0, 2 * 10**15).map(lambda us: us / 1e6),
    st.binary(max_size=200) | st.lists(st.sampled_from([SYNC, b"\0", b"\xa5"])).map(b"".join),
)


@given(st.lists(traces, max_size=20))
def test_what_was_written_is_read_again(written: list[Trace]) -> None:
    found = decode(encode_header(HEADER) + b"".join(map(encode_trace, written)))
    assert found == Recording(HEADER, tuple(written))


def test_it_begins_with_two_lines_for_people() -> None:
    assert WHOLE.split(b"\n")[0] == b"gateway link recording 1"
    assert b'"board": "uno"' in WHOLE.split(b"\n")[1]
    assert len(PIECES[2]) == len(TRACES[2].data) + OVERHEAD


def test_a_description_and_what_was_missed_are_read_again() -> None:
    data = HEAD + encode_missed(7, monotonic_s=1, time_s=2)
    data += encode_description(DESCRIPTION, monotonic_s=1, time_s=2) + encode_missed(3, monotonic_s=1, time_s=2)
    found = decode(data)
    assert found.description == DESCRIPTION
    assert found.missed == 10


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x01", b"\x01\x01\x05abc"])
def test_a_broken_description_is_none(data: bytes) -> None:
    assert Description.from_bytes(data) is None


def test_a_file_cut_off_anywhere_is_read_up_to_there() -> None:
    title = WHOLE.index(b"\n") + 1
    for size in range(title):
        with pytest.raises(RecordingError, match=r"no recording of a link|version"):
            decode(WHOLE[:size])
    for size in range(title, len(WHOLE) + 1):
        found = decode(WHOLE[:size])
        complete = sum(end <= size for end in ENDS) - 1
        assert found.traces == TRACES[: max(0, complete)], size
        assert bool(found.damage) == (size not in (title, *ENDS)), size
        if size > len(HEAD) and found.damage:
            assert [each.cut_off for each in found.damage] == [True], size
            assert "cut off" in str(found.damage[0])


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_damaged_byte_costs_one_record_and_is_told(flip: int) -> None:
    for at in range(len(HEAD), len(WHOLE)):
        damaged = bytearray(WHOLE)
        damaged[at] ^= flip
        found = decode(bytes(damaged))
        hit = next(place for place, end in enumerate(ENDS[1:]) if at < end)
        assert found.traces == TRACES[:hit] + TRACES[hit + 1 :], at
        assert [each.offset for each in found.damage] == [ENDS[hit]], at


@given(st.binary(max_size=60), st.integers(0, len(PIECES)))
def test_foreign_bytes_between_records_cost_none(rubbish: bytes, place: int) -> None:
    found = decode(HEAD + b"".join(PIECES[:place]) + rubbish + b"".join(PIECES[place:]))
    assert found.traces == TRACES
    assert sum(each.size for each in found.damage) == len(rubbish)


@given(st.binary())
def test_any_bytes_are_a_recording_or_are_refused(data: bytes) -> None:
    decode(HEAD + data)
    with contextlib.suppress(RecordingError):
        decode(data)


def test_a_damaged_header_costs_only_what_it_tells() -> None:
    damaged = WHOLE.replace(b'{"board"', b'{"board')
    assert decode(damaged).traces == TRACES
    assert decode(damaged).header == Header()
    strange = b'gateway link recording 1\n{"board": 7, "colour": "red"}\n' + PIECES[0]
    assert decode(strange).header == Header()
    assert decode(strange).traces == TRACES[:1]


def test_a_version_to_come_is_refused_by_name() -> None:
    with pytest.raises(RecordingError, match="version 2; this gateway reads version 1"):
        decode(WHOLE.replace(b"recording 1", b"recording 2"))


def test_records_of_kinds_to_come_are_skipped() -> None:
    from gateway.link.recording import _record

    found = decode(HEAD + PIECES[0] + _record(99, b"news", monotonic_s=1, time_s=1) + PIECES[1])
    assert found == Recording(HEADER, TRACES[:2])


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(WHOLE)
    monkeypatch.setattr(recording, "MAX_FILE_BYTES", len(WHOLE))
    assert Recording.read(tmp_path / "a").traces == TRACES
    monkeypatch.setattr(recording, "MAX_FILE_BYTES", len(WHOLE) - 1)
    with pytest.raises(RecordingError, match="larger than 0 MB, more than can be played; record less"):
        Recording.read(tmp_path / "a")


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    with pytest.raises(RecordingError, match=r"a\.txt: no recording"):
        Recording.read(tmp_path / "a.txt")
    with pytest.raises(RecordingError, match=r"b: No such file"):
        Recording.read(tmp_path / "b")
