"""Reads Intel HEX files strictly: a file that is damaged, cut off or no such file at all is never written to a board.

Pure. Records as in Intel's specification of 1988: data, end of file, segment and linear addresses, start addresses.
"""

import enum
from dataclasses import dataclass

from gateway.errors import GatewayError

ERASED = 0xFF  # what flash holds where nothing was written
MARK = ":"
HEAD_BYTES = 4  # length, address, type
MAX_SHOWN = 30  # characters of a wrong line
EXPORT = "in the Arduino IDE, Sketch, Export compiled binary makes one"


class HexError(GatewayError):
    """The file can't be used; the text names line and fault."""


class RecordType(enum.IntEnum):
    """What a record holds."""

    DATA = 0
    END = 1
    SEGMENT_ADDRESS = 2
    START_SEGMENT = 3
    LINEAR_ADDRESS = 4
    START_LINEAR = 5


DATA_LENGTHS = {
    RecordType.END: 0,
    RecordType.SEGMENT_ADDRESS: 2,
    RecordType.START_SEGMENT: 4,
    RecordType.LINEAR_ADDRESS: 2,
    RecordType.START_LINEAR: 4,
}
"""Bytes of data in a record of each type; DATA has any number."""

BASE_SHIFTS = {RecordType.SEGMENT_ADDRESS: 4, RecordType.LINEAR_ADDRESS: 16}
"""How far the two bytes of an address record are shifted: what they are added to starts there."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a file holds: pieces that don't touch, by rising address."""

    pieces: tuple[tuple[int, bytes], ...]

    @property
    def start(self) -> int:
        """The lowest address."""
        return self.pieces[0][0]

    @property
    def end(self) -> int:
        """The address after the last byte."""
        address, data = self.pieces[-1]
        return address + len(data)

    @property
    def size(self) -> int:
        """Bytes that the file holds, gaps not counted."""
        return sum(len(data) for _, data in self.pieces)

    def flat(self, *, page_bytes: int) -> bytes:
        """All from address 0 to the end of the last page, as erased flash where the file holds nothing."""
        flat = bytearray([ERASED]) * (-(-self.end // page_bytes) * page_bytes)
        for address, data in self.pieces:
            flat[address : address + len(data)] = data
        return bytes(flat)


def parse(text: str) -> Image:
    """The image in a file. Raises HexError."""
    memory: dict[int, int] = {}
    base = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        kind, address, data = _record(where, line.strip())
        if kind is RecordType.END:
            _check_nothing_follows(text, after=number)
            return _image(memory)
        if kind in BASE_SHIFTS:
            base = int.from_bytes(data, "big") << BASE_SHIFTS[kind]
        elif kind is RecordType.DATA:
            _place(where, memory, base + address, data)
    if not text.strip():
        raise HexError(f"the file is empty; {EXPORT}")
    raise HexError(f"the file is cut off: its last record, {MARK}00000001FF, is missing; make or copy it again")


def _record(where: str, line: str) -> tuple[RecordType, int, bytes]:
    if not line.startswith(MARK):
        raise HexError(f"{where} does not begin with a colon, {line[:MAX_SHOWN]!r}: no Intel HEX file; {EXPORT}")
    try:
        record = bytes.fromhex(line.removeprefix(MARK))
    except ValueError:
        raise HexError(f"{where}: {line[:MAX_SHOWN]!r} is no row of bytes; make or copy the file again") from None
    if len(record) <= HEAD_BYTES or len(record) != HEAD_BYTES + record[0] + 1:
        raise HexError(f"{where} has {len(record)} bytes and says otherwise; make or copy the file again")
    if sum(record) % 0x100:
        raise HexError(f"{where}: its checksum is wrong, so the file is damaged; make or copy it again")
    return _kind(where, record), int.from_bytes(record[1:3], "big"), record[HEAD_BYTES:-1]


def _kind(where: str, record: bytes) -> RecordType:
    try:
        kind = RecordType(record[3])
    except ValueError:
        raise HexError(f"{where}: there is no record type {record[3]}; is this a file for another chip?") from None
    if kind in DATA_LENGTHS and record[0] != DATA_LENGTHS[kind]:
        raise HexError(f"{where}: a record of type {record[3]} has {DATA_LENGTHS[kind]} bytes of data, not {record[0]}")
    return kind


def _place(where: str, memory: dict[int, int], address: int, data: bytes) -> None:
    for at, byte in enumerate(data, start=address):
        if memory.setdefault(at, byte) != byte:
            raise HexError(f"{where} gives address {at:#06x} another value than a line before: two files in one?")


def _check_nothing_follows(text: str, *, after: int) -> None:
    for number, line in enumerate(text.splitlines()[after:], start=after + 1):
        if line.strip():
            raise HexError(f"line {number} comes after the record that ends the file: two files in one?")


def _image(memory: dict[int, int]) -> Image:
    if not memory:
        raise HexError(f"the file holds no byte of a program; {EXPORT}")
    pieces: list[tuple[int, bytearray]] = []
    end = -1
    for address in sorted(memory):
        if address != end:
            pieces.append((address, bytearray()))
        pieces[-1][1].append(memory[address])
        end = address + 1
    return Image(tuple((address, bytes(data)) for address, data in pieces))
