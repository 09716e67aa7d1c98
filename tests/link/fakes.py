"""Fakes that the link's tests share."""


class FakeClock:
    """Stands still until it is moved; whole milliseconds, so that nothing is ever rounded."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def monotonic(self) -> float:
        return self.ms / 1000

    def time(self) -> float:
        return 1_700_000_000 + self.ms / 1000
