"""A bad line between the gateway and a board: a pseudo-terminal whose bytes are lost, changed, doubled and made up.

`Spoiler` is pure. `BadLine` has one thread of its own, the only one that touches its two terminals.
"""

import os
import random
import select
import tempfile
import threading
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import serial

from gateway.link.wake import Wake

BAUD = 250_000
READ_BYTES = 4096


class Fault(Enum):
    """What may befall a byte; each as likely as the others."""

    DROP = "lost"
    FLIP = "one bit changed"
    INSERT = "a random byte before it"
    DOUBLE = "twice"


FAULTS = tuple(Fault)


class Spoiler:
    """One direction of a line. The same seed spoils the same bytes alike, however they are cut."""

    def __init__(self, rate: float, *, seed: int) -> None:
        self._rate = rate
        self._random = random.Random(seed)
        self.faults = 0
        """Bytes that something has befallen."""

    def spoil(self, data: bytes) -> bytes:
        """What arrives."""
        return b"".join(map(self._byte, data))

    def _byte(self, byte: int) -> bytes:
        chance = self._random
        if chance.random() >= self._rate:
            return bytes([byte])
        self.faults += 1
        match chance.choice(FAULTS):
            case Fault.DROP:
                return b""
            case Fault.FLIP:
                return bytes([byte ^ 1 << chance.randrange(8)])
            case Fault.INSERT:
                return bytes([chance.randrange(256), byte])
            case Fault.DOUBLE:
                return bytes([byte, byte])


class BadLine:
    """Stands between `port`, which it opens, and whoever opens `path`; a context manager.

    Like a network it has no DTR: the board is reset once, as the line is laid.
    """

    def __init__(self, port: Path, *, rate: float, seed: int) -> None:
        self._port = port
        self._to_board = Spoiler(rate, seed=2 * seed)
        self._to_host = Spoiler(rate, seed=2 * seed + 1)
        self._stopping = Wake()
        self._thread = threading.Thread(target=self._run, name="bad-line", daemon=True)

    def __enter__(self) -> Self:
        import tty  # which Windows has not

        self._folder = tempfile.TemporaryDirectory(prefix="bad-line-")
        self._board = serial.Serial(str(self._port), BAUD)
        self._master, self._slave = os.openpty()  # the slave held open: closing the port is not the end of it
        tty.setraw(self._slave)
        self.path = Path(self._folder.name) / "port"
        self.path.symlink_to(os.ttyname(self._slave))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._stopping.close()
        self._board.close()
        os.close(self._master)
        os.close(self._slave)
        self._folder.cleanup()

    @property
    def faults(self) -> int:
        """Both ways, so far."""
        return self._to_board.faults + self._to_host.faults

    def _run(self) -> None:
        board = self._board.fileno()
        ready: list[Any] = []
        watched: list[Any] = [self._master, board, self._stopping]
        while self._stopping not in ready:
            if self._master in ready:
                os.write(board, self._to_board.spoil(os.read(self._master, READ_BYTES)))
            if board in ready:
                os.write(self._master, self._to_host.spoil(os.read(board, READ_BYTES)))
            ready, _, _ = select.select(watched, [], [])
