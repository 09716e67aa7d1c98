"""The receiver among text and noise: what becomes a frame, a line or a count, and that nothing else ever happens."""

import random
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.framing import MAX_PAYLOAD, MAX_SEGMENT, MAX_TEXT, Deframer, Frame, Text, decode
from tests.protocol.golden import (
    GOLDEN,
    NEIGHBOUR,
    Golden,
    Received,
    frames,
    lines,
    one_by_one,
    receive,
)

OTHERS_MEMORY = 8192  # bytes that other threads of the test run may take meanwhile: tracemalloc sees all of them
WIRE, FRAME = NEIGHBOUR.wire, NEIGHBOUR.frame
TO_HOST = [golden for golden in GOLDEN if golden.frame.type >= 0x40]
PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\r\n"
all_golden = pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)


def noise(size: int, *, seed: int, alphabet: bytes = bytes(range(256))) -> bytes:
    return bytes(random.Random(seed).choices(alphabet, k=size))


# ---- text ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"temperature 21.5\r\n", ["temperature 21.5"]),
        (b"one\ntwo\r\nthree", ["one", "two", "three"]),
        (b"10 %\r20 %\r30 %\r", ["10 %", "20 %", "30 %"]),
        (b"a\n\rb", ["a", "b"]),
        (b"\r\n\r\n", []),
        (b"tab\tstop", ["tab\tstop"]),
        ("21.5 °C, 50 µs, 湿度".encode(), ["21.5 °C, 50 µs, 湿度"]),
        (b"1", ["1"]),
        (b"line\n" * 30, ["line"] * 30),
    ],
)
@pytest.mark.fault(6)
def test_text_before_between_and_behind_frames(text: bytes, expected: list[str]) -> None:
    found = receive(text, WIRE, text, WIRE, text, b"\0")
    block: list[Frame | Text] = [Text(line) for line in expected]
    assert found == Received([*block, FRAME, *block, FRAME, *block], 0, 0)


@all_golden
@pytest.mark.fault(6)
def test_text_before_and_behind_every_frame(golden: Golden) -> None:
    found = receive(b"before\r\n", golden.wire, b"behind\r\n", WIRE)
    assert found == Received([Text("before"), golden.frame, Text("behind"), FRAME], 0, 0)


@all_golden
@pytest.mark.fault(6)
def test_text_inside_a_frame_costs_that_frame_only(golden: Golden) -> None:
    for at in range(1, len(golden.wire)):
        found = receive(WIRE, golden.wire[:at] + b"tick\r\n" + golden.wire[at:], WIRE)
        assert frames(found.found) == [FRAME, FRAME]


@pytest.mark.parametrize(
    "data",
    [
        b"\x01",
        b"bell\x07",
        b"colour \x1b[31m",
        b"delete\x7f",
        b"C1 \xc2\x85",
        b"latin-1 \xb0C",
        b"cut \xe2\x82",
        b"surrogate \xed\xa0\x80",
        b"joined over a line end \xc3\n\xa9",
        "bidi \u202e".encode(),
        "line separator \u2028".encode(),
    ],
)
def test_what_is_not_text(data: bytes) -> None:
    assert receive(WIRE, data, WIRE) == Received([FRAME, FRAME], 1, 0)


def test_lines_of_a_long_text_come_as_they_end() -> None:
    deframer = Deframer()
    assert deframer.feed(b"x" * MAX_SEGMENT + b"\n") == [Text("x" * MAX_SEGMENT)]
    assert deframer.feed(b"short") == []
    assert deframer.feed(b"\r") == [Text("short")]
    assert deframer.feed(b"\n") == []


def test_a_frame_needs_its_delimiter_in_front() -> None:
    """Behind text that goes on for longer than a frame, and behind text that a quiet line ended."""
    assert frames(receive(b"x" * MAX_SEGMENT + b"\n" + WIRE[1:]).found) == []
    deframer = Deframer()
    deframer.feed(b"hello")
    assert deframer.quiet() == [Text("hello")]
    assert deframer.feed(WIRE[1:]) == []
    assert deframer.rejects.overlong == 1
    assert deframer.feed(WIRE) == [FRAME]


@pytest.mark.parametrize("character", ["a", "é", "€", "🤖"])
@pytest.mark.parametrize("shift", range(4))
def test_a_line_too_long_is_cut_between_characters(character: str, shift: int) -> None:
    text = "-" * shift + character * 1000
    found = receive(text.encode(), WIRE)
    assert frames(found.found) == [FRAME]
    cut = lines(found.found)
    assert "".join(cut) == text
    assert all(MAX_TEXT - 3 <= len(piece.encode()) <= MAX_TEXT for piece in cut[:-1])
    assert found == receive(*one_by_one(text.encode()), WIRE)


