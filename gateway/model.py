"""Frozen values that every layer shares: what a board offers, what was read, what was asked.

Standard library only; immutable, so any thread may keep and read them. Nothing here does I/O or looks at a clock.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

Value = bool | int | float | str
"""A published value: scaled, in the channel's unit. `None` stands for unknown."""


class Clock(Protocol):
    """The two clocks that the gateway reads; the standard `time` module is one."""

    def monotonic(self) -> float:
        """Seconds that never step: the source of every age and deadline."""
        ...

    def time(self) -> float:
        """Unix time in seconds: for timestamps only, never for a decision."""
        ...


class ValueType(enum.IntEnum):
    """Wire types of channels, arguments and results (PROTOCOL.md, "What a board offers")."""

    BOOL = 0
    U8 = 1
    I8 = 2
    U16 = 3
    I16 = 4
    U32 = 5
    I32 = 6
    F32 = 7
    TEXT = 8
    NONE = 255


@dataclass(frozen=True, slots=True)
class Channel:
    """One named value of a board. `minimum`, `maximum` and `safe` are published (scaled) values; for text
    `minimum` is 0 and `maximum` is the capacity in bytes. `safe` is None where the board declares none."""

    index: int
    name: str
    unit: str
    type: ValueType
    scale: int
    minimum: float
    maximum: float
    safe: Value | None
    readable: bool
    writable: bool
    idempotent: bool
    hold_required: bool


@dataclass(frozen=True, slots=True)
class Argument:
    """One typed argument of an action; limits are published (scaled) values."""

    name: str
    unit: str
    type: ValueType
    scale: int
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Action:
    """A named operation of a board with 0 to 4 arguments and a result of type `returns` (NONE: no result)."""

    index: int
    name: str
    doc: str
    arguments: tuple[Argument, ...]
    returns: ValueType


@dataclass(frozen=True, slots=True)
class Sketch:
    """What runs on the board, as the board says it; `schema_hash` is FNV-1a 32 over its records."""

    name: str
    version: str
    schema_hash: int


@dataclass(frozen=True, slots=True)
class Schema:
    """Everything a board said about itself. `unique_id` is empty where the board has none."""

    model: str
    unique_id: str
    sketch: Sketch
    channels: tuple[Channel, ...]
    actions: tuple[Action, ...]

    def channel(self, name: str) -> Channel | None:
        """The channel of that name, or None."""
        return next((channel for channel in self.channels if channel.name == name), None)

    def action(self, name: str) -> Action | None:
        """The action of that name, or None."""
        return next((action for action in self.actions if action.name == name), None)


class BoardState(enum.StrEnum):
    """Link state of a board, as users see it."""

    CONNECTING = "connecting"
    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"
    FLASHING = "flashing"
    RELEASED = "released"


class Mode(enum.StrEnum):
    """How readings are fetched: the gateway asks for each, or the board sends them by itself."""

    POLL = "poll"
    STREAM = "stream"


class Reason(enum.StrEnum):
    """Why a board is not online: stable codes that users script against."""

    PORT_MISSING = "port_missing"
    PORT_BUSY = "port_busy"
    PERMISSION_DENIED = "permission_denied"
    PORT_AMBIGUOUS = "port_ambiguous"
    NO_ANSWER = "no_answer"
    WRONG_BAUD = "wrong_baud"
    WRONG_SKETCH = "wrong_sketch"
    WRONG_VERSION = "wrong_version"
    WRONG_BOARD = "wrong_board"
    SCHEMA_REFUSED = "schema_refused"


class FailsafeCause(enum.StrEnum):
    """Why outputs are latched at their safe values: host silence, or a person's SAFE."""

    LINK = "link"
    SAFE = "safe"


class Quality(enum.StrEnum):
    """How far a reading may be trusted."""

    GOOD = "good"
    STALE = "stale"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """A board's clock against the host's: how much faster it runs, and how far a moment told by it may be off. Each
    error is a bound."""

    rate_ppm: float
    rate_error_ppm: float
    error_s: float


