"""pydantic models of what goes in and out: bodies and queries are checked with them; answers are documented by them,
and held against them in the tests. No answer is built from a model: views write plain dictionaries, which are faster.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    WithJsonSchema,
)

from gateway.board.commands import EXPIRES_MS, EXPIRES_OFFLINE_MS
from gateway.board.names import unknown
from gateway.link.tap import TraceKind
from gateway.model import BoardState, CommandOrigin, CommandState, FailsafeCause, Mode, Quality, Reason, Severity
from gateway.store.history import LENGTH as HISTORY_LENGTH
from gateway.web.inputs import NO_ALTERNATIVE, Count, Input, Seconds, Since, WaitSeconds, Whole, at_least, at_most

MAX_EXPIRES_MS = 86_400_000  # one day
MAX_HOLD_MS = 65_535  # 16 bits on the wire
MIN_RELEASE_S, MAX_RELEASE_S = 1.0, 3600.0
MAX_ARGUMENTS = 16  # no action has more than 4; the rest is room for telling which are wrong
MAX_PAGE = 1_000
DEFAULT_PAGE = 100
CURSOR_PATTERN = "[0-9a-f]{24}"  # a command's id

Scalar = bool | int | float | str
Time = Annotated[datetime, Field(description="RFC 3339, UTC, milliseconds.")]


# ---- in ----


class MaxAge(Input):
    """How old a reading may be."""

    max_age: Seconds | None = Field(default=None, description="Answer 503 rather than with a value older than this.")


class Wait(Input):
    """How long to wait for a command."""

    wait: WaitSeconds | None = Field(default=None, description="Wait so long for the command to end, 30s at most.")


class Write(Wait):
    """How to write an output by PUT."""

    hold: Annotated[Seconds, AfterValidator(at_most(MAX_HOLD_MS / 1000))] | None = Field(
        default=None, description="The board returns the output to its safe value after this, 65.535s at most."
    )


def _given_cursor(cursor: str) -> str:
    if not re.fullmatch(CURSOR_PATTERN, cursor):
        raise ValueError("not a cursor of this list; take the next_cursor of the page before")
    return cursor


def _states(value: object) -> frozenset[CommandState]:
    names = str(value).split(",")
    for name in names:
        if name not in list(CommandState):
            raise ValueError(unknown("state", name, known=list(CommandState)))
    return frozenset(map(CommandState, names))


class Page(Input):
    """Which part of a list of commands."""

    state: (
        Annotated[
            frozenset[CommandState],
            BeforeValidator(_states),
            WithJsonSchema({"type": "string", "examples": ["queued,sent"]}),
        ]
        | None
    ) = Field(default=None, description="Only commands in these states, separated by commas.")

    cursor: Annotated[str, AfterValidator(_given_cursor)] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )
    limit: Annotated[Count, Field(ge=1, le=MAX_PAGE)] = Field(
        default=DEFAULT_PAGE, description="At most so many items."
    )


class Release(Input):
    """What a board's port is let go for."""

    state: Literal["released", "flashing"] = Field(default="released", description="What the board shows meanwhile.")
    for_s: (
        Annotated[Seconds, AfterValidator(at_least(MIN_RELEASE_S)), AfterValidator(at_most(MAX_RELEASE_S))] | None
    ) = Field(default=None, alias="for", description="Take the port back by itself after this, 1s to 1h.")


class Passed(Wait):
    """Which of the traffic in memory."""

    after: Count = Field(default=0, description="`next_after` of the answer before; 0 for all that is in memory.")
    limit: Annotated[Count, Field(ge=1, le=MAX_PAGE)] = Field(
        default=MAX_PAGE, description="The oldest so many of them."
    )


class Recent(Input):
    """Which of the samples in memory."""

    since: Since | None = Field(
        default=None, description="Those sampled later than this moment, or within this duration; all where not given."
    )
    limit: Annotated[Count, Field(ge=1, le=HISTORY_LENGTH)] = Field(
        default=HISTORY_LENGTH, description="The newest so many of them."
    )


