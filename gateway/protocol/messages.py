"""Messages as one table: each class is one row of PROTOCOL.md, "Messages"; packing and checks derive from it.

A message's `HEAD` packs its fixed fields; a class with a `TAIL` ends in that many bytes at most, in its last field.
`M.from_bytes(m.to_bytes()) == m` for every message. Pure.
"""

import enum
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import ClassVar, Self, TypeVar

from gateway.model import ValueType
from gateway.protocol.framing import MAX_PAYLOAD

VERSION = 1  # major version of the protocol that this gateway speaks
REPLY = 0x80  # a reply's TYPE is its request's with this bit set
ACTION_TARGET = 0x80  # set in a COMMAND's target: an action, else a channel
MAX_VALUES = 43  # bytes of values in one POLL reply; more channels, more groups
ALL_GROUPS = 0xFF  # in STREAM: one after another
MAX_NAME, MAX_UNIT, MAX_DOC = 16, 8, 30  # bytes
MAX_BOARD_STRINGS = 47  # bytes of the four board strings together
MAX_ARGUMENTS = 4
FIRST_HANDLER_CODE = 64  # codes 64 to 255 are the sketch's own


class ChannelFlag(enum.IntFlag):
    """Flags of a channel record."""

    READABLE = 1
    WRITABLE = 2
    IDEMPOTENT = 4
    SAFE = 8
    HOLD_REQUIRED = 16
    CHANGE_EVENTS = 32


class HelloFlag(enum.IntFlag):
    """Flags of a HELLO reply and of BOOT."""

    EPOCH_MATCH = 1
    LATCHED = 2
    COLD = 4
    NATIVE_USB = 8
    CONSOLE = 16
    STREAM = 32
    LATCHED_BY_SAFE = 64


class PollStatus(enum.IntFlag):
    """Status byte of a POLL reply."""

    FAILSAFE = 1
    OVERRUN = 2
    INTERRUPTED = 4
    SLOW_LOOP = 8
    FAILSAFE_BY_SAFE = 16
    HOLD_LAPSED = 32


class Outcome(enum.IntEnum):
    """What a COMMAND's reply says of its handler."""

    EXECUTED = 0
    DUPLICATE = 1
    INTERRUPTED = 2


class ErrorCode(enum.IntEnum):
    """Codes of an ERROR reply, and of a refused command in the board's record."""

    NO_SESSION = 1
    BAD_TYPE = 2
    BAD_LENGTH = 3
    BAD_TARGET = 4
    READ_ONLY = 5
    OUT_OF_RANGE = 6
    STALE_ID = 7
    BUSY = 8
    VERSION = 9
    EPOCH = 10
    FAILSAFE = 11
    HOLD_REQUIRED = 12
    UNSUPPORTED = 13


class RecordKind(enum.IntEnum):
    """What a DESCRIBE asks for."""

    BOARD = 0
    CHANNEL = 1
    ACTION = 2
    ARGUMENT = 3


class MessageError(ValueError):
    """The bytes are not a message of that type; the text says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all messages: packing by the class's own row of the table."""

    TYPE: ClassVar[int]
    FIELDS: ClassVar[tuple[str, ...]]
    HEAD: ClassVar[struct.Struct]
    TAIL: ClassVar[int]

    def to_bytes(self) -> bytes:
        """The payload. Raises MessageError for a field that does not fit its place on the wire."""
        values = [getattr(self, name) for name in self.FIELDS]
        tail = values.pop() if self.TAIL else b""
        if len(tail) > self.TAIL:
            raise MessageError(f"{type(self).__name__}: {len(tail)} trailing bytes, at most {self.TAIL} fit")
        try:
            return self.HEAD.pack(*values) + tail
        except struct.error as error:
            raise MessageError(f"{type(self).__name__}: {error}") from error

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """The message in a payload. Raises MessageError for a length that its type never has."""
        size = cls.HEAD.size
        if not size <= len(payload) <= size + cls.TAIL:
            expected = f"{size} to {size + cls.TAIL}" if cls.TAIL else f"{size}"
            raise MessageError(f"{cls.__name__}: {len(payload)} bytes, expected {expected}")
        tail = (payload[size:],) if cls.TAIL else ()
        return cls(*cls.HEAD.unpack_from(payload), *tail)


