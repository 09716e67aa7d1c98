"""Schemas and requests: hostile descriptions are refused by name, requests are held against the schema with every
fault at once, and no bytes or values bring forth any other exception."""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.board.schema import (
    MAX_SCALE,
    MAX_TARGETS,
    Resolved,
    build_schema,
    groups,
    resolve_action,
    resolve_write,
    unpack_group,
    unpack_result,
)
from gateway.board.values import raw_size
from gateway.errors import Fault, InvalidCommand, NotWritable, SchemaError, UnknownTarget
from gateway.model import Action, Argument, Channel, Schema, Sketch, ValueType
from gateway.protocol.messages import (
    MAX_VALUES,
    RAW_LAYOUT,
    ActionRecord,
    ArgumentRecord,
    BoardRecord,
    ChannelRecord,
    schema_hash,
)

CONVERSATIONS = Path(__file__).parents[1] / "vectors" / "conversations.txt"
BOARD = BoardRecord("Arduino Uno", "gateway", "1.0.0", "")
READABLE, WRITABLE, IDEMPOTENT, SAFE, HOLD, CHANGES = 1, 2, 4, 8, 16, 32
OUTPUT = READABLE | WRITABLE


def u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def i32(number: int) -> bytes:
    return number.to_bytes(4, "little", signed=True)


def f32(number: float) -> bytes:
    return struct.pack("<f", number)


A0 = ChannelRecord(ValueType.U16, READABLE, -3, u32(0), u32(5500), u32(0), "a0", "V")
LED = ChannelRecord(ValueType.BOOL, OUTPUT | SAFE, 0, u32(0), u32(1), u32(0), "led", "")
PWM9 = ChannelRecord(ValueType.U8, OUTPUT | SAFE, 0, u32(0), u32(255), u32(0), "pwm9", "")
FAN = ChannelRecord(ValueType.U8, OUTPUT | SAFE | HOLD, 0, u32(0), u32(200), u32(10), "fan", "%")
TRIM = ChannelRecord(ValueType.I16, OUTPUT, -2, i32(-1000), i32(1000), u32(0), "trim", "degC")
SETPOINT = ChannelRecord(ValueType.F32, OUTPUT | SAFE, 0, f32(-10), f32(50.5), f32(21.3), "setpoint", "degC")
TITLE = ChannelRecord(ValueType.TEXT, OUTPUT | SAFE, 0, u32(0), u32(8), u32(0), "title", "")
HORN = ChannelRecord(ValueType.BOOL, WRITABLE | IDEMPOTENT, 0, u32(0), u32(1), u32(0), "horn", "")
PIN = ArgumentRecord(ValueType.U8, 0, u32(2), u32(13), "pin", "")
HZ = ArgumentRecord(ValueType.U16, 0, u32(31), u32(5000), "hz", "Hz")
LEVEL = ArgumentRecord(ValueType.I16, -1, i32(-5), i32(5), "level", "V")
TONE = ActionRecord(3, ValueType.NONE, 0, "tone", "Sound the buzzer")
RESET = ActionRecord(0, ValueType.U32, 0, "reset_count", "")
Part = ChannelRecord | ActionRecord | ArgumentRecord
ALL: tuple[Part, ...] = (A0, LED, PWM9, FAN, TRIM, SETPOINT, TITLE, HORN, TONE, PIN, HZ, LEVEL, RESET)


def build(*parts: Part, board: BoardRecord = BOARD) -> Schema:
    records = [part.to_bytes() for part in parts]
    return build_schema(
        board,
        records,
        channels=sum(isinstance(part, ChannelRecord) for part in parts),
        actions=sum(isinstance(part, ActionRecord) for part in parts),
        schema_hash=schema_hash(records),
    )


def fault(*parts: Part, board: BoardRecord = BOARD) -> str:
    with pytest.raises(SchemaError) as refused:
        build(*parts, board=board)
    return str(refused.value)


SCHEMA = build(*ALL)


@pytest.fixture(name="schema")
def built_schema() -> Schema:
    return SCHEMA


# ---- schemas ----


