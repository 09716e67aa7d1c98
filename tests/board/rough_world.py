"""A world in which anything may go wrong at any step, one step at a time: the real worker, session, queue and lane on
the real journal in a file, and the virtual board.

The board thread runs in `World`'s time and only while the test lets it (`go`), so one of the two runs at any moment and
nothing depends on the machine. `Fates` says what comes at which moment: when a frame of one kind goes one way, when the
handler begins or ends, when the journal keeps a row.
"""

import bisect
import contextlib
import random
import shutil
import sqlite3
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

from sqlalchemy import Connection

from gateway.board.commands import CommandRequest
from gateway.errors import GatewayError, JournalError
from gateway.link.virtual_board import BoardReset, VirtualBoard
from gateway.link.virtual_table import BoardTable, Core, Raw, Refused, action, argument, output
from gateway.model import Clock, Command, CommandState, FailsafeCause, IdempotencyKey, Reason, ValueType
from gateway.protocol import framing
from gateway.protocol import messages as m
from gateway.protocol.connect import DEFAULT_BAUD
from gateway.protocol.messages import BoardRecord
from gateway.store.database import Database
from gateway.store.journal import RETRY_S, Journal
from tests.board.fates import KEEP_MOMENTS, REPLY_MOMENTS, REQUEST_MOMENTS, Fates, Mishap, Moment
from tests.board.world import NAME, FakeLink, Killed, Line, World

PATIENCE_S = 20.0  # real seconds for the board thread to come to its next pause; reached only when it hangs
REPLY_S = 0.002  # simulated; a reply is never there at once
LATE_S = (0.05, 0.4, 2.0)  # simulated; short of a retransmission, of a lost exchange, of a lost link
BOARD_ID = 0x1234_5678  # a blank board would be given one at random
REFUSED_CODE = 64  # what the sketch's `refuse` answers


class PowerCut(Exception):
    """Raised by a handler: the board's power is cut in the middle of a command."""


class Numbers:
    """A sketch whose handlers note the number that they were given: no request shares its number with another."""

    def __init__(self, fates: Fates) -> None:
        self.ran: Counter[int] = Counter()
        self._fates = fates

    def table(self) -> BoardTable:
        number = argument("number", ValueType.U32)
        return BoardTable(
            BoardRecord("Bench", "numbers", "1.0.0", ""),
            channels=[
                output("dial", "", ValueType.U32, self._write, safe=0),
                output("lamp", "", ValueType.U32, self._write, safe=0, hold_required=True),
            ],
            actions=[
                action("run", "Take a number", self._run, arguments=[number], returns=ValueType.U32),
                action("refuse", "Take a number, and say no", self._refuse, arguments=[number]),
            ],
        )

    def _write(self, core: Core, value: Raw) -> None:
        if value:  # 0 is the safe value, which nobody asks for
            self._run(core, value)

    def _run(self, _core: Core, number: Raw) -> Raw:
        self._befalls(Moment.HANDLER_BEGINS)
        self.ran[int(number)] += 1
        self._befalls(Moment.HANDLER_ENDS)
        return number

    def _refuse(self, core: Core, number: Raw) -> None:
        self._run(core, number)
        raise Refused(REFUSED_CODE)

    def _befalls(self, moment: Moment) -> None:
        match self._fates.take(moment):
            case Mishap.RESET:
                raise BoardReset
            case Mishap.POWER:
                raise PowerCut


class Life:
    """A gateway's board thread, which goes on only while the test waits in `go_on`."""

    def __init__(self, run: Callable[[], None]) -> None:
        self.over = False
        self._failure: BaseException | None = None
        self._doomed = False
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._live, args=(run,), daemon=True)
        self._thread.start()

    def go_on(self) -> None:
        """Until it pauses or is over."""
        self._turn.release()
        assert self._back.acquire(timeout=PATIENCE_S), "the board thread hangs"
        if self._failure is not None:
            raise self._failure

    def pause(self) -> None:
        """Called by the thread itself: lets the test go on. Raises Killed if that ended it."""
        self._back.release()
        self._turn.acquire()
        if self._doomed:
            raise Killed

    def end(self) -> None:
        """SIGKILL, while it pauses."""
        self._doomed = True
        self._turn.release()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the board thread outlives its process"

    def _live(self, run: Callable[[], None]) -> None:
        self._turn.acquire()
        try:
            if not self._doomed:
                run()
        except Killed:
            pass
        except BaseException as failure:
            self._failure = failure
        finally:
            self.over = True
            self._back.release()


