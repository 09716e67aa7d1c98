"""A simulated world with a bad line: the gateway's own worker, session and queue, the virtual board with the sketch
`ledger`, and a clock that jumps, so that a hundred thousand commands cost minutes. One thread runs it all."""

from collections.abc import Mapping
from typing import Self

from benchmarks.campaigns.account import Told
from benchmarks.campaigns.ledger import NUMBERS, Execution, proof
from benchmarks.campaigns.line import Spoiler
from benchmarks.campaigns.readings import CHANNELS, Judge, Published, places_of
from gateway.errors import GatewayError
from gateway.link.virtual_board import VirtualBoard
from gateway.link.virtual_table import BoardTable, Raw, action, argument, reading
from gateway.model import BoardStatus, LogEntry, Sample, ValueType
from gateway.protocol.messages import BoardRecord
from tests.board.world import FakeLink, Line, ListSink, World

REPLY_DELAY_S = 0.002  # about what the wire and an Uno take for a command
POLL_INTERVAL_S = 0.02
QUEUE = 200
LOOK_S = 0.05  # between two looks at the queue
EXPIRES_IN_MS = 600_000  # a command may wait behind the whole queue on the worst of lines


class NoisyWorld(World):
    """As many commands as are asked for, one after the other; then the worker is stopped."""

    def __init__(self, rate: float, *, commands: int, seed: int) -> None:
        super().__init__(Line(delay_s=REPLY_DELAY_S), seed=seed, limit=QUEUE, poll_interval_s=POLL_INTERVAL_S)
        self._started_s = self.clock.now
        self.spoiler = Spoiler(rate, seed=seed)
        self.ran: list[Execution] = []
        self.duration_s = 0.0
        """From the first command to the end of the last."""
        self._places = places_of(())
        self._last = 0
        self.judge = Judge(self._places)
        self._waiting = iter(NUMBERS[:commands])
        self._next: int | None = next(self._waiting)
        self._ids: dict[int, str] = {}
        self._open: list[int] = []
        self._began_s: float | None = None
        self.board = VirtualBoard(clock=self.clock, table=self._table())
        self.sink = JudgingSink(self.judge)
        self.worker = self.new_worker()

    def open_link(self, url: str, *, baud: int, wake: object) -> FakeLink:  # noqa: ARG002 - as the world has it
        """It is there whenever it is asked for, and never good."""
        self.links.append(NoisyLink(self, baud))
        return self.links[-1]

    def live(self) -> Self:
        """Until every command has ended."""
        self.at(LOOK_S, self._look)
        self.worker.run()
        return self

    def told(self) -> list[Told]:
        """Every accepted command as the journal has it."""
        found = [(number, self.journal.get(command_id)) for number, command_id in self._ids.items()]
        return [Told(number, command.state.value, command.result) for number, command in found if command is not None]

    def _look(self) -> None:
        """Fills the queue; stops when nothing is left to wait for."""
        self._open = [number for number in self._open if not self._has_ended(number)]
        while self._next is not None and len(self._open) < QUEUE:
            try:
                command = self.submit(
                    action="mark", arguments={"number": self._next, "ms": 0}, expires_in_ms=EXPIRES_IN_MS
                )
            except GatewayError:  # not connected yet, or not any more
                break
            if self._began_s is None:
                self._began_s = self.clock.now
            self._ids[self._next] = command.id
            self._open.append(self._next)
            self._next = next(self._waiting, None)
        if self._next is None and not self._open:
            self.duration_s = self.clock.now - (self._began_s or 0.0)
            self.worker.stop()
        else:
            self.at(self.clock.now - self._started_s + LOOK_S, self._look)

    def _has_ended(self, number: int) -> bool:
        command = self.journal.get(self._ids[number])
        return command is not None and command.state.final

    def _mark(self, _core: object, number: Raw, _ms: Raw) -> Raw:
        self._last = int(number)
        self._places.setdefault(self._last, len(self._places))
        self.ran.append(Execution(self._last, finished=True))
        return self._last

    def _table(self) -> BoardTable:
        """The twin of the sketch."""
        return BoardTable(
            BoardRecord("Bench", "ledger", "1.0.0", ""),
            channels=[
                reading("last", "", ValueType.U32, lambda _core: self._last),
                reading("proof", "", ValueType.U32, lambda _core: proof(self._last)),
                reading("half", "", ValueType.F32, lambda _core: self._last / 2),
            ],
            actions=[
                action(
                    "mark",
                    "Tell this number at the pins",
                    self._mark,
                    arguments=[
                        argument("number", ValueType.U32, limits=(NUMBERS[0], NUMBERS[-1])),
                        argument("ms", ValueType.U8, limits=(0, 200), unit="ms"),
                    ],
                    returns=ValueType.U32,
                )
            ],
        )


class NoisyLink(FakeLink):
    """A link whose bytes the world's spoiler gets hold of, both ways."""

    world: NoisyWorld

    def _garble(self, data: bytes) -> bytes:
        return self.world.spoiler.spoil(data)


class JudgingSink(ListSink):
    """Keeps the last status only, and has every sample judged."""

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self._judge = judge

    def publish_status(self, status: BoardStatus) -> None:
        self.statuses[:] = [status]

    def append_log(self, board: str, entry: LogEntry) -> None:
        """Text is no part of the campaign."""

    def publish_samples(self, board: str, samples: Mapping[str, Sample], *, status: BoardStatus) -> None:  # noqa: ARG002
        self._judge.take(Published(*(samples[channel].value for channel in CHANNELS)))
        self.publish_status(status)