def test_a_schema_says_what_the_board_said(schema: Schema) -> None:
    assert (schema.model, schema.unique_id) == ("Arduino Uno", "")
    assert schema.sketch == Sketch("gateway", "1.0.0", schema_hash(part.to_bytes() for part in ALL))
    assert schema.channels[0] == Channel(
        0,
        "a0",
        "V",
        ValueType.U16,
        -3,
        0.0,
        5.5,
        None,
        readable=True,
        writable=False,
        idempotent=False,
        hold_required=False,
    )
    assert schema.channels[3] == Channel(
        3, "fan", "%", ValueType.U8, 0, 0, 200, 10, readable=True, writable=True, idempotent=False, hold_required=True
    )
    assert schema.channels[7].idempotent
    assert schema.actions == (
        Action(
            0,
            "tone",
            "Sound the buzzer",
            (
                Argument("pin", "", ValueType.U8, 0, 2, 13),
                Argument("hz", "Hz", ValueType.U16, 0, 31, 5000),
                Argument("level", "V", ValueType.I16, -1, -0.5, 0.5),
            ),
            ValueType.NONE,
        ),
        Action(1, "reset_count", "", (), ValueType.U32),
    )


@pytest.mark.parametrize(
    ("name", "limits", "safe"),
    [
        ("led", (False, True), False),
        ("trim", (-10.0, 10.0), None),
        ("setpoint", (-10.0, 50.5), 21.3),
        ("title", (0, 8), ""),
    ],
)
def test_limits_and_safe_values_are_published_ones(
    schema: Schema, name: str, limits: tuple[object, object], safe: object
) -> None:
    channel = schema.channel(name)
    assert channel is not None
    assert (channel.minimum, channel.maximum) == limits
    assert channel.safe == safe
    assert type(channel.safe) is type(safe)


def test_the_boards_of_the_shared_conversations_can_be_published() -> None:
    block = CONVERSATIONS.read_text(encoding="utf-8").split("[describe]")[1].split("\n[")[0]
    lines = [line.split("#")[0].split() for line in block.splitlines()]
    board, records, hello = b"", [], b""
    for words in lines:
        if words[:2] == ["<", "81"]:
            hello = bytes.fromhex("".join(words[4:]))
        elif words[:2] == ["<", "82"]:
            record = bytes.fromhex("".join(words[4:]))
            if record[0] == 0:
                board = record[3:]
            else:
                records.append(record[3:])
    schema = build_schema(
        BoardRecord.from_bytes(board),
        records,
        channels=hello[3],
        actions=hello[4],
        schema_hash=int.from_bytes(hello[-4:], "little"),
    )
    assert schema.sketch.name == "twins"
    assert sum(raw_size(channel) for channel in groups(schema)[0]) == MAX_VALUES


def test_actions_alone_make_a_schema() -> None:
    assert build(RESET).channels == ()


def test_as_many_channels_as_can_be_addressed() -> None:
    many = [replace(A0, name=f"c{number}") for number in range(MAX_TARGETS)]
    assert len(build(*many).channels) == 128


@pytest.mark.parametrize("unit", ["°C", "µA", "m³/h", ""])
def test_units_may_be_unicode(unit: str) -> None:
    assert build(replace(A0, unit=unit)).channels[0].unit == unit