def test_a_line_of_exactly_the_limit_is_not_cut() -> None:
    assert lines(receive(b"x" * MAX_TEXT + b"\ny\0").found) == ["x" * MAX_TEXT, "y"]
    assert lines(receive(b"x" * MAX_TEXT, b"\0").found) == ["x" * MAX_TEXT]
    assert lines(receive(b"x" * (MAX_TEXT + 1), b"\0").found) == ["x" * MAX_TEXT, "x"]


def test_invalid_utf_8_at_the_cut_is_noise() -> None:
    assert receive(b"x" * 500 + b"\x80" * 600, WIRE) == Received([FRAME], 0, 1)


# ---- a quiet line ----


def test_quiet_ends_text() -> None:
    deframer = Deframer()
    assert not deframer.holds_text
    assert deframer.feed(WIRE + b"Enter a number: ") == [FRAME]
    assert deframer.holds_text
    assert deframer.quiet() == [Text("Enter a number: ")]
    assert not deframer.holds_text
    assert deframer.quiet() == []
    assert deframer.feed(b"2C") == []
    assert deframer.holds_text
    assert deframer.quiet() == [Text("2C")]
    assert deframer.feed(WIRE) == [FRAME]


@pytest.mark.parametrize(
    "text",
    [
        "21.5 degC",
        "..",
        "=",
        "(A) a line whose 41st byte can't be a distance of COBS",
    ],
)
def test_quiet_ends_text_that_can_begin_no_frame(text: str) -> None:
    """By its first byte, which is no distance; by its second, which is no event's type; by its chain."""
    deframer = Deframer()
    assert deframer.feed(WIRE + text.encode()) == [FRAME]
    assert deframer.holds_text
    assert deframer.quiet() == [Text(text)]


def test_quiet_gives_nothing_that_is_no_text() -> None:
    deframer = Deframer()
    deframer.feed(b"\xff\xfe")
    assert not deframer.holds_text
    assert deframer.quiet() == []
    assert deframer.feed(b"text\0") == []
    assert deframer.rejects.bad_frames == 1


def test_quiet_lets_text_begin_anew_behind_noise() -> None:
    """A board that never sends a delimiter, with garbage at its reset."""
    deframer = Deframer()
    deframer.feed(b"\x80\xff" * MAX_SEGMENT + b"\n")
    assert deframer.rejects.overlong == 1
    assert deframer.holds_text
    assert deframer.quiet() == []
    assert not deframer.holds_text
    assert deframer.feed(b"Hello\r\n") == [Text("Hello")]
    assert deframer.rejects.total == 1


@pytest.mark.parametrize("golden", TO_HOST, ids=lambda golden: golden.name)
def test_quiet_in_the_middle_of_a_frame_costs_nothing(golden: Golden) -> None:
    for at in range(len(golden.wire)):
        deframer = Deframer()
        assert deframer.feed(WIRE + golden.wire[:at]) == [FRAME]
        assert not deframer.holds_text
        assert deframer.quiet() == []
        assert deframer.feed(golden.wire[at:]) == [golden.frame]


@given(
    st.integers(0x40, 0x4F),
    st.sampled_from(PRINTABLE),
    st.sampled_from(PRINTABLE),
    st.lists(st.sampled_from(PRINTABLE), max_size=MAX_PAYLOAD).map(bytes),
)
def test_quiet_in_the_middle_of_a_printable_frame_costs_nothing(kind: int, seq: int, sid: int, payload: bytes) -> None:
    """The worst case: a LOG event all of whose bytes look like text."""
    frame = Frame(kind, seq, sid, payload)
    deframer = Deframer()
    found = []
    for byte in one_by_one(frame.to_wire()):
        found += [*deframer.feed(byte), *deframer.quiet()]
    assert found == [frame]


def test_a_printable_frame_cut_short_becomes_text_at_the_next_delimiter() -> None:
    cut = Frame(0x41, ord("a"), ord("b"), b"hello, world, this is a longer text").to_wire()[1:20]
    deframer = Deframer()
    assert deframer.feed(b"\0" + cut) == []
    assert deframer.quiet() == []
    assert deframer.feed(WIRE) == [Text(cut.decode()), FRAME]


# ---- noise ----


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "alphabet",
    [bytes(range(256)), bytes(range(1, 256)), bytes([0, 0x80, 0xE0, 0xFF]), PRINTABLE],
    ids=["any", "no_zero", "wrong_baud", "printable"],
)
@pytest.mark.fault(4)
def test_64_kb_of_noise_then_a_frame(alphabet: bytes, seed: int) -> None:
    burst = noise(65_536, seed=seed, alphabet=alphabet)
    assert frames(receive(burst, WIRE).found) == [FRAME]


