"""What a board offers, made from what it said of itself; and requests held against it.

Down: DESCRIBE's records become a checked `Schema`. Records are a stranger's bytes: whatever they hold, the answer is a
schema or a SchemaError that names record and fault. Up: a request's JSON values become raw ones, with every fault
named at once. For HTTP and all other sources of commands alike. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from gateway.board.names import unknown
from gateway.board.values import Unfit, expected, publish, publish_number, publish_within, raw_size, shown, to_raw
from gateway.errors import Fault, InvalidCommand, NotWritable, SchemaError, UnknownTarget
from gateway.model import Action, Argument, Channel, Schema, Sketch, Value, ValueType
from gateway.protocol import messages
from gateway.protocol.framing import MAX_PAYLOAD
from gateway.protocol.messages import (
    ACTION_TARGET,
    MAX_ARGUMENTS,
    MAX_BOARD_STRINGS,
    MAX_DOC,
    MAX_NAME,
    MAX_UNIT,
    MAX_VALUES,
    RAW_LAYOUT,
    ActionRecord,
    ArgumentRecord,
    BoardRecord,
    ChannelFlag,
    ChannelRecord,
    MessageError,
    Record,
    RunCommand,
)

MAX_TARGETS = ACTION_TARGET  # channels, and again actions: a COMMAND names one of either in 7 bits
MAX_ARGUMENT_BYTES = MAX_PAYLOAD - RunCommand.HEAD.size
MAX_HOLD_MS = 0xFFFF  # u16 on the wire
MAX_SCALE = 9  # nano to giga: a published integer then stays below 2**63
_NAME = re.compile(f"[a-z][a-z0-9_]{{0,{MAX_NAME - 1}}}")
_SIGNED = (ValueType.I8, ValueType.I16, ValueType.I32)
_UNSCALED = (ValueType.BOOL, ValueType.F32, ValueType.TEXT)
_FLAG_NEEDS = (
    (ChannelFlag.SAFE, ChannelFlag.WRITABLE, "a safe value but can't be written"),
    (ChannelFlag.HOLD_REQUIRED, ChannelFlag.SAFE, "a required hold but no safe value to return to"),
    (ChannelFlag.CHANGE_EVENTS, ChannelFlag.READABLE, "change events but can't be read"),
)
_KNOWN_FLAGS = sum(ChannelFlag)

R = TypeVar("R", bound=Record)


# ---- records to schema ----


def build_schema(
    board: BoardRecord, records: Sequence[bytes], *, channels: int, actions: int, schema_hash: int
) -> Schema:
    """The schema in a board's records: each channel's, then for each action its own and its arguments'.

    `channels`, `actions` and `schema_hash` are what the board said in HELLO. Raises SchemaError for anything that
    can't be published, and nothing else whatever the bytes.
    """
    _check_counts(channels, actions)
    computed = messages.schema_hash(records)
    if computed != schema_hash:
        raise SchemaError(f"the records have the hash {computed:08x}, the board said {schema_hash:08x}")
    _check_board(board)
    rest = iter(records)
    schema = Schema(
        model=board.board,
        unique_id=board.unique_id,
        sketch=Sketch(board.sketch, board.version, schema_hash),
        channels=tuple(_channel(index, _next_record(rest, f"channel {index}")) for index in range(channels)),
        actions=tuple(_action(index, rest) for index in range(actions)),
    )
    if surplus := len(list(rest)):
        raise SchemaError(f"{surplus} records more than the board's {channels} channels and {actions} actions have")
    _check_unique("channels", (channel.name for channel in schema.channels))
    _check_unique("actions", (action.name for action in schema.actions))
    return schema


def _check_counts(channels: int, actions: int) -> None:
    if channels == 0 and actions == 0:
        raise SchemaError("the board offers neither channels nor actions")
    for count, what in ((channels, "channels"), (actions, "actions")):
        if count > MAX_TARGETS:
            raise SchemaError(f"the board offers {count} {what}, at most {MAX_TARGETS} can be addressed")


def _check_board(board: BoardRecord) -> None:
    texts = {"name": board.board, "sketch": board.sketch, "version": board.version, "unique id": board.unique_id}
    for what, text in texts.items():
        _check_printable("board", what, text=text)
    total = sum(len(text.encode()) for text in texts.values())
    if total > MAX_BOARD_STRINGS:
        raise SchemaError(f"board: its strings take {total} bytes, at most {MAX_BOARD_STRINGS} are allowed")


def _channel(index: int, data: bytes) -> Channel:
    record = _parse(ChannelRecord, data, f"channel {index}")
    where = _named("channel", index, record.name)
    value_type = _type(where, record.type)
    flags = _flags(where, record.flags)
    _check_declaration(where, record, value_type)
    minimum, maximum = _limits(where, record, value_type)
    return Channel(
        index=index,
        name=record.name,
        unit=record.unit,
        type=value_type,
        scale=record.scale,
        minimum=minimum,
        maximum=maximum,
        safe=_safe(where, record, value_type, limits=(minimum, maximum)) if ChannelFlag.SAFE in flags else None,
        readable=ChannelFlag.READABLE in flags,
        writable=ChannelFlag.WRITABLE in flags,
        idempotent=ChannelFlag.IDEMPOTENT in flags,
        hold_required=ChannelFlag.HOLD_REQUIRED in flags,
    )


def _action(index: int, rest: Iterator[bytes]) -> Action:
    record = _parse(ActionRecord, _next_record(rest, f"action {index}"), f"action {index}")
    where = _named("action", index, record.name)
    _check_text(where, "description", text=record.doc, limit=MAX_DOC)
    if record.arguments > MAX_ARGUMENTS:
        raise SchemaError(f"{where}: it has {record.arguments} arguments, at most {MAX_ARGUMENTS} are allowed")
    returns = _type(where, record.returns, allowed=(*RAW_LAYOUT, ValueType.NONE))
    arguments = tuple(_argument(where, number, rest) for number in range(record.arguments))
    _check_unique(f"arguments of {where}", (argument.name for argument in arguments))
    size = sum(raw_size(argument) for argument in arguments)
    if size > MAX_ARGUMENT_BYTES:
        raise SchemaError(f"{where}: its arguments take {size} bytes, at most {MAX_ARGUMENT_BYTES} fit a command")
    return Action(index, record.name, record.doc, arguments, returns)


def _argument(action: str, number: int, rest: Iterator[bytes]) -> Argument:
    where = f"{action}, argument {number}"
    record = _parse(ArgumentRecord, _next_record(rest, where), where)
    where = _named(f"{action}, argument", number, record.name)
    value_type = _type(where, record.type)
    _check_declaration(where, record, value_type)
    minimum, maximum = _limits(where, record, value_type)
    return Argument(record.name, record.unit, value_type, record.scale, minimum, maximum)


def _next_record(rest: Iterator[bytes], where: str) -> bytes:
    record = next(rest, None)
    if record is None:
        raise SchemaError(f"{where}: its record is missing")
    return record


def _parse(kind: type[R], data: bytes, where: str) -> R:
    try:
        return kind.from_bytes(data)
    except MessageError as error:
        raise SchemaError(f"{where}: {error}") from error


def _named(kind: str, index: int, name: str) -> str:
    """How faults name a record from here on. Names stand in addresses, so they are held to the table's rule."""
    if not _NAME.fullmatch(name):
        raise SchemaError(
            f"{kind} {index}: the name {shown(name)} is not 1 to {MAX_NAME} of a to z, 0 to 9 and _ after a letter"
        )
    return f"{kind} {index} ({name})"


