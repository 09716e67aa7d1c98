"""Frames on the wire: COBS, the complemented CRC, and the receiver that tells frames from text from noise.

    00 | COBS( TYPE SEQ SID PAYLOAD... FCS_hi FCS_lo ) | 00

Pure and free of clocks; owned by whoever owns the link. Noise is counted, never raised: for any bytes `Deframer.feed`
gives frames and text, or moves a counter.
"""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass

MAX_PAYLOAD = 54  # bytes; the wire frame is then 62 bytes and fits an Uno's receive ring of 63
HEADER_BYTES = 3  # TYPE SEQ SID
FCS_BYTES = 2
MIN_FRAME = HEADER_BYTES + FCS_BYTES
MAX_FRAME = HEADER_BYTES + MAX_PAYLOAD + FCS_BYTES
MAX_SEGMENT = MAX_FRAME + 1  # COBS adds one byte to anything shorter than 254
MAX_WIRE = MAX_SEGMENT + 2
MAX_TEXT = 512  # bytes kept while it is open whether they are text


@dataclass(frozen=True, slots=True)
class Frame:
    """One sound frame: `type`, sequence number and session byte 0 to 255, payload of at most 54 bytes."""

    type: int
    seq: int
    sid: int
    payload: bytes

    def to_wire(self) -> bytes:
        """The bytes to write, both delimiters included."""
        return encode(self.type, self.seq, self.sid, payload=self.payload)


@dataclass(frozen=True, slots=True)
class Text:
    """Printable bytes that came between frames: one line, without its line end."""

    line: str


@dataclass(slots=True)
class Rejects:
    """What the receiver threw away."""

    bad_frames: int = 0
    """Segments that were neither a sound frame nor text."""
    overlong: int = 0
    """Runs of bytes too long for a frame and no text, each counted once however long."""


def fcs(data: bytes) -> int:
    """CRC-16 with polynomial 0x1021, init 0xFFFF, not reflected, complemented (check value D64E).

    The complement keeps a frame whose closing delimiter was lost from passing with a zero residue.
    """
    return binascii.crc_hqx(data, 0xFFFF) ^ 0xFFFF


def encode(frame_type: int, seq: int, sid: int, *, payload: bytes) -> bytes:
    """The wire form of one frame. Raises ValueError for a payload over 54 bytes."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload has at most {MAX_PAYLOAD} bytes, not {len(payload)}")
    frame = bytes((frame_type, seq, sid)) + payload
    return b"\0" + cobs_encode(frame + fcs(frame).to_bytes(FCS_BYTES, "big")) + b"\0"


def decode(segment: bytes) -> Frame | None:
    """The frame in the bytes between two delimiters, or None where they are not exactly one sound frame."""
    if not MIN_FRAME < len(segment) <= MAX_SEGMENT:
        return None
    frame = cobs_decode(segment)
    if frame is None or fcs(frame[:-FCS_BYTES]) != int.from_bytes(frame[-FCS_BYTES:], "big"):
        return None
    return Frame(frame[0], frame[1], frame[2], frame[HEADER_BYTES:-FCS_BYTES])


def cobs_encode(data: bytes) -> bytes:
    """Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999) of fewer than 254 bytes: each zero becomes the
    distance to the next one."""
    return b"".join(bytes((len(block) + 1,)) + block for block in data.split(b"\0"))


def cobs_decode(segment: bytes) -> bytes | None:
    """The inverse for zero-free bytes; None where the chain of distances does not end with the segment."""
    blocks = []
    at = 0
    while at < len(segment):
        end = at + segment[at]
        blocks.append(segment[at + 1 : end])
        at = end
    return b"\0".join(blocks) if at == len(segment) else None


class Deframer:
    """Cuts a byte stream into frames, text lines and counted rejects; holds at most 512 bytes."""

    def __init__(self) -> None:
        self.rejects = Rejects()
        self._segment = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[Frame | Text]:
        """Takes bytes as they come, gives what they complete."""
        *ended, rest = data.split(b"\0")
        for piece in ended:
            yield from self._extend(piece)
            yield from self._end()
        yield from self._extend(rest)

    def quiet(self) -> Iterator[Text]:
        """To be called when the line has been quiet: text that nothing will end any more is ended here."""
        lines = _text_lines(self._segment)
        if lines:
            self._segment.clear()
            yield from lines

    @property
    def holds_text(self) -> bool:
        """True while the bytes kept may be text that only `quiet` would end."""
        return bool(_text_lines(self._segment))

    def _extend(self, piece: bytes) -> Iterator[Text]:
        if self._skipping:
            return
        self._segment += piece
        while len(self._segment) > MAX_TEXT:
            kept = bytes(self._segment[:MAX_TEXT])
            cut = kept.rfind(b"\n") + 1 or MAX_TEXT
            lines = _text_lines(kept[:cut])
            if not lines:
                self.rejects.overlong += 1
                self._skipping = True
                self._segment.clear()
                return
            del self._segment[:cut]
            yield from lines

    def _end(self) -> Iterator[Frame | Text]:
        segment = bytes(self._segment)
        self._segment.clear()
        if self._skipping or not segment:
            self._skipping = False
            return
        frame = decode(segment)
        if frame is not None:
            yield frame
            return
        lines = _text_lines(segment)
        if lines:
            yield from lines
        elif len(segment) > MAX_SEGMENT:
            self.rejects.overlong += 1
        else:
            self.rejects.bad_frames += 1


def _text_lines(data: bytes | bytearray) -> list[Text]:
    """The lines of wholly printable UTF-8 (CR, LF, TAB allowed), empty ones left out; nothing for any other bytes."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return []
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if not all(line.replace("\t", " ").replace("\r", " ").isprintable() for line in lines):
        return []
    return [Text(line) for line in lines if line]
