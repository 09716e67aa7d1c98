"""A pyserial port with a board in software behind it: what `virtual://` and `replay://` have in common.

The board computes in the thread that uses the port; there is no other.
"""

import time
from typing import Any

from serial.serialutil import PortNotOpenError, SerialBase, SerialException

from gateway.errors import GatewayError
from gateway.link.software_board import Board
from gateway.model import Clock


class SoftwarePort(SerialBase):
    """A port that is never blocked: `read` gives what is there, whatever `timeout` says."""

    clock: Clock = time
    _board: Board | None = None
    _received = b""

    def make_board(self, url: str) -> Board:
        """A board just powered on. Raises ValueError or GatewayError for a URL that means none; the text tells what
        would."""
        raise NotImplementedError

    def open(self) -> None:
        """Makes a fresh board. Raises SerialException for a URL that means none."""
        if self.is_open:
            raise SerialException("the port is open already")
        try:
            self._board = self.make_board(self.port or "")
        except (ValueError, GatewayError) as error:
            raise SerialException(str(error)) from None
        self._received = b""
        self.is_open = True

    def close(self) -> None:
        """Again is fine."""
        self._board = None
        self.is_open = False

    @property
    def board(self) -> Board:
        """The board behind the open port, or the line to it. Raises PortNotOpenError."""
        if self._board is None:
            raise PortNotOpenError
        return self._board

    def due_s(self) -> float | None:
        """When there will be something to read without a write; see Board."""
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
        """A board in software takes any rate."""
