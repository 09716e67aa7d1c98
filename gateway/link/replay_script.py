"""What a recording makes a board say, and when: the bytes of a link made into items in the order of their time.

Pure. The exchanges are found by their sequence numbers, as the session did that was recorded; all that answers no
request is kept as it came, noise too.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import median

from gateway.link.recording import Description, Recording
from gateway.link.tap import Trace, TraceKind
from gateway.protocol import messages as m
from gateway.protocol.framing import Deframer, Frame, decode

SILENCE_S = 1.0  # without a sound frame, while requests went out: the board was gone, and not only a frame lost


@dataclass(frozen=True, slots=True)
class Bytes:
    """Text or noise, as it came."""

    at_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Spoken:
    """A frame that answers nothing: an event, or (`stray`) a reply that nobody waited for."""

    at_s: float
    frame: Frame
    stray: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The payload of a HELLO's reply at `at_s`; or of that to a POLL which was asked at `at_s`, `delay_s` later, None
    where it was lost."""

    at_s: float
    type: int
    group: int
    reply: bytes | None = None
    delay_s: float = 0.0


Item = Bytes | Spoken | Answer
RecordKey = tuple[int, int, int]
"""Kind, index and argument, as DESCRIBE asks for a record."""


@dataclass(frozen=True, slots=True)
class Script:
    """Times are seconds on the recording's own clock; it begins at `begin_s` and has nothing to say after `end_s`."""

    items: tuple[Item, ...]
    begin_s: float
    end_s: float
    records: Mapping[RecordKey, bytes]
    delays_s: Mapping[RecordKey, float]
    """How long some of the records took; any other answer took `round_trip_s`, the median."""
    round_trip_s: float
    hello: m.HelloReply | None
    """What a HELLO is answered with before any recorded one: None where the recording knows of no session."""
    in_session: bool
    """It begins in the middle of a session: a HELLO need not wait for a recorded one."""
    stats: bytes | None
    board_id: int | None
    """What SETID was answered with, where the board was blank."""
    streams: bool
    silences: tuple[tuple[float, float], ...] = ()

    def silent(self, at_s: float) -> bool:
        """Whether the board was gone at that time."""
        at = bisect_right(self.silences, (at_s, float("inf"))) - 1
        return at_s > self.end_s or (at >= 0 and at_s < self.silences[at][1])


def script_of(recording: Recording, *, from_s: float = 0.0) -> Script:
    """The script of a recording, or of what is left of it `from_s` after its beginning."""
    traces = recording.traces
    first_s = traces[0].monotonic_s if traces else 0.0
    reading = _Reading()
    for trace in traces:
        reading.take(trace)
    reading.end()
    begin_s = first_s + from_s if from_s else _first_session(traces, reading.items)
    hellos = [(item.at_s, _hello(item)) for item in reading.items if _is_hello(item)]
    before = [hello for at_s, hello in hellos if at_s < begin_s][-1:]
    after = [hello for at_s, hello in hellos if at_s >= begin_s][:1]
    return Script(
        items=tuple(item for item in reading.items if item.at_s >= begin_s),
        begin_s=begin_s,
        end_s=traces[-1].monotonic_s if traces else 0.0,
        records={**_described(recording.description), **reading.records},
        delays_s=reading.delays_s,
        round_trip_s=median(reading.round_trips_s) if reading.round_trips_s else 0.0,
        hello=next(iter([*after, *before]), None) or _hello_of(recording.description),
        in_session=_in_session(traces, begin_s),
        stats=reading.stats,
        board_id=reading.board_id,
        streams=any(isinstance(item, Spoken) and item.frame.type == m.Telemetry.TYPE for item in reading.items),
        silences=tuple(reading.silences),
    )


def _in_session(traces: Iterable[Trace], begin_s: float) -> bool:
    """Whether the port had been open for a while at that time: it may have been opened before the recording began."""
    at_port = (TraceKind.OPENED, TraceKind.CLOSED)
    known = [trace for trace in traces if trace.kind in at_port]
    if begins := [trace.kind for trace in known if trace.monotonic_s < begin_s]:
        return begins[-1] is TraceKind.OPENED
    return not known or known[0].monotonic_s > begin_s


def _is_hello(item: Item) -> bool:
    return isinstance(item, Answer) and item.type == m.Hello.TYPE


def _hello(item: Item) -> m.HelloReply | None:
    assert isinstance(item, Answer)
    return None if item.reply is None else m.HelloReply.from_bytes(item.reply)


def _first_session(traces: Iterable[Trace], items: Iterable[Item]) -> float:
    """When the port was opened on which the first session came about; the beginning, where none did."""
    first_s = next((item.at_s for item in items if _is_hello(item)), None)
    openings = [trace.monotonic_s for trace in traces if trace.kind is TraceKind.OPENED]
    if first_s is not None and (before := [at_s for at_s in openings if at_s <= first_s]):
        return before[-1]
    return next((trace.monotonic_s for trace in traces), 0.0)


def _described(description: Description | None) -> dict[RecordKey, bytes]:
    """A description as DESCRIBE asks for it; what does not fit together is left out."""
    if description is None:
        return {}
    found = {(int(m.RecordKind.BOARD), 0, 0): description.board}
    rest = iter(description.records)
    for index in range(description.channels):
        found[m.RecordKind.CHANNEL, index, 0] = next(rest, b"")
    for index in range(description.actions):
        record = found[m.RecordKind.ACTION, index, 0] = next(rest, b"")
        for argument in range(record[0] if record else 0):
            found[m.RecordKind.ARGUMENT, index, argument] = next(rest, b"")
    return {key: record for key, record in found.items() if record}