# ---- hostile descriptions ----


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (replace(A0, type=9), "type 9 is not one of 0 BOOL, 1 U8, 2 I8, 3 U16, 4 I16, 5 U32, 6 I32, 7 F32, 8 TEXT"),
        (replace(A0, type=ValueType.NONE), "channel 1 (a0): type 255 is not one of"),
        (replace(A0, name=""), 'channel 1: the name "" is not 1 to 16 of a to z, 0 to 9 and _ after a letter'),
        (replace(A0, name="A0"), 'channel 1: the name "A0" is not'),
        (replace(A0, name="0a"), 'channel 1: the name "0a" is not'),
        (replace(A0, name="a" * 17), f'channel 1: the name "{"a" * 17}" is not'),
        (replace(A0, name="a\n"), 'channel 1: the name "a\\n" is not'),
        (replace(A0, name="a/../b"), 'channel 1: the name "a/../b" is not'),
        (replace(A0, name="é"), 'channel 1: the name "\\u00e9" is not'),
        (
            replace(A0, unit="V\x1b[2J"),
            'channel 1 (a0): the unit "V\\u001b[2J" holds characters that can\'t be printed',
        ),
        (replace(A0, unit="\u202eV"), 'channel 1 (a0): the unit "\\u202eV" holds characters that can\'t be printed'),
        (replace(A0, unit="furlongs/h"), 'channel 1 (a0): the unit "furlongs/h" is longer than 8 bytes'),
        (replace(A0, unit="µµµµµ"), "is longer than 8 bytes"),
        (replace(A0, flags=0), "channel 1 (a0): it can be neither read nor written"),
        (replace(A0, flags=IDEMPOTENT), "channel 1 (a0): it can be neither read nor written"),
        (replace(A0, flags=READABLE | 64), "channel 1 (a0): the flags 0x41 hold some that this gateway does not know"),
        (replace(A0, flags=READABLE | 128), "the flags 0x81 hold some"),
        (replace(A0, flags=READABLE | SAFE), "channel 1 (a0): it has a safe value but can't be written"),
        (replace(A0, flags=OUTPUT | HOLD), "channel 1 (a0): it has a required hold but no safe value to return to"),
        (replace(A0, flags=WRITABLE | CHANGES), "channel 1 (a0): it has change events but can't be read"),
        (replace(A0, minimum=u32(5501)), "channel 1 (a0): the minimum 5.501 is above the maximum 5.5"),
        (replace(A0, maximum=u32(65536)), "channel 1 (a0): the maximum 65536 does not fit U16"),
        (replace(A0, minimum=i32(-1)), "channel 1 (a0): the minimum 4294967295 does not fit U16"),
        (replace(A0, scale=MAX_SCALE + 1), "channel 1 (a0): the scale 10 is not from -9 to 9"),
        (replace(A0, scale=-128), "channel 1 (a0): the scale -128 is not from -9 to 9"),
        (replace(LED, scale=1), "channel 1 (led): BOOL takes no scale, but it has 1"),
        (replace(LED, maximum=u32(2)), "channel 1 (led): the maximum is no BOOL (bytes 02 00 00 00)"),
        (replace(PWM9, safe=u32(256)), "channel 1 (pwm9): the safe value 256 does not fit U8"),
        (replace(FAN, safe=u32(201)), "channel 1 (fan): the safe value 201 is outside the range 0 to 200"),
        (replace(FAN, minimum=u32(20)), "channel 1 (fan): the safe value 10 is outside the range 20 to 200"),
        (replace(TRIM, minimum=i32(-40000)), "channel 1 (trim): the minimum -40000 does not fit I16"),
        (replace(TRIM, minimum=u32(0xFC18)), "channel 1 (trim): the minimum 64536 does not fit I16"),
        (
            replace(SETPOINT, minimum=f32(float("nan"))),
            "channel 1 (setpoint): the minimum is no F32 (bytes 00 00 c0 7f)",
        ),
        (
            replace(SETPOINT, maximum=f32(float("inf"))),
            "channel 1 (setpoint): the maximum is no F32 (bytes 00 00 80 7f)",
        ),
        (replace(SETPOINT, safe=f32(float("nan"))), "channel 1 (setpoint): the safe value is no F32"),
        (
            replace(SETPOINT, safe=f32(50.6)),
            "channel 1 (setpoint): the safe value 50.6 is outside the range -10.0 to 50.5",
        ),
        (replace(SETPOINT, minimum=f32(51)), "the minimum 51.0 is above the maximum 50.5"),
        (replace(SETPOINT, scale=-2), "channel 1 (setpoint): F32 takes no scale, but it has -2"),
        (replace(TITLE, maximum=u32(0)), "channel 1 (title): a text of 0 bytes, 1 to 43 are allowed"),
        (replace(TITLE, maximum=u32(44)), "channel 1 (title): a text of 44 bytes, 1 to 43 are allowed"),
        (replace(TITLE, safe=b"abc\0"), "channel 1 (title): the safe value of a text is the empty one"),
        (HORN, "channels 0 and 1 have the same name, horn"),
    ],
)
@pytest.mark.fault(25)
def test_a_hostile_channel_is_refused_by_name(record: ChannelRecord, message: str) -> None:
    assert message in fault(HORN, record)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([replace(RESET, name="Reset")], 'action 0: the name "Reset" is not 1 to 16 of'),
        ([replace(RESET, doc="\x07")], 'action 0 (reset_count): the description "\\u0007" holds characters that'),
        ([replace(RESET, doc="x" * 31)], "is longer than 30 bytes"),
        ([replace(RESET, returns=ValueType.TEXT)], "action 0 (reset_count): type 8 is not one of 0 BOOL, 1 U8"),
        ([replace(RESET, returns=77)], "action 0 (reset_count): type 77 is not one of"),
        ([RESET, RESET], "actions 0 and 1 have the same name, reset_count"),
        ([replace(TONE, arguments=5), *[PIN] * 5], "action 0 (tone): it has 5 arguments, at most 4 are allowed"),
        ([replace(TONE, arguments=255)], "action 0 (tone): it has 255 arguments, at most 4 are allowed"),
        ([replace(TONE, arguments=2), PIN, PIN], "arguments of action 0 (tone) 0 and 1 have the same name, pin"),
        ([replace(TONE, arguments=2), PIN], "action 0 (tone), argument 1: its record is missing"),
        ([replace(TONE, arguments=1), PIN, HZ], "1 records more than the board's 0 channels and 1 actions have"),
        (
            [replace(TONE, arguments=1), replace(PIN, minimum=u32(14))],
            "action 0 (tone), argument 0 (pin): the minimum 14 is above the maximum 13",
        ),
        ([replace(TONE, arguments=1), replace(PIN, name="Pin")], 'action 0 (tone), argument 0: the name "Pin" is not'),
        ([replace(TONE, arguments=1), replace(PIN, type=255)], "action 0 (tone), argument 0 (pin): type 255 is not"),
        ([replace(TONE, arguments=1), replace(PIN, unit="\0")], 'the unit "\\u0000" holds characters'),
        (
            [
                replace(TONE, arguments=2),
                ArgumentRecord(ValueType.TEXT, 0, u32(0), u32(43), "first", ""),
                ArgumentRecord(ValueType.TEXT, 0, u32(0), u32(5), "second", ""),
            ],
            "action 0 (tone): its arguments take 48 bytes, at most 47 fit a command",
        ),
    ],
)
@pytest.mark.fault(25)
def test_a_hostile_action_is_refused_by_name(parts: list[Part], message: str) -> None:
    assert message in fault(*parts)