class _Command(Input):
    hold_ms: Annotated[Whole, Field(ge=0, le=MAX_HOLD_MS)] = Field(
        default=0, description="The board returns the output to its safe value after this; 0 for no hold."
    )
    expires_in_ms: Annotated[Whole, Field(ge=1, le=MAX_EXPIRES_MS)] | None = Field(
        default=None,
        description=f"The command may begin no later than this after it was accepted; {EXPIRES_MS} by default, "
        f"{EXPIRES_OFFLINE_MS} where it may wait for its board.",
    )
    when_offline: Literal["refuse", "queue"] = Field(
        default="refuse", description="What to do while the board is away: answer 503, or wait for it."
    )


class WriteCommand(_Command):
    """Write an output."""

    channel: str
    value: JsonValue = Field(description="As the channel's schema says.")


class RunCommand(_Command):
    """Run an action."""

    action: str
    arguments: Annotated[dict[str, JsonValue], Field(max_length=MAX_ARGUMENTS)] = Field(
        default_factory=dict, description="As the action's schema says."
    )


WRITE, RUN = "write", "run"
_BY_FIELD = {"channel": WRITE, "action": RUN, "arguments": RUN, "value": WRITE}


def _alternative(body: object) -> str | None:
    """The first of these fields tells which of the two is meant; none of them, neither."""
    if not isinstance(body, dict):
        return WRITE
    return next((tag for field, tag in _BY_FIELD.items() if field in body), None)


CommandBody = Annotated[
    Annotated[WriteCommand, Tag(WRITE)] | Annotated[RunCommand, Tag(RUN)],
    Discriminator(
        _alternative,
        custom_error_type=NO_ALTERNATIVE,
        custom_error_message="a channel with its value, or an action, is needed",
    ),
]
"""Told apart by their keys, so that errors speak of one of the two only."""


# ---- out ----


class Output(BaseModel):
    """Exactly these fields, of exactly these types."""

    model_config = ConfigDict(extra="forbid")


class InfoAnswer(Output):
    """The gateway itself. `start_id` is new with each start."""

    version: str
    start_id: str
    started_at: Time
    features: list[str]


class SketchAnswer(Output):
    """What runs on the board; `schema` changes with what it offers."""

    name: str
    version: str
    schema_hash: str = Field(alias="schema", pattern="^[0-9a-f]{8}$")


class FailsafeAnswer(Output):
    """Whether outputs are latched at their safe values, and by what: host silence or a person's SAFE."""

    latched: bool
    cause: FailsafeCause | None


class ClockAnswer(Output):
    """The board's clock against the host's: how much faster it runs, and how far a moment told by it may be off."""

    rate_ppm: float
    rate_error_ppm: float
    error_ms: float


class VitalsAnswer(Output):
    """What the board counts itself since it began, asked for every 10 s."""

    frames_received: int
    frames_rejected: int
    overruns: int
    loop_max_ms: float
    free_ram: int


class BoardAnswer(Output):
    """One board's link and identity; null for what is not known (yet)."""

    name: str
    virtual: bool
    state: BoardState
    reason: Reason | None
    detail: str | None
    mode: Mode
    port: str
    model: str | None
    board_id: str | None
    sketch: SketchAnswer | None
    failsafe: FailsafeAnswer
    resets: int
    round_trip_ms: float | None
    clock: ClockAnswer | None
    vitals: VitalsAnswer | None
    counters: dict[str, int]


class BoardsAnswer(Output):
    """All boards, in the order of the configuration."""

    items: list[BoardAnswer]
    next_cursor: None


class ReadingAnswer(Output):
    """A channel's value: null exactly while its quality is bad."""

    value: Scalar | None
    unit: str
    quality: Quality
    sampled_at: Time | None
    age_ms: int | None


class OneReadingAnswer(ReadingAnswer):
    """One reading by itself."""

    board: str
    virtual: bool
    channel: str


