"""Every single fault of every golden frame, delimiters included, on a line with a sound frame before and after.

What holds, and is checked for each of the faulted streams: the frame comes out, unchanged, exactly where all of its
bytes are still together between two delimiters; nothing else comes out as a frame; both neighbours always do.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.protocol.golden import GOLDEN, NEIGHBOUR, Golden, frames, receive

Faults = Iterator[list[bytes]]
"""The faulted forms of one wire, a list for each place."""

BYTES = [bytes((value,)) for value in range(256)]


def replacements(wire: bytes) -> Faults:
    """By each of the other 255 values: every flip of one bit, and every burst within a byte, is among them."""
    for at, byte in enumerate(wire):
        yield [wire[:at] + other + wire[at + 1 :] for other in BYTES if other[0] != byte]


def insertions(wire: bytes) -> Faults:
    """Of each of the 256 values: every duplicate is among them."""
    for at in range(len(wire) + 1):
        yield [wire[:at] + other + wire[at:] for other in BYTES]


def drops(wire: bytes) -> Faults:
    yield [wire[:at] + wire[at + 1 :] for at in range(len(wire))]


def swaps(wire: bytes) -> Faults:
    yield [wire[:at] + wire[at : at + 2][::-1] + wire[at + 2 :] for at in range(len(wire) - 1)]


def truncations(wire: bytes) -> Faults:
    """A board reset in the middle of a frame, and a port opened in the middle of one."""
    yield [wire[:end] for end in range(len(wire))]
    yield [wire[begin:] for begin in range(len(wire) + 1)]


def check(golden: Golden, faulted: list[bytes]) -> None:
    """Holds all faulted forms against the statement above, one after the other with a neighbour between."""
    line = NEIGHBOUR.wire.join([b"", *faulted, b""])
    whole = {NEIGHBOUR.segment: NEIGHBOUR.frame, golden.segment: golden.frame}
    segments = line.split(b"\0")
    assert segments.count(NEIGHBOUR.segment) > len(faulted)
    if frames(receive(line).found) == [whole[each] for each in segments if each in whole]:
        return
    if len(faulted) == 1:
        pytest.fail(f"{golden.name} faulted to {faulted[0].hex(' ')}")
    for stream in faulted:  # which one of the batch?
        check(golden, [stream])
    pytest.fail(f"{golden.name}: one faulted stream changed what came of the next")


@pytest.mark.parametrize("fault", [replacements, insertions, drops, swaps, truncations])
@pytest.mark.exhaustive
@pytest.mark.fault(1, 2)
def test_single_fault(fault: Callable[[bytes], Faults]) -> None:
    for golden in GOLDEN:
        for faulted in fault(golden.wire):
            check(golden, faulted)


@pytest.mark.fault(2)
def test_lost_delimiters_of_neighbours_cost_nothing() -> None:
    """One delimiter between two frames is enough."""
    for golden in GOLDEN:
        line = NEIGHBOUR.wire + golden.wire[1:] + NEIGHBOUR.wire[1:]
        assert frames(receive(line).found) == [NEIGHBOUR.frame, golden.frame, NEIGHBOUR.frame]
