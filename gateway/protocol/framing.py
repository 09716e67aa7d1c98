"""Frames on the wire: COBS, the complemented CRC, and the receiver that tells frames from text from noise.

    00 | COBS( TYPE SEQ SID PAYLOAD... FCS_hi FCS_lo ) | 00

Pure and free of clocks; owned by whoever owns the link. Noise is counted, never raised: for any bytes `Deframer.feed`
gives frames and text, or moves a counter. The rules are PROTOCOL.md, "Frame" and "Receiver".
"""

import binascii
from dataclasses import dataclass
from typing import Literal

MAX_PAYLOAD = 54  # bytes; the wire frame is then 62 bytes and fits an Uno's receive ring of 63
HEADER_BYTES = 3  # TYPE SEQ SID
FCS_BYTES = 2
MIN_FRAME = HEADER_BYTES + FCS_BYTES
MAX_FRAME = HEADER_BYTES + MAX_PAYLOAD + FCS_BYTES
MAX_SEGMENT = MAX_FRAME + 1  # COBS adds one byte to anything shorter than 254
MAX_WIRE = MAX_SEGMENT + 2
MAX_TEXT = 512  # bytes of one line of text; a longer one is cut
EVENT_TYPES = range(0x40, 0x50)
FCS_RESIDUE = 0x1D0F  # what the CRC of any sound frame with its FCS comes to


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
    """Printable bytes that came between frames: one line, without its line end. Tabs are the only controls in it."""

    line: str


@dataclass(slots=True)
class Rejects:
    """What the receiver threw away."""

    bad_frames: int = 0
    """Segments, short enough for a frame, that were neither a sound frame nor text."""
    overlong: int = 0
    """Runs of bytes too long for a frame, or behind a text without a delimiter, that were not text: each counted
    once, however long."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.bad_frames + self.overlong


def fcs(data: bytes) -> int:
    """CRC-16 with polynomial 0x1021, init 0xFFFF, not reflected, complemented (check value D64E).

    The complement keeps a frame whose closing delimiter was lost from passing with a zero residue.
    """
    return binascii.crc_hqx(data, 0xFFFF) ^ 0xFFFF


def encode(frame_type: int, seq: int, sid: int, *, payload: bytes) -> bytes:
    """The wire form of one frame. Raises ValueError for a payload over 54 bytes or a number that is no byte."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload has at most {MAX_PAYLOAD} bytes, not {len(payload)}")
    frame = bytes((frame_type, seq, sid)) + payload
    return b"\0" + cobs_encode(frame + fcs(frame).to_bytes(FCS_BYTES, "big")) + b"\0"


def decode(segment: bytes) -> Frame | None:
    """The frame in the bytes between two delimiters, or None where they are not exactly one sound frame."""
    if not MIN_FRAME < len(segment) <= MAX_SEGMENT:
        return None
    frame = cobs_decode(segment)
    if frame is None or binascii.crc_hqx(frame, 0xFFFF) != FCS_RESIDUE:
        return None
    return Frame(frame[0], frame[1], frame[2], frame[HEADER_BYTES:-FCS_BYTES])


def cobs_encode(data: bytes) -> bytes:
    """Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999) of fewer than 254 bytes: a leading byte and each
    zero become the distance to the next zero, or to the end."""
    return b"".join([b"%c%b" % (len(block) + 1, block) for block in data.split(b"\0")])


def cobs_decode(segment: bytes) -> bytes | None:
    """The inverse; None where a zero is inside or the chain of distances does not end with the segment."""
    if 0 in segment:
        return None
    data = bytearray(segment)
    at = 0
    while at < len(data):
        distance = data[at]
        data[at] = 0
        at += distance
    return bytes(data[1:]) if at == len(data) else None


_Run = Literal["open", "text", "noise"]
"""What the bytes since the last delimiter are. open: few enough to become a frame, all of them held. text: no frame any
more, printable so far, the last line held. noise: neither, nothing held."""


