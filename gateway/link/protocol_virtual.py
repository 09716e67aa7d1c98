"""pyserial handler for `virtual://MODEL`: a port with a virtual board behind it, each opening a board just powered on.

pyserial finds this module by its name. The board computes in the thread that uses the port; there is no other.
"""

import time
from typing import Any

from serial.serialutil import PortNotOpenError, SerialBase, SerialException

from gateway.link.virtual_board import VirtualBoard
from gateway.link.virtual_sketch import MODELS
from gateway.model import Clock


class Serial(SerialBase):
    """A port that is never blocked: `read` gives what is there, whatever `timeout` says."""

    clock: Clock = time
    _board: VirtualBoard | None = None
    _received = b""

    def open(self) -> None:
        """Powers a fresh board on. Raises SerialException for a model that there is not, naming those there are."""
        if self.is_open:
            raise SerialException("the port is open already")
        model = (self.port or "").partition("://")[2].lower()
        if model not in MODELS:
            raise SerialException(f"there is no virtual board {model!r}, but: {', '.join(sorted(MODELS))}")
        self._board = VirtualBoard(clock=self.clock, table=MODELS[model]())
        self._received = b""
        self.is_open = True

    def close(self) -> None:
        """Again is fine."""
        self._board = None
        self.is_open = False

    @property
    def board(self) -> VirtualBoard:
        """The board behind the open port. Raises PortNotOpenError."""
        if self._board is None:
            raise PortNotOpenError
        return self._board

    def due_s(self) -> float | None:
        """When there will be something to read without a write; see VirtualBoard."""
        return self.board.due_s()

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read now."""
        self._received += self.board.transmit()
        return len(self._received)

    def read(self, size: int = 1, /) -> bytes:
        """At most `size` bytes of what is there."""
        self._received += self.board.transmit()
        data, self._received = self._received[:size], self._received[size:]
        return data

    def write(self, data: Any, /) -> int:
        """The board takes all at once."""
        self.board.receive(bytes(data))
        return len(data)

    def reset_input_buffer(self) -> None:
        """Discards what the board has sent."""
        self.read(self.in_waiting)

    def reset_output_buffer(self) -> None:
        """Nothing ever waits to be written."""

    def _reconfigure_port(self) -> None:
        """A virtual board takes any rate."""
