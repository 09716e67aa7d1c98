"""The vectors that Python and C++ share: frames both ways, rejected bytes, and the bench board's records."""

import pytest

from gateway.protocol import messages
from gateway.protocol.framing import MAX_WIRE, decode, encode
from gateway.protocol.messages import EVENTS, RECORDS, REPLIES, REQUESTS, DescribeReply, RecordKind, schema_hash
from tests.protocol.golden import GOLDEN, NEIGHBOUR, REJECTED, VECTORS, Golden, frames, receive

MESSAGES = {**REQUESTS, **REPLIES, **EVENTS}


def test_files_are_not_empty() -> None:
    assert len(GOLDEN) > 50
    assert len(REJECTED) > 10


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_both_ways(golden: Golden) -> None:
    frame = golden.frame
    assert encode(frame.type, frame.seq, frame.sid, payload=frame.payload) == frame.to_wire() == golden.wire
    assert decode(golden.segment) == frame
    assert receive(golden.wire).found == [frame]
    assert MESSAGES[frame.type].from_bytes(frame.payload).to_bytes() == frame.payload
    assert len(golden.wire) <= MAX_WIRE


def test_every_message_has_a_vector() -> None:
    assert {golden.frame.type for golden in GOLDEN} == set(MESSAGES)


def test_every_error_has_a_vector() -> None:
    errors = [golden.frame.payload[1] for golden in GOLDEN if golden.frame.type == messages.ErrorReply.TYPE]
    assert set(errors) == set(messages.ErrorCode)


@pytest.mark.parametrize("wire", REJECTED.values(), ids=REJECTED.keys())
def test_rejected(wire: bytes) -> None:
    assert frames(receive(wire, b"\0").found) == []
    assert frames(receive(NEIGHBOUR.wire, wire, NEIGHBOUR.wire).found) == [NEIGHBOUR.frame] * 2


def _described() -> list[DescribeReply]:
    """The bench board's answers to DESCRIBE, from the conversation of that name."""
    text = (VECTORS / "conversations.txt").read_text()
    conversation = text.partition("[describe]")[2].partition("\n[")[0]
    replies = [line.partition("#")[0].split() for line in conversation.splitlines() if line.startswith("< 82")]
    return [DescribeReply.from_bytes(bytes.fromhex("".join(reply[4:]))) for reply in replies]


def test_schema_hash_of_the_bench_board() -> None:
    """The order that firmware hashes in is the one that `schema_hash` documents."""
    replies = _described()
    channels = [reply.record for reply in replies if reply.kind == RecordKind.CHANNEL]
    of_actions = sorted(
        (reply for reply in replies if reply.kind in (RecordKind.ACTION, RecordKind.ARGUMENT)),
        key=lambda reply: (reply.index, reply.kind, reply.argument),
    )
    stated = (VECTORS / "README.md").read_text().partition("schema hash is `")[2][:8]
    assert schema_hash([*channels, *(reply.record for reply in of_actions)]) == int(stated, 16)


RECORD_REPLIES = [
    *_described(),
    *(DescribeReply.from_bytes(each.frame.payload) for each in GOLDEN if each.frame.type == DescribeReply.TYPE),
]


@pytest.mark.parametrize("reply", RECORD_REPLIES, ids=lambda reply: f"{reply.kind}.{reply.index}.{reply.argument}")
def test_records_both_ways(reply: DescribeReply) -> None:
    record = RECORDS[RecordKind(reply.kind)].from_bytes(reply.record)
    assert record.to_bytes() == reply.record
