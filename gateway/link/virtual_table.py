"""What a virtual board offers: rows of channels and actions, each with the function behind it. Twin of the tables that
a sketch declares with BRIDGE_CHANNELS and BRIDGE_ACTIONS. Pure."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from gateway.model import ValueType
from gateway.protocol.messages import (
    MAX_VALUES,
    RAW_LAYOUT,
    ActionRecord,
    ArgumentRecord,
    BoardRecord,
    ChannelFlag,
    ChannelRecord,
    ErrorCode,
    schema_hash,
)

Raw = int | float
"""A value before scaling: 0 or 1 for bool."""

FAILSAFE_MS = 2000  # a sketch's own limit of host silence
FREE_RAM_BYTES = 1500  # what an Uno might have left of its 2048; nothing is measured here
FLOAT_MAX = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
FULL_RANGE: dict[ValueType, tuple[Raw, Raw]] = {
    ValueType.BOOL: (0, 1),
    ValueType.U8: (0, 0xFF),
    ValueType.I8: (-0x80, 0x7F),
    ValueType.U16: (0, 0xFFFF),
    ValueType.I16: (-0x8000, 0x7FFF),
    ValueType.U32: (0, 0xFFFF_FFFF),
    ValueType.I32: (-0x8000_0000, 0x7FFF_FFFF),
    ValueType.F32: (-FLOAT_MAX, FLOAT_MAX),
}
LIMIT_LAYOUT = {
    ValueType.I8: struct.Struct("<i"),
    ValueType.I16: struct.Struct("<i"),
    ValueType.I32: struct.Struct("<i"),
    ValueType.F32: struct.Struct("<f"),
}
UNSIGNED_LIMIT = struct.Struct("<I")


class Core(Protocol):
    """What the functions of a sketch may ask of the board they run on."""

    def micros(self) -> int:
        """Microseconds since the sketch began; does not wrap."""
        ...

    @property
    def loop_max_us(self) -> int:
        """The longest time between two polls so far."""
        ...


class Refused(Exception):
    """A request is answered with an error. Raised by a handler, with a code of its own (64 to 255), it refuses the
    command that it was called for."""

    def __init__(self, code: int, detail: int = 0) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel: `read` for a reading, `write` for an output, which reads as the value last applied."""

    record: ChannelRecord
    read: Callable[[Core], Raw] | None = None
    write: Callable[[Core, Raw], None] | None = None

    @property
    def layout(self) -> struct.Struct:
        """How its value lies on the wire."""
        return RAW_LAYOUT[ValueType(self.record.type)]

    @property
    def safe(self) -> Raw | None:
        """Raw safe value, None where it has none."""
        if not self.record.flags & ChannelFlag.SAFE:
            return None
        return _unpack_limit(self.record.type, self.record.safe)


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An action: `run` takes the raw arguments and gives the raw result, or None."""

    record: ActionRecord
    arguments: tuple[ArgumentRecord, ...]
    run: Callable[..., Raw | None]

    @property
    def result_layout(self) -> struct.Struct | None:
        """How its result lies on the wire, None where it has none."""
        return RAW_LAYOUT.get(ValueType(self.record.returns))


def _nothing() -> None:
    """For a sketch without such a hook."""


@dataclass(frozen=True)
class BoardTable:
    """A sketch: who it is, its rows, and the hooks that run as it begins and when outputs went safe."""

    board: BoardRecord
    channels: Sequence[ChannelRow]
    actions: Sequence[ActionRow]
    failsafe_ms: int = FAILSAFE_MS
    on_begin: Callable[[], None] = field(default=_nothing)
    on_safe: Callable[[], None] = field(default=_nothing)

    @cached_property
    def records(self) -> tuple[bytes, ...]:
        """The whole description as DESCRIBE sends it: channels, then each action followed by its arguments."""
        described: list[ChannelRecord | ActionRecord | ArgumentRecord] = [row.record for row in self.channels]
        for row in self.actions:
            described += [row.record, *row.arguments]
        return tuple(record.to_bytes() for record in described)

    @cached_property
    def schema_hash(self) -> int:
        """As the host recomputes it."""
        return schema_hash(self.records)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the readable channels: one that would pass 43 bytes opens the next group."""
        groups: list[list[int]] = [[]]
        used = 0
        for index, row in enumerate(self.channels):
            if not row.record.flags & ChannelFlag.READABLE:
                continue
            if used + row.layout.size > MAX_VALUES:
                groups.append([])
                used = 0
            groups[-1].append(index)
            used += row.layout.size
        return tuple(tuple(group) for group in groups if group)


