"""A board that re-enacts a recording: readings, log and silences as they were, for whoever connects now.

Pure: the clock is injected, and the one thread that uses the port computes. It speaks the real protocol, and commands
are refused: nothing that was not recorded can be known. RECORDING.md, "Replay".
"""

from collections import deque
from dataclasses import replace
from itertools import takewhile

from gateway.link.replay_script import Answer, Bytes, Item, Script, Spoken
from gateway.model import Clock
from gateway.protocol import messages as m
from gateway.protocol.framing import MAX_PAYLOAD, Deframer, Frame, encode
from gateway.protocol.messages import ErrorCode, HelloFlag

LEEWAY_S = 1.0  # how far polls may be ahead of the recording, or behind it, without repeating or leaving out an answer
OWN_FLAGS = HelloFlag.EPOCH_MATCH | HelloFlag.STREAM


class ReplayBoard:
    """At each opening the recording plays from its beginning; at its end the board falls silent."""

    def __init__(self, script: Script, *, speed: float, clock: Clock) -> None:
        self._script = script
        self._speed = speed
        self._clock = clock
        self._began_s = clock.monotonic()
        self._items = deque(script.items)
        self._requests = Deframer()
        self._sent: deque[tuple[float, bytes]] = deque()
        self._hello = script.hello
        self._greeted: Frame | None = None
        self._pending_hello: Frame | None = None
        self._anchors = False  # the next poll sets our place in the recording: coming that far takes each host its time
        self._session = 0  # its low byte; 0 = none
        self._epoch = 0
        self._latest: dict[int, bytes] = {}
        self._mute: set[int] = set()  # groups whose last poll was lost in the recording
        self._told_us: tuple[int, float] = (0, self._began_s)

    # ---- the host's side ----

    def receive(self, data: bytes) -> None:
        """Takes bytes as they come."""
        self._go_on()
        for frame in self._requests.feed(data):
            if isinstance(frame, Frame):
                self._take(frame)

    def transmit(self) -> bytes:
        """What has come due."""
        self._go_on()
        now_s = self._clock.monotonic()
        due = bytearray()
        while self._sent and self._sent[0][0] <= now_s:
            due += self._sent.popleft()[1]
        return bytes(due)

    def due_s(self) -> float | None:
        """The clock's moment of the next byte, None for never."""
        if self._sent:
            return self._sent[0][0]
        return self._due_s(self._items[0]) if self._items else None

    def _due_s(self, item: Item) -> float:
        """When it is said by itself, or given up if nobody asks for it."""
        waits = isinstance(item, Answer) and not self._is_pending_hello(item)
        return self._moment(item.at_s + (LEEWAY_S if waits else 0.0))

    # ---- the recording's clock ----

    def _at_s(self) -> float:
        """Where on the recording's clock we are."""
        return self._script.begin_s + (self._clock.monotonic() - self._began_s) * self._speed

    def _moment(self, at_s: float) -> float:
        return self._began_s + (at_s - self._script.begin_s) / self._speed

    def _go_on(self) -> None:
        """Says what is due by itself. What was heard after an answer is not said before it, unless nobody asks."""
        now_s = self._clock.monotonic()
        while self._items:
            item = self._items[0]
            if self._due_s(item) > now_s:
                return
            self._items.popleft()
            if isinstance(item, Answer):
                self._pass_by(item)
            else:
                self._say(item)

    def _is_pending_hello(self, item: Answer) -> bool:
        return item.type == m.Hello.TYPE and self._pending_hello is not None

    def _pass_by(self, item: Answer) -> None:
        """The recording's host asked, and ours did not; or it asked HELLO long ago."""
        if item.type == m.Hello.TYPE:
            self._learn(item)
            if self._pending_hello is not None:
                self._greet(self._pending_hello)

    def _learn(self, item: Answer) -> None:
        if item.reply is not None:
            self._hello = m.HelloReply.from_bytes(item.reply)

    def _say(self, item: Bytes | Spoken) -> None:
        if isinstance(item, Bytes):
            self._send(item.data)
            return
        sid = 0 if item.stray or item.frame.type == m.Boot.TYPE else self._session
        payload = item.frame.payload
        if item.frame.type == m.Telemetry.TYPE and len(payload) > m.Telemetry.HEAD.size:
            self._latest[payload[0]] = payload
        if item.frame.type in m.EVENTS:
            payload = self._retimed(m.EVENTS[item.frame.type], payload, at_s=item.at_s)
        self._send(encode(item.frame.type, item.frame.seq, sid, payload=payload))

    def _retimed(self, kind: type[m.Message], payload: bytes, *, at_s: float, delay_s: float = 0.0) -> bytes:
        """The board's own time moves with its words, so that an age made from it stays true."""
        try:
            message = kind.from_bytes(payload)
        except m.MessageError:
            return payload
        if not isinstance(message, m.PollReply | m.Telemetry | m.Change):
            return payload
        said_s = self._clock.monotonic() + delay_s
        shift_s = (said_s - self._began_s) - (at_s + delay_s - self._script.begin_s)
        t_us = (message.t_us + round(shift_s * 1e6)) & 0xFFFF_FFFF
        self._told_us = t_us, said_s
        return replace(message, t_us=t_us).to_bytes()

    def _micros(self) -> int:
        t_us, said_s = self._told_us
        return (t_us + round((self._clock.monotonic() - said_s) * 1e6)) & 0xFFFF_FFFF

    # ---- requests ----

    def _take(self, frame: Frame) -> None:
        """Answers as a board does; a board that was gone, or that the recording ended on, answers nothing."""
        if frame.type == m.Hello.TYPE:
            self._take_hello(frame)
        elif self._script.silent(self._at_s()) and frame.type != m.Poll.TYPE:
            return
        elif not self._session or frame.sid != self._session:
            self._refuse(frame, ErrorCode.NO_SESSION)
        elif frame.type == m.Poll.TYPE:
            self._take_poll(frame)
        else:
            self._answer(frame)

    def _answer(self, frame: Frame) -> None:
        try:
            request = m.REQUESTS[frame.type].from_bytes(frame.payload)
        except KeyError:
            self._refuse(frame, ErrorCode.BAD_TYPE)
            return
        except m.MessageError:
            self._refuse(frame, ErrorCode.BAD_LENGTH)
            return
        reply = self._reply_to(request)
        if isinstance(reply, ErrorCode):
            self._refuse(frame, reply)
        elif reply is not None:
            self._reply(frame, reply.to_bytes(), delay_s=self._delay_s(reply))

    def _delay_s(self, reply: m.Message) -> float:
        """As long as it took in the recording, so that the host comes to the same idea of the line."""
        delay_s = self._script.round_trip_s
        if isinstance(reply, m.DescribeReply):
            delay_s = self._script.delays_s.get((reply.kind, reply.index, reply.argument), delay_s)
        return delay_s / self._speed

    def _reply_to(self, request: m.Message) -> m.Message | ErrorCode | None:
        """None for silence: what was lost while it was recorded."""
        reply: m.Message | ErrorCode | None = ErrorCode.UNSUPPORTED
        match request:
            case m.Describe(kind, index, argument):
                record = self._script.records.get((kind, index, argument))
                reply = None if record is None else m.DescribeReply(kind, index, argument, record)
            case m.SetEpoch(epoch):
                self._epoch = epoch
                reply = m.SetEpochReply(epoch)
            case m.Clear():
                reply = m.ClearReply()
            case m.Ping(token):
                micros = self._micros()
                reply = m.PingReply(token, micros, micros // 1000)
            case m.SetId() if self._script.board_id is not None:
                reply = m.SetIdReply(self._script.board_id)
            case m.Stats() if self._script.stats is not None:
                reply = m.StatsReply.from_bytes(self._script.stats)
            case m.Stream(group, period_ms, lease) if self._script.streams:
                reply = m.StreamReply(group, period_ms, lease)
        return reply

    def _reply(self, frame: Frame, payload: bytes, *, delay_s: float = 0.0) -> None:
        self._send(encode(frame.type | m.REPLY, frame.seq, frame.sid, payload=payload), delay_s=delay_s)

    def _refuse(self, frame: Frame, code: ErrorCode) -> None:
        error = m.ErrorReply(frame.type, code, 0)
        self._send(encode(m.ErrorReply.TYPE, frame.seq, frame.sid, payload=error.to_bytes()))

    def _send(self, data: bytes, *, delay_s: float = 0.0) -> None:
        """In order: nothing overtakes what is under way."""
        moment_s = self._clock.monotonic() + delay_s
        if self._sent:
            moment_s = max(moment_s, self._sent[-1][0])
        self._sent.append((moment_s, data))

    # ---- HELLO ----

    def _take_hello(self, frame: Frame) -> None:
        if self._hello is None or len(frame.payload) != m.Hello.HEAD.size:
            return
        if frame == self._greeted:  # sent again: our answer is under way, or was lost
            if not self._sent:
                self._greet(frame)
            return
        self._pending_hello = frame
        item = self._next_answer(m.Hello.TYPE, 0)
        if item is not None:
            self._learn(item)
        if item is not None or self._may_greet():
            self._greet(frame)

    def _may_greet(self) -> bool:
        """A board that is known may be asked again at any time; else the recording tells when it answered."""
        known = self._greeted is not None or self._script.in_session
        return known and not self._script.silent(self._at_s())

    def _greet(self, frame: Frame) -> None:
        assert self._hello is not None
        self._pending_hello = None
        self._greeted = frame
        self._anchors = True
        hello = m.Hello.from_bytes(frame.payload)
        self._session = hello.session & 0xFF
        flags = HelloFlag(self._hello.flags) & ~OWN_FLAGS
        if not flags & HelloFlag.LATCHED_BY_SAFE:
            flags &= ~HelloFlag.LATCHED
        if self._epoch and self._epoch == hello.epoch:
            flags |= HelloFlag.EPOCH_MATCH
        if self._script.streams:
            flags |= HelloFlag.STREAM
        reply = replace(
            self._hello,
            flags=flags,
            mtu=MAX_PAYLOAD,
            session=hello.session,
            stored_epoch=self._epoch,
            started=0,
            done=0,
            result=0,
        )
        self._reply(frame, reply.to_bytes())

    # ---- POLL ----

    def _take_poll(self, frame: Frame) -> None:
        group = frame.payload[0] if frame.payload else 0
        item = self._next_answer(m.Poll.TYPE, group, anywhere=self._anchors)
        if item is None:
            self._repeat(frame, group)
            return
        if self._anchors:
            self._anchors = False
            self._began_s -= self._moment(item.at_s) - self._clock.monotonic()
        self._mute.discard(group)
        if item.reply is None:
            self._mute.add(group)
            return
        delay_s = item.delay_s / self._speed
        self._latest[group] = item.reply
        payload = self._retimed(m.PollReply, item.reply, at_s=item.at_s, delay_s=delay_s)
        self._reply(frame, payload, delay_s=delay_s)

    def _repeat(self, frame: Frame, group: int) -> None:
        """Asked more often than the recording's board was: what it would have said then is what it said last."""
        gone = not self._items or self._script.silent(self._at_s())
        if not gone and group in self._latest and group not in self._mute:
            message = m.PollReply.from_bytes(self._latest[group])
            delay_s = self._script.round_trip_s / self._speed
            self._reply(frame, replace(message, t_us=self._micros()).to_bytes(), delay_s=delay_s)

    def _next_answer(self, request_type: int, group: int, *, anywhere: bool = False) -> Answer | None:
        """The recording's next answer to such a request; says what came before. None where it is too far ahead, or,
        with `anywhere`, where another session comes first."""
        until_s = self._at_s() + LEEWAY_S
        near = takewhile(
            lambda item: not _is_answer(item, m.Hello.TYPE, 0) if anywhere else item.at_s <= until_s, self._items
        )
        places = (place for place, item in enumerate(near) if _is_answer(item, request_type, group))
        found = next(places, None)
        if found is None:
            return None
        for _ in range(found):
            item = self._items.popleft()
            if isinstance(item, Answer):
                if item.type == m.Hello.TYPE:
                    self._learn(item)
            else:
                self._say(item)
        answer = self._items.popleft()
        assert isinstance(answer, Answer)
        return answer


def _is_answer(item: Item, request_type: int, group: int) -> bool:
    return isinstance(item, Answer) and (item.type, item.group) == (request_type, group)
