"""What a monitor says of each message, of text, noise and strangers; any bytes are shown, and none raise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.recording import Description
from gateway.link.tap import Trace, TraceKind
from gateway.link.virtual_sketch import Uno
from gateway.model import ValueType
from gateway.protocol import messages as m
from gateway.protocol.framing import encode
from gateway.tools.decoder import Decoder, Direction, Line, Topic, schema_of

TABLE = Uno().table()
DESCRIPTION = Description(TABLE.board.to_bytes(), len(TABLE.channels), len(TABLE.actions), TABLE.records)
SCHEMA = schema_of(DESCRIPTION)
SID = 0x44
LED = next(index for index, row in enumerate(TABLE.channels) if row.record.name == "led")
TONE, READ = (
    next(i for i, row in enumerate(TABLE.actions) if row.record.name == each) for each in ("tone", "analog_read")
)


def sent(message: m.Message, *, seq: int = 1, at_s: float = 1.0) -> Trace:
    return Trace(TraceKind.SENT, at_s, at_s, encode(message.TYPE, seq, SID, payload=message.to_bytes()))


def received(message: m.Message, *, seq: int = 1, at_s: float = 1.0025) -> Trace:
    return Trace(TraceKind.RECEIVED, at_s, at_s, encode(message.TYPE, seq, SID, payload=message.to_bytes()))


def decoded(*traces: Trace, known: bool = True) -> list[Line]:
    decoder = Decoder()
    decoder.schema = SCHEMA if known else None
    return list(decoder.decode(traces))


def values(uptime_ms: int, *, led: bool = False) -> bytes:
    data = b""
    for row in TABLE.channels:
        number = {"uptime_ms": uptime_ms, "led": int(led), "supply_mv": 5000}.get(row.record.name, 0)
        data += row.layout.pack(number)
    return data


def test_a_poll_says_what_changed_and_how_long_it_took() -> None:
    first = m.PollReply(0, 0, 0, 0, 0, values(1000))
    second = m.PollReply(0, m.PollStatus.FAILSAFE, 0, 0, 0, values(1100, led=True))
    lines = decoded(
        sent(m.Poll(0)), received(first), sent(m.Poll(0), seq=2, at_s=2), received(second, seq=2, at_s=2.001)
    )
    assert [(line.direction, line.what, line.topic) for line in lines[:2]] == [
        (Direction.TO_BOARD, "POLL", Topic.POLLS),
        (Direction.FROM_BOARD, "POLL", Topic.POLLS),
    ]
    assert lines[1].text.startswith("2.5 ms  a0 0 V, ")
    assert "as before" not in lines[1].text
    assert lines[3].text == f"1.0 ms  status 0x01, uptime_ms 1100 ms, led true ({len(TABLE.channels) - 2} as before)"
    assert lines[3].values is not None
    assert (lines[3].values["supply_mv"], lines[3].values["led"]) == (5000, True)


def test_commands_are_told_in_the_boards_own_words() -> None:
    lines = decoded(
        sent(m.RunCommand(7, LED, 5000, b"\x01")),
        received(m.CommandReply(7, m.Outcome.EXECUTED, 0, 0, b"")),
        sent(m.RunCommand(8, m.ACTION_TARGET | READ, 0, b"\x00"), seq=2),
        received(m.CommandReply(8, m.Outcome.DUPLICATE, 0, 0, (513).to_bytes(2, "little")), seq=2),
        sent(m.RunCommand(9, LED, 0, b"\x01"), seq=3),
        received(m.ErrorReply(m.RunCommand.TYPE, m.ErrorCode.FAILSAFE, 2), seq=3),
    )
    returns = TABLE.actions[READ].record.returns
    assert returns == ValueType.U16
    assert [line.text for line in lines] == [
        "led = true (id 7, held 5000 ms)",
        "2.5 ms  executed (id 7)",
        "analog_read(pin 0) (id 8)",
        "2.5 ms  duplicate (id 8), result 513",
        "led = true (id 9)",
        "2.5 ms  FAILSAFE to COMMAND, detail 2",
    ]
    assert [line.topic for line in lines] == [Topic.COMMANDS] * 5 + [Topic.ERRORS]
    assert lines[0].values == {"led": True}


def test_without_a_description_numbers_are_told() -> None:
    lines = decoded(
        sent(m.RunCommand(7, 3, 0, b"\x01")), received(m.PollReply(0, 0, 0, 0, 0, b"\x01\x02")), known=False
    )
    assert [line.text for line in lines] == ["channel 3 01 (id 7)", "2.5 ms  group 0: 01 02"]
    assert schema_of(None) is None
    assert schema_of(Description(b"", 1, 0, (b"x",))) is None


def test_the_session_is_told_by_its_messages() -> None:
    record = TABLE.channels[0].record.to_bytes()
    lines = decoded(
        sent(m.Hello(1, 1, 2000, 0x11223344, 0xABCD, 7), seq=0),
        sent(m.Describe(1, 0, 0)),
        received(m.DescribeReply(1, 0, 0, record)),
        received(m.DescribeReply(9, 0, 0, b"?"), seq=9),
        received(m.Boot(1, 4, 12)),
        Trace(TraceKind.SENT, 3.0, 3.0, bytes.fromhex("1b010001")),
    )
    assert "session 11223344, epoch 0000abcd" in lines[0].text
    assert [line.text for line in lines[1:]] == [
        "channel 0",
        "2.5 ms  channel 0: a0, V",
        "kind 9 0: 3f",
        "version 1, flags 4, uptime_ms 12",
        "1b 01 00 01",
    ]
    assert {line.topic for line in lines} == {Topic.SESSION}


def test_text_noise_and_the_port_are_told() -> None:
    lines = decoded(
        Trace(TraceKind.OPENED, 1.0, 1.0, b"/dev/ttyACM0"),
        Trace(TraceKind.BAUD, 1.0, 1.0, b"250000"),
        Trace(TraceKind.RECEIVED, 1.1, 1.1, b"hello\r\n"),
        Trace(TraceKind.RECEIVED, 1.2, 1.2, b"\0\x03\xff\x80\x99\0\x02\0"),
        received(m.Log(b"from the sketch"), at_s=1.3),
        Trace(TraceKind.RECEIVED, 1.4, 1.4, encode(0x99, 1, SID, payload=b"ab")),
        Trace(TraceKind.CLOSED, 1.5, 1.5, b"lost"),
    )
    assert [(line.topic, line.what, line.text) for line in lines] == [
        (Topic.LINK, "opened", "/dev/ttyACM0"),
        (Topic.LINK, "baud", "250000"),
        (Topic.LOG, "text", "hello"),
        (Topic.ERRORS, "noise", "bytes that are no frame, 2 times"),
        (Topic.LOG, "LOG", "from the sketch"),
        (Topic.ERRORS, "type 99", "a frame that no message is: 61 62"),
        (Topic.LINK, "closed", "lost"),
    ]
    assert lines[2].monotonic_s == 1.1, "when it came, not when it was known to have ended"


frames = st.builds(
    encode, st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), payload=st.binary(max_size=54)
)


@given(st.lists(st.tuples(st.sampled_from(TraceKind), st.binary(max_size=40) | frames)), st.booleans())
def test_any_bytes_are_shown(traces: list[tuple[TraceKind, bytes]], known: bool) -> None:
    for line in decoded(*(Trace(kind, 1.0, 1.0, data) for kind, data in traces), known=known):
        assert line.what


@pytest.mark.parametrize("kind", [*m.REQUESTS.values(), *m.REPLIES.values(), *m.EVENTS.values()])
def test_every_message_has_its_words(kind: type[m.Message]) -> None:
    payload = bytes(kind.HEAD.size)
    way = TraceKind.SENT if kind.TYPE in m.REQUESTS else TraceKind.RECEIVED
    (line,) = decoded(Trace(way, 1.0, 1.0, encode(kind.TYPE, 1, SID, payload=payload)))
    assert line.what.isupper()
    assert line.payload == payload
