"""What every board in software looks like to the port or line before it: pure state machines, driven by one thread."""

from typing import Protocol


class Board(Protocol):
    """What stands at the far end."""

    def receive(self, data: bytes) -> None:
        """Takes bytes as they come."""
        ...

    def transmit(self) -> bytes:
        """What it sent since the last call."""
        ...

    def due_s(self) -> float | None:
        """The clock's moment at which it will next act by itself, None for never."""
        ...