M = TypeVar("M", bound=Message)
_Table = dict[int, type[Message]]
_requests: _Table = {}
_replies: _Table = {}
_events: _Table = {}
REQUESTS: Mapping[int, type[Message]] = MappingProxyType(_requests)
REPLIES: Mapping[int, type[Message]] = MappingProxyType(_replies)
EVENTS: Mapping[int, type[Message]] = MappingProxyType(_events)


def _row(table: _Table, message_type: int, layout: str, *, tail: int = 0) -> Callable[[type[M]], type[M]]:
    """Enters a class into its table: `layout` packs all fields, or all but the last where a `tail` follows."""

    def enter(cls: type[M]) -> type[M]:
        cls.TYPE, cls.HEAD, cls.TAIL = message_type, struct.Struct("<" + layout), tail
        cls.FIELDS = tuple(field.name for field in fields(cls))
        table[message_type] = cls
        return cls

    return enter


@_row(_requests, 0x01, "BBHIII")
@dataclass(frozen=True, slots=True)
class Hello(Message):
    """Opens a session; `failsafe_ms` 0 keeps the sketch's own limit."""

    version_min: int
    version_max: int
    failsafe_ms: int
    session: int
    epoch: int
    unix_time: int


@_row(_replies, 0x81, "BBBBBIIIIBBII")
@dataclass(frozen=True, slots=True)
class HelloReply(Message):
    """The board's answer: what it offers, and its at-most-once record (`stored_epoch`, `started`, `done`, `result`)."""

    version: int
    flags: int
    mtu: int
    channels: int
    actions: int
    session: int
    stored_epoch: int
    started: int
    done: int
    result: int
    resets: int
    uptime_ms: int
    schema_hash: int


@_row(_requests, 0x02, "BBB")
@dataclass(frozen=True, slots=True)
class Describe(Message):
    """Asks for one record (`RecordKind`)."""

    kind: int
    index: int
    argument: int


@_row(_replies, 0x82, "BBB", tail=MAX_PAYLOAD - 3)
@dataclass(frozen=True, slots=True)
class DescribeReply(Message):
    """One record, in `record`."""

    kind: int
    index: int
    argument: int
    record: bytes


@_row(_requests, 0x03, "B")
@dataclass(frozen=True, slots=True)
class Poll(Message):
    """Asks for one group of readings."""

    group: int


@_row(_replies, 0x83, "BBIIB", tail=MAX_VALUES)
@dataclass(frozen=True, slots=True)
class PollReply(Message):
    """One group's values, packed in index order; `t_us` is the board's micros()."""

    group: int
    status: int
    t_us: int
    done: int
    rx_bad: int
    values: bytes


@_row(_requests, 0x04, "IBH", tail=MAX_PAYLOAD - 7)
@dataclass(frozen=True, slots=True)
class RunCommand(Message):
    """COMMAND: writes a channel or runs an action, at most once for each `id`."""

    id: int
    target: int
    hold_ms: int
    arguments: bytes


@_row(_replies, 0x84, "IBBI", tail=4)
@dataclass(frozen=True, slots=True)
class CommandReply(Message):
    """What became of command `id`; `code` 0 = the handler said yes."""

    id: int
    outcome: int
    code: int
    t_us: int
    result: bytes


@_row(_requests, 0x05, "I")
@dataclass(frozen=True, slots=True)
class SetEpoch(Message):
    """EPOCH: gives the board's record a new identity; a new value zeroes its ids."""

    epoch: int


@_row(_replies, 0x85, "I")
@dataclass(frozen=True, slots=True)
class SetEpochReply(Message):
    """The epoch now stored."""

    epoch: int


@_row(_requests, 0x06, "")
@dataclass(frozen=True, slots=True)
class Safe(Message):
    """SAFE: all outputs to safe values and latched, in any session."""


@_row(_replies, 0x86, "")
@dataclass(frozen=True, slots=True)
class SafeReply(Message):
    """Outputs are safe."""


