"""The board's side of the link protocol, from a sketch's begin to its end. Twin of the firmware's Session: one request
in, one answer out, and what happens with time. Pure: time is what the board says it is.

The conversations under tests/vectors hold both to the same answers.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.link.virtual_commands import Commands
from gateway.link.virtual_outputs import Outputs
from gateway.link.virtual_record import Record
from gateway.link.virtual_table import FREE_RAM_BYTES, BoardTable, Refused
from gateway.protocol import messages as m
from gateway.protocol.framing import MAX_PAYLOAD, MAX_SEGMENT, Frame, decode, encode
from gateway.protocol.messages import ErrorCode, HelloFlag, PollStatus, RecordKind

BOOT_REPEAT_US = 200_000  # BOOT is said again, unless a HELLO was answered by then
SLOW_LOOP_US = 50_000  # a poll later than that is told by a status bit
LEASE_UNIT_US = 100_000  # of a STREAM request's lease
UNREAD_BYTES = 4096  # what a host's port keeps for a program that is late; a stream must not outgrow its reader


@dataclass(slots=True)
class Port:
    """The board's end of the link."""

    sent: bytearray = field(default_factory=bytearray)
    has_room: bool = True
    """Whether an event could be sent without blocking, as long as somebody reads."""

    @property
    def takes_events(self) -> bool:
        """Whether one can be sent now."""
        return self.has_room and len(self.sent) < UNREAD_BYTES


@dataclass(slots=True)
class Memory:
    """What a board keeps: the record through a reset, its id for good."""

    record: Record = field(default_factory=Record)
    board_id: int = 0
    """0 = blank."""


@dataclass(slots=True)
class Lease:
    """A running STREAM. Times are microseconds since the sketch began."""

    group: int
    """As asked for."""
    next_group: int
    period_us: int
    next_us: int
    end_us: int


class Decoder:
    """Makes frames of bytes. Noise is counted, never answered."""

    def __init__(self) -> None:
        self.rejected = 0  # segments that were no frame
        self.overlong = 0  # segments longer than any frame
        self._segment = bytearray()

    def take(self, byte: int) -> Frame | None:
        """The frame that this byte completes."""
        if byte:
            if len(self._segment) <= MAX_SEGMENT:  # one more than fits: overlong
                self._segment.append(byte)
            return None
        segment = bytes(self._segment)
        self._segment.clear()
        if len(segment) > MAX_SEGMENT:
            self.overlong += 1
            return None
        frame = decode(segment)
        self.rejected += bool(segment) and frame is None
        return frame


