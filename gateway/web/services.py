"""What views may use: one value, made by the composition root."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.board.absence import Absence
from gateway.board.commands import CommandQueue
from gateway.board.names import unknown
from gateway.link.recording import Description
from gateway.link.traffic import Traffic
from gateway.model import BoardStatus, Clock, Diagnosis
from gateway.store.journal import Journal
from gateway.store.latest import Latest, Snapshot
from gateway.web.problems import Kind, Problem, ProblemError


@dataclass(frozen=True, slots=True)
class Services:
    """`start_id` is new with each start of the gateway, `started_at` is Unix time; at most `max_waiting` requests wait
    for a command at the same time, half the workers, so that the others stay free."""

    latest: Latest
    journal: Journal
    queues: Mapping[str, CommandQueue]
    absences: Mapping[str, Absence]
    diagnose: Callable[[BoardStatus], Diagnosis]
    traffic: Mapping[str, Traffic]
    describe: Callable[[str], Description | None]
    clock: Clock
    version: str
    start_id: str
    started_at: float
    features: tuple[str, ...]
    max_waiting: int
    waiting: threading.Semaphore = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "waiting", threading.BoundedSemaphore(self.max_waiting))

    def snapshot(self, board: str) -> Snapshot:
        """A board's snapshot; for an unknown board raises the problem that names those there are."""
        try:
            return self.latest.snapshot(board)
        except KeyError:
            detail = unknown("board", board, known=self.latest.boards())
            raise ProblemError(Problem(Kind.UNKNOWN_BOARD, detail)) from None

    def queue(self, board: str) -> CommandQueue:
        """A board's command queue; raises as `snapshot` does."""
        self.snapshot(board)
        return self.queues[board]

    def absence(self, board: str) -> Absence:
        """The say over a board's port; raises as `snapshot` does."""
        self.snapshot(board)
        return self.absences[board]