def _check_unique(what: str, names: Iterable[str]) -> None:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            raise SchemaError(f"{what} {seen[name]} and {index} have the same name, {name}")
        seen[name] = index


def _check_text(where: str, what: str, *, text: str, limit: int) -> None:
    _check_printable(where, what, text=text)
    if len(text.encode()) > limit:
        raise SchemaError(f"{where}: the {what} {shown(text)} is longer than {limit} bytes")


def _check_printable(where: str, what: str, *, text: str) -> None:
    if not text.isprintable():
        raise SchemaError(f"{where}: the {what} {shown(text)} holds characters that can't be printed")


def _type(where: str, code: int, *, allowed: Iterable[ValueType] = (*RAW_LAYOUT, ValueType.TEXT)) -> ValueType:
    for value_type in allowed:
        if value_type == code:
            return value_type
    raise SchemaError(
        f"{where}: type {code} is not one of {', '.join(f'{each.value} {each.name}' for each in allowed)}"
    )


def _flags(where: str, bits: int) -> ChannelFlag:
    if bits & ~_KNOWN_FLAGS:
        raise SchemaError(f"{where}: the flags {bits:#04x} hold some that this gateway does not know")
    flags = ChannelFlag(bits)
    if not flags & (ChannelFlag.READABLE | ChannelFlag.WRITABLE):
        raise SchemaError(f"{where}: it can be neither read nor written")
    for flag, needed, fault in _FLAG_NEEDS:
        if flag in flags and needed not in flags:
            raise SchemaError(f"{where}: it has {fault}")
    return flags


