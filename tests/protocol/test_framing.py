"""Frames and bytes: the checksum, COBS, encode and decode as pure functions, and every split of every golden frame."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.protocol.framing import (
    FCS_RESIDUE,
    MAX_FRAME,
    MAX_PAYLOAD,
    MAX_SEGMENT,
    MAX_WIRE,
    MIN_FRAME,
    Frame,
    cobs_decode,
    cobs_encode,
    decode,
    encode,
    fcs,
)
from tests.protocol.golden import GOLDEN, NEIGHBOUR, Golden, one_by_one, receive

BYTE = st.integers(0, 255)
FRAMES = st.builds(Frame, BYTE, BYTE, BYTE, st.binary(max_size=MAX_PAYLOAD))
ZERO_RICH = st.lists(st.sampled_from([0, 0, 0, 1, 2, 255]), max_size=253).map(bytes)


def test_check_value() -> None:
    assert fcs(b"123456789") == 0xD64E


@given(st.binary())
def test_residue(data: bytes) -> None:
    """The CRC of anything with its FCS is the constant that `decode` looks for."""
    assert fcs(data + fcs(data).to_bytes(2, "big")) ^ 0xFFFF == FCS_RESIDUE


def test_sizes_fit_the_receive_ring_of_an_uno() -> None:
    longest = encode(1, 2, 3, payload=bytes(MAX_PAYLOAD))
    assert len(longest) == MAX_WIRE == MAX_SEGMENT + 2 == MAX_FRAME + 3 == 62


@given(st.binary(max_size=253) | ZERO_RICH)
def test_cobs_both_ways(data: bytes) -> None:
    encoded = cobs_encode(data)
    assert 0 not in encoded
    assert len(encoded) == len(data) + 1
    assert cobs_decode(encoded) == data


@given(st.binary(max_size=80))
@example(b"")
@example(b"\0")
@example(b"\x01\x00\x00\x00\x00\x00\x00")
@example(b"\x02\x00")
def test_cobs_decode_takes_only_what_encode_gives(segment: bytes) -> None:
    data = cobs_decode(segment)
    assert data is None or segment in (cobs_encode(data), b"")


@given(FRAMES)
def test_frame_both_ways(frame: Frame) -> None:
    wire = frame.to_wire()
    assert wire[0] == wire[-1] == 0
    assert 0 not in wire[1:-1]
    assert len(wire) <= MAX_WIRE
    assert decode(wire[1:-1]) == frame
    assert receive(wire).found == [frame]


@given(st.binary(max_size=70))
@example(bytes(MIN_FRAME + 1))
@example(b"\x01" * (MIN_FRAME + 1))
def test_decode_of_any_bytes(segment: bytes) -> None:
    """None, or the one frame whose wire form these bytes are."""
    frame = decode(segment)
    assert frame is None or frame.to_wire()[1:-1] == segment


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, MAX_FRAME + 1, MAX_FRAME + 60])
def test_frames_of_impossible_length_are_rejected(size: int) -> None:
    """Sound in COBS and FCS, and still none."""
    data = b"A" * (size - 2)
    sealed = (data + fcs(data).to_bytes(2, "big"))[:size]
    assert decode(cobs_encode(sealed)) is None


@pytest.mark.parametrize(
    ("numbers", "payload"),
    [((1, 2, 3), bytes(MAX_PAYLOAD + 1)), ((256, 2, 3), b""), ((1, -1, 3), b""), ((1, 2, 256), b"")],
)
def test_encode_refuses_what_does_not_fit(numbers: tuple[int, int, int], payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"54 bytes|range\(0, 256\)"):
        encode(*numbers, payload=payload)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_every_split(golden: Golden) -> None:
    """In two at each place, and one byte at a time."""
    line = NEIGHBOUR.wire + golden.wire + NEIGHBOUR.wire
    whole = [NEIGHBOUR.frame, golden.frame, NEIGHBOUR.frame]
    for at in range(len(line) + 1):
        assert receive(line[:at], line[at:]).found == whole
    assert receive(*one_by_one(line)).found == whole
