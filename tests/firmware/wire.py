"""Frames as this directory's tests see them: an oracle of its own, which shares no code with either end of the link."""

import binascii
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: type, sequence number, session id, payload."""

    type: int
    sequence: int
    session: int
    payload: bytes = b""

    def to_wire(self) -> bytes:
        """Every byte on the line, both delimiters included."""
        body = bytes([self.type, self.sequence, self.session]) + self.payload
        body += (binascii.crc_hqx(body, 0xFFFF) ^ 0xFFFF).to_bytes(2, "big")
        return b"\0" + b"".join(bytes([len(block) + 1]) + block for block in body.split(b"\0")) + b"\0"


def decode_segment(segment: bytes) -> Frame | None:
    """What lies between two delimiters, or None if it is no sound frame."""
    body = bytearray()
    rest = segment
    while rest:
        code, rest = rest[0], rest[1:]
        if code - 1 > len(rest):
            return None
        body += rest[: code - 1]
        rest = rest[code - 1 :]
        if rest:
            body.append(0)
    if not 5 <= len(body) <= 59 or binascii.crc_hqx(body[:-2], 0xFFFF) ^ 0xFFFF != int.from_bytes(body[-2:], "big"):
        return None
    return Frame(body[0], body[1], body[2], bytes(body[3:-2]))


def decode(wire: bytes) -> tuple[list[Frame], bytes]:
    """The frames in what a board sent, and the bytes between them that are none, in order."""
    frames, text = [], b""
    for segment in wire.split(b"\0"):
        frame = decode_segment(segment)
        if frame:
            frames.append(frame)
        else:
            text += segment
    return frames, text
