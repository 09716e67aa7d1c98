"""Asks a board who it is: opens its port, says HELLO, and has it describe itself. For commands that serve nothing.

The caller's thread. Opening may reset the board, as with every program.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.board.describe import describe
from gateway.board.procedure import ProcedureFailed
from gateway.errors import SchemaError
from gateway.link.serial_port import SerialPort, open_port
from gateway.link.wake import Wake
from gateway.model import Clock, Reason, Schema
from gateway.protocol.connect import DEFAULT_BAUD, connect_plan
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
from gateway.protocol.messages import HelloReply
from gateway.protocol.session import LinkCounters, Session, Terms

ATTEMPTS = 3  # of one conversation; a board may reset in the middle of it
PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a board said: its schema, and at which rate; or, with `schema` None, why not (`reason`, `detail`)."""

    schema: Schema | None = None
    baud: int | None = None
    reason: Reason | None = None
    detail: str | None = None


class _NoRecords:
    """A cache of descriptions that keeps none: whoever asks once has no use for it."""

    def get(self, schema_hash: int) -> tuple[bytes, ...] | None:  # noqa: ARG002
        return None

    def put(self, schema_hash: int, records: Sequence[bytes]) -> None:
        """Keeps nothing."""


def introduce(url: str, *, baud: int | None, curious: bool = False, clock: Clock = time) -> Introduction:
    """Who the board at this port is; `baud` None tries the usual rates. With `curious` a board that does not answer is
    asked for the name of another firmware. Raises LinkError where the port is lost or can't be opened."""
    wake = Wake()
    try:
        port = open_port(url, baud=baud or DEFAULT_BAUD, wake=wake, clock=clock)
        try:
            return _Conversation(port, baud=baud, curious=curious, clock=clock).run()
        finally:
            port.close()
    finally:
        wake.close()


class _Conversation:
    """One session on one open port."""

    def __init__(self, port: SerialPort, *, baud: int | None, curious: bool, clock: Clock) -> None:
        self._port = port
        self._clock = clock
        traits = port.traits
        self._session = Session(
            connect_plan(
                baud=baud, answers_at_once=traits.answers_at_once, fixed_baud=traits.fixed_baud, curious=curious
            ),
            session_id=secrets.randbelow(0xFFFFFF) << 8 | 1,
            terms=lambda: Terms(failsafe_ms=0, epoch=0, unix_time=int(clock.time())),
            counters=LinkCounters(),
            patience_s=PATIENCE_S,
            now_s=clock.monotonic(),
        )

    def run(self) -> Introduction:
        """Until the board has told all, or it is clear that it will not."""
        failure = "its session was lost again and again"
        for _ in range(ATTEMPTS):
            opened = self._next(Opened, Unanswered)
            if isinstance(opened, Unanswered):
                return Introduction(reason=opened.reason, detail=opened.detail)
            assert isinstance(opened, Opened)
            try:
                return Introduction(schema=self._describe(opened.hello), baud=opened.baud)
            except SchemaError as error:
                return Introduction(reason=Reason.SCHEMA_REFUSED, detail=str(error))
            except ProcedureFailed as error:
                failure = str(error)
            self._session.renew(self._clock.monotonic())
        return Introduction(reason=Reason.NO_ANSWER, detail=f"the board says HELLO and then fails: {failure}")

    def _describe(self, hello: HelloReply) -> Schema:
        procedure = describe(hello, _NoRecords())
        exchange = None
        try:
            while True:
                request = procedure.send(exchange)
                self._session.send(request.message, self._clock.monotonic())  # type: ignore[union-attr]
                event = self._next(Answered, Refused, TimedOut, BoardReset, SessionLost)
                if not isinstance(event, Answered | Refused | TimedOut):
                    raise ProcedureFailed("the board was reset meanwhile")
                exchange = event
        except StopIteration as done:
            schema: Schema = done.value
            return schema

    def _next(self, *kinds: type[Event]) -> Event:
        """The next event of these kinds; what is to be written before it is written."""
        while True:
            for event in self._session.events():
                match event:
                    case Write(data):
                        self._port.write(data)
                    case SetBaud(baud):
                        self._port.set_baud(baud)
                    case _ if isinstance(event, kinds):
                        return event
            self._wait()

    def _wait(self) -> None:
        now_s = self._clock.monotonic()
        deadline_s = self._session.deadline_s
        self._port.wait(None if deadline_s is None else max(0.0, deadline_s - now_s))
        now_s = self._clock.monotonic()
        self._session.receive(self._port.read(), now_s)
        self._session.advance(now_s)
