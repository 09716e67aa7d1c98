"""A world for one board thread: a clock that moves only when the thread waits, links that misbehave on purpose, and a
script of what happens when. The real worker, session, queue and journal run in the test's own thread, so nothing
depends on how fast the machine is."""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.board.absence import Absence
from gateway.board.commands import CommandIds, CommandQueue, CommandRequest
from gateway.board.worker import BoardSettings, BoardWorker, initial_status
from gateway.errors import GatewayError, LinkError
from gateway.link.arbiter import Finder
from gateway.link.serial_port import PortTraits
from gateway.link.virtual_board import VirtualBoard
from gateway.link.virtual_table import BoardTable, Core, Raw, Refused, action, argument, output, reading
from gateway.model import (
    BoardState,
    BoardStatus,
    Command,
    FailsafeCause,
    LogEntry,
    Reason,
    Sample,
    ValueType,
)
from gateway.protocol.framing import Deframer, Frame, encode
from gateway.protocol.messages import EVENTS, REPLIES, BoardRecord, Message, schema_hash
from gateway.store.schemas import SchemaCache
from tests.memory_journal import MemoryJournal

NAME = "uno"
LONG_AGO = 1_000_000.0


def refusal_of(call: Callable[[], object]) -> GatewayError:
    """What the gateway refuses this call with; a script can't hold a `with` block."""
    try:
        call()
    except GatewayError as error:
        return error
    raise AssertionError("it was not refused")


class Killed(BaseException):
    """The gateway's process is gone, without a word."""