def _hello_of(description: Description | None) -> m.HelloReply | None:
    """For a recording that begins in the middle of a session."""
    if description is None:
        return None
    return m.HelloReply(
        version=m.VERSION,
        flags=0,
        mtu=0,
        channels=description.channels,
        actions=description.actions,
        session=0,
        stored_epoch=0,
        started=0,
        done=0,
        result=0,
        resets=0,
        uptime_ms=0,
        schema_hash=m.schema_hash(description.records),
    )


@dataclass(slots=True)
class _Reading:
    """Walks through the traces once."""

    items: list[Item] = field(default_factory=list)
    records: dict[RecordKey, bytes] = field(default_factory=dict)
    delays_s: dict[RecordKey, float] = field(default_factory=dict)
    round_trips_s: list[float] = field(default_factory=list)
    silences: list[tuple[float, float]] = field(default_factory=list)
    stats: bytes | None = None
    board_id: int | None = None
    _requests: Deframer = field(default_factory=Deframer)
    _segment: list[tuple[float, bytes]] = field(default_factory=list)
    _asked: dict[tuple[int, int], tuple[Frame, float, int | None]] = field(default_factory=dict)
    """What waits for its reply, by sequence number and session byte: the request, its time, its place in `items`."""
    _unanswered_s: float | None = None
    _now_s: float = 0.0

    def take(self, trace: Trace) -> None:
        self._now_s = trace.monotonic_s
        match trace.kind:
            case TraceKind.SENT:
                for frame in self._requests.feed(trace.data):
                    if isinstance(frame, Frame):
                        self._ask(frame)
            case TraceKind.RECEIVED:
                self._hear(trace.data)
            case TraceKind.OPENED | TraceKind.CLOSED:
                self._requests = Deframer()
                self._end_segment(b"")
                self._asked.clear()
            case TraceKind.BAUD:
                pass

    def end(self) -> None:
        """Puts all in the order of its time: noise is known to be noise only at its end."""
        self._end_segment(b"")
        self._sign_of_life()
        self.items.sort(key=lambda item: item.at_s)

    def _ask(self, frame: Frame) -> None:
        key = frame.seq, frame.sid
        known = self._asked.get(key)
        if known is not None and known[0] == frame:  # sent again: most likely it is this copy that is answered
            self._asked[key] = frame, self._now_s, known[2]
            return
        if self._unanswered_s is None:
            self._unanswered_s = self._now_s
        place = None
        if frame.type == m.Poll.TYPE and frame.payload:
            place = len(self.items)
            self.items.append(Answer(self._now_s, frame.type, frame.payload[0]))
        self._asked[key] = frame, self._now_s, place

    def _hear(self, data: bytes) -> None:
        first, *others = data.split(b"\0")
        self._segment.append((self._now_s, first))
        for piece in others:
            self._end_segment(b"\0")
            self._segment.append((self._now_s, piece))

    def _end_segment(self, delimiter: bytes) -> None:
        pieces = [piece for piece in self._segment if piece[1]]
        self._segment.clear()
        frame = decode(b"".join(data for _, data in pieces))
        if frame is not None and delimiter:
            self._sign_of_life()
            self._spoken(frame)
        elif pieces:
            self.items += [Bytes(at_s, data) for at_s, data in pieces]
            if delimiter:
                self.items.append(Bytes(self._now_s, delimiter))

    def _sign_of_life(self) -> None:
        since_s, self._unanswered_s = self._unanswered_s, None
        if since_s is not None and self._now_s - since_s > SILENCE_S:
            self.silences.append((since_s, self._now_s))

    def _spoken(self, frame: Frame) -> None:
        if frame.type in m.EVENTS:
            self.items.append(Spoken(self._now_s, frame, stray=False))
            return
        request, asked_s, place = self._asked.pop((frame.seq, frame.sid), (None, 0.0, None))
        if request is None:
            self.items.append(Spoken(self._now_s, frame, stray=True))
        elif frame.type == request.type | m.REPLY:
            self._answered(frame, self._now_s - asked_s, place)

    def _answered(self, frame: Frame, delay_s: float, place: int | None) -> None:
        """A reply of a length that its type never has was no answer."""
        try:
            reply = m.REPLIES[frame.type].from_bytes(frame.payload)
        except (KeyError, m.MessageError):
            return
        match reply:
            case m.HelloReply():  # the same HELLO is asked for seconds; what counts is when it is answered
                self.items.append(Answer(self._now_s, m.Hello.TYPE, 0, frame.payload))
                return
            case m.DescribeReply(kind, index, argument, record):
                self.records[kind, index, argument] = record
                self.delays_s[kind, index, argument] = delay_s
            case m.StatsReply():
                self.stats = frame.payload
            case m.SetIdReply(board_id):
                self.board_id = board_id
            case _ if place is not None:
                asked = self.items[place]
                assert isinstance(asked, Answer)
                self.items[place] = replace(asked, reply=frame.payload, delay_s=delay_s)
        self.round_trips_s.append(delay_s)


def spans(traces: Iterable[Trace]) -> Iterator[tuple[float, float, str]]:
    """Each opening of the port in a recording: when, until when, and which port."""
    opened: tuple[float, str] | None = None
    last_s = 0.0
    for trace in traces:
        if trace.kind is TraceKind.OPENED:
            if opened is not None:
                yield opened[0], last_s, opened[1]
            opened = trace.monotonic_s, trace.text
        elif opened is None:
            opened = trace.monotonic_s, ""
        last_s = trace.monotonic_s
        if trace.kind is TraceKind.CLOSED:
            yield opened[0], last_s, opened[1]
            opened = None
    if opened is not None:
        yield opened[0], last_s, opened[1]