def test_a_channel_and_an_action_may_share_a_name() -> None:
    build(LED, replace(RESET, name="led"))


@pytest.mark.parametrize(
    ("board", "message"),
    [
        (replace(BOARD, sketch="gate\nway"), 'board: the sketch "gate\\nway" holds characters that can\'t be printed'),
        (replace(BOARD, board="\x7f"), 'board: the name "\\u007f" holds characters'),
        (replace(BOARD, version="\0"), 'board: the version "\\u0000" holds'),
        (replace(BOARD, unique_id="\t"), 'board: the unique id "\\t" holds'),
        (replace(BOARD, board="µ" * 20), "board: its strings take 52 bytes, at most 47 are allowed"),
    ],
)
@pytest.mark.fault(25)
def test_a_hostile_board_record_is_refused(board: BoardRecord, message: str) -> None:
    assert message in fault(LED, board=board)


@pytest.mark.parametrize(
    ("channels", "actions", "message"),
    [
        (0, 0, "the board offers neither channels nor actions"),
        (255, 0, "the board offers 255 channels, at most 128 can be addressed"),
        (1, 129, "the board offers 129 actions, at most 128 can be addressed"),
        (2, 0, "channel 1: its record is missing"),
        (1, 1, "action 0: its record is missing"),
    ],
)
@pytest.mark.fault(25)
def test_counts_that_can_not_be_are_refused(channels: int, actions: int, message: str) -> None:
    records = [LED.to_bytes()]
    with pytest.raises(SchemaError, match=message):
        build_schema(BOARD, records, channels=channels, actions=actions, schema_hash=schema_hash(records))


def test_records_that_are_not_those_of_hello_are_refused() -> None:
    records = [LED.to_bytes()]
    with pytest.raises(SchemaError, match=f"have the hash {schema_hash(records):08x}, the board said 00000007"):
        build_schema(BOARD, records, channels=1, actions=0, schema_hash=7)


