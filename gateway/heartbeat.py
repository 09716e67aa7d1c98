"""Tells whether a thread still goes round its loop, at no cost but when it is asked.

The main thread asks, which wakes the thread; the thread answers at its next round, which it would have come to anyway.
A thread that waits for something is so woken once per question, one that hangs never answers. No clock, no lock: each
of the two counts has one writer.
"""

from collections.abc import Callable


class Heartbeat:
    """Of one thread, `thread` by name. Nothing was asked at first, so all is well."""

    def __init__(self, thread: str, *, wake: Callable[[], None]) -> None:
        """`wake` makes the thread go round its loop, wherever it waits; it must neither block nor raise."""
        self.thread = thread
        self._wake = wake
        self._asked = 0
        self._answered = 0

    def ask(self) -> None:
        """Main thread: wants to know again."""
        self._asked += 1
        self._wake()

    @property
    def answered(self) -> bool:
        """Main thread: True once the thread went round after the last `ask`."""
        return self._answered == self._asked

    def beat(self) -> None:
        """The thread itself, once in each round."""
        self._answered = self._asked
