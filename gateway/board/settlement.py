"""What a board's record says of a command that was under way when the line was lost. Pure.

The table is PROTOCOL.md, "After a reconnect": a row is `sent`, the board's HELLO tells its stored epoch and the last
command ids it began (`started`) and finished (`done`). Simpler rules failed in a model check: they ran commands twice,
or called executed ones failed.
"""

import enum
from dataclasses import dataclass

from gateway.model import Command
from gateway.protocol.messages import HelloReply


class Verdict(enum.Enum):
    """What is to become of the row."""

    FETCH = "it ran: repeat it under the same id for its result"
    RESEND = "it never ran and may still: send it again under the same id"
    UNKNOWN = "nobody can tell"
    UNKNOWN_ROTATE = "the board is ahead of the journal: nobody can tell, and the epoch must change"
    EXPIRED = "it never ran, and its deadline or hold is over"
    CANCELLED = "it never ran, and SAFE came since"
    NOT_EXECUTED = "it never ran, and the board's schema is another now"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What has happened since the command was sent."""

    epoch: int
    schema_hash: int
    safe_came: bool
    now_s: float


def settle(command: Command, hello: HelloReply, since: Circumstances) -> Verdict:
    """The verdict on a `sent` command; `hello` is the answer of the board it was sent to."""
    wire_id = command.wire_id
    assert wire_id is not None, "a sent command has a wire id"
    if hello.stored_epoch != since.epoch:
        return Verdict.UNKNOWN
    if hello.done == wire_id:
        return Verdict.FETCH
    if hello.done > wire_id:
        return Verdict.UNKNOWN_ROTATE
    if hello.started >= wire_id:
        return Verdict.UNKNOWN
    return _never_ran(command, since)


def _never_ran(command: Command, since: Circumstances) -> Verdict:
    if since.safe_came:
        return Verdict.CANCELLED
    if command.deadline_s <= since.now_s:
        return Verdict.EXPIRED
    if command.schema_hash != since.schema_hash:
        return Verdict.NOT_EXECUTED
    return Verdict.RESEND