def _check_declaration(where: str, record: ChannelRecord | ArgumentRecord, value_type: ValueType) -> None:
    _check_text(where, "unit", text=record.unit, limit=MAX_UNIT)
    if record.scale and value_type in _UNSCALED:
        raise SchemaError(f"{where}: {value_type.name} takes no scale, but it has {record.scale}")
    if abs(record.scale) > MAX_SCALE:
        raise SchemaError(f"{where}: the scale {record.scale} is not from -{MAX_SCALE} to {MAX_SCALE}")


def _limits(where: str, record: ChannelRecord | ArgumentRecord, value_type: ValueType) -> tuple[float, float]:
    if value_type is ValueType.TEXT:
        capacity = int.from_bytes(record.maximum, "little")
        if not 1 <= capacity <= MAX_VALUES:
            raise SchemaError(f"{where}: a text of {capacity} bytes, 1 to {MAX_VALUES} are allowed")
        return 0, capacity
    minimum = _limit(f"{where}: the minimum", record.minimum, value_type, scale=record.scale)
    maximum = _limit(f"{where}: the maximum", record.maximum, value_type, scale=record.scale)
    if minimum > maximum:
        raise SchemaError(f"{where}: the minimum {minimum} is above the maximum {maximum}")
    return minimum, maximum


def _limit(what: str, field: bytes, value_type: ValueType, *, scale: int) -> float:
    """A limit in published form. The field has 4 bytes, a shorter type's zero- or sign-extended."""
    size = RAW_LAYOUT[value_type].size
    signed = value_type in _SIGNED
    if int.from_bytes(field, "little", signed=signed) != int.from_bytes(field[:size], "little", signed=signed):
        raise SchemaError(f"{what} {int.from_bytes(field, 'little', signed=signed)} does not fit {value_type.name}")
    value = publish_number(value_type, scale, raw=field[:size])
    if value is None:
        raise SchemaError(f"{what} is no {value_type.name} (bytes {field.hex(' ')})")
    return value


def _safe(where: str, record: ChannelRecord, value_type: ValueType, *, limits: tuple[float, float]) -> Value:
    if value_type is ValueType.TEXT:
        if any(record.safe):
            raise SchemaError(f"{where}: the safe value of a text is the empty one")
        return ""
    value = _limit(f"{where}: the safe value", record.safe, value_type, scale=record.scale)
    minimum, maximum = limits
    if not minimum <= value <= maximum:
        raise SchemaError(f"{where}: the safe value {value} is outside the range {minimum} to {maximum}")
    return value


# ---- readings and results ----


def groups(schema: Schema) -> tuple[tuple[Channel, ...], ...]:
    """The readable channels as POLL's groups hold them: in index order, 43 bytes at most in each."""
    filled: list[list[Channel]] = []
    room = 0
    for channel in schema.channels:
        if not channel.readable:
            continue
        size = raw_size(channel)
        if size > room:
            filled.append([])
            room = MAX_VALUES
        filled[-1].append(channel)
        room -= size
    return tuple(tuple(group) for group in filled)


def unpack_group(channels: Sequence[Channel], values: bytes) -> dict[str, Value | None]:
    """One group's values by channel name; None for NaN and for a value outside its declared range. Raises SchemaError
    where the length is not exactly that of these channels."""
    expected_bytes = sum(raw_size(channel) for channel in channels)
    if len(values) != expected_bytes:
        raise SchemaError(f"{len(values)} bytes of values for {len(channels)} channels of {expected_bytes} bytes")
    unpacked = {}
    at = 0
    for channel in channels:
        end = at + raw_size(channel)
        unpacked[channel.name] = publish_within(channel, values[at:end])
        at = end
    return unpacked