class FakeClock:
    """Monotonic and Unix seconds in step."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + 1.7e9


@dataclass
class Pins:
    """What the sketch's functions did."""

    led: Raw = 0
    fan: Raw = 0
    beeps: list[int] = field(default_factory=list)
    temperature: float = 21.5
    safe_calls: int = 0

    def table(self) -> BoardTable:
        def set_led(_core: Core, value: Raw) -> None:
            self.led = value

        def set_fan(_core: Core, value: Raw) -> None:
            self.fan = value

        def beep(_core: Core, times: Raw) -> Raw:
            if times == 13:
                raise Refused(64)
            self.beeps.append(int(times))
            return len(self.beeps)

        def went_safe() -> None:
            self.safe_calls += 1

        return BoardTable(
            BoardRecord("Bench", "world", "1.0.0", ""),
            channels=[
                reading("temperature", "degC", ValueType.F32, lambda _core: self.temperature, limits=(-50, 150)),
                reading("uptime_ms", "ms", ValueType.U32, lambda core: core.micros() // 1000 % 2**32),
                output("led", "", ValueType.BOOL, set_led, safe=0),
                output("fan", "", ValueType.U8, set_fan, limits=(0, 200), safe=0, hold_required=True),
            ],
            actions=[
                action(
                    "beep",
                    "Beep",
                    beep,
                    arguments=[argument("times", ValueType.U8, limits=(0, 50))],
                    returns=ValueType.U16,
                )
            ],
            on_safe=went_safe,
        )


@dataclass
class Line:
    """How a link behaves; changed by the script while it is in use."""

    delay_s: float = 0.0
    drop: float = 0.0
    """Chance of each byte to be lost, both ways."""
    flip: float = 0.0
    chunk: int = 4096
    dead: bool = False
    """Nothing gets through, either way."""
    failing: Reason | None = None
    """Any use of the port fails so."""
    missing: Reason | None = None
    """Opening fails so."""
    answers_at_once: bool = True
    fixed_baud: bool = False
    wrong_baud: int | None = None
    """Bytes are garbage at this rate."""
    lose_replies: int = 0
    """So many writes from now are heard, but what the board says to them is lost."""


class World:
    """Everything around one board thread."""

    def __init__(
        self,
        line: Line | None = None,
        *,
        seed: int = 1,
        limit: int = 10,
        finder: Finder | None = None,
        **settings: object,
    ) -> None:
        self.clock = FakeClock()
        self.line = line or Line()
        self.random = random.Random(seed)
        self.pins = Pins()
        self.board = VirtualBoard(clock=self.clock, table=self.pins.table())
        self.journal = MemoryJournal(clock=self.clock)
        self.schemas = SchemaCache(None, hash_of=schema_hash)
        self.sink = ListSink()
        self.links: list[FakeLink] = []
        self.opened_at: list[float] = []
        self._woken = False
        self._script: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._limit = limit
        self._finder = finder
        self.settings = replace(BoardSettings(NAME, "fake://"), **settings)  # type: ignore[arg-type]
        self.begin_life()

    def begin_life(self) -> None:
        """A gateway starts, on the journal that the last one left."""
        self.absence = Absence(wake=self.wake, clock=self.clock)
        latched = self.journal.latch(NAME)
        self.queue = CommandQueue(
            NAME,
            virtual=False,
            journal=self.journal,
            clock=self.clock,
            wake=self.wake,
            ids=CommandIds(self.clock),
            limit=self._limit,
            safe_stands=latched is FailsafeCause.SAFE,
        )
        under_way = self.queue.restore(self.journal.open_commands(NAME))
        self.worker = self.new_worker(under_way=under_way, latched=latched)

    def new_worker(self, *, under_way: Command | None = None, latched: FailsafeCause | None = None) -> BoardWorker:
        return BoardWorker(
            self.settings,
            queue=self.queue,
            sink=self.sink,
            journal=self.journal,
            schemas=self.schemas,
            wake=self,  # type: ignore[arg-type]
            under_way=under_way,
            latched=latched,
            absence=self.absence,
            finder=self._finder,
            clock=self.clock,
            open_link=self.open_link,
            uniform=self.uniform,
        )

    # ---- what the worker is given ----

    def uniform(self) -> float:
        return 0.5

    def open_link(self, url: str, *, baud: int, wake: object) -> "FakeLink":
        self.opened_at.append(self.clock.now)
        if self.line.missing is not None:
            raise LinkError(self.line.missing, f"{url} is not to be had")
        if not self.line.answers_at_once:
            self.board.reset()
        self.links.append(FakeLink(self, baud))
        return self.links[-1]

    def set(self) -> None:
        self.wake()

    def wake(self) -> None:
        self._woken = True

    def wait(self, timeout_s: float | None) -> bool:
        self.wait_until(LONG_AGO if timeout_s is None else self.clock.now + timeout_s)
        return False

    def wait_until(self, until_s: float) -> None:
        """Moves the clock to the wake, the next thing in the script, or `until_s`."""
        if self._woken:
            self._woken = False
            return
        assert self._script, "the script ended without stopping the worker"
        at_s, _order, happen = self._script[0]
        if at_s > until_s:
            self.clock.now = max(self.clock.now, until_s)
            return
        heapq.heappop(self._script)
        self.clock.now = max(self.clock.now, at_s)
        happen()

    # ---- what a test does ----

    def at(self, seconds: float, happen: Callable[[], object]) -> None:
        """`happen` is called so many seconds after the world began."""
        heapq.heappush(self._script, (1000.0 + seconds, next(self._order), happen))

    def run(self, seconds: float) -> "World":
        """The worker's life, for so long; one that was killed is followed by another."""
        self.at(seconds, self.stop)
        while True:
            try:
                self.worker.run()
            except Killed:
                self.begin_life()
            else:
                return self

    def stop(self) -> None:
        """The worker that lives now is to end."""
        self.worker.stop()

    def clear(self) -> None:
        """A person asks the gateway that lives now for CLEAR."""
        self.queue.orders.clear()

    def kill(self) -> None:
        """To be called from the script: SIGKILL, and a new start at once."""
        raise Killed

    def say(self, data: bytes) -> None:
        """These bytes come down the line as if the board had sent them."""
        self.links[-1].arrive(data)

    def submit(self, **request: object) -> Command:
        return self.queue.submit(CommandRequest(**request))  # type: ignore[arg-type]

    def now_is(self, command: Command) -> Command:
        """The command as it stands in the journal."""
        found = self.journal.get(command.id)
        assert found is not None
        return found

    @property
    def status(self) -> BoardStatus:
        return self.sink.statuses[-1] if self.sink.statuses else initial_status(self.settings)


class Liar:
    """Changes what the board says of itself, before it goes out."""

    def __init__(self, world: World, lie: Callable[[Message], Message | None]) -> None:
        self._honest = world.board.transmit
        self._lie = lie
        world.board.transmit = self.transmit  # type: ignore[method-assign]

    def transmit(self) -> bytes:
        said = b""
        for frame in Deframer().feed(self._honest()):
            assert isinstance(frame, Frame)
            table = EVENTS if frame.type in EVENTS else REPLIES
            message = self._lie(table[frame.type].from_bytes(frame.payload))
            if message is not None:
                said += encode(message.TYPE, frame.seq, frame.sid, payload=message.to_bytes())
        return said


class ListSink:
    """The sink as lists."""

    def __init__(self) -> None:
        self.statuses: list[BoardStatus] = []
        self.samples: list[dict[str, Sample]] = []
        self.entries: list[LogEntry] = []

    def publish_status(self, status: BoardStatus) -> None:
        self.statuses.append(status)

    def publish_samples(self, board: str, samples: dict[str, Sample], *, status: BoardStatus) -> None:
        self.samples.append(samples)
        self.statuses.append(status)

    def append_log(self, board: str, entry: LogEntry) -> None:
        self.entries.append(entry)

    def states(self) -> list[BoardState]:
        """States in the order they were seen, repeats left out."""
        return [state for state, _ in itertools.groupby(status.state for status in self.statuses)]

    def messages(self) -> list[str]:
        return [entry.message for entry in self.entries]


class FakeLink:
    """A link to the world's board, as good as its `Line`."""

    def __init__(self, world: World, baud: int) -> None:
        self.world = world
        self.baud = baud
        self.closed = False
        self.traits = PortTraits(
            virtual=False, answers_at_once=world.line.answers_at_once, fixed_baud=world.line.fixed_baud
        )
        self._arriving: list[tuple[float, bytes]] = []
        self._ready = bytearray()

    def read(self) -> bytes:
        self._check()
        self._collect()
        data = bytes(self._ready[: self.world.line.chunk])
        del self._ready[: len(data)]
        return data

    def write(self, data: bytes) -> None:
        self._check()
        line = self.world.line
        if not line.dead:
            self.world.board.receive(self._garble(data))
        if line.lose_replies:
            line.lose_replies -= 1
            self.world.board.transmit()

    def set_baud(self, baud: int) -> None:
        self._check()
        self.baud = baud

    def wait(self, timeout_s: float | None) -> None:
        self._check()
        until_s = LONG_AGO if timeout_s is None else self.world.clock.now + timeout_s
        self._collect()
        if self._ready:
            return
        moments = [until_s, *(at_s for at_s, _ in self._arriving[:1])]
        due_s = self.world.board.due_s()
        if due_s is not None:
            moments.append(max(due_s, self.world.clock.now))
        self.world.wait_until(min(moments))

    def close(self) -> None:
        self.closed = True

    def arrive(self, data: bytes) -> None:
        self._arriving.append((self.world.clock.now, data))

    def _check(self) -> None:
        assert not self.closed, "a closed link is not used"
        if self.world.line.failing is not None:
            raise LinkError(self.world.line.failing, "the port is gone")

    def _collect(self) -> None:
        line, now = self.world.line, self.world.clock.now
        said = self.world.board.transmit()
        if said and not line.dead:
            self._arriving.append((now + line.delay_s, self._garble(said)))
        while self._arriving and self._arriving[0][0] <= now:
            self._ready += self._arriving.pop(0)[1]

    def _garble(self, data: bytes) -> bytes:
        line, chance = self.world.line, self.world.random.random
        if line.wrong_baud is not None and self.baud != line.wrong_baud:
            return bytes(self.world.random.randrange(1, 256) for _ in data)
        return bytes(
            byte ^ (1 << self.world.random.randrange(8)) if line.flip and chance() < line.flip else byte
            for byte in data
            if not (line.drop and chance() < line.drop)
        )
