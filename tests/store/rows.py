"""Commands and a clock as the tests of the journal need them."""

from gateway.model import Command, CommandState


def command(
    number: int,
    state: CommandState = CommandState.QUEUED,
    *,
    board: str = "uno",
    wire_id: int | None = None,
    finished_at: float | None = None,
) -> Command:
    """The command of that number: its id sorts by it."""
    return Command(
        id=f"{number:024x}",
        board=board,
        virtual=True,
        target=0,
        payload=b"\1",
        schema_hash=1,
        hold_ms=0,
        created_at=1_700_000_000.0 + number,
        expires_at=1_700_000_010.0 + number,
        deadline_s=110.0 + number,
        channel="led",
        value=True,
        state=state,
        wire_id=wire_id,
        finished_at=finished_at,
    )


def numbers(rows: list[Command]) -> list[int]:
    """What `command` was called with."""
    return [int(row.id, 16) for row in rows]


class HandClock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return 1_700_000_000.0 + self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
