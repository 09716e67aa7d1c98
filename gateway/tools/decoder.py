"""What passed on a link, made readable: frames by name and value, text, noise, what befell the port. Pure.

Everything from the wire is a stranger's: whoever prints a line escapes it.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields

from gateway.board.schema import build_schema, groups, unpack_group, unpack_result
from gateway.board.values import publish, raw_size
from gateway.errors import SchemaError
from gateway.link.recording import Description
from gateway.link.tap import Trace, TraceKind
from gateway.model import Argument, Channel, Schema, Value
from gateway.protocol import messages as m
from gateway.protocol.framing import Deframer, Frame, Text
from gateway.protocol.session import TEXT_QUIET_S


class Topic(enum.StrEnum):
    """What a line is about: what filters go by."""

    POLLS = "polls"
    COMMANDS = "commands"
    SESSION = "session"
    LOG = "log"
    ERRORS = "errors"
    LINK = "link"


class Direction(enum.StrEnum):
    """Which way it went."""

    TO_BOARD = "->"
    FROM_BOARD = "<-"
    NEITHER = "--"


TOPICS: Mapping[int, Topic] = {
    **{kind.TYPE: Topic.POLLS for kind in (m.Poll, m.PollReply, m.Stream, m.StreamReply, m.Telemetry, m.Change)},
    **{
        kind.TYPE: Topic.COMMANDS for kind in (m.RunCommand, m.CommandReply, m.Safe, m.SafeReply, m.Clear, m.ClearReply)
    },
    m.Log.TYPE: Topic.LOG,
    m.ErrorReply.TYPE: Topic.ERRORS,
}
"""By TYPE; all others are the session's own."""

NAMES: Mapping[type[m.Message], str] = {
    m.RunCommand: "COMMAND",
    m.CommandReply: "COMMAND",
    m.SetEpoch: "EPOCH",
    m.SetEpochReply: "EPOCH",
    m.SetId: "SETID",
    m.SetIdReply: "SETID",
    m.ErrorReply: "ERROR",
}
"""As PROTOCOL.md calls them, where the class has another name."""

HIDDEN = frozenset({"values", "arguments", "record", "result", "text", "value", "mtu"})
"""Fields that are told in another way, or not worth a place in the line."""


IDENTITIES = frozenset({"session", "epoch", "stored_epoch", "schema_hash", "id"})
"""Fields that are names rather than numbers: shown in hexadecimal, as everywhere else."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to show. `fields` are a message's own, `values` what it says by the board's schema, `wire` the bytes of
    the payload; `text` says all of it for people."""

    time_s: float
    monotonic_s: float
    direction: Direction
    topic: Topic
    what: str
    text: str
    fields: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, Value | None] | None = None
    payload: bytes | None = None


def schema_of(description: Description | None) -> Schema | None:
    """The schema in a description; None where there is none, or it can't be published."""
    if description is None:
        return None
    try:
        return build_schema(
            m.BoardRecord.from_bytes(description.board),
            description.records,
            channels=description.channels,
            actions=description.actions,
            schema_hash=m.schema_hash(description.records),
        )
    except (SchemaError, m.MessageError):
        return None