class Session:
    """One life of a sketch; a reset begins another. `memory` outlives it."""

    def __init__(
        self, *, table: BoardTable, memory: Memory, port: Port, micros: Callable[[], int], flags: HelloFlag
    ) -> None:
        """Applies the safe values and says BOOT; `flags` are those that hold until the next reset."""
        self.loop_max_us = 0
        self.micros = micros
        self._table = table
        self._memory = memory
        self._record = memory.record
        self._port = port
        self._flags = flags
        self._decoder = Decoder()
        self._outputs = Outputs(table.channels, self)
        self._commands = Commands(table, record=memory.record, outputs=self._outputs, core=self)
        self._id = 0  # of the session; 0 = none
        self._journal = 0  # the epoch of this session's host
        self._heard_us = 0
        self._silence_us = 0  # in force: the shorter of the host's and the sketch's
        self._latched = self._record.latched
        self._happened = PollStatus(0)  # since the last POLL
        self._overlong_told = 0
        self._lease: Lease | None = None
        self._boot_due_us: int | None = BOOT_REPEAT_US
        self._event_seq = 0
        self._received = 0  # sound frames
        table.on_begin()
        self._outputs.make_safe()
        self._boot()

    # ---- the life of a session ----

    def poll(self, waiting: bytes) -> None:
        """Every frame that waits in the port, then what is due. Raises what a handler raises but Refused."""
        for byte in waiting:
            frame = self._decoder.take(byte)
            if frame is not None:
                self._handle(frame)
        now_us = self.micros()
        self._repeat_boot(now_us)
        if self._outputs.lapse_holds(now_us):
            self._happened |= PollStatus.HOLD_LAPSED
        self._watch_link(now_us)
        self._send_telemetry(now_us)

    def note_loop(self, gap_us: int) -> None:
        """The sketch did not poll for that long."""
        self.loop_max_us = max(self.loop_max_us, gap_us)
        if gap_us > SLOW_LOOP_US:
            self._happened |= PollStatus.SLOW_LOOP

    def due_us(self) -> int | None:
        """When something will happen next without a frame."""
        moments = (self._boot_due_us, self._outputs.next_lapse_us, self._silence_due_us(), self._lease_due_us())
        return min((moment for moment in moments if moment is not None), default=None)

    def _silence_due_us(self) -> int | None:
        """A board nobody ever spoke to has nothing to miss; silence is acted on once."""
        return self._heard_us + self._silence_us if self._id and not self._latched else None

    def _lease_due_us(self) -> int | None:
        return min(self._lease.next_us, self._lease.end_us) if self._lease else None

    def _repeat_boot(self, now_us: int) -> None:
        if self._boot_due_us is not None and now_us >= self._boot_due_us:
            self._boot_due_us = None
            self._boot()

    def _watch_link(self, now_us: int) -> None:
        due_us = self._silence_due_us()
        if due_us is not None and now_us >= due_us:
            self._go_safe()

    def _send_telemetry(self, now_us: int) -> None:
        lease = self._lease
        if lease is None or now_us < min(lease.next_us, lease.end_us):
            return
        if now_us >= lease.end_us:
            self._lease = None
            return
        missed = (now_us - lease.next_us) // lease.period_us  # beats that went by use up their numbers, too
        lease.next_us += (missed + 1) * lease.period_us
        self._event_seq = (self._event_seq + missed) & 0xFF
        sent = self._say(m.Telemetry(*self._sample(lease.next_group)), sid=self._id & 0xFF)
        if sent and lease.group == m.ALL_GROUPS:
            lease.next_group = (lease.next_group + 1) % len(self._table.groups)

    def _go_safe(self) -> None:
        self._latched = True
        self._outputs.make_safe()
        self._table.on_safe()

    # ---- events ----

    def _boot(self) -> None:
        self._say(m.Boot(m.VERSION, self._state_flags(), self._millis32()), sid=0)

    def _say(self, event: m.Message, *, sid: int) -> bool:
        """An event is skipped where it would block (False); its SEQ then shows the gap."""
        sent = self._port.takes_events
        if sent:
            self._send(event, seq=self._event_seq, sid=sid)
        self._event_seq = (self._event_seq + 1) & 0xFF
        return sent

    def _send(self, message: m.Message, *, seq: int, sid: int) -> None:
        self._port.sent += encode(message.TYPE, seq, sid, payload=message.to_bytes())

    def _micros32(self) -> int:
        return self.micros() & 0xFFFF_FFFF

    def _millis32(self) -> int:
        return self.micros() // 1000 & 0xFFFF_FFFF

    # ---- requests ----

    def _handle(self, frame: Frame) -> None:
        """Every sound frame is answered, with its own SEQ and SID."""
        self._received += 1
        try:
            reply = self._answer(self._admit(frame), sid=frame.sid)
        except Refused as refused:
            reply = m.ErrorReply(frame.type, refused.code, refused.detail)
        self._send(reply, seq=frame.seq, sid=frame.sid)

    def _admit(self, frame: Frame) -> m.Message:
        """Type, session, length: a frame that passes has the right to be looked at. Raises Refused."""
        kind = m.REQUESTS.get(frame.type)
        if kind not in (m.Hello, m.Safe):
            self._hear(frame, known=kind is not None)
        if kind is None:
            raise Refused(ErrorCode.BAD_TYPE)
        try:
            return kind.from_bytes(frame.payload)
        except m.MessageError as error:
            raise Refused(ErrorCode.BAD_LENGTH) from error

    def _hear(self, frame: Frame, *, known: bool) -> None:
        """Any frame of the session is a sign of life, one that is answered with an error too."""
        if self._id and frame.sid == self._id & 0xFF:
            self._heard_us = self.micros()
        elif known:
            raise Refused(ErrorCode.NO_SESSION)

    def _answer(self, request: m.Message, *, sid: int) -> m.Message:
        """The reply. Raises Refused."""
        if isinstance(request, m.Hello):
            return self._hello(request, sid=sid)
        return ANSWERS[type(request)](self, request)

    def _hello(self, request: m.Hello, *, sid: int) -> m.HelloReply:
        if sid == 0 or sid != request.session & 0xFF:
            raise Refused(ErrorCode.NO_SESSION)
        if not request.version_min <= m.VERSION <= request.version_max:
            raise Refused(ErrorCode.VERSION, m.VERSION)
        self._id, self._journal = request.session, request.epoch
        self._silence_us = min(request.failsafe_ms or self._table.failsafe_ms, self._table.failsafe_ms) * 1000
        self._heard_us = self.micros()
        self._boot_due_us = self._lease = None
        return m.HelloReply(
            version=m.VERSION,
            flags=self._state_flags(),
            mtu=MAX_PAYLOAD,
            channels=len(self._table.channels),
            actions=len(self._table.actions),
            session=self._id,
            stored_epoch=self._record.epoch,
            started=self._record.started,
            done=self._record.done,
            result=self._record.code,
            resets=self._record.resets,
            uptime_ms=self._millis32(),
            schema_hash=self._table.schema_hash,
        )

    def _state_flags(self) -> HelloFlag:
        flags = self._flags
        if self._epochs_match():
            flags |= HelloFlag.EPOCH_MATCH
        if self._latched:
            flags |= HelloFlag.LATCHED
        if self._record.latched:
            flags |= HelloFlag.LATCHED_BY_SAFE
        return flags

    def _epochs_match(self) -> bool:
        return self._record.epoch != 0 and self._record.epoch == self._journal

    def _command(self, request: m.RunCommand) -> m.CommandReply:
        if not self._epochs_match():
            raise Refused(ErrorCode.EPOCH)
        return self._commands.answer(request, latched=self._latched)

    def _set_epoch(self, request: m.SetEpoch) -> m.SetEpochReply:
        self._journal = request.epoch
        self._record.adopt(request.epoch)
        return m.SetEpochReply(request.epoch)

    def _safe(self, _request: m.Safe) -> m.SafeReply:
        self._record.latched = True
        self._go_safe()
        return m.SafeReply()

    def _clear(self, _request: m.Clear) -> m.ClearReply:
        self._latched = self._record.latched = False
        return m.ClearReply()

    def _ping(self, request: m.Ping) -> m.PingReply:
        return m.PingReply(request.token, self._micros32(), self._millis32())

    def _stats(self, _request: m.Stats) -> m.StatsReply:
        return m.StatsReply(
            rx_good=self._received & 0xFFFF,
            rx_bad=self._decoder.rejected & 0xFFFF,
            overruns=self._decoder.overlong & 0xFFFF,
            loop_max_us=self.loop_max_us & 0xFFFF_FFFF,
            free_ram=FREE_RAM_BYTES,
        )

    def _set_id(self, request: m.SetId) -> m.SetIdReply:
        if request.id == 0:
            raise Refused(ErrorCode.OUT_OF_RANGE)
        self._memory.board_id = self._memory.board_id or request.id
        return m.SetIdReply(self._memory.board_id)

    # ---- description ----

    def _describe(self, request: m.Describe) -> m.DescribeReply:
        try:
            record = self._record_of(request)
        except IndexError as error:
            raise Refused(ErrorCode.BAD_TARGET, request.index) from error
        return m.DescribeReply(request.kind, request.index, request.argument, record)

    def _record_of(self, request: m.Describe) -> bytes:
        """Raises IndexError for a record that there is not."""
        match request.kind:
            case RecordKind.BOARD:
                return self._board_record().to_bytes()
            case RecordKind.CHANNEL:
                return self._table.channels[request.index].record.to_bytes()
            case RecordKind.ACTION:
                return self._table.actions[request.index].record.to_bytes()
            case RecordKind.ARGUMENT:
                return self._table.actions[request.index].arguments[request.argument].to_bytes()
        raise IndexError

    def _board_record(self) -> m.BoardRecord:
        board, board_id = self._table.board, self._memory.board_id
        return m.BoardRecord(board.board, board.sketch, board.version, f"{board_id:08x}" if board_id else "")

    # ---- readings ----

    def _poll_group(self, request: m.Poll) -> m.PollReply:
        reply = m.PollReply(*self._sample(request.group))
        self._happened = PollStatus(0)
        self._overlong_told = self._decoder.overlong
        return reply

    def _sample(self, group: int) -> tuple[int, int, int, int, int, bytes]:
        """The fields of a POLL reply and of TELEMETRY. Raises Refused for a group that there is not."""
        values = b"".join(self._outputs.value(index) for index in self._members(group))
        rx_bad = self._decoder.rejected & 0xFF
        return group, self._status(), self._micros32(), self._record.done, rx_bad, values

    def _members(self, group: int) -> tuple[int, ...]:
        if group >= len(self._table.groups):
            raise Refused(ErrorCode.BAD_TARGET, group)
        return self._table.groups[group]

    def _status(self) -> int:
        status = self._happened
        if self._decoder.overlong != self._overlong_told:
            status |= PollStatus.OVERRUN
        if self._latched:
            status |= PollStatus.FAILSAFE
        if self._record.latched:
            status |= PollStatus.FAILSAFE_BY_SAFE
        if self._record.interrupted:
            status |= PollStatus.INTERRUPTED
        return status

    def _stream(self, request: m.Stream) -> m.StreamReply:
        if request.group != m.ALL_GROUPS:
            self._members(request.group)
        if request.lease and not request.period_ms:
            raise Refused(ErrorCode.OUT_OF_RANGE)
        self._lease = self._granted(request) if request.lease else None
        return m.StreamReply(request.group, request.period_ms, request.lease)

    def _granted(self, request: m.Stream) -> Lease:
        now_us, period_us = self.micros(), request.period_ms * 1000
        end_us, running = now_us + request.lease * LEASE_UNIT_US, self._lease
        if running and (running.group, running.period_us) == (request.group, period_us):
            return replace(running, end_us=end_us)  # renewed: the beat stays
        first_group = 0 if request.group == m.ALL_GROUPS else request.group
        return Lease(request.group, first_group, period_us, now_us + period_us, end_us)


ANSWERS: dict[type[m.Message], Callable[[Session, Any], m.Message]] = {
    m.Describe: Session._describe,
    m.Poll: Session._poll_group,
    m.RunCommand: Session._command,
    m.SetEpoch: Session._set_epoch,
    m.Safe: Session._safe,
    m.Clear: Session._clear,
    m.Ping: Session._ping,
    m.Stream: Session._stream,
    m.Stats: Session._stats,
    m.SetId: Session._set_id,
}
"""Who answers what, but HELLO, which looks at its SID."""
