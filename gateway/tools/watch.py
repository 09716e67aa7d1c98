"""Where traces come from: a gateway that runs, or a port that is opened here and polled so that there is something to
see. The caller's thread; both give batches until the caller has had enough.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from gateway.board.describe import describe
from gateway.board.procedure import Procedure, ProcedureFailed, Request
from gateway.board.schema import groups
from gateway.errors import SchemaError
from gateway.link.recording import Description
from gateway.link.serial_port import open_port
from gateway.link.tap import Trace, TraceKind
from gateway.link.wake import Wake
from gateway.model import Clock, Schema
from gateway.protocol.connect import DEFAULT_BAUD, Step, connect_plan
from gateway.protocol.events import (
    Answered,
    BoardReset,
    Event,
    Opened,
    Refused,
    SessionLost,
    SetBaud,
    TimedOut,
    Unanswered,
    Write,
)
from gateway.protocol.messages import DescribeReply, HelloReply, Poll, RecordKind
from gateway.protocol.session import LinkCounters, Session, Terms
from gateway.tools.boot_port import pause
from gateway.tools.client import GatewayClient, RequestRefused

WAIT = "2s"  # a recording that ends by itself may last so much longer
ANSWER_S = 20.0  # longer than WAIT
GATHER_S = 0.1  # so that each request brings some
SETTLING_S = 3.0  # after an opening the board describes itself; until then its old description may be given
PAGE = 1000
POLL_S = 0.1  # as a gateway polls unless told otherwise
PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What passed since the last batch, possibly nothing. `missed` traces came before these and are lost."""

    traces: tuple[Trace, ...]
    description: Description | None
    missed: int = 0


def from_gateway(client: GatewayClient, board: str, *, past: bool) -> Iterator[Batch]:
    """What passes on a board of a running gateway, with `past` also what it still has in memory. Never ends; raises
    RequestRefused and GatewayGone."""
    path = f"boards/{quote(board, safe='')}"
    description: Description | None = None
    waits: dict[str, str] = {}
    after, opened_s = 0, time.monotonic()
    begun = False  # what is older than the gateway's memory was never asked for
    while True:
        answer = client.get(f"{path}/traffic", query={"after": str(after), **waits}, timeout_s=ANSWER_S)
        items, after = answer["items"], answer["next_after"]
        if any(item["kind"] == TraceKind.OPENED for item in items):
            opened_s = time.monotonic()
        if description is None or time.monotonic() - opened_s < SETTLING_S:
            description = _description(client, path) or description
        if past or waits:
            missed = (answer["missed"] or 0) if begun else 0
            yield Batch(tuple(map(_trace, items)), description, missed)
        begun = True
        if len(items) < PAGE:
            waits = {"wait": WAIT}
            pause(GATHER_S)


def _description(client: GatewayClient, path: str) -> Description | None:
    """None while the board is not known; it may come yet."""
    with suppress(RequestRefused):
        found = client.get(f"{path}/description")
        records = tuple(bytes.fromhex(record) for record in found["records"])
        return Description(bytes.fromhex(found["board"]), found["channels"], found["actions"], records)
    return None


def _trace(item: Any) -> Trace:
    data = bytes.fromhex(item["bytes"]) if item["bytes"] is not None else item["text"].encode()
    return Trace(
        TraceKind(item["kind"]), item["monotonic_us"] / 1e6, datetime.fromisoformat(item["time"]).timestamp(), data
    )


def from_port(url: str, *, baud: int | None, clock: Clock = time) -> Iterator[Batch]:
    """What passes on a port while it is spoken to as a gateway would, but for commands. Never ends; raises LinkError.
    Opening may reset the board."""
    traces: list[Trace] = []
    wake = Wake()
    try:
        port = open_port(url, baud=baud or DEFAULT_BAUD, wake=wake, tap=traces.append, clock=clock)
        try:
            traits = port.traits
            plan = connect_plan(baud=baud, answers_at_once=traits.answers_at_once, fixed_baud=traits.fixed_baud)
            host = _Host(plan, clock=clock)
            while True:
                for event in host.events():
                    match event:
                        case Write(data):
                            port.write(data)
                        case SetBaud(rate):
                            port.set_baud(rate)
                yield Batch(tuple(traces), host.description)
                traces.clear()
                port.wait(host.wait_s())
                host.receive(port.read())
        finally:
            port.close()
    finally:
        wake.close()


