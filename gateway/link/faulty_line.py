"""A line that loses, changes and delays bytes, between a port and a virtual board. Pure: clock and chance are injected.

It is used as the board itself is: `receive`, `transmit` and `due_s`, by the one thread that uses the port.
"""

import random
from collections import deque
from dataclasses import dataclass

from gateway.link.software_board import Board
from gateway.model import Clock


@dataclass(frozen=True, slots=True)
class LineFaults:
    """What is wrong with a line, the same both ways."""

    drop: float = 0.0
    """Chance of each byte to be lost."""
    corrupt: float = 0.0
    """Chance of each byte that is not lost to arrive as another."""
    delay_s: float = 0.0
    """How long each byte is under way."""
    seed: int | None = None
    """The same bytes meet the same faults, however they are cut into writes; None draws a new seed."""


class FaultyLine:
    """A board as it is seen through the line."""

    def __init__(self, board: Board, faults: LineFaults, *, clock: Clock) -> None:
        seeds = random.Random(faults.seed)
        self._board = board
        self._clock = clock
        self._to_board = _Direction(faults, random.Random(seeds.getrandbits(64)))
        self._to_host = _Direction(faults, random.Random(seeds.getrandbits(64)))

    def receive(self, data: bytes) -> None:
        """The host's bytes set off."""
        self._to_board.send(data, now_s=self._clock.monotonic())
        self._carry()

    def transmit(self) -> bytes:
        """The board's bytes that have arrived."""
        self._carry()
        return self._to_host.arrived(now_s=self._clock.monotonic())

    def due_s(self) -> float | None:
        """The next arrival at either end, or the next moment at which the board acts by itself."""
        moments = (self._board.due_s(), self._to_board.due_s(), self._to_host.due_s())
        return min((moment for moment in moments if moment is not None), default=None)

    def _carry(self) -> None:
        now_s = self._clock.monotonic()
        if arrived := self._to_board.arrived(now_s=now_s):
            self._board.receive(arrived)
        self._to_host.send(self._board.transmit(), now_s=now_s)


class _Direction:
    """One of the two."""

    def __init__(self, faults: LineFaults, chance: random.Random) -> None:
        self._faults = faults
        self._chance = chance
        self._under_way: deque[tuple[float, bytes]] = deque()

    def send(self, data: bytes, *, now_s: float) -> None:
        if spoilt := self._spoil(data):
            self._under_way.append((now_s + self._faults.delay_s, spoilt))

    def arrived(self, *, now_s: float) -> bytes:
        arrived = bytearray()
        while self._under_way and self._under_way[0][0] <= now_s:
            arrived += self._under_way.popleft()[1]
        return bytes(arrived)

    def due_s(self) -> float | None:
        return self._under_way[0][0] if self._under_way else None

    def _spoil(self, data: bytes) -> bytes:
        """Draws byte by byte and never for nothing, so that a stream meets the same faults however it is cut."""
        spoilt = bytearray()
        for byte in data:
            if self._chance.random() < self._faults.drop:
                continue
            changed = self._chance.random() < self._faults.corrupt
            spoilt.append(byte ^ self._chance.randrange(1, 256) if changed else byte)
        return bytes(spoilt)
