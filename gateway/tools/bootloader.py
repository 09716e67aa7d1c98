"""What flashing asks of a bootloader, and what can go wrong with one. Two of them are spoken here: STK500 v1 and v2.

Whoever calls owns the channel. Each bootloader is an object over an open channel to a board that was just reset.
"""

from typing import Protocol

from gateway.errors import GatewayError, LinkError
from gateway.model import Reason

REPLY_TIMEOUT_S = 2.0  # a page takes 30 ms; a USB chip and a busy machine take the rest
QUIET_S = 0.05  # after so long without a byte nothing more comes of what was asked before


class FlashError(GatewayError):
    """Flashing failed; the text says why and what to do next."""


class NoBootloader(LinkError):
    """No bootloader answers: for flashing, the board is not there."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.NO_ANSWER, detail)


class WrongChip(FlashError):
    """The bootloader answers, and sits on another chip than the model has."""


class Interrupted(FlashError):
    """The bootloader stopped answering, or answers nonsense, in the middle of the work; or Ctrl-C stopped it."""


class VerifyFailed(FlashError):
    """What was read back is not what was written."""


class Channel(Protocol):
    """Bytes to and from a bootloader; every failure of the port is a LinkError."""

    def write(self, data: bytes) -> None:
        """Gives all of it to the port."""
        ...

    def read(self, size: int, *, timeout_s: float) -> bytes:
        """So many bytes, fewer when the time is over."""
        ...

    def discard(self) -> None:
        """Forgets what has come and was not read."""
        ...


class Bootloader(Protocol):
    """A bootloader on a board. All but `enter` raise Interrupted; addresses and sizes are in bytes."""

    def enter(self) -> bool:
        """Calls it until it answers; False when it does not within the time that a bootloader waits."""
        ...

    def signature(self) -> bytes:
        """The three bytes that name the chip."""
        ...

    def write_page(self, address: int, data: bytes) -> None:
        """Erases and writes one page. Pages come in rising order from 0 on, none left out."""
        ...

    def read_page(self, address: int, size: int) -> bytes:
        """What the flash holds there."""
        ...

    def leave(self) -> None:
        """Tells it that the work is done."""
        ...


def settle(channel: Channel) -> None:
    """Reads until nothing more comes: late answers to calls that were repeated."""
    while channel.read(1, timeout_s=QUIET_S):
        channel.discard()