class _Host:
    """A session that has the board describe itself and then polls it, again and again."""

    def __init__(self, plan: tuple[Step, ...], *, clock: Clock) -> None:
        self.description: Description | None = None
        self._plan = plan
        self._clock = clock
        self._session = self._new_session()
        self._describing: Procedure[Schema] | None = None
        self._hello: HelloReply | None = None
        self._board_record = b""
        self._groups = 1
        self._group = 0
        self._poll_due_s = 0.0

    def _new_session(self) -> Session:
        return Session(
            self._plan,
            session_id=secrets.randbelow(0xFFFFFF) << 8 | 1 + secrets.randbelow(0xFF),
            terms=lambda: Terms(failsafe_ms=0, epoch=0, unix_time=int(self._clock.time())),
            counters=LinkCounters(),
            patience_s=PATIENCE_S,
            now_s=self._clock.monotonic(),
        )

    def receive(self, data: bytes) -> None:
        """Bytes, or the time that has passed."""
        now_s = self._clock.monotonic()
        self._session.receive(data, now_s)
        self._session.advance(now_s)

    def events(self) -> Iterator[Event]:
        """What is to be written, and what has happened; goes on by itself."""
        while True:
            for event in self._session.events():
                self._take(event)
                yield event
            now_s = self._clock.monotonic()
            if not self._session.idle or self._describing is not None or now_s < self._poll_due_s:
                return
            self._session.send(Poll(self._group), now_s, sends=1)
            self._group = (self._group + 1) % self._groups
            self._poll_due_s = now_s + POLL_S / self._groups

    def wait_s(self) -> float | None:
        """How long nothing is to be done."""
        moments = [self._session.deadline_s]
        if self._session.idle:
            moments.append(self._poll_due_s)
        due = [moment for moment in moments if moment is not None]
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    # ---- the cache that `describe` wants ----

    def get(self, schema_hash: int) -> None:
        """Keeps nothing: all of it is to be seen on the line."""

    def put(self, schema_hash: int, records: Sequence[bytes]) -> None:  # noqa: ARG002
        """The description is complete."""
        assert self._hello is not None, "it was opened before it was described"
        hello = self._hello
        self.description = Description(self._board_record, hello.channels, hello.actions, tuple(records))

    # ---- events ----

    def _take(self, event: Event) -> None:
        match event:
            case Opened(hello):
                self._opened(hello)
            case Unanswered():
                self._session = self._new_session()
            case BoardReset() | SessionLost():
                self._describing = None
            case Answered() | Refused() | TimedOut() if self._describing is not None:
                if isinstance(event, Answered) and isinstance(event.reply, DescribeReply):
                    self._keep(event.reply)
                self._go_on(event)

    def _opened(self, hello: HelloReply) -> None:
        self._hello = hello
        self._groups, self._group = 1, 0
        self._describing = describe(hello, self)
        self._go_on(None)

    def _keep(self, reply: DescribeReply) -> None:
        if reply.kind == RecordKind.BOARD:
            self._board_record = reply.record

    def _go_on(self, exchange: Answered | Refused | TimedOut | None) -> None:
        assert self._describing is not None
        try:
            request = self._describing.send(exchange)
        except StopIteration as done:
            self._describing = None
            self._groups = len(groups(done.value)) or 1
        except (ProcedureFailed, SchemaError):  # it is polled all the same: what it says is to be seen
            self._describing = None
        else:
            assert isinstance(request, Request)
            self._session.send(request.message, self._clock.monotonic())
