"""What really ran on a board, told by its pins: the emulator's log of the sketch `ledger`, read by nobody but us.

Pure but for `LedgerBoard`, which is used by the thread that made it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tests.emulated.board import BoardOptions, EmulatedBoard, Event
from tests.emulated.images import Bench, build_sketch

RUNNING, ZERO, ONE = "D4", "D5", "D6"  # the sketch's pins 4, 5 and 6, as they are named on the chip
LOW = 0  # an input counts as low, too
BITS = 24
NUMBERS = range(1, 1 << BITS)
PROOF_FACTOR = 2654435761


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of the action `mark`, as the pins told it."""

    number: int | None
    """None: the board was reset before all bits were told."""
    finished: bool
    """The handler returned."""


def executions(events: Iterable[Event]) -> list[Execution]:
    """What ran, in order; from all "pin" and "reset" events, in order."""
    reader = _Reader()
    for event in events:
        reader.take(event)
    return reader.ended()


def proof(number: int) -> int:
    """What the reading `proof` is while `number` is the last one told."""
    return number * PROOF_FACTOR % 2**32


class LedgerBoard:
    """The sketch `ledger` on an emulated Uno; a context manager."""

    def __init__(self, bench: Bench, *, bootloader: bool, seed: int) -> None:
        image = build_sketch("ledger", board="uno")
        self.board = EmulatedBoard(
            bench.binary,
            BoardOptions(flash=(image,), bootloader=bench.optiboot_uno if bootloader else None, seed=seed),
        )

    def __enter__(self) -> "LedgerBoard":
        self.board.__enter__()
        for pin in (RUNNING, ZERO, ONE):
            self.board.watch(pin)
        return self

    def __exit__(self, *error: object) -> None:
        self.board.close()

    def executions(self) -> list[Execution]:
        """All that ran until now."""
        events = self.board.events("pin") + self.board.events("reset")
        return executions(sorted(events, key=lambda event: event.index))


class _Reader:
    """Turns edges into numbers."""

    def __init__(self) -> None:
        self._levels: dict[str, int] = {}
        self._bits: list[int] | None = None
        """Of the command that runs now."""
        self._read: list[Execution] = []

    def take(self, event: Event) -> None:
        """A reset ends what runs. It comes before the edges that it causes, and a pin that is low before and after it
        has none."""
        if event.kind == "reset":
            self._end(finished=False)
        else:
            self._level(event["pin"], event["level"] if event["mode"] == "output" else LOW)

    def ended(self) -> list[Execution]:
        """All of them, one that still runs included."""
        self._end(finished=False)
        return self._read

    def _level(self, pin: str, level: int) -> None:
        if level == self._levels.get(pin, LOW):
            return
        self._levels[pin] = level
        if pin == RUNNING and level:
            self._bits = []
        elif pin == RUNNING:
            self._end(finished=True)
        elif self._bits is not None:
            self._bits.append(int(pin == ONE))

    def _end(self, *, finished: bool) -> None:
        if self._bits is None:
            return
        told = len(self._bits) == BITS
        number = int("".join(map(str, self._bits)), 2) if told else None
        self._read.append(Execution(number, finished and told))
        self._bits = None