@all_golden
@pytest.mark.fault(4)
def test_noise_before_between_and_inside_frames(golden: Golden) -> None:
    """Noise between frames costs none; inside one it costs that one."""
    stream, whole = b"", []
    for seed in range(20):
        burst = noise(seed * 5, seed=seed)
        at = 1 + seed % (len(golden.wire) - 1)
        stream += burst + golden.wire + burst + golden.wire[:at] + b"\xa5" + burst + golden.wire[at:] + WIRE
        whole += [golden.frame, FRAME]
    assert frames(receive(stream).found) == whole


@pytest.mark.fault(5)
def test_endless_noise_is_counted_once_and_not_kept() -> None:
    deframer = Deframer()
    chunk = noise(4096, seed=1, alphabet=bytes(range(1, 256)))
    deframer.feed(chunk)
    tracemalloc.start()
    try:
        for _ in range(256):
            assert deframer.feed(chunk) == []
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2 * MAX_TEXT + OTHERS_MEMORY
    assert (deframer.rejects.overlong, deframer.rejects.bad_frames) == (1, 0)
    assert deframer.feed(WIRE) == [FRAME]


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.fault(5)
def test_endless_text_is_not_kept(size: int) -> None:
    deframer = Deframer()
    tracemalloc.start()
    try:
        given_out = sum(len(line) for _ in range(40_000 // size) for line in lines(deframer.feed(b"x" * size)))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert given_out >= 40_000 // size * size - MAX_TEXT
    assert kept < 2 * MAX_TEXT + OTHERS_MEMORY
    assert deframer.rejects.total == 0


# ---- any bytes ----

STREAMS = st.lists(
    st.one_of(
        st.sampled_from([golden.wire for golden in GOLDEN]),
        st.sampled_from([golden.wire[1:-1] for golden in GOLDEN]),
        st.sampled_from([b"\0", b"\r", b"\n", b"\r\n", b"text", b"\xc2", b"\xb0", b"\xff" * 70, b"x" * 700]),
        st.binary(max_size=90),
        st.text(max_size=90).map(str.encode),
    ),
    max_size=8,
).map(b"".join)


def split(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream in pieces, cut at these places."""
    cuts = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[begin:end] for begin, end in pairwise(cuts)]


def by_the_book(stream: bytes) -> Received:
    """The receiver rules once more, said differently: a whole stream at a time, delimiter by delimiter."""
    result: list[Frame | Text] = []
    bad_frames = overlong = 0
    *segments, _ = stream.split(b"\0")
    for segment in segments:
        frame = decode(segment)
        if frame is not None:
            result.append(frame)
            continue
        too_long = len(segment) > MAX_SEGMENT
        for part in _parts(segment) if too_long else [segment]:
            texts = _lines_of(part)
            if texts is None:
                bad_frames += not too_long
                overlong += too_long
                break
            result += texts
    return Received(result, bad_frames, overlong)


def _parts(segment: bytes) -> list[bytes]:
    parts = []
    for line in segment.replace(b"\r", b"\n").split(b"\n"):
        begin = 0
        while len(line) - begin > MAX_TEXT:
            ends = [begin + size for size in range(509, 513) if line[begin + size] not in range(0x80, 0xC0)]
            end = max(ends, default=begin + MAX_TEXT)
            parts.append(line[begin:end])
            begin = end
        parts.append(line[begin:])
    return parts


def _lines_of(data: bytes) -> list[Text] | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if any(not character.isprintable() and character not in "\r\n\t" for character in text):
        return None
    return [Text(line) for line in text.replace("\r", "\n").split("\n") if line]


@given(STREAMS, st.lists(st.integers(0, 2000), max_size=6))
def test_any_bytes_any_split(stream: bytes, places: list[int]) -> None:
    """Frames, text and counts, never an exception; the same however the stream was split."""
    closed = stream + b"\0"
    whole = receive(closed)
    assert whole == by_the_book(closed)
    assert receive(*split(closed, places)) == whole
    assert receive(*one_by_one(closed)) == whole


@given(STREAMS, st.lists(st.integers(0, 2000), max_size=6))
def test_any_bytes_with_quiet_anywhere(stream: bytes, places: list[int]) -> None:
    """Quiet moves text, and never costs a frame that a host may be sent."""
    deframer = Deframer()
    found: list[Frame | Text] = []
    for piece in split(stream + b"\0", places):
        found += deframer.feed(piece)
        found += deframer.quiet()
        assert not deframer.holds_text
    to_host = [frame for frame in frames(receive(stream, b"\0").found) if frame.type >= 0x40]
    assert [frame for frame in frames(found) if frame.type >= 0x40] == to_host


@given(st.binary(max_size=200), st.sampled_from(GOLDEN))
def test_a_frame_behind_any_bytes(burst: bytes, golden: Golden) -> None:
    assert frames(receive(burst, golden.wire).found)[-1:] == [golden.frame]
