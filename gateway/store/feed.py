"""A change feed: a sequence number that rises with every change, and a way to wait for the next one.

Any thread may use it. It holds no data, and nothing but the change itself may happen inside `change`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ChangeFeed:
    """Sequence and condition."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._sequence = 0

    @property
    def sequence(self) -> int:
        """The number of the latest change; takes no lock. What that change made visible can be read by now."""
        return self._sequence

    def advance(self) -> int:
        """Announces a change that can already be read; gives its number."""
        with self.change() as sequence:
            return sequence

    @contextmanager
    def change(self) -> Iterator[int]:
        """Makes and announces a change in one: its number inside, all waiters woken after. The lock is held
        throughout, so writers queue up here; a body that raises has changed nothing and wakes nobody."""
        with self._condition:
            sequence = self._sequence + 1
            yield sequence
            self._sequence = sequence
            self._condition.notify_all()

    def wait(self, *, after: int, timeout_s: float) -> int:
        """Returns the sequence as soon as it is above `after`, or as it stands when the time is over."""
        with self._condition:
            self._condition.wait_for(lambda: self._sequence > after, timeout_s)
            return self._sequence
