"""The golden bytes of `tests/vectors/`, and byte streams made of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.protocol.framing import Deframer, Frame, Text

VECTORS = Path(__file__).parent.parent / "vectors"


@dataclass(frozen=True, slots=True)
class Golden:
    """One frame in both forms."""

    name: str
    frame: Frame
    wire: bytes

    @property
    def segment(self) -> bytes:
        """What stands between the delimiters."""
        return self.wire[1:-1]


def _rows(path: Path) -> Iterator[list[str]]:
    for line in path.read_text().splitlines():
        fields = line.partition("#")[0].split()
        if fields:
            yield fields


def _golden(row: list[str]) -> Golden:
    name, frame_type, seq, sid, payload, wire = row
    data = b"" if payload == "-" else bytes.fromhex(payload)
    return Golden(name, Frame(int(frame_type, 16), int(seq, 16), int(sid, 16), data), bytes.fromhex(wire))


def _rejected(name: str, wire: str) -> tuple[str, bytes]:
    return name, bytes.fromhex(wire)


GOLDEN = tuple(_golden(row) for row in _rows(VECTORS / "frames.txt"))
REJECTED = dict(_rejected(*row) for row in _rows(VECTORS / "rejected.txt"))
NEIGHBOUR = next(golden for golden in GOLDEN if golden.name == "ping")
"""A sound frame to stand before and after what is tried."""


def frames(found: Sequence[Frame | Text]) -> list[Frame]:
    """The frames in what a Deframer gave."""
    return [each for each in found if isinstance(each, Frame)]


def lines(found: Sequence[Frame | Text]) -> list[str]:
    """The lines of text in what a Deframer gave."""
    return [each.line for each in found if isinstance(each, Text)]


@dataclass(frozen=True, slots=True)
class Received:
    """All that came of a stream."""

    found: list[Frame | Text]
    bad_frames: int
    overlong: int


def receive(*pieces: bytes) -> Received:
    """What one Deframer makes of pieces that it is fed one after the other."""
    deframer = Deframer()
    found = [each for piece in pieces for each in deframer.feed(piece)]
    return Received(found, deframer.rejects.bad_frames, deframer.rejects.overlong)


def one_by_one(stream: bytes) -> list[bytes]:
    """The stream as pieces of one byte."""
    return [stream[at : at + 1] for at in range(len(stream))]
