"""A board in software that speaks the whole link protocol: a pure state machine with an injected clock, no thread.

`receive`, `transmit` and `due_s` are called by the one thread that uses it. A real board polls all the time; this one
makes up for that whenever it is touched, acting on each timer at the moment it was due.
"""

from gateway.link.virtual_session import Memory, Port, Session
from gateway.link.virtual_sketch import Uno
from gateway.link.virtual_table import BoardTable
from gateway.model import Clock
from gateway.protocol.messages import HelloFlag

RING_BYTES = 63  # what an Uno's receive ring holds while its sketch is busy


class BoardReset(Exception):
    """Raised by a handler to reset the board in the middle of a command."""


class VirtualBoard:
    """Just powered on, with BOOT said; by default an Uno with the bundled sketch."""

    def __init__(self, *, clock: Clock, table: BoardTable | None = None) -> None:
        self.table = table or Uno().table()
        self.port = Port()
        self._clock = clock
        self._memory = Memory()
        self._ring = bytearray()
        self._began_s = 0.0
        self._replayed_us: int | None = None
        self._frozen_us: int | None = None
        self._session = self._begin(HelloFlag.COLD)

    # ---- the host's side ----

    def receive(self, data: bytes) -> None:
        """Takes bytes as they come."""
        self._catch_up()
        self._ring += data
        if self._frozen_us is None:
            self._poll()
        else:
            del self._ring[RING_BYTES:]

    def transmit(self) -> bytes:
        """What the board sent since the last call."""
        self._catch_up()
        sent = bytes(self.port.sent)
        self.port.sent.clear()
        return sent

    def due_s(self) -> float | None:
        """The clock's moment at which it will next act by itself, None for never."""
        due_us = self._session.due_us() if self._frozen_us is None else None
        return None if due_us is None else self._began_s + due_us / 1e6

    # ---- what happens to a board ----

    def power_cycle(self) -> None:
        """Power is cut and comes back: only the id is kept."""
        self._memory = Memory(board_id=self._memory.board_id)
        self._session = self._begin(HelloFlag.COLD)

    def reset(self) -> None:
        """The reset button: the record is kept."""
        self._memory.record.count_reset()
        self._session = self._begin(HelloFlag(0))

    def freeze(self) -> None:
        """The sketch is busy and polls no more; bytes wait in its receive ring, as many as fit."""
        self._catch_up()
        self._frozen_us = self._micros()

    def thaw(self) -> None:
        """The sketch polls again."""
        if self._frozen_us is not None:
            self._session.note_loop(self._micros() - self._frozen_us)
            self._frozen_us = None
            self._poll()

    # ---- its loop ----

    def _begin(self, flags: HelloFlag) -> Session:
        self._began_s = self._clock.monotonic()
        self._replayed_us = self._frozen_us = None
        self._ring.clear()
        return Session(
            table=self.table, memory=self._memory, port=self.port, micros=self._micros, flags=flags | HelloFlag.STREAM
        )

    def _micros(self) -> int:
        """Microseconds since the sketch began; while it catches up, the moment it has come to."""
        if self._replayed_us is not None:
            return self._replayed_us
        return round((self._clock.monotonic() - self._began_s) * 1e6)

    def _catch_up(self) -> None:
        """Polls at every moment at which something was due since the last touch."""
        if self._frozen_us is not None:
            return
        now_us = self._micros()
        while (due_us := self._session.due_us()) is not None and due_us <= now_us:
            self._replayed_us = due_us
            self._session.poll(b"")
        self._replayed_us = None

    def _poll(self) -> None:
        began_us = self._micros()
        waiting = bytes(self._ring)
        self._ring.clear()
        try:
            self._session.poll(waiting)
        except BoardReset:
            self.reset()
        else:
            self._session.note_loop(self._micros() - began_us)