class RoughDatabase(Database):
    """A file whose disk may be full."""

    full = False

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as connection:
            yield connection
            if self.full:
                raise JournalError("the disk is full")


class SteppedJournal(Journal):
    """The real journal; what its thread does is done when `asked` sees to it."""

    def __init__(self, database: Database, *, clock: Clock, random_bits: Callable[[int], int]) -> None:
        self.asked: Callable[[CommandState | None], None] = lambda _state: None
        super().__init__(database, boards=(NAME,), clock=clock, random_bits=random_bits)

    def record(self, command: Command, *, key: IdempotencyKey | None = None) -> Future[None]:
        future = super().record(command, key=key)
        self.asked(command.state)
        return future

    def rotate_epoch(self, board: str) -> Future[int]:
        future = super().rotate_epoch(board)
        self.asked(None)
        return future

    def keep_latch(self, board: str, cause: FailsafeCause | None) -> Future[None]:
        future = super().keep_latch(board, cause)
        if not future.done():
            self.asked(None)
        return future


class RoughWorld(World):
    """`at` and `run` of a `World` are not for this one: `go` lets time pass."""

    def __init__(self, directory: Path, *, resets_on_open: bool = False) -> None:
        self._directory = directory
        self.fates = Fates()
        self.numbers = Numbers(self.fates)
        self.disk_delay_s = 0.0
        """What is to be kept is committed so much later, unless a view waits for it."""
        self.written: dict[tuple[int, int], bytes] = {}
        """Each COMMAND that left the gateway: its epoch and wire id, and what it asked for."""
        self.reused: list[tuple[int, int]] = []
        """Epochs and wire ids that were given to two commands."""
        self.power_cuts = 0
        self.unexpected: list[str] = []
        """Errors of ours that the board thread would survive."""
        self._lives = 0
        self._life: Life | None = None
        self._paused = False
        self._in_view = False
        self._unkept: list[tuple[Moment, Moment]] = []
        self._session_sid = 0
        self._database = RoughDatabase(directory / "journal.db", synchronous="normal")
        line = Line(answers_at_once=not resets_on_open)
        super().__init__(line, limit=100, poll_interval_s=1.0, settle_within_s=30.0, link_timeout_s=2.0)

    # ---- lives ----

    def begin_life(self) -> None:
        if self._life is None:
            self.board = VirtualBoard(clock=self.clock, table=self.numbers.table())
            self.board._memory.board_id = BOARD_ID
        self._lives += 1
        self._unkept = []
        self._in_view = False
        bits = random.Random(self._lives).getrandbits
        self.journal = SteppedJournal(self._database, clock=self.clock, random_bits=bits)
        super().begin_life()
        self.worker._recover = self._recover  # type: ignore[method-assign]
        self.journal.asked = self._asked
        self.soon(0.0, self._commit)  # the journal's thread begins with opening what could not be opened yet
        self._life = Life(self.worker.run)

    def uniform(self) -> float:
        # Low bytes of sessions lie 40 apart from life to life, so that no late frame fits a life after its own. They
        # come at random in reality, where one life in 255 might take such a frame.
        return 40 * self._lives / 0xFFFF_FFFE

    def die(self, *, dead_for_s: float = 0.0) -> None:
        """SIGKILL, and a new start after a while. What was not committed is lost. The file itself stays open, since
        what SQLite does for a process that died is not in question here."""
        self._end_life()
        self.clock.now += dead_for_s
        self.begin_life()

    def end(self) -> None:
        """Nothing is left running, nothing open."""
        self._end_life()
        self._database.close()

    def _recover(self) -> None:
        self.unexpected.append(traceback.format_exc())
        raise Killed

    def _end_life(self) -> None:
        assert self._life is not None
        if not self._life.over:
            self._life.end()

    def go(self, seconds: float) -> None:
        """Lets so much time pass; a gateway that is killed meanwhile is started again."""
        assert self._life is not None
        self._paused = False
        self.soon(seconds, self._pause)
        while not self._paused:
            self._life.go_on()
            if self._life.over:
                self.die()

    def _pause(self) -> None:
        self._paused = True
        assert self._life is not None
        self._life.pause()

    def soon(self, seconds: float, happen: Callable[[], object]) -> None:
        """To happen so many seconds from now, whoever lives then."""
        self.at(self.clock.now - 1000.0 + seconds, happen)

    # ---- views ----

    @contextlib.contextmanager
    def view(self) -> Iterator[None]:
        """What is called inside stands for a request over HTTP; its gateway may be killed before it answers."""
        self._in_view = True
        try:
            yield
        except Killed:
            self.die()
        finally:
            self._in_view = False

    def ask(self, request: CommandRequest) -> Command:
        """As POST does it, with or without a key."""
        former = None if request.key is None else self.queue.former(request.key)
        return former or self.queue.submit(request)

    def safe(self, *, cleared_after_s: float) -> None:
        """A person wants everything safe, and looks into it; the answers don't matter."""
        self.soon(0.0, self._order_safe)
        self.soon(cleared_after_s, self._order_clear)

    def _order_safe(self) -> None:
        with contextlib.suppress(GatewayError):
            self.queue.safe(timeout_s=0)

    def _order_clear(self) -> None:
        self.queue.orders.clear()  # whoever asked waits on
        self.queue.wake()

    # ---- the journal's thread ----

    def _asked(self, state: CommandState | None) -> None:
        if state is not None:
            self._unkept.append(KEEP_MOMENTS.get(state, (Moment.KEEP_FINAL, Moment.KEPT_FINAL)))
        hangs = self.disk_delay_s > 1.0
        if self.disk_delay_s == 0.0 or (self._in_view and not hangs):
            self._commit()
        else:
            self.soon(self.disk_delay_s, self._commit)

    def _commit(self) -> None:
        about, self._unkept = self._unkept, []
        for before, _after in about:
            self._befalls_journal(before)
        if not self.journal.commit_pending():
            self.soon(RETRY_S, self._commit)
        for _before, after in about:
            self._befalls_journal(after)

    def _befalls_journal(self, moment: Moment) -> None:
        if self.fates.take(moment) is Mishap.KILL:
            raise Killed

    def fill_disk(self) -> None:
        self._database.full = True

    def mend_disk(self) -> None:
        self._database.full = False

    def back_up(self, path: Path) -> None:
        """A copy of the journal as it is committed now."""
        with (
            contextlib.closing(sqlite3.connect(self._directory / "journal.db")) as source,
            contextlib.closing(sqlite3.connect(path)) as copy,
        ):
            source.backup(copy)

    def restore(self, path: Path) -> None:
        """The gateway is killed, and started on that copy. Ids of its epoch may come again, to other commands."""
        self.end()
        for suffix in ("-wal", "-shm"):
            (self._directory / f"journal.db{suffix}").unlink(missing_ok=True)
        shutil.copyfile(path, self._directory / "journal.db")
        self.written.clear()
        self.begin_life()

    # ---- the board ----

    def cut_power(self) -> None:
        """What it was about to say is lost with what it knew."""
        self.power_cuts += 1
        self.board.port.sent.clear()
        self.board.power_cycle()

    def reset(self) -> None:
        self.board.port.sent.clear()
        self.board.reset()

    def unplug(self) -> None:
        """Its power is cut with that."""
        self.line.failing = self.line.missing = Reason.PORT_MISSING
        self.cut_power()

    def plug(self) -> None:
        self.line.failing = self.line.missing = None

    def thaw(self) -> None:
        """The sketch is busy no more."""
        try:
            self.board.thaw()
        except PowerCut:
            self.cut_power()

    # ---- the line ----

    def open_link(self, url: str, *, baud: int, wake: object) -> FakeLink:
        super().open_link(url, baud=baud, wake=wake)
        self.links[-1] = RoughLink(self, baud)
        return self.links[-1]

    def to_board(self, wire: bytes) -> None:
        """The host sends a frame, or what is none."""
        frame = framing.decode(wire.strip(b"\0"))
        if frame is None:
            self.hear(wire)
            return
        mishap = self.fates.take(REQUEST_MOMENTS.get(frame.type, Moment.OTHER))
        match mishap:
            case Mishap.KILL:
                raise Killed
            case Mishap.RESET:
                self.reset()
            case Mishap.POWER:
                self.cut_power()
        self._note(frame)
        for delay_s, data in self.arrivals(wire, mishap):
            if delay_s:
                self.soon(delay_s, lambda data=data: self._hear_late(data))
            else:
                self.hear(data)
        match mishap:
            case Mishap.KILL_AFTER:
                raise Killed
            case Mishap.RESET_AFTER:
                self.reset()
            case Mishap.POWER_AFTER:
                self.cut_power()

    def arrivals(self, wire: bytes, mishap: Mishap | None) -> list[tuple[float, bytes]]:
        """When what of this frame arrives at the other end."""
        late_s = self.random.choice(LATE_S)
        match mishap:
            case Mishap.SAFE:
                self.safe(cleared_after_s=1.0)
            case Mishap.LOSE:
                return []
            case Mishap.GARBLE:
                at = self.random.randrange(1, len(wire) - 1)
                return [(0.0, wire[:at] + bytes([wire[at] ^ 1 << self.random.randrange(8)]) + wire[at + 1 :])]
            case Mishap.TWICE:
                return [(0.0, wire), (0.0, wire)]
            case Mishap.LATE:
                return [(late_s, wire)]
            case Mishap.ECHO:
                return [(0.0, wire), (late_s, wire)]
        return [(0.0, wire)]

    def hear(self, data: bytes) -> None:
        """The board's end of the line."""
        if self.line.dead:
            return
        try:
            self.board.receive(data)
        except PowerCut:
            self.cut_power()

    def _hear_late(self, wire: bytes) -> None:
        # A line that plays back the HELLO of a session gone by, and then its commands, is another host, not a fault.
        frame = framing.decode(wire.strip(b"\0"))
        assert frame is not None
        if frame.type != m.Hello.TYPE or frame.sid == self._session_sid:
            self.hear(wire)

    def _note(self, frame: framing.Frame) -> None:
        if frame.type == m.Hello.TYPE:
            self._session_sid = frame.sid
        if frame.type == m.RunCommand.TYPE:
            command = m.RunCommand.from_bytes(frame.payload)
            place = (self.journal.epoch(NAME), command.id)
            asked = bytes([command.target]) + command.arguments
            if self.written.setdefault(place, asked) != asked:
                self.reused.append(place)


class RoughLink(FakeLink):
    """A link to the world's board over its line."""

    world: RoughWorld

    def write(self, data: bytes) -> None:
        self._check()
        if self.baud == DEFAULT_BAUD and not self.world.line.dead:
            self.world.to_board(data)

    def _collect(self) -> None:
        now = self.world.clock.now
        for segment in filter(None, self.world.board.transmit().split(b"\0")):
            frame = framing.decode(segment)
            assert frame is not None, "the board sends whole frames"
            answers = frame.payload[0] if frame.type == m.ErrorReply.TYPE else frame.type & ~m.REPLY
            moment = REPLY_MOMENTS.get(answers, Moment.OTHER_REPLY)
            for delay_s, data in self.world.arrivals(b"\0" + segment + b"\0", self.world.fates.take(moment)):
                if not self.world.line.dead:
                    bisect.insort(self._arriving, (now + REPLY_S + delay_s, data))
        while self._arriving and self._arriving[0][0] <= now:
            self._ready += self._arriving.pop(0)[1]
