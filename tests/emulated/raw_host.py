"""The host's end of the link with no rules of its own: what a test sends is what goes on the wire.

It has no session, no retransmission and no polling, so that the board's side of each rule is seen alone.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import serial

from gateway.board.schema import build_schema, groups, unpack_group
from gateway.model import Schema, Value
from gateway.protocol.framing import Deframer, Frame, Text, encode
from gateway.protocol.messages import (
    EVENTS,
    REPLIES,
    REPLY,
    ActionRecord,
    BoardRecord,
    Boot,
    CommandReply,
    Describe,
    DescribeReply,
    ErrorCode,
    ErrorReply,
    Hello,
    HelloReply,
    Message,
    Poll,
    PollReply,
    RecordKind,
    RunCommand,
)

BAUD = 250_000
TIMEOUT_S = 10.0
SESSION = 0x11223344
EPOCH = 0xABCD0001

M = TypeVar("M", bound=Message)


class Refused(Exception):
    """The board answered ERROR."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(ErrorCode(reply.code).name)
        self.code = ErrorCode(reply.code)


class RawHost:
    """One open port. `texts` and `events` collect what came beside the replies."""

    def __init__(self, port: Path) -> None:
        self._serial = serial.Serial(str(port), BAUD, timeout=0.05, write_timeout=TIMEOUT_S, exclusive=True)
        self._deframer = Deframer()
        self._frames: list[Frame] = []
        self._seq = 0
        self._sid = 0
        self.texts: list[str] = []
        self.events: list[Message] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._serial.close()

    # Frames

    def _next_frame(self, deadline_s: float) -> Frame:
        while not self._frames:
            if time.monotonic() > deadline_s:
                raise TimeoutError("no frame from the board")
            for piece in self._deframer.feed(self._serial.read(self._serial.in_waiting or 1)):
                if isinstance(piece, Text):
                    self.texts.append(piece.line)
                else:
                    self._frames.append(piece)
        return self._frames.pop(0)

    def _next_reply(self, request_type: int) -> Frame:
        deadline_s = time.monotonic() + TIMEOUT_S
        while True:
            frame = self._next_frame(deadline_s)
            if frame.type in EVENTS:
                self.events.append(EVENTS[frame.type].from_bytes(frame.payload))
            elif frame.seq == self._seq and frame.type in (request_type | REPLY, ErrorReply.TYPE):
                return frame

    def wait_boot(self) -> Boot:
        """The next BOOT event. Replies that come before it are dropped."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while True:
            frame = self._next_frame(deadline_s)
            if frame.type == Boot.TYPE:
                return Boot.from_bytes(frame.payload)

    def forget(self) -> None:
        """Drop everything that has come so far."""
        self._serial.reset_input_buffer()
        self._deframer = Deframer()
        self._frames.clear()

    def write(self, data: bytes) -> None:
        """Put any bytes on the wire."""
        self._serial.write(data)

    def send(self, request: Message) -> None:
        """Send a new request and do not wait for its reply."""
        self._seq = (self._seq + 1) & 0xFF
        self._serial.write(encode(request.TYPE, self._seq, self._sid, payload=request.to_bytes()))

    def ask(self, request: Message, reply: type[M]) -> M:
        """Send a new request and take its reply. Raises Refused for an ERROR."""
        self.send(request)
        frame = self._next_reply(request.TYPE)
        assert frame.sid == self._sid
        if frame.type == ErrorReply.TYPE:
            raise Refused(ErrorReply.from_bytes(frame.payload))
        message = REPLIES[frame.type].from_bytes(frame.payload)
        assert isinstance(message, reply)
        return message

    # Procedures

    def hello(self, *, session: int = SESSION, epoch: int = EPOCH, failsafe_ms: int = 0) -> HelloReply:
        """Open a session."""
        self._sid = session & 0xFF
        return self.ask(Hello(1, 1, failsafe_ms, session, epoch, 0), HelloReply)

    def hello_unheard(self, *, session: int) -> None:
        """Send HELLO and do not wait for its answer."""
        self._sid = session & 0xFF
        self.send(Hello(1, 1, 0, session, EPOCH, 0))

    def without_session(self) -> None:
        """Send what follows with session byte 0, as a host does that has no session yet."""
        self._sid = 0

    def run(self, command_id: int, target: int, *, arguments: bytes = b"", hold_ms: int = 0) -> CommandReply:
        return self.ask(RunCommand(command_id, target, hold_ms, arguments), CommandReply)

    def _record(self, kind: RecordKind, index: int, argument: int = 0) -> bytes:
        return self.ask(Describe(kind, index, argument), DescribeReply).record

    def _action_records(self, index: int) -> Iterable[bytes]:
        record = self._record(RecordKind.ACTION, index)
        yield record
        for argument in range(ActionRecord.from_bytes(record).arguments):
            yield self._record(RecordKind.ARGUMENT, index, argument)

    def describe(self, hello: HelloReply) -> Schema:
        """The board's own description, held against the schema hash that it said in HELLO."""
        board = BoardRecord.from_bytes(self._record(RecordKind.BOARD, 0))
        records = [self._record(RecordKind.CHANNEL, index) for index in range(hello.channels)]
        for index in range(hello.actions):
            records += self._action_records(index)
        return build_schema(
            board, records, channels=hello.channels, actions=hello.actions, schema_hash=hello.schema_hash
        )

    def poll(self, schema: Schema) -> dict[str, Value | None]:
        """All readings, group by group."""
        readings: dict[str, Value | None] = {}
        for number, channels in enumerate(groups(schema)):
            reply = self.ask(Poll(number), PollReply)
            readings |= unpack_group(channels, reply.values)
        return readings