@pytest.mark.parametrize("cut", range(len(LED.to_bytes())))
def test_a_record_cut_short_is_refused(cut: int) -> None:
    records = [LED.to_bytes()[:cut]]
    with pytest.raises(SchemaError, match="channel 0: "):
        build_schema(BOARD, records, channels=1, actions=0, schema_hash=schema_hash(records))


NAMES = st.sampled_from(("a", "b0", "led", "pwm_9", "", "A", "a" * 17, "a\n"))
LIMITS = st.sampled_from((u32(0), u32(1), u32(43), u32(255), i32(-1), i32(-128), f32(1.5), f32(float("nan"))))
TYPES = st.sampled_from(list(ValueType)) | st.integers(0, 255)
SCALES = st.sampled_from((0, 0, 0, -2, 1)) | st.integers(-128, 127)
UNITS = st.sampled_from(("", "V", "°C", "\t", "furlongs/h"))
CHANNELS = st.builds(
    ChannelRecord,
    type=TYPES,
    flags=st.sampled_from((READABLE, OUTPUT, OUTPUT | SAFE, OUTPUT | SAFE | HOLD)) | st.integers(0, 255),
    scale=SCALES,
    minimum=LIMITS | st.binary(min_size=4, max_size=4),
    maximum=LIMITS,
    safe=LIMITS,
    name=NAMES,
    unit=UNITS,
)
ACTIONS = st.builds(ActionRecord, arguments=st.integers(0, 2), returns=TYPES, flags=st.just(0), name=NAMES, doc=UNITS)
ARGUMENTS = st.builds(ArgumentRecord, type=TYPES, scale=SCALES, minimum=LIMITS, maximum=LIMITS, name=NAMES, unit=UNITS)
TEXTS = st.sampled_from(("", "x", "\n", "µ" * 24))
BOARDS = st.just(BOARD) | st.builds(BoardRecord, board=TEXTS, sketch=TEXTS, version=TEXTS, unique_id=TEXTS)


def publishable(board: BoardRecord, records: Sequence[bytes], channels: int, actions: int) -> Schema | None:
    """The schema, or None for a SchemaError with a sentence that can be shown."""
    hashed = schema_hash(records)
    try:
        return build_schema(board, records, channels=channels, actions=actions, schema_hash=hashed)
    except SchemaError as error:
        message = str(error)
    assert message.isprintable()
    assert len(message) < 400
    return None


@settings(max_examples=100, deadline=None)
@given(BOARDS, st.lists(CHANNELS, max_size=3), st.lists(ACTIONS, max_size=2), st.lists(ARGUMENTS, max_size=3))
@example(BOARD, [LED], [TONE], [PIN, HZ, LEVEL])
@pytest.mark.fault(25)
def test_any_description_is_published_or_refused(
    board: BoardRecord, channels: list[ChannelRecord], actions: list[ActionRecord], arguments: list[ArgumentRecord]
) -> None:
    left = list(arguments)
    records = [channel.to_bytes() for channel in channels]
    for action in actions:
        records.append(action.to_bytes())
        taken, left = left[: action.arguments], left[action.arguments :]
        records += [argument.to_bytes() for argument in taken]
    schema = publishable(board, records, len(channels), len(actions))
    if schema is not None:
        assert [channel.name for channel in schema.channels] == [channel.name for channel in channels]
        assert len({channel.name for channel in schema.channels}) == len(channels)
        assert all(len(group) for group in groups(schema))
        for channel in schema.channels:
            assert channel.minimum <= channel.maximum  # type: ignore[operator]
            if channel.writable and channel.safe is not None:
                resolve_write(schema, channel.name, channel.safe, hold_ms=1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=54), max_size=4), st.integers(0, 255), st.integers(0, 255))
def test_any_record_bytes_are_published_or_refused(records: list[bytes], channels: int, actions: int) -> None:
    publishable(BOARD, records, channels, actions)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(ALL) - 1), st.data())
def test_any_changed_byte_is_published_or_refused(which: int, data: st.DataObject) -> None:
    records = [part.to_bytes() for part in ALL]
    changed = bytearray(records[which])
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    records[which] = bytes(changed)
    publishable(BOARD, records, 8, 2)


# ---- readings and results ----