class Deframer:
    """Cuts a byte stream into frames, text lines and counted rejects; holds at most 512 bytes between calls.

    How the stream is split over calls of `feed` makes no difference to what comes out.
    """

    def __init__(self) -> None:
        self.rejects = Rejects()
        self._run: _Run = "open"
        self._held = b""

    def feed(self, data: bytes) -> list[Frame | Text]:
        """Takes bytes as they come, gives what they complete."""
        found: list[Frame | Text] = []
        first, *others = data.split(b"\0")
        self._extend(first, found)
        for piece in others:
            self._end(found)
            self._extend(piece, found)
        return found

    def quiet(self) -> list[Text]:
        """To be called when the line has been quiet: gives text that nothing will end any more, and ends noise.

        It never costs a frame: bytes that may begin one are held until their delimiter comes.
        """
        lines = self._unended_lines()
        if lines or self._run == "noise":
            self._run, self._held = "text", b""
        return lines

    @property
    def holds_text(self) -> bool:
        """True while there is something that only `quiet` might end."""
        return self._run == "noise" or bool(self._unended_lines())

    def _unended_lines(self) -> list[Text]:
        if self._run == "open" and _may_begin_frame(self._held):
            return []
        return _text_lines(self._held) or []

    def _extend(self, piece: bytes, found: list[Frame | Text]) -> None:
        """Adds bytes to the run; one that is too long for a frame is cut into lines as they come."""
        if not piece or self._run == "noise":
            return
        self._held += piece
        if self._run == "open" and len(self._held) <= MAX_SEGMENT:
            return
        self._run = "text"
        *ended, self._held = _cut_lines(self._held)
        for line in ended:
            texts = _text_lines(line)
            if texts is None:
                self.rejects.overlong += 1
                self._run, self._held = "noise", b""
                return
            found += texts

    def _end(self, found: list[Frame | Text]) -> None:
        """Decides what the run was, at its delimiter, and begins the next."""
        run, held = self._run, self._held
        if not held and run == "open":
            return
        self._run, self._held = "open", b""
        if run == "open" and (frame := decode(held)) is not None:
            found.append(frame)
        elif (texts := _text_lines(held)) is not None:
            found += texts
        elif run == "open":
            self.rejects.bad_frames += 1
        else:
            self.rejects.overlong += 1


_BLANKED = bytes.maketrans(b"\t\r\n", b"   ")


def _text_lines(data: bytes) -> list[Text] | None:
    """The lines of wholly printable UTF-8 (CR, LF, TAB allowed), empty ones left out; None for any other bytes."""
    # What is not UTF-8 becomes surrogates, which are not printable: cheaper than an exception for all the noise.
    if not data.translate(_BLANKED).decode(errors="surrogateescape").isprintable():
        return None
    text = data.decode().replace("\r", "\n")
    return [Text(line) for line in text.split("\n") if line]


def _cut_lines(data: bytes) -> list[bytes]:
    """The lines that CR, LF or their own length ends, and at last the open one."""
    lines = []
    for line in data.replace(b"\r", b"\n").split(b"\n"):
        rest = line
        while len(rest) > MAX_TEXT:
            end = _character_end(rest)
            lines.append(rest[:end])
            rest = rest[end:]
        lines.append(rest)
    return lines


def _character_end(line: bytes) -> int:
    """Where to cut a line of over 512 bytes so that no UTF-8 character, of 4 bytes at most, is cut in two."""
    return next((end for end in range(MAX_TEXT, MAX_TEXT - 4, -1) if line[end] & 0xC0 != 0x80), MAX_TEXT)


def _may_begin_frame(held: bytes) -> bool:
    """True while printable bytes may yet become a frame: only an event's TYPE is printable, and the chain of COBS
    distances ends within the longest segment."""
    if len(held) > 1 and held[1] not in EVENT_TYPES:
        return False
    at = 0
    while at < len(held):
        at += held[at]
    return at <= MAX_SEGMENT
