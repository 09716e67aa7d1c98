"""What a session tells the owner of its link: bytes to write, and what has happened. Frozen values, no behaviour."""

from dataclasses import dataclass

from gateway.model import Reason
from gateway.protocol.messages import ErrorReply, HelloReply, Message


@dataclass(frozen=True, slots=True)
class Write:
    """These bytes are to be written, in order with `SetBaud`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SetBaud:
    """The port is to change its rate before anything else is written."""

    baud: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A session stands; `baud` is the rate at which the board answered."""

    hello: HelloReply
    baud: int


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No session came about; `detail` says what was seen instead."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The outstanding request's reply. `sent_s` is when it was first sent; `round_trip_s` is None where it was sent
    more than once, since nobody knows which copy was answered (Karn's rule)."""

    request: Message
    reply: Message
    sent_s: float
    round_trip_s: float | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The board answered the outstanding request with ERROR."""

    request: Message
    error: ErrorReply


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The outstanding request was not answered, however often it was sent."""

    request: Message


@dataclass(frozen=True, slots=True)
class BoardReset:
    """The board began anew in the middle of a session; a new HELLO is on its way."""


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The board knows nothing of our session though it sent no BOOT: reset unseen, or another writer."""


@dataclass(frozen=True, slots=True)
class LineReceived:
    """A line of text that the sketch printed."""

    line: str


@dataclass(frozen=True, slots=True)
class EventReceived:
    """CHANGE, TELEMETRY or LOG; `seq` is the event's number, which all kinds share."""

    seq: int
    message: Message


Exchange = Answered | Refused | TimedOut
Event = Write | SetBaud | Opened | Unanswered | Exchange | BoardReset | SessionLost | LineReceived | EventReceived