def test_groups_leave_out_what_can_not_be_read(schema: Schema) -> None:
    assert [[channel.name for channel in group] for group in groups(schema)] == [
        ["a0", "led", "pwm9", "fan", "trim", "setpoint", "title"]
    ]


@pytest.mark.parametrize(
    ("sizes", "filled"),
    [
        ([43], [[43]]),
        ([43, 1], [[43], [1]]),
        ([42, 1, 1], [[42, 1], [1]]),
        ([40, 4, 3], [[40], [4, 3]]),
        ([1, 43, 1], [[1], [43], [1]]),
    ],
)
def test_a_channel_that_would_pass_43_bytes_opens_the_next_group(sizes: list[int], filled: list[list[int]]) -> None:
    texts = [
        ChannelRecord(ValueType.TEXT, READABLE, 0, u32(0), u32(size), u32(0), f"t{index}", "")
        for index, size in enumerate(sizes)
    ]
    assert [[raw_size(channel) for channel in group] for group in groups(build(*texts))] == filled


def test_nothing_to_read_makes_no_group() -> None:
    assert groups(build(HORN)) == ()


def test_a_group_is_unpacked_in_order(schema: Schema) -> None:
    values = struct.pack("<HBBBhf8s", 4321, 1, 255, 200, -1000, 21.3, b"hello\0\0\0")
    assert unpack_group(groups(schema)[0], values) == {
        "a0": 4.321,
        "led": True,
        "pwm9": 255,
        "fan": 200,
        "trim": -10.0,
        "setpoint": 21.3,
        "title": "hello",
    }


def test_one_bad_value_spoils_no_other(schema: Schema) -> None:
    values = struct.pack("<HBBBhf8s", 5501, 2, 255, 201, -1001, float("nan"), b"\xff\0\0\0\0\0\0\0")
    assert unpack_group(groups(schema)[0], values) == {
        "a0": None,
        "led": None,
        "pwm9": 255,
        "fan": None,
        "trim": None,
        "setpoint": None,
        "title": None,
    }


@pytest.mark.parametrize("length", [0, 18, 20, 43])
def test_a_group_of_another_length_is_refused(schema: Schema, length: int) -> None:
    with pytest.raises(SchemaError, match=f"^{length} bytes of values for 7 channels of 19 bytes$"):
        unpack_group(groups(schema)[0], bytes(length))


@settings(deadline=None)
@given(st.one_of(st.binary(min_size=19, max_size=19), st.binary(max_size=50)))
def test_any_bytes_are_values_or_refused(values: bytes) -> None:
    group = groups(SCHEMA)[0]
    if len(values) != 19:
        with pytest.raises(SchemaError):
            unpack_group(group, values)
        return
    for channel, value in zip(group, unpack_group(group, values).values(), strict=True):
        if channel.type is not ValueType.TEXT and value is not None:
            assert channel.minimum <= value <= channel.maximum  # type: ignore[operator]


@pytest.mark.parametrize(
    ("value_type", "data", "value"),
    [
        (ValueType.NONE, b"", None),
        (ValueType.NONE, b"\1", None),
        (ValueType.BOOL, b"\1", True),
        (ValueType.BOOL, b"\2", None),
        (ValueType.I16, b"\xfe\xff", -2),
        (ValueType.I16, b"\xfe\xff\0\0", None),
        (ValueType.U32, b"", None),
        (ValueType.F32, f32(21.3), 21.3),
        (ValueType.F32, f32(float("nan")), None),
        (ValueType.TEXT, b"abcd", None),
    ],
)
def test_results(value_type: ValueType, data: bytes, value: object) -> None:
    assert unpack_result(value_type, data) == value


# ---- requests that fit ----


@pytest.mark.parametrize(
    ("channel", "value", "hold_ms", "expected"),
    [
        ("led", True, 0, Resolved(1, b"\1", value=True)),
        ("led", False, 5000, Resolved(1, b"\0", value=False)),
        ("pwm9", 5.0, 65535, Resolved(2, b"\5", value=5)),
        ("fan", 100, 1, Resolved(3, b"d", value=100)),
        ("trim", -10, 0, Resolved(4, struct.pack("<h", -1000), value=-10.0)),
        ("setpoint", 21.3, 0, Resolved(5, f32(21.3), value=21.3)),
        ("setpoint", 21.3000001, 0, Resolved(5, f32(21.3), value=21.3)),
        ("setpoint", 21, 0, Resolved(5, f32(21), value=21.0)),
        ("title", "hi", 0, Resolved(6, b"hi\0\0\0\0\0\0", value="hi")),
        ("horn", True, 0, Resolved(7, b"\1", value=True)),
    ],
)
def test_a_write_that_fits(schema: Schema, channel: str, value: object, hold_ms: int, expected: Resolved) -> None:
    resolved = resolve_write(schema, channel, value, hold_ms=hold_ms)
    assert resolved == expected
    assert type(resolved.value) is type(expected.value)


