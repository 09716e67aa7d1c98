"""Procedures: what the host does over several exchanges, written as coroutines that read from top to bottom.

A procedure yields a `Request` and gets back how its exchange ended, or yields a `Within` and goes on when its future is
done or its time is over. It runs in the board thread; a session drives one at a time. Closing it abandons it between
two exchanges.
"""

from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.errors import GatewayError
from gateway.protocol.events import Answered, Exchange, Refused
from gateway.protocol.messages import ErrorCode, Message
from gateway.protocol.session import SENDS

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """A message to send, at most `sends` times and not again after the monotonic second `not_after_s`."""

    message: Message
    sends: int = SENDS
    not_after_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class Within:
    """Something that other threads do, waited for so long at most."""

    future: Future[Any]
    timeout_s: float


Procedure = Generator[Request | Within, Exchange | None, T]


class ProcedureFailed(GatewayError):
    """An exchange that a procedure can't do without was refused or timed out; the session has to begin anew."""


class BeginAgain(GatewayError):
    """Nothing failed, but what HELLO told is no longer the whole truth; the session has to begin anew."""


def answer_to(message: Message) -> Procedure[Message]:
    """One exchange that must succeed: gives the reply or raises ProcedureFailed."""
    exchange = yield Request(message)
    if isinstance(exchange, Answered):
        return exchange.reply
    why = error_name(exchange.error.code) if isinstance(exchange, Refused) else "no answer"
    raise ProcedureFailed(f"{type(message).__name__}: {why}")


def kept(future: Future[T], *, within_s: float) -> Procedure[bool]:
    """Waits without holding up the board thread; False where it failed or is not done in time."""
    if not future.done():
        yield Within(future, within_s)
    return future.done() and future.exception() is None


def error_name(code: int) -> str:
    """The name users see of a code in an ERROR reply or in a board's record: `out_of_range`, or `code 64` for a
    sketch's own."""
    try:
        return ErrorCode(code).name.lower()
    except ValueError:
        return f"code_{code}"