@_row(_requests, 0x07, "")
@dataclass(frozen=True, slots=True)
class Clear(Message):
    """CLEAR: leaves the failsafe."""


@_row(_replies, 0x87, "")
@dataclass(frozen=True, slots=True)
class ClearReply(Message):
    """The latch is open."""


@_row(_requests, 0x08, "I")
@dataclass(frozen=True, slots=True)
class Ping(Message):
    """Keeps a session alive and measures its round trip."""

    token: int


@_row(_replies, 0x88, "III")
@dataclass(frozen=True, slots=True)
class PingReply(Message):
    """The token again, and the board's clocks."""

    token: int
    t_us: int
    uptime_ms: int


@_row(_requests, 0x09, "BHB")
@dataclass(frozen=True, slots=True)
class Stream(Message):
    """Asks for TELEMETRY every `period_ms` while the lease (in 100 ms, 0 = stop) runs; `group` may be ALL_GROUPS."""

    group: int
    period_ms: int
    lease: int


@_row(_replies, 0x89, "BHB")
@dataclass(frozen=True, slots=True)
class StreamReply(Message):
    """The stream as granted."""

    group: int
    period_ms: int
    lease: int


@_row(_requests, 0x0A, "")
@dataclass(frozen=True, slots=True)
class Stats(Message):
    """Asks for the board's own link counters."""


@_row(_replies, 0x8A, "HHHIH")
@dataclass(frozen=True, slots=True)
class StatsReply(Message):
    """The board's own link counters."""

    rx_good: int
    rx_bad: int
    overruns: int
    loop_max_us: int
    free_ram: int


@_row(_requests, 0x0B, "I")
@dataclass(frozen=True, slots=True)
class SetId(Message):
    """SETID: gives a blank board its unique id."""

    id: int


@_row(_replies, 0x8B, "I")
@dataclass(frozen=True, slots=True)
class SetIdReply(Message):
    """The unique id now stored."""

    id: int


@_row(_events, 0x40, "BBI")
@dataclass(frozen=True, slots=True)
class Boot(Message):
    """The sketch has just begun."""

    version: int
    flags: int
    uptime_ms: int


@_row(_events, 0x41, "", tail=MAX_PAYLOAD)
@dataclass(frozen=True, slots=True)
class Log(Message):
    """Text from the sketch, UTF-8."""

    text: bytes


@_row(_events, 0x42, "BI", tail=MAX_VALUES)
@dataclass(frozen=True, slots=True)
class Change(Message):
    """One channel's new value."""

    channel: int
    t_us: int
    value: bytes


@_row(_events, 0x43, "BBIIB", tail=MAX_VALUES)
@dataclass(frozen=True, slots=True)
class Telemetry(Message):
    """A stream's sample, laid out as a POLL reply."""

    group: int
    status: int
    t_us: int
    done: int
    rx_bad: int
    values: bytes


@_row(_replies, 0xFF, "BBB")
@dataclass(frozen=True, slots=True)
class ErrorReply(Message):
    """A sound request that the board refuses."""

    request_type: int
    code: int
    detail: int


# ---- records of DESCRIBE: fixed fields, then length-prefixed UTF-8 strings ----


@dataclass(frozen=True, slots=True)
class Record:
    """Base of all records: packing by the class's own layout. What may stand in one is for `board.schema` to say."""

    FIELDS: ClassVar[tuple[str, ...]]
    HEAD: ClassVar[struct.Struct]
    STRINGS: ClassVar[int]

    def to_bytes(self) -> bytes:
        """The record as DESCRIBE sends it. Raises MessageError for a field that does not fit its place."""
        values = tuple(getattr(self, name) for name in self.FIELDS)
        numbers, texts = values[: -self.STRINGS], values[-self.STRINGS :]
        try:
            head = self.HEAD.pack(*numbers)
            strings = [bytes((len(data),)) + data for data in (text.encode() for text in texts)]
        except (struct.error, ValueError) as error:
            raise MessageError(f"{type(self).__name__}: {error}") from error
        if self.HEAD.unpack(head) != numbers:
            raise MessageError(f"{type(self).__name__}: a limit or safe value that is not 4 bytes")
        return head + b"".join(strings)

    @classmethod
    def from_bytes(cls, record: bytes) -> Self:
        """The record in these bytes. Raises MessageError for anything but exactly one such record."""
        if len(record) < cls.HEAD.size:
            raise MessageError(f"{cls.__name__}: {len(record)} bytes, expected at least {cls.HEAD.size}")
        texts = _unpack_strings(record, cls.HEAD.size, count=cls.STRINGS)
        return cls(*cls.HEAD.unpack_from(record), *texts)


