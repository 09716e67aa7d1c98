"""Messages, records and raw values: both ways for every class, and a message or MessageError for any bytes."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import ValueType
from gateway.protocol import messages
from gateway.protocol.framing import MAX_PAYLOAD
from gateway.protocol.messages import (
    EVENTS,
    MAX_VALUES,
    RAW_LAYOUT,
    RECORDS,
    REPLIES,
    REPLY,
    REQUESTS,
    ArgumentRecord,
    BoardRecord,
    ChannelRecord,
    CommandReply,
    DescribeReply,
    Hello,
    Log,
    Message,
    MessageError,
    Ping,
    Poll,
    PollReply,
    Record,
    RunCommand,
    SafeReply,
    schema_hash,
)

MESSAGES = [*REQUESTS.values(), *REPLIES.values(), *EVENTS.values()]
every_message = pytest.mark.parametrize("message_class", MESSAGES, ids=lambda each: each.__name__)
every_record = pytest.mark.parametrize("record_class", RECORDS.values(), ids=lambda each: each.__name__)

NUMBERS: dict[str, st.SearchStrategy[int | bytes]] = {
    "B": st.integers(0, 0xFF),
    "b": st.integers(-0x80, 0x7F),
    "H": st.integers(0, 0xFFFF),
    "I": st.integers(0, 0xFFFF_FFFF),
    "4s": st.binary(min_size=4, max_size=4),
}
"""Every value of each wire layout that the tables use."""


def _fields(layout: struct.Struct) -> list[st.SearchStrategy[int | bytes]]:
    """A strategy for each field of a layout such as `<BBb4s`."""
    codes = layout.format[1:].replace("4s", "s")
    return [NUMBERS["4s" if code == "s" else code] for code in codes]


def _messages(message_class: type[Message]) -> st.SearchStrategy[Message]:
    tail = [st.binary(max_size=message_class.TAIL)] if message_class.TAIL else []
    return st.builds(message_class, *_fields(message_class.HEAD), *tail)


def _records(record_class: type[Record]) -> st.SearchStrategy[Record]:
    text = st.text(st.characters(codec="utf-8"), max_size=12)
    return st.builds(record_class, *_fields(record_class.HEAD), *[text] * record_class.STRINGS)


# ---- the tables ----


def test_replies_answer_requests() -> None:
    """Each request has its reply, with the reply bit; ERROR answers them all."""
    assert {request | REPLY for request in REQUESTS} | {messages.ErrorReply.TYPE} == set(REPLIES)


def test_types_are_in_their_ranges() -> None:
    assert all(0x01 <= each <= 0x3F for each in REQUESTS)
    assert all(0x40 <= each <= 0x4F for each in EVENTS)


@every_message
def test_longest_message_fits_a_frame(message_class: type[Message]) -> None:
    assert message_class.HEAD.size + message_class.TAIL <= MAX_PAYLOAD


def test_longest_values_fit_a_poll_reply() -> None:
    assert PollReply.HEAD.size + MAX_VALUES == MAX_PAYLOAD


# ---- messages ----


@every_message
def test_message_both_ways(message_class: type[Message]) -> None:
    @settings(max_examples=25)
    @given(_messages(message_class))
    def check(message: Message) -> None:
        assert message_class.from_bytes(message.to_bytes()) == message

    check()


@every_message
def test_any_payload_is_a_message_or_an_error(message_class: type[Message]) -> None:
    """Of each length a payload may have, sound or not; and a message gives its payload back."""
    shortest = message_class.HEAD.size
    for size in range(MAX_PAYLOAD + 10):
        payload = bytes((size + at) * 37 % 256 for at in range(size))
        if shortest <= size <= shortest + message_class.TAIL:
            assert message_class.from_bytes(payload).to_bytes() == payload
        else:
            with pytest.raises(MessageError, match=f"{message_class.__name__}: {size} bytes, expected {shortest}"):
                message_class.from_bytes(payload)


@pytest.mark.parametrize(
    ("message_class", "expected"),
    [(Ping, "Ping: 0 bytes, expected 4$"), (CommandReply, "CommandReply: 0 bytes, expected 10 to 14$")],
)
def test_wrong_length_names_the_right_one(message_class: type[Message], expected: str) -> None:
    with pytest.raises(MessageError, match=expected):
        message_class.from_bytes(b"")


@pytest.mark.parametrize(
    "message",
    [
        Poll(256),
        Poll(-1),
        Ping(1 << 32),
        Hello(1, 1, 65_536, 1, 1, 1),
        PollReply(0, 0, 0, 0, 0, bytes(MAX_VALUES + 1)),
        RunCommand(1, 2, 3, bytes(48)),
        CommandReply(1, 0, 0, 0, bytes(5)),
        DescribeReply(1, 0, 0, bytes(52)),
        Log(bytes(MAX_PAYLOAD + 1)),
    ],
    ids=lambda message: type(message).__name__,
)
def test_message_that_does_not_fit(message: Message) -> None:
    with pytest.raises(MessageError, match=f"^{type(message).__name__}: "):
        message.to_bytes()


def test_messages_of_different_types_are_not_equal() -> None:
    bare: list[Message] = [messages.Safe(), SafeReply(), messages.SetEpoch(1), Ping(1)]
    assert all(bare.index(message) == at for at, message in enumerate(bare))


# ---- records ----


@every_record
def test_record_both_ways(record_class: type[Record]) -> None:
    @settings(max_examples=50)
    @given(_records(record_class))
    def check(record: Record) -> None:
        assert record_class.from_bytes(record.to_bytes()) == record

    check()


@every_record
def test_any_bytes_are_a_record_or_an_error(record_class: type[Record]) -> None:
    @settings(max_examples=100)
    @given(st.binary(max_size=60) | _mutilated(record_class))
    def check(data: bytes) -> None:
        try:
            record = record_class.from_bytes(data)
        except MessageError:
            return
        assert record.to_bytes() == data

    check()


def _mutilated(record_class: type[Record]) -> st.SearchStrategy[bytes]:
    """A record with a piece cut out, or one byte more."""
    whole = _records(record_class).map(Record.to_bytes)
    return st.builds(
        lambda data, at, cut: data[:at] + data[at + cut :], whole, st.integers(0, 30), st.integers(1, 3)
    ) | (st.builds(lambda data, more: data + more, whole, st.binary(min_size=1, max_size=2)))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "ChannelRecord: 0 bytes, expected at least 15"),
        (bytes(14), "ChannelRecord: 14 bytes, expected at least 15"),
        (bytes(15), "a string runs past the end"),
        (bytes(15) + b"\x02a", "a string runs past the end"),
        (bytes(15) + b"\x01a", "a string runs past the end"),
        (bytes(15) + b"\x01\xff\x00", "a string is not UTF-8"),
        (bytes(17) + b"\x00", "1 bytes too many"),
    ],
)
def test_bytes_that_are_no_channel(data: bytes, fault: str) -> None:
    with pytest.raises(MessageError, match=fault):
        ChannelRecord.from_bytes(data)


FOUR = bytes(4)


@pytest.mark.parametrize(
    "record",
    [
        ChannelRecord(256, 0, 0, FOUR, FOUR, FOUR, "a", ""),
        ChannelRecord(1, 0, 128, FOUR, FOUR, FOUR, "a", ""),
        ChannelRecord(1, 0, 0, bytes(3), FOUR, FOUR, "a", ""),
        ChannelRecord(1, 0, 0, FOUR, bytes(5), FOUR, "a", ""),
        ArgumentRecord(1, 0, FOUR, FOUR, "a" * 256, ""),
        BoardRecord("\ud800", "", "", ""),
    ],
)
def test_record_that_does_not_fit(record: Record) -> None:
    with pytest.raises(MessageError, match=f"^{type(record).__name__}: "):
        record.to_bytes()


# ---- schema hash and raw values ----


def test_schema_hash_is_fnv_1a() -> None:
    """Values from the FNV test suite (Noll); where one record ends and the next begins makes no difference."""
    assert schema_hash([]) == 0x811C9DC5
    assert schema_hash([b"a"]) == 0xE40C292C
    assert schema_hash([b"foo", b"bar"]) == schema_hash([b"foobar"]) == 0xBF9CF968


@pytest.mark.parametrize(
    ("value_type", "value", "raw"),
    [
        (ValueType.BOOL, 1, "01"),
        (ValueType.U8, 0xFE, "fe"),
        (ValueType.I8, -2, "fe"),
        (ValueType.U16, 0x1234, "3412"),
        (ValueType.I16, -2, "feff"),
        (ValueType.U32, 0x12345678, "78563412"),
        (ValueType.I32, -2, "feffffff"),
        (ValueType.F32, 21.5, "0000ac41"),
    ],
)
def test_raw_layout(value_type: ValueType, value: float, raw: str) -> None:
    assert RAW_LAYOUT[value_type].pack(value).hex() == raw
    assert RAW_LAYOUT[value_type].unpack(bytes.fromhex(raw)) == (value,)


def test_every_type_of_fixed_size_has_a_layout() -> None:
    assert set(RAW_LAYOUT) == set(ValueType) - {ValueType.TEXT, ValueType.NONE}
