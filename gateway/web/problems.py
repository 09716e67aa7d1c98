"""Every error answer: RFC 9457 problem documents, made without Flask so that the guard and the server use them too.

`Kind` is the one list of what can go wrong; `type` is its address, `/problems/CODE`, relative to the gateway, where the
same row can be read. Pure; any thread. No traceback, path or other inside of the gateway may get into a problem.
"""

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType

from gateway.errors import (
    BoardOffline,
    Fault,
    GatewayError,
    InvalidCommand,
    JournalError,
    KeyReused,
    NotWritable,
    QueueFull,
    UnknownCommand,
    UnknownTarget,
    WrongState,
)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"
RETRY_OFFLINE_S = 5  # a lost board is looked for every 1 to 30 s
RETRY_SOON_S = 1
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_NONE: Mapping[str, str] = MappingProxyType({})


class Kind(enum.Enum):
    """What can go wrong: code, status, title, and what it means with the cure. Codes never change their meaning."""

    BAD_REQUEST = "bad-request", 400, "Not sound HTTP", "The request can't be read as HTTP/1.1."
    BAD_JSON = (
        "bad-json",
        400,
        "Broken JSON",
        "The body is not one JSON document in UTF-8: a syntax error, a key given twice, NaN or a number too large, "
        "nested too deep, or empty.",
    )
    CROSS_SITE = (
        "cross-site",
        403,
        "Cross-site request refused",
        "A page of another site tried to change something. Only pages of the gateway itself and programs may.",
    )
    NOT_FOUND = "not-found", 404, "No such address", "Nothing is served at this address. Start at /api/v1/info."
    UNKNOWN_BOARD = (
        "unknown-board",
        404,
        "No such board",
        "The configuration has no board of that name; the detail names those it has.",
    )
    UNKNOWN_TARGET = (
        "unknown-target",
        404,
        "No such channel or action",
        "The board's sketch offers no channel or action of that name; the detail names those it offers.",
    )
    UNKNOWN_COMMAND = (
        "unknown-command",
        404,
        "No such command",
        "No command has that id, or it ended so long ago that it was forgotten.",
    )
    METHOD_NOT_ALLOWED = (
        "method-not-allowed",
        405,
        "Method not allowed",
        "The address is right, the method is not; the header Allow names those there are.",
    )
    WRONG_STATE = (
        "wrong-state",
        409,
        "Wrong state",
        "The board or the command is in a state that forbids it: outputs latched by SAFE, or a command that was "
        "already sent or has ended.",
    )
    TOO_LARGE = "too-large", 413, "Body too large", "A body may have at most 64 KiB."
    NOT_JSON = (
        "not-json",
        415,
        "Not JSON",
        "A body must be sent as application/json. With curl: --json instead of -d.",
    )
    HOST_NOT_ALLOWED = (
        "host-not-allowed",
        421,
        "Host not allowed",
        "The name this gateway was asked for is not one of its own; add it to http.allowed_hosts if it is.",
    )
    INVALID = (
        "invalid",
        422,
        "Invalid request",
        "A value, field or query parameter does not fit; `errors` lists everything that is wrong. Nothing was queued.",
    )
    KEY_REUSED = (
        "key-reused",
        422,
        "Idempotency key reused",
        "The Idempotency-Key came with another request in the last 24 hours. Take a new key for each command.",
    )
    NOT_WRITABLE = "not-writable", 422, "Not an output", "The channel can be read but not written. Nothing was queued."
    QUEUE_FULL = (
        "queue-full",
        429,
        "Queue full",
        "As many commands wait for the board as its queue_limit allows. Nothing was queued; try again.",
    )
    HEADERS_TOO_LARGE = (
        "headers-too-large",
        431,
        "Headers too large",
        "The request line and the headers may have 16 KiB together.",
    )
    INTERNAL = (
        "internal",
        500,
        "Internal error",
        "The gateway failed, and its log tells how. That is a defect of the gateway.",
    )
    NOT_IMPLEMENTED = (
        "not-implemented",
        501,
        "Not implemented",
        "The request uses a transfer coding other than chunked.",
    )
    BOARD_OFFLINE = (
        "board-offline",
        503,
        "Board offline",
        "The board can't be reached, or did not confirm in time. Nothing was queued; try again.",
    )
    SCHEMA_UNKNOWN = (
        "schema-unknown",
        503,
        "Not known yet",
        "What the board offers is known only once it has been online; try again.",
    )
    READING_UNFIT = (
        "reading-unfit",
        503,
        "No reading fit for use",
        "The reading is stale or bad, or older than max_age. As JSON and without max_age it can be had all the same.",
    )
    JOURNAL_FAILED = (
        "journal-failed",
        503,
        "Journal failed",
        "The command could not be kept, so it does not run: a full or failing disk. The detail names the file and the "
        "cure; readings go on.",
    )
    NOT_READY = (
        "not-ready",
        503,
        "Not ready",
        "At least one board is neither online nor degraded; the detail names them.",
    )

    def __init__(self, code: str, status: int, title: str, meaning: str) -> None:
        self.code = code
        self.status = status
        self.title = title
        self.meaning = meaning

    @property
    def uri(self) -> str:
        """The problem's `type`: a reference relative to the gateway, the same on every installation."""
        return TYPE_PREFIX + self.code

    @property
    def status_line(self) -> str:
        """Status and phrase as WSGI wants them."""
        return status_line(self.status)


