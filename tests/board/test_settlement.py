"""The table of PROTOCOL.md, "After a reconnect", row by row."""

import pytest

from gateway.board.settlement import Circumstances, Verdict, settle
from gateway.model import Command, CommandState
from gateway.protocol.messages import HelloReply

EPOCH, SCHEMA, WIRE_ID = 0xABCD, 0x1234, 7


def sent(deadline_s: float = 100.0) -> Command:
    return Command(
        id="c",
        board="uno",
        virtual=False,
        target=0,
        payload=b"\1",
        schema_hash=SCHEMA,
        hold_ms=0,
        created_at=0,
        expires_at=0,
        deadline_s=deadline_s,
        state=CommandState.SENT,
        wire_id=WIRE_ID,
    )


def hello(*, epoch: int = EPOCH, started: int, done: int) -> HelloReply:
    return HelloReply(1, 0, 54, 1, 0, 1, epoch, started, done, 0, 0, 1, SCHEMA)


@pytest.mark.parametrize(
    ("epoch", "started", "done", "verdict"),
    [
        (EPOCH, 7, 7, Verdict.FETCH),
        (EPOCH, 8, 7, Verdict.FETCH),
        (EPOCH, 8, 8, Verdict.UNKNOWN_ROTATE),
        (EPOCH, 7, 6, Verdict.UNKNOWN),
        (EPOCH, 9, 6, Verdict.UNKNOWN),
        (EPOCH, 6, 6, Verdict.RESEND),
        (EPOCH, 6, 5, Verdict.RESEND),
        (EPOCH + 1, 7, 7, Verdict.UNKNOWN),
        (0, 0, 0, Verdict.UNKNOWN),
    ],
)
@pytest.mark.fault(11, 16)
def test_the_record_decides(epoch: int, started: int, done: int, verdict: Verdict) -> None:
    since = Circumstances(EPOCH, SCHEMA, safe_came=False, now_s=50.0)
    assert settle(sent(), hello(epoch=epoch, started=started, done=done), since) is verdict


@pytest.mark.parametrize(
    ("since", "verdict"),
    [
        (Circumstances(EPOCH, SCHEMA, safe_came=True, now_s=50.0), Verdict.CANCELLED),
        (Circumstances(EPOCH, SCHEMA, safe_came=False, now_s=100.0), Verdict.EXPIRED),
        (Circumstances(EPOCH, SCHEMA + 1, safe_came=False, now_s=50.0), Verdict.NOT_EXECUTED),
        (Circumstances(EPOCH, SCHEMA, safe_came=False, now_s=99.9), Verdict.RESEND),
    ],
)
def test_a_command_that_never_ran_runs_only_while_that_is_still_wanted(since: Circumstances, verdict: Verdict) -> None:
    assert settle(sent(), hello(started=6, done=6), since) is verdict


def test_what_came_since_does_not_hide_that_it_ran() -> None:
    since = Circumstances(EPOCH, SCHEMA + 1, safe_came=True, now_s=1000.0)
    assert settle(sent(), hello(started=7, done=7), since) is Verdict.FETCH
