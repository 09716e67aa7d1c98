"""The tables of the journal, and every statement that reads or writes their rows.

Pure toward the outside: each function works in the connection (and so the transaction) that it is given. A value of a
command that JSON can hold is kept as JSON text, which tells true from 1 and 1 from 1.0.
"""

import heapq
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BLOB,
    INTEGER,
    REAL,
    TEXT,
    Column,
    Connection,
    Index,
    MetaData,
    Row,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    insert,
    select,
    text,
)

from gateway.model import (
    Clock,
    Command,
    CommandError,
    CommandOrigin,
    CommandState,
    FailsafeCause,
    IdempotencyKey,
    ValueType,
)

IDS_AT_ONCE = 500  # in one IN (...): SQLite before 3.32 takes 999
OPEN = text("state IN ('queued', 'sent')")  # literal, since an index of such rows is found by its very words

FINAL = tuple(state.value for state in CommandState if state.final)

METADATA = MetaData()

COMMANDS = Table(
    "commands",
    METADATA,
    Column("id", TEXT, primary_key=True),
    Column("board", TEXT, nullable=False),
    Column("virtual", INTEGER, nullable=False),
    Column("target", INTEGER, nullable=False),
    Column("payload", BLOB, nullable=False),
    Column("schema_hash", INTEGER, nullable=False),
    Column("hold_ms", INTEGER, nullable=False),
    Column("created_at", REAL, nullable=False),
    Column("expires_at", REAL, nullable=False),
    Column("channel", TEXT),
    Column("value", TEXT),
    Column("action", TEXT),
    Column("arguments", TEXT),
    Column("returns", INTEGER, nullable=False),
    Column("origin", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("wire_id", INTEGER),
    Column("result", TEXT),
    Column("error_code", TEXT),
    Column("error_detail", TEXT),
    Column("sent_at", REAL),
    Column("finished_at", REAL),
    Index("commands_by_state", "board", "state", "id"),
    Index("commands_open", "id", sqlite_where=OPEN),
    Index("commands_by_end", "finished_at"),
    sqlite_with_rowid=False,
)

KEYS = Table(
    "idempotency_keys",
    METADATA,
    Column("client", TEXT, primary_key=True),
    Column("key", TEXT, primary_key=True),
    Column("fingerprint", TEXT, nullable=False),
    Column("command_id", TEXT, nullable=False),
    Column("created_at", REAL, nullable=False),
    Index("idempotency_keys_by_age", "created_at"),
    sqlite_with_rowid=False,
)

BOARDS = Table(
    "boards",
    METADATA,
    Column("name", TEXT, primary_key=True),
    Column("epoch", INTEGER, nullable=False),
    Column("last_wire_id", INTEGER, nullable=False),
    Column("latch", TEXT),
)

_KEEP_COMMAND = insert(COMMANDS).prefix_with("OR REPLACE")
_KEEP_KEY = insert(KEYS).prefix_with("OR REPLACE")
_KEEP_BOARD = insert(BOARDS).prefix_with("OR REPLACE")
_FIND_KEY = select(KEYS).where(
    KEYS.c.client == bindparam("client"),
    KEYS.c.key == bindparam("key"),
    KEYS.c.created_at > bindparam("since"),
    # A clock that was set back can make the command old, and forgotten, before its key.
    exists().where(COMMANDS.c.id == KEYS.c.command_id),
)


@dataclass(frozen=True, slots=True)
class BoardRow:
    """What is kept of a board beside its commands. `last_wire_id` is the highest of this epoch."""

    epoch: int
    last_wire_id: int = 0
    latch: FailsafeCause | None = None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """The command that is kept under a key, since when (Unix seconds)."""

    key: IdempotencyKey
    command_id: str
    created_at: float


# ---- writing ----


def keep_commands(connection: Connection, commands: Iterable[Command]) -> None:
    """Each in place of any earlier row of its id."""
    if rows := [_columns(command) for command in commands]:
        connection.execute(_KEEP_COMMAND, rows)


def keep_keys(connection: Connection, keys: Iterable[KeyRow]) -> None:
    """Each in place of any earlier one of its client and text."""
    rows = [
        {
            "client": row.key.client,
            "key": row.key.key,
            "fingerprint": row.key.fingerprint,
            "command_id": row.command_id,
            "created_at": row.created_at,
        }
        for row in keys
    ]
    if rows:
        connection.execute(_KEEP_KEY, rows)


def keep_boards(connection: Connection, boards: Mapping[str, BoardRow]) -> None:
    """Each in place of any earlier row of its name."""
    rows = [
        {"name": name, "epoch": row.epoch, "last_wire_id": row.last_wire_id, "latch": row.latch}
        for name, row in boards.items()
    ]
    if rows:
        connection.execute(_KEEP_BOARD, rows)


def forget_ended(connection: Connection, *, before: float, limit: int) -> list[str]:
    """Deletes at most `limit` commands that ended before that Unix second; gives their ids."""
    old = select(COMMANDS.c.id).where(COMMANDS.c.finished_at < before, COMMANDS.c.state.in_(FINAL)).limit(limit)
    ids = list(connection.execute(old).scalars())
    connection.execute(delete(COMMANDS).where(COMMANDS.c.id.in_(ids)))
    return ids


def forget_keys(connection: Connection, *, before: float, limit: int) -> int:
    """Deletes at most `limit` keys that came before that Unix second; gives how many."""
    old = select(KEYS.c.client, KEYS.c.key).where(KEYS.c.created_at < before).limit(limit)
    keys = [{"old_client": row.client, "old_key": row.key} for row in connection.execute(old)]
    if keys:
        gone = delete(KEYS).where(KEYS.c.client == bindparam("old_client"), KEYS.c.key == bindparam("old_key"))
        connection.execute(gone, keys)
    return len(keys)


# ---- reading ----


def boards(connection: Connection) -> dict[str, BoardRow]:
    """Every board that ever had an epoch here."""
    return {
        row.name: BoardRow(row.epoch, row.last_wire_id, None if row.latch is None else FailsafeCause(row.latch))
        for row in connection.execute(select(BOARDS))
    }


def commands(connection: Connection, ids: Collection[str], *, clock: Clock) -> dict[str, Command]:
    """Those of these commands that are there."""
    found: dict[str, Command] = {}
    wanted = list(ids)
    for start in range(0, len(wanted), IDS_AT_ONCE):
        some = select(COMMANDS).where(COMMANDS.c.id.in_(wanted[start : start + IDS_AT_ONCE]))
        found |= {row.id: _command(row, clock) for row in connection.execute(some)}
    return found


def open_commands(connection: Connection, *, clock: Clock) -> list[Command]:
    """Every command that has not ended, of every board, oldest first."""
    return [_command(row, clock) for row in connection.execute(select(COMMANDS).where(OPEN).order_by(COMMANDS.c.id))]


def newest_commands(
    connection: Connection, board: str, *, before: str | None, limit: int, states: Iterable[CommandState], clock: Clock
) -> list[Command]:
    """At most `limit` commands of a board in these states, newest first, older than the id `before`. Each state is
    looked up by itself, so that a rare one among a million others is found at once."""
    newest = (connection.execute(_newest(board, state, before=before, limit=limit)) for state in states)
    merged: Iterator[Row[Any]] = heapq.merge(*newest, key=lambda row: str(row.id), reverse=True)
    return [_command(row, clock) for row, _ in zip(merged, range(limit), strict=False)]


def key_row(connection: Connection, key: IdempotencyKey, *, since: float) -> KeyRow | None:
    """What is kept under this client and text, if it came after that Unix second and its command is still there."""
    row = connection.execute(_FIND_KEY, {"client": key.client, "key": key.key, "since": since}).first()
    if row is None:
        return None
    return KeyRow(IdempotencyKey(row.client, row.key, row.fingerprint), row.command_id, row.created_at)


def _newest(board: str, state: CommandState, *, before: str | None, limit: int) -> "Select[Any]":
    newest = select(COMMANDS).where(COMMANDS.c.board == board, COMMANDS.c.state == state.value)
    if before is not None:
        newest = newest.where(COMMANDS.c.id < before)
    return newest.order_by(COMMANDS.c.id.desc()).limit(limit)


# ---- a command as a row ----


def _columns(command: Command) -> dict[str, object]:
    error = command.error
    return {
        "id": command.id,
        "board": command.board,
        "virtual": int(command.virtual),
        "target": command.target,
        "payload": command.payload,
        "schema_hash": command.schema_hash,
        "hold_ms": command.hold_ms,
        "created_at": command.created_at,
        "expires_at": command.expires_at,
        "channel": command.channel,
        "value": _json(command.value),
        "action": command.action,
        "arguments": None if command.arguments is None else _json(dict(command.arguments)),
        "returns": int(command.returns),
        "origin": command.origin.value,
        "state": command.state.value,
        "wire_id": command.wire_id,
        "result": _json(command.result),
        "error_code": None if error is None else error.code,
        "error_detail": None if error is None else error.detail,
        "sent_at": command.sent_at,
        "finished_at": command.finished_at,
    }


def _command(row: Row[Any], clock: Clock) -> Command:
    return Command(
        id=row.id,
        board=row.board,
        virtual=bool(row.virtual),
        target=row.target,
        payload=row.payload,
        schema_hash=row.schema_hash,
        hold_ms=row.hold_ms,
        created_at=row.created_at,
        expires_at=row.expires_at,
        deadline_s=_deadline_s(row, clock),
        channel=row.channel,
        value=_value(row.value),
        action=row.action,
        arguments=_value(row.arguments),
        returns=ValueType(row.returns),
        origin=CommandOrigin(row.origin),
        state=CommandState(row.state),
        wire_id=row.wire_id,
        result=_value(row.result),
        error=None if row.error_code is None else CommandError(row.error_code, row.error_detail),
        sent_at=row.sent_at,
        finished_at=row.finished_at,
    )


def _deadline_s(row: Row[Any], clock: Clock) -> float:
    """Monotonic seconds mean nothing to another process: the deadline is worked out anew from the times of day. A clock
    that was set back since, or that a computer without a battery lost, gives no more time than there was at first."""
    ends_at: float = min(row.expires_at, row.created_at + row.hold_ms / 1000) if row.hold_ms else row.expires_at
    left_s: float = min(ends_at - clock.time(), ends_at - row.created_at)
    return left_s + clock.monotonic()


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"))


def _value(kept: str | None) -> Any:
    return None if kept is None else json.loads(kept)