class Decoder:
    """Reads one link. `schema` may be set whenever more is known."""

    def __init__(self) -> None:
        self.schema: Schema | None = None
        self._sent = Deframer()
        self._received = Deframer()
        self._heard = Trace(TraceKind.RECEIVED, 0.0, 0.0)
        self._asked: dict[tuple[int, int], tuple[float, m.Message]] = {}
        self._values: dict[str, Value | None] = {}

    def decode(self, traces: Iterable[Trace]) -> Iterator[Line]:
        """The lines that these traces complete."""
        for trace in traces:
            if trace.monotonic_s - self._heard.monotonic_s >= TEXT_QUIET_S:
                for text in self._received.quiet():
                    yield self._text(self._heard, text)
            match trace.kind:
                case TraceKind.SENT:
                    yield from self._to_board(trace)
                case TraceKind.RECEIVED:
                    yield from self._from_board(trace)
                case TraceKind.OPENED | TraceKind.CLOSED:
                    self._sent, self._received = Deframer(), Deframer()
                    yield _told(trace, trace.kind.value, trace.text)
                case TraceKind.BAUD:
                    yield _told(trace, "baud", trace.text)

    def _to_board(self, trace: Trace) -> Iterator[Line]:
        found = [piece for piece in self._sent.feed(trace.data) if isinstance(piece, Frame)]
        for frame in found:
            yield self._frame(trace, frame, Direction.TO_BOARD, m.REQUESTS)
        if not found:
            yield Line(
                trace.time_s,
                trace.monotonic_s,
                Direction.TO_BOARD,
                Topic.SESSION,
                "bytes",
                trace.data.hex(" "),
                payload=trace.data,
            )

    def _from_board(self, trace: Trace) -> Iterator[Line]:
        self._heard = trace
        rejected = self._received.rejects.total
        for piece in self._received.feed(trace.data):
            if isinstance(piece, Text):
                yield self._text(trace, piece)
            else:
                table = m.EVENTS if piece.type in m.EVENTS else m.REPLIES
                yield self._frame(trace, piece, Direction.FROM_BOARD, table)
        if spoilt := self._received.rejects.total - rejected:
            text = "bytes that are no frame" + (f", {spoilt} times" if spoilt > 1 else "")
            yield Line(
                trace.time_s,
                trace.monotonic_s,
                Direction.FROM_BOARD,
                Topic.ERRORS,
                "noise",
                text,
                {"rejected": spoilt},
                payload=trace.data,
            )

    def _text(self, trace: Trace, text: Text) -> Line:
        return Line(trace.time_s, trace.monotonic_s, Direction.FROM_BOARD, Topic.LOG, "text", text.line)

    def _frame(self, trace: Trace, frame: Frame, way: Direction, table: Mapping[int, type[m.Message]]) -> Line:
        try:
            message = table[frame.type].from_bytes(frame.payload)
        except (KeyError, m.MessageError):
            what, told = f"type {frame.type:02x}", f"a frame that no message is: {frame.payload.hex(' ')}"
            return Line(trace.time_s, trace.monotonic_s, way, Topic.ERRORS, what, told, payload=frame.payload)
        told, values = self._told(trace, frame, message)
        return Line(
            trace.time_s,
            trace.monotonic_s,
            way,
            TOPICS.get(frame.type, Topic.SESSION),
            _name(type(message)),
            told,
            _numbers(message),
            values,
            frame.payload,
        )

    def _told(self, trace: Trace, frame: Frame, message: m.Message) -> tuple[str, Mapping[str, Value | None] | None]:
        """A message's text and its values."""
        key = frame.seq, frame.sid
        if frame.type in m.REQUESTS:
            self._asked[key] = trace.monotonic_s, message
            asked, took = None, ""
        else:
            asked_s, asked = self._asked.pop(key, (0.0, None)) if frame.type not in m.EVENTS else (0.0, None)
            took = "" if asked is None else f"{(trace.monotonic_s - asked_s) * 1000:.1f} ms"
        text, values = self._said(message, asked)
        return "  ".join(part for part in (took, text) if part), values

    def _said(self, message: m.Message, asked: m.Message | None) -> tuple[str, Mapping[str, Value | None] | None]:
        match message:
            case m.PollReply() | m.Telemetry():
                return self._sampled(message)
            case m.RunCommand():
                text, values = self._commanded(message)
                hold = f", held {message.hold_ms} ms" if message.hold_ms else ""
                return f"{text} (id {message.id}{hold})", values
        return self._worded(message, asked), None

    def _worded(self, message: m.Message, asked: m.Message | None) -> str:
        match message:
            case m.CommandReply():
                return self._outcome(message, asked)
            case m.DescribeReply():
                return _record(message)
            case m.Log():
                return message.text.decode(errors="replace")
            case m.ErrorReply():
                return _refusal(message)
            case m.Describe(kind, index, argument):
                return _which(kind, index, argument)
        shown = {name: f"{number:08x}" if name in IDENTITIES else number for name, number in _numbers(message).items()}
        return ", ".join(f"{name} {number}" for name, number in shown.items())

    def _sampled(self, message: m.PollReply | m.Telemetry) -> tuple[str, Mapping[str, Value | None] | None]:
        """Only what changed since it was told last; all of it is in the values."""
        members = groups(self.schema) if self.schema else ()
        try:
            values = unpack_group(members[message.group], message.values)
        except (IndexError, SchemaError):
            return f"group {message.group}: {message.values.hex(' ')}", None
        units = {channel.name: channel.unit for channel in members[message.group]}
        changed = {name: value for name, value in values.items() if self._values.get(name, self) != value}
        self._values |= values
        told = ", ".join(f"{name} {_shown(value)} {units[name]}".rstrip() for name, value in changed.items())
        same = len(values) - len(changed)
        status = f"status {message.status:#04x}, " if message.status else ""
        return status + (told or "no change") + (f" ({same} as before)" if told and same else ""), values

    def _commanded(self, message: m.RunCommand) -> tuple[str, Mapping[str, Value | None] | None]:
        schema, index = self.schema, message.target & ~m.ACTION_TARGET
        if message.target & m.ACTION_TARGET:
            action = schema.actions[index] if schema and index < len(schema.actions) else None
            name, members = (action.name, action.arguments) if action else (f"action {index}", ())
        else:
            channel = schema.channels[index] if schema and index < len(schema.channels) else None
            name, members = (channel.name, (channel,)) if channel else (f"channel {index}", ())  # type: ignore[assignment]
        values = _unpacked(members, message.arguments)
        if values is None:
            return f"{name} {message.arguments.hex(' ')}", None
        if message.target & m.ACTION_TARGET:
            return f"{name}({', '.join(f'{each} {_shown(value)}' for each, value in values.items())})", values
        return f"{name} = {_shown(values[name])}", values

    def _outcome(self, message: m.CommandReply, asked: m.Message | None) -> str:
        outcomes = {outcome.value: outcome.name.lower() for outcome in m.Outcome}
        text = f"{outcomes.get(message.outcome, message.outcome)} (id {message.id})"
        if message.code:
            text += f", code {message.code}"
        if not message.result:
            return text
        index = asked.target & ~m.ACTION_TARGET if isinstance(asked, m.RunCommand) else -1
        if self.schema is None or not 0 <= index < len(self.schema.actions):
            return f"{text}, result {message.result.hex(' ')}"
        return f"{text}, result {_shown(unpack_result(self.schema.actions[index].returns, message.result))}"