class SnapshotAnswer(Output):
    """All readings of a board at one moment; `sampled_at` and `age_ms` are those of the oldest of them."""

    board: str
    virtual: bool
    state: BoardState
    sequence: int
    sampled_at: Time | None
    age_ms: int | None
    readings: dict[str, ReadingAnswer]


class SampleAnswer(Output):
    """One sample; null for a value that was bad."""

    sampled_at: Time
    value: Scalar | None


class HistoryAnswer(Output):
    """Recent samples of one channel, oldest first; what was not sampled is not there."""

    board: str
    virtual: bool
    channel: str
    unit: str
    items: list[SampleAnswer]
    next_cursor: None


class ChannelAnswer(Output):
    """One named value of a board; `schema` is the JSON Schema of its value."""

    name: str
    unit: str
    type: Literal["bool", "u8", "i8", "u16", "i16", "u32", "i32", "f32", "text"]
    readable: bool
    writable: bool
    idempotent: bool
    hold_required: bool
    safe: Scalar | None
    value_schema: dict[str, Any] = Field(alias="schema")


class ChannelsAnswer(Output):
    """Everything that can be read or written."""

    items: list[ChannelAnswer]
    next_cursor: None


class ActionAnswer(Output):
    """A named operation; `arguments` and `returns` are JSON Schemas, null for no result."""

    name: str
    doc: str
    arguments: dict[str, Any]
    returns: dict[str, Any] | None


class ActionsAnswer(Output):
    """Everything that can be run."""

    items: list[ActionAnswer]
    next_cursor: None


class CommandErrorAnswer(Output):
    """Why a command did not end as done."""

    code: str
    detail: str


class CommandAnswer(Output):
    """One command as it stands; it has either `channel` and `value` or `action` and `arguments`."""

    id: str
    board: str
    virtual: bool
    channel: str | None = None
    value: Scalar | None = None
    action: str | None = None
    arguments: Mapping[str, Scalar] | None = None
    hold_ms: int
    origin: CommandOrigin
    state: CommandState
    result: Scalar | None
    error: CommandErrorAnswer | None
    created_at: Time
    sent_at: Time | None
    finished_at: Time | None
    expires_at: Time


class CommandsAnswer(Output):
    """Commands, newest first."""

    items: list[CommandAnswer]
    next_cursor: str | None


class LogEntryAnswer(Output):
    """A line the board printed (`text`) or something that befell its link (`link`)."""

    time: Time
    kind: str
    message: str


class LogAnswer(Output):
    """The newest entries, oldest first."""

    items: list[LogEntryAnswer]
    next_cursor: None


class FindingAnswer(Output):
    """One thing that was found."""

    code: str
    severity: Severity
    seen: str
    meaning: str
    cure: str


class DiagnosisAnswer(Output):
    """What is wrong with a board, worst first; `summary` has its figures. Notes alone are healthy."""

    board: str
    healthy: bool
    summary: str
    findings: list[FindingAnswer]


class TraceAnswer(Output):
    """One thing that happened on a link: `bytes` (hexadecimal) were sent or received; or `text` is the port that was
    opened, the rate that was set, or why the port was closed."""

    kind: TraceKind
    time: Time
    monotonic_us: int
    bytes: str | None
    text: str | None


class TrafficAnswer(Output):
    """What passed, oldest first. `missed` is how much came before and is gone, null where `after` is not of this life
    of the gateway."""

    board: str
    virtual: bool
    items: list[TraceAnswer]
    next_after: int
    missed: int | None


class DescriptionAnswer(Output):
    """The records of DESCRIBE in hexadecimal: the board's, then those of its channels and actions."""

    board: str
    channels: int
    actions: int
    records: list[str]


class HealthAnswer(Output):
    """The process is alive."""

    status: Literal["ok"]


class ReadyAnswer(Output):
    """Every board that should be is there; by name the state of each."""

    status: Literal["ready"]
    boards: dict[str, BoardState]


class ProblemKindAnswer(Output):
    """What a problem's `type` means."""

    type: str
    title: str
    status: int
    detail: str