@dataclass(frozen=True, slots=True)
class LineHealth:
    """Frames of the last `span_s` seconds, counted at the ends where they arrive: here and at the board."""

    frames_here: int
    rejected_here: int
    frames_there: int
    rejected_there: int
    span_s: float

    @property
    def frames(self) -> int:
        """Both ways, damaged ones too."""
        return self.frames_here + self.frames_there

    @property
    def rejected(self) -> int:
        """Damaged, both ways."""
        return self.rejected_here + self.rejected_there


@dataclass(frozen=True, slots=True)
class BoardVitals:
    """What a board counts itself since it began: frames by what became of them, and segments too long for one, each
    modulo 65 536; its longest time between two looks at the line; and its free memory in bytes, 0 where it can't tell.
    `line` is made of two such answers and more."""

    frames_received: int
    frames_rejected: int
    overruns: int
    loop_max_s: float
    free_ram: int
    line: LineHealth | None = None


@dataclass(frozen=True, slots=True)
class BoardStatus:
    """One board's link and identity at one moment. `detail` says what was seen and the cure; `mode` is the one in
    force; `counters` are link health counters by name; `failsafe` is None while outputs are free, `clock` until enough
    is known of it."""

    board: str
    virtual: bool
    port: str
    state: BoardState = BoardState.CONNECTING
    reason: Reason | None = None
    detail: str | None = None
    mode: Mode = Mode.POLL
    schema: Schema | None = None
    failsafe: FailsafeCause | None = None
    resets: int = 0
    resets_at: tuple[float, ...] = ()
    round_trip_s: float | None = None
    clock: ClockEstimate | None = None
    vitals: BoardVitals | None = None
    counters: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


class Severity(enum.StrEnum):
    """How much a finding matters: it keeps the board from working, it may, or it is good to know."""

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a diagnosis found: a stable code, what was seen, what that means, and what mends it, a command
    where there is one."""

    code: str
    severity: Severity
    seen: str
    meaning: str
    cure: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a board, worst first; `summary` is one sentence with its figures. Notes alone are healthy."""

    board: str
    summary: str
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Nothing asks for anything to be done."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled value. Both times are a moment that was certainly not after its sampling, so an age made from them
    never flatters. `value` is None where the board gave NaN or left the declared range."""

    value: Value | None
    monotonic_s: float
    time_s: float


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line that the board printed (`kind` "text") or a link event ("link"); control characters are escaped."""

    time_s: float
    kind: str
    message: str


class CommandState(enum.StrEnum):
    """Life of a command; the last five are final and never change."""

    QUEUED = "queued"
    SENT = "sent"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """True for a state that never changes again."""
        return self not in (CommandState.QUEUED, CommandState.SENT)


class CommandOrigin(enum.StrEnum):
    """Who asked for a command: a client over HTTP, or the configuration's `on_connect`."""

    CLIENT = "client"
    ON_CONNECT = "on_connect"


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What a client calls one request by, so that asking again does not command again. `client` is whose key it is,
    `fingerprint` tells whether another request comes under the same key."""

    client: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class CommandError:
    """Why a command did not end as `done`: a stable code and a sentence for people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Command:
    """One request to write an output (`value`) or to run an action (`arguments`), as it stands now.

    `target`, `payload` and `schema_hash` are what goes on the wire, resolved against the schema the request was
    checked with; `wire_id` is allotted when the row is committed as sent. Times `..._at` are Unix seconds for people;
    `deadline_s` is the monotonic second after which the command may no longer begin (for a held command the sooner of
    deadline and hold).
    """

    id: str
    board: str
    virtual: bool
    target: int
    payload: bytes
    schema_hash: int
    hold_ms: int
    created_at: float
    expires_at: float
    deadline_s: float
    channel: str | None = None
    value: Value | None = None
    action: str | None = None
    arguments: Mapping[str, Value] | None = None
    returns: ValueType = ValueType.NONE
    origin: CommandOrigin = CommandOrigin.CLIENT
    state: CommandState = CommandState.QUEUED
    wire_id: int | None = None
    result: Value | None = None
    error: CommandError | None = None
    sent_at: float | None = None
    finished_at: float | None = None