def test_a_call_that_fits(schema: Schema) -> None:
    resolved = resolve_action(schema, "tone", {"level": 0.5, "hz": 440, "pin": 8.0}, hold_ms=0)
    assert resolved.target == 0x80
    assert resolved.payload == struct.pack("<BHh", 8, 440, 5), "in the table's order, not the request's"
    assert resolved.returns is ValueType.NONE
    assert resolved.arguments == {"pin": 8, "hz": 440, "level": 0.5}
    assert resolved.value is None


def test_a_call_without_arguments(schema: Schema) -> None:
    assert resolve_action(schema, "reset_count", {}, hold_ms=0) == Resolved(
        0x81, b"", returns=ValueType.U32, arguments={}
    )


def test_what_was_resolved_can_not_be_changed(schema: Schema) -> None:
    resolved = resolve_action(schema, "tone", {"pin": 8, "hz": 440, "level": 0}, hold_ms=0)
    arguments: Any = resolved.arguments
    with pytest.raises(TypeError):
        arguments["pin"] = 9
    with pytest.raises(FrozenInstanceError):
        resolved.target = 1  # type: ignore[misc]


# ---- requests that do not ----


def refused(call: Callable[[], Resolved]) -> list[Fault]:
    with pytest.raises(InvalidCommand) as refusal:
        call()
    return list(refusal.value.faults)


@pytest.mark.parametrize(
    ("channel", "value", "hold_ms", "faults"),
    [
        ("pwm9", 300, 0, [Fault(("value",), "pwm9: 300 is out of range, 0 to 255")]),
        ("trim", 9.503, 0, [Fault(("value",), "trim: 9.503 has more decimals than the channel's 0.01 steps")]),
        ("trim", 99, 0, [Fault(("value",), "trim: 99 is out of range, -10.0 to 10.0 degC")]),
        ("led", 1, 0, [Fault(("value",), "led: 1 is no bool; true or false is expected")]),
        ("led", True, 65536, [Fault(("hold_ms",), "hold_ms: 65536 is out of range, 0 to 65535 ms")]),
        ("led", True, -1, [Fault(("hold_ms",), "hold_ms: -1 is out of range, 0 to 65535 ms")]),
        ("fan", 100, 0, [Fault(("hold_ms",), "hold_ms: fan must be held; 1 to 65535 ms are expected")]),
        ("trim", 1, 9, [Fault(("hold_ms",), "hold_ms: trim has no safe value to return to, so it can't be held")]),
        (
            "fan",
            None,
            0,
            [
                Fault(("value",), "fan: null is no number; a number from 0 to 200 % is expected"),
                Fault(("hold_ms",), "hold_ms: fan must be held; 1 to 65535 ms are expected"),
            ],
        ),
    ],
)
def test_a_write_that_does_not_fit(
    schema: Schema, channel: str, value: object, hold_ms: int, faults: list[Fault]
) -> None:
    assert refused(lambda: resolve_write(schema, channel, value, hold_ms=hold_ms)) == faults