def unpack_result(value_type: ValueType, data: bytes) -> Value | None:
    """What an action returned; None for nothing, NaN, or bytes that are not exactly one value of that type."""
    layout = RAW_LAYOUT.get(value_type)
    if layout is None or len(data) != layout.size:
        return None
    return publish(value_type, 0, raw=data)


# ---- requests ----


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request in the board's terms: what COMMAND carries, and the value or arguments as they will be published."""

    target: int
    payload: bytes
    returns: ValueType = ValueType.NONE
    value: Value | None = None
    arguments: Mapping[str, Value] | None = None


def resolve_write(schema: Schema, channel: str, value: object, *, hold_ms: int) -> Resolved:
    """Holds a write against the schema; `value` is as JSON gave it. Raises UnknownTarget, NotWritable, or
    InvalidCommand with every fault."""
    found = schema.channel(channel)
    if found is None:
        raise UnknownTarget(unknown("channel", channel, known=[each.name for each in schema.channels]))
    if not found.writable:
        outputs = ", ".join(each.name for each in schema.channels if each.writable) or "none"
        raise NotWritable(f"{channel} is a reading and can't be written; outputs are: {outputs}")
    raw = _raw_or_fault(found, value, location=("value",))
    faults = _hold_faults(found, hold_ms)
    if isinstance(raw, Fault):
        raise InvalidCommand([raw, *faults])
    if faults:
        raise InvalidCommand(faults)
    return Resolved(found.index, raw, value=publish(found.type, found.scale, raw=raw))


def resolve_action(schema: Schema, action: str, arguments: Mapping[str, object], *, hold_ms: int) -> Resolved:
    """Holds a call against the schema; `arguments` are as JSON gave them. Raises UnknownTarget, or InvalidCommand
    with every fault."""
    found = schema.action(action)
    if found is None:
        raise UnknownTarget(unknown("action", action, known=[each.name for each in schema.actions]))
    results = [_argument_or_fault(argument, arguments) for argument in found.arguments]
    faults = [result for result in results if isinstance(result, Fault)]
    faults += _surplus_faults(found, arguments)
    if hold_ms:
        faults.append(Fault(("hold_ms",), f"hold_ms: {action} is an action, and only outputs can be held"))
    if faults:
        raise InvalidCommand(faults)
    raws = [result for result in results if isinstance(result, bytes)]
    published = {argument.name: _published(argument, raw) for argument, raw in zip(found.arguments, raws, strict=True)}
    return Resolved(
        ACTION_TARGET | found.index, b"".join(raws), returns=found.returns, arguments=MappingProxyType(published)
    )


def _raw_or_fault(declared: Channel | Argument, value: object, *, location: tuple[str, ...]) -> bytes | Fault:
    try:
        return to_raw(declared, value)
    except Unfit as unfit:
        return Fault(location, f"{declared.name}: {unfit}")


def _argument_or_fault(argument: Argument, arguments: Mapping[str, object]) -> bytes | Fault:
    location = ("arguments", argument.name)
    if argument.name not in arguments:
        return Fault(location, f"{argument.name}: missing; {expected(argument)} is expected")
    return _raw_or_fault(argument, arguments[argument.name], location=location)


def _published(argument: Argument, raw: bytes) -> Value:
    value = publish(argument.type, argument.scale, raw=raw)
    assert value is not None, "what to_raw made can be published"
    return value


def _surplus_faults(action: Action, arguments: Mapping[str, object]) -> list[Fault]:
    known = [argument.name for argument in action.arguments]
    return [
        Fault(("arguments", name), unknown("argument", name, known=known)) for name in arguments if name not in known
    ]


def _hold_faults(channel: Channel, hold_ms: int) -> list[Fault]:
    if not 0 <= hold_ms <= MAX_HOLD_MS:
        fault = f"{shown(hold_ms)} is out of range, 0 to {MAX_HOLD_MS} ms"
    elif hold_ms and channel.safe is None:
        fault = f"{channel.name} has no safe value to return to, so it can't be held"
    elif not hold_ms and channel.hold_required:
        fault = f"{channel.name} must be held; 1 to {MAX_HOLD_MS} ms are expected"
    else:
        return []
    return [Fault(("hold_ms",), f"hold_ms: {fault}")]
