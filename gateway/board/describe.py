"""Asks a board what it offers: the board's own record each time, the rest once for each schema hash."""

from collections.abc import Sequence
from typing import Protocol

from gateway.board.procedure import Procedure, answer_to
from gateway.board.schema import build_schema
from gateway.errors import SchemaError
from gateway.model import Schema
from gateway.protocol.messages import (
    ActionRecord,
    BoardRecord,
    Describe,
    DescribeReply,
    HelloReply,
    MessageError,
    RecordKind,
)


class SchemaRecords(Protocol):
    """A cache of records by schema hash."""

    def get(self, schema_hash: int) -> tuple[bytes, ...] | None:
        """The records in their canonical order, or None."""
        ...

    def put(self, schema_hash: int, records: Sequence[bytes]) -> None:
        """Keeps them; never raises."""
        ...


def describe(hello: HelloReply, cache: SchemaRecords) -> Procedure[Schema]:
    """The board's schema. Raises SchemaError for one that can't be published."""
    try:
        board = BoardRecord.from_bytes((yield from _record(RecordKind.BOARD)))
    except MessageError as error:
        raise SchemaError(f"board record: {error}") from error
    known = cache.get(hello.schema_hash)
    if known is not None:
        try:
            return _schema(board, known, hello)
        except SchemaError:  # two sketches with one hash, or a damaged cache: the board itself knows better
            pass
    records = yield from _records(hello)
    schema = _schema(board, records, hello)
    cache.put(hello.schema_hash, records)
    return schema


def _schema(board: BoardRecord, records: Sequence[bytes], hello: HelloReply) -> Schema:
    return build_schema(board, records, channels=hello.channels, actions=hello.actions, schema_hash=hello.schema_hash)


def _records(hello: HelloReply) -> Procedure[tuple[bytes, ...]]:
    records = []
    for index in range(hello.channels):
        records.append((yield from _record(RecordKind.CHANNEL, index)))
    for index in range(hello.actions):
        action = yield from _record(RecordKind.ACTION, index)
        records.append(action)
        for argument in range(_argument_count(action, index)):
            records.append((yield from _record(RecordKind.ARGUMENT, index, argument)))
    return tuple(records)


def _argument_count(action: bytes, index: int) -> int:
    try:
        return ActionRecord.from_bytes(action).arguments
    except MessageError as error:
        raise SchemaError(f"action {index}: {error}") from error


def _record(kind: RecordKind, index: int = 0, argument: int = 0) -> Procedure[bytes]:
    reply = yield from answer_to(Describe(kind, index, argument))
    assert isinstance(reply, DescribeReply)
    if (reply.kind, reply.index, reply.argument) != (kind, index, argument):
        raise SchemaError(f"asked for {kind.name.lower()} {index}/{argument}, the board sent another record")
    return reply.record