@pytest.mark.parametrize(
    ("action", "arguments", "hold_ms", "faults"),
    [
        (
            "tone",
            {},
            0,
            [
                Fault(("arguments", "pin"), "pin: missing; a number from 2 to 13 is expected"),
                Fault(("arguments", "hz"), "hz: missing; a number from 31 to 5000 Hz is expected"),
                Fault(("arguments", "level"), "level: missing; a number from -0.5 to 0.5 V is expected"),
            ],
        ),
        (
            "tone",
            {"pni": 8, "pin": 1, "hz": True, "level": 0.25, "volume": 1},
            7,
            [
                Fault(("arguments", "pin"), "pin: 1 is out of range, 2 to 13"),
                Fault(("arguments", "hz"), "hz: true is no number; a number from 31 to 5000 Hz is expected"),
                Fault(("arguments", "level"), "level: 0.25 has more decimals than the argument's 0.1 steps"),
                Fault(("arguments", "pni"), 'no argument "pni", did you mean pin? Arguments are: pin, hz, level'),
                Fault(("arguments", "volume"), 'no argument "volume". Arguments are: pin, hz, level'),
                Fault(("hold_ms",), "hold_ms: tone is an action, and only outputs can be held"),
            ],
        ),
        (
            "reset_count",
            {"to": None},
            0,
            [Fault(("arguments", "to"), 'no argument "to". There are no arguments')],
        ),
    ],
)
def test_a_call_that_does_not_fit(
    schema: Schema, action: str, arguments: Mapping[str, object], hold_ms: int, faults: list[Fault]
) -> None:
    assert refused(lambda: resolve_action(schema, action, arguments, hold_ms=hold_ms)) == faults


ESCAPES = 37 * r"\u001b"
CHANNEL_LIST = "Channels are: a0, led, pwm9, fan, trim, setpoint, title, horn"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda schema: resolve_write(schema, "ledd", 1, hold_ms=0),
            f'no channel "ledd", did you mean led? {CHANNEL_LIST}',
        ),
        (lambda schema: resolve_write(schema, "tone", 1, hold_ms=0), f'no channel "tone". {CHANNEL_LIST}'),
        (lambda schema: resolve_write(schema, "\x1b" * 99, 1, hold_ms=0), f'no channel "{ESCAPES}...". {CHANNEL_LIST}'),
        (
            lambda schema: resolve_action(schema, "tome", {}, hold_ms=0),
            'no action "tome", did you mean tone? Actions are: tone, reset_count',
        ),
        (lambda _: resolve_action(build(LED), "tone", {}, hold_ms=0), 'no action "tone". There are no actions'),
    ],
)
def test_an_unknown_target_names_those_there_are(
    schema: Schema, call: Callable[[Schema], Resolved], message: str
) -> None:
    with pytest.raises(UnknownTarget) as unknown:
        call(schema)
    assert str(unknown.value) == message


def test_a_reading_can_not_be_written(schema: Schema) -> None:
    with pytest.raises(NotWritable) as refusal:
        resolve_write(schema, "a0", 1, hold_ms=0)
    assert str(refusal.value) == (
        "a0 is a reading and can't be written; outputs are: led, pwm9, fan, trim, setpoint, title, horn"
    )
    with pytest.raises(NotWritable, match=r"outputs are: none$"):
        resolve_write(build(A0), "a0", 1, hold_ms=0)


# ---- both ways ----

WHOLE = {
    ValueType.BOOL: (u32(0), u32(1)),
    ValueType.U8: (u32(0), u32(0xFF)),
    ValueType.I8: (i32(-0x80), i32(0x7F)),
    ValueType.U16: (u32(0), u32(0xFFFF)),
    ValueType.I16: (i32(-0x8000), i32(0x7FFF)),
    ValueType.U32: (u32(0), u32(0xFFFF_FFFF)),
    ValueType.I32: (i32(-0x8000_0000), i32(0x7FFF_FFFF)),
    ValueType.F32: (b"\xff\xff\x7f\xff", b"\xff\xff\x7f\x7f"),
}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(WHOLE)), st.integers(-MAX_SCALE, MAX_SCALE), st.binary(min_size=4, max_size=4))
def test_what_was_read_can_be_written_back(value_type: ValueType, scale: int, data: bytes) -> None:
    minimum, maximum = WHOLE[value_type]
    scale = 0 if value_type in (ValueType.BOOL, ValueType.F32) else scale
    schema = build(ChannelRecord(value_type, OUTPUT, scale, minimum, maximum, u32(0), "x", ""))
    raw = data[: RAW_LAYOUT[value_type].size]
    value = unpack_group(schema.channels, raw)["x"]
    if value is None:
        assert value_type in (ValueType.BOOL, ValueType.F32)
    else:
        assert resolve_write(schema, "x", value, hold_ms=0) == Resolved(0, raw, value=value)