# ---- rows, as a sketch writes them ----


def reading(
    name: str,
    unit: str,
    value_type: ValueType,
    read: Callable[[Core], Raw],
    *,
    scale: int = 0,
    limits: tuple[Raw, Raw] | None = None,
) -> ChannelRow:
    """A row for READING."""
    minimum, maximum = limits or FULL_RANGE[value_type]
    record = _channel_record(
        ChannelFlag.READABLE, name, unit=unit, value_type=value_type, scale=scale, values=(minimum, maximum, 0)
    )
    return ChannelRow(record, read=read)


def output(
    name: str,
    unit: str,
    value_type: ValueType,
    write: Callable[[Core, Raw], None],
    *,
    scale: int = 0,
    limits: tuple[Raw, Raw] | None = None,
    safe: Raw | None = None,
    hold_required: bool = False,
) -> ChannelRow:
    """A row for OUTPUT_, with its options SCALE, RANGE, SAFE and HOLD_REQUIRED."""
    flags = ChannelFlag.READABLE | ChannelFlag.WRITABLE
    flags |= ChannelFlag(0) if safe is None else ChannelFlag.SAFE
    flags |= ChannelFlag.HOLD_REQUIRED if hold_required else ChannelFlag(0)
    minimum, maximum = limits or FULL_RANGE[value_type]
    record = _channel_record(
        flags, name, unit=unit, value_type=value_type, scale=scale, values=(minimum, maximum, safe or 0)
    )
    return ChannelRow(record, write=write)


def argument(
    name: str, value_type: ValueType, *, limits: tuple[Raw, Raw] | None = None, unit: str = ""
) -> ArgumentRecord:
    """An ARG of an action."""
    minimum, maximum = (_pack_limit(value_type, limit) for limit in limits or FULL_RANGE[value_type])
    return ArgumentRecord(value_type, 0, minimum, maximum, name, unit)


def action(
    name: str,
    doc: str,
    run: Callable[..., Raw | None],
    *,
    arguments: Sequence[ArgumentRecord] = (),
    returns: ValueType = ValueType.NONE,
) -> ActionRow:
    """A row for ACTION."""
    return ActionRow(ActionRecord(len(arguments), returns, 0, name, doc), tuple(arguments), run)


def _channel_record(
    flags: ChannelFlag, name: str, *, unit: str, value_type: ValueType, scale: int, values: Sequence[Raw]
) -> ChannelRecord:
    minimum, maximum, safe = (_pack_limit(value_type, value) for value in values)
    return ChannelRecord(value_type, flags, scale, minimum, maximum, safe, name, unit)


# ---- values on the wire ----


def unpack_values(data: bytes, records: Sequence[ChannelRecord | ArgumentRecord]) -> list[Raw]:
    """Packed values, one for each record. Raises Refused: BAD_LENGTH, or OUT_OF_RANGE with the place of the value."""
    layouts = [RAW_LAYOUT[ValueType(record.type)] for record in records]
    if len(data) != sum(layout.size for layout in layouts):
        raise Refused(ErrorCode.BAD_LENGTH)
    values: list[Raw] = []
    at = 0
    for place, (layout, record) in enumerate(zip(layouts, records, strict=True)):
        value: Raw = layout.unpack_from(data, at)[0]
        at += layout.size
        minimum, maximum = (_unpack_limit(record.type, limit) for limit in (record.minimum, record.maximum))
        if not minimum <= value <= maximum:  # NaN is in no range
            raise Refused(ErrorCode.OUT_OF_RANGE, place)
        values.append(value)
    return values


def _pack_limit(value_type: int, value: Raw) -> bytes:
    return LIMIT_LAYOUT.get(ValueType(value_type), UNSIGNED_LIMIT).pack(value)


def _unpack_limit(value_type: int, data: bytes) -> Raw:
    value: Raw = LIMIT_LAYOUT.get(ValueType(value_type), UNSIGNED_LIMIT).unpack(data)[0]
    return value