def _unpack_strings(record: bytes, at: int, *, count: int) -> list[str]:
    """Exactly `count` strings that end with the record. Raises MessageError otherwise."""
    texts = []
    for _ in range(count):
        end = at + 1 + record[at] if at < len(record) else len(record) + 1
        if end > len(record):
            raise MessageError("a string runs past the end of its record")
        try:
            texts.append(record[at + 1 : end].decode())
        except UnicodeDecodeError as error:
            raise MessageError("a string is not UTF-8") from error
        at = end
    if at != len(record):
        raise MessageError(f"{len(record) - at} bytes too many in a record")
    return texts


R = TypeVar("R", bound=Record)
_records: dict[RecordKind, type[Record]] = {}
RECORDS: Mapping[RecordKind, type[Record]] = MappingProxyType(_records)


def _record(kind: RecordKind, layout: str, *, strings: int) -> Callable[[type[R]], type[R]]:
    """Enters a class into its table: `layout` packs all fields but the last, the `strings`."""

    def enter(cls: type[R]) -> type[R]:
        cls.FIELDS = tuple(field.name for field in fields(cls))
        cls.HEAD, cls.STRINGS = struct.Struct("<" + layout), strings
        _records[kind] = cls
        return cls

    return enter


@_record(RecordKind.BOARD, "", strings=4)
@dataclass(frozen=True, slots=True)
class BoardRecord(Record):
    """Who the board is; `unique_id` is empty on a board that has none."""

    board: str
    sketch: str
    version: str
    unique_id: str


@_record(RecordKind.CHANNEL, "BBb4s4s4s", strings=2)
@dataclass(frozen=True, slots=True)
class ChannelRecord(Record):
    """One channel; `minimum`, `maximum` and `safe` are raw (before scale), 4 bytes each, little-endian."""

    type: int
    flags: int
    scale: int
    minimum: bytes
    maximum: bytes
    safe: bytes
    name: str
    unit: str


@_record(RecordKind.ACTION, "BBB", strings=2)
@dataclass(frozen=True, slots=True)
class ActionRecord(Record):
    """One action; `arguments` is their number, each is a record of its own. No flag is defined yet."""

    arguments: int
    returns: int
    flags: int
    name: str
    doc: str


@_record(RecordKind.ARGUMENT, "Bb4s4s", strings=2)
@dataclass(frozen=True, slots=True)
class ArgumentRecord(Record):
    """One argument of an action; limits are raw, 4 bytes each, little-endian."""

    type: int
    scale: int
    minimum: bytes
    maximum: bytes
    name: str
    unit: str


def schema_hash(records: Iterable[bytes]) -> int:
    """FNV-1a, 32 bits, over all channel records, then each action's record followed by its arguments', as sent."""
    value = 0x811C9DC5
    for record in records:
        for byte in record:
            value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


# ---- raw values ----

RAW_LAYOUT: Mapping[ValueType, struct.Struct] = MappingProxyType(
    {
        ValueType.BOOL: struct.Struct("<B"),
        ValueType.U8: struct.Struct("<B"),
        ValueType.I8: struct.Struct("<b"),
        ValueType.U16: struct.Struct("<H"),
        ValueType.I16: struct.Struct("<h"),
        ValueType.U32: struct.Struct("<I"),
        ValueType.I32: struct.Struct("<i"),
        ValueType.F32: struct.Struct("<f"),
    }
)
"""How a raw value of each type but TEXT lies on the wire."""