@dataclass(frozen=True, slots=True)
class InputError:
    """One thing wrong with a request: `location` is a path that begins with body, query, header or path."""

    location: tuple[str | int, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One error answer."""

    kind: Kind
    detail: str
    errors: Sequence[InputError] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: _NONE)

    def body(self) -> bytes:
        """The document, and a newline for people at a terminal."""
        document: dict[str, object] = {
            "type": self.kind.uri,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [{"loc": list(error.location), "msg": error.message} for error in self.errors]
        return to_json(document)

    def all_headers(self, body: bytes) -> list[tuple[str, str]]:
        """Every header of the answer that carries `body`."""
        return [
            ("Content-Type", MEDIA_TYPE),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *self.headers.items(),
        ]


class ProblemError(Exception):
    """Raised by views to answer with a problem that is none of the gateway's own exceptions."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def status_line(status: int) -> str:
    """Status and phrase as WSGI wants them, in HTTP's own casing: "202 Accepted"."""
    return f"{status} {HTTPStatus(status).phrase}"


def to_json(document: object) -> bytes:
    """JSON as the gateway answers it: UTF-8, NaN refused, text that UTF-8 can't hold replaced."""
    return _ENCODER.encode(document).encode("utf-8", errors="replace") + b"\n"


def retry_after(seconds: int) -> Mapping[str, str]:
    """The header that tells a client when to try again."""
    return {"Retry-After": str(seconds)}


EXCEPTIONS: Mapping[type[GatewayError], tuple[Kind, Mapping[str, str]]] = MappingProxyType(
    {
        BoardOffline: (Kind.BOARD_OFFLINE, retry_after(RETRY_OFFLINE_S)),
        InvalidCommand: (Kind.INVALID, _NONE),
        JournalError: (Kind.JOURNAL_FAILED, retry_after(RETRY_OFFLINE_S)),
        KeyReused: (Kind.KEY_REUSED, _NONE),
        NotWritable: (Kind.NOT_WRITABLE, _NONE),
        QueueFull: (Kind.QUEUE_FULL, retry_after(RETRY_SOON_S)),
        UnknownCommand: (Kind.UNKNOWN_COMMAND, _NONE),
        UnknownTarget: (Kind.UNKNOWN_TARGET, _NONE),
        WrongState: (Kind.WRONG_STATE, _NONE),
    }
)
"""How the exceptions of the layers below are answered. Any other is a defect: 500."""


def problem_of(error: GatewayError) -> Problem | None:
    """The problem that answers an exception; None for one that no client can cause."""
    row = EXCEPTIONS.get(type(error))
    if row is None:
        return None
    kind, headers = row
    faults: Sequence[Fault] = error.faults if isinstance(error, InvalidCommand) else ()
    errors = [InputError(("body", *fault.location), fault.message) for fault in faults]
    detail = _and_more(errors[0].message, errors) if errors else str(error)
    return Problem(kind, detail, errors, headers)


def invalid(errors: Sequence[InputError]) -> ProblemError:
    """A 422 that lists everything wrong with the input; its detail says the first of it."""
    first = f"{'.'.join(map(str, errors[0].location))}: {errors[0].message}"
    return ProblemError(Problem(Kind.INVALID, _and_more(first, errors), errors))


def _and_more(first: str, errors: Sequence[InputError]) -> str:
    return first if len(errors) == 1 else f"{first}; and {len(errors) - 1} more, see errors"