def _refusal(message: m.ErrorReply) -> str:
    """`OUT_OF_RANGE to COMMAND`."""
    codes = {code.value: code.name for code in m.ErrorCode}
    code = codes.get(message.code, f"code {message.code}")
    request = m.REQUESTS.get(message.request_type)
    name = _name(request) if request else f"type {message.request_type:02x}"
    return f"{code} to {name}" + (f", detail {message.detail}" if message.detail else "")


def _name(kind: type[m.Message]) -> str:
    return NAMES.get(kind, kind.__name__.removesuffix("Reply").upper())


def _record(message: m.DescribeReply) -> str:
    """`channel 3 a3`: which record, and its names."""
    which = _which(message.kind, message.index, message.argument)
    try:
        record = m.RECORDS[m.RecordKind(message.kind)].from_bytes(message.record)
    except ValueError:  # a kind that there is not, or no record of it
        return f"{which}: {message.record.hex(' ')}"
    names = [getattr(record, each) for each in record.FIELDS[-record.STRINGS :]]
    return f"{which}: {', '.join(filter(None, names))}"


def _which(kind: int, index: int, argument: int) -> str:
    """`channel 3`, `argument 1.0`."""
    try:
        known = m.RecordKind(kind)
    except ValueError:
        return f"kind {kind} {index}"
    number = {m.RecordKind.BOARD: "", m.RecordKind.ARGUMENT: f" {index}.{argument}"}.get(known, f" {index}")
    return known.name.lower() + number


def _told(trace: Trace, what: str, text: str) -> Line:
    return Line(trace.time_s, trace.monotonic_s, Direction.NEITHER, Topic.LINK, what, text)


def _numbers(message: m.Message) -> dict[str, int]:
    found = {each.name: getattr(message, each.name) for each in fields(message)}
    return {name: value for name, value in found.items() if name not in HIDDEN and isinstance(value, int)}


def _unpacked(members: Iterable[Channel | Argument], data: bytes) -> dict[str, Value | None] | None:
    """Values by name; None where the bytes are not exactly theirs, or nobody knows whose."""
    values: dict[str, Value | None] = {}
    at = 0
    known = tuple(members)
    for member in known:
        end = at + raw_size(member)
        if end > len(data):
            return None
        values[member.name] = publish(member.type, member.scale, raw=data[at:end])
        at = end
    return values if at == len(data) and (known or not data) else None


def _shown(value: Value | None) -> str:
    match value:
        case None:
            return "bad"
        case bool():
            return str(value).lower()
        case str():
            return repr(value)
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
