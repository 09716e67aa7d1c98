"""The exceptions of the gateway: one small tree, no HTTP in it. `web/problems.py` maps it to answers.

Noise on the line is data and is counted; only misuse and refusals are exceptions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.model import Reason


class GatewayError(Exception):
    """Base of all that the gateway raises on purpose; its text is a sentence for people."""


class ConfigError(GatewayError):
    """The configuration can't be used. `problems` holds every fault found, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class LinkError(GatewayError):
    """A port can't be opened, or an open one is lost. `reason` is a stable code, the text names the cure."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class SchemaError(GatewayError):
    """A board describes itself in a way that can't be published; the text names record and fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request: where (`location`, a path of keys) and what, with the nearest right name."""

    location: tuple[str | int, ...]
    message: str


class RequestError(GatewayError):
    """A request for a board was refused before anything reached the wire."""


class InvalidCommand(RequestError):
    """The command does not fit the board's schema. `faults` lists everything wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = tuple(faults)


class UnknownTarget(RequestError):
    """The board has no such channel or action; the text names those there are."""


class NotWritable(RequestError):
    """The channel is a reading only."""


class BoardOffline(RequestError):
    """The board is not there to take it; nothing was queued. The text carries the board's state and detail."""


class WrongState(RequestError):
    """The board or the command is in a state that forbids it (SAFE latched, already sent, released)."""


class QueueFull(RequestError):
    """The bounded command queue is full."""


class KeyReused(RequestError):
    """The idempotency key came before, with another request."""


class UnknownCommand(RequestError):
    """No command of that id."""


class JournalError(GatewayError):
    """The journal can't keep a command; nothing was sent."""


class KeyTaken(GatewayError):
    """A command is kept under this idempotency key already; this one was not kept."""
