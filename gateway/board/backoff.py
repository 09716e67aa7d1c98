"""How long to wait before a lost or missing port is tried again. Pure; the board thread does the waiting."""

from collections.abc import Callable

FIRST_S = 1.0
LONGEST_S = 30.0
JITTER = 0.2  # of the wait, either way: boards lost together do not come back in step


class Backoff:
    """1, 2, 4 .. 30 seconds, each with jitter; `random` gives numbers from 0 to 1."""

    def __init__(self, *, random: Callable[[], float]) -> None:
        self._random = random
        self._wait_s = FIRST_S

    def next_s(self) -> float:
        """The seconds to wait now; the next answer is about twice as long."""
        wait_s = self._wait_s
        self._wait_s = min(2 * wait_s, LONGEST_S)
        return wait_s * (1 + JITTER * (2 * self._random() - 1))

    def reset(self) -> None:
        """The board is there: start again at the shortest wait."""
        self._wait_s = FIRST_S
