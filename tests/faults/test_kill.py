"""SIGKILL at every point of a command's life: before and behind each row that is kept and each byte that is written,
one run for each. The journal and the board's record settle what the killed gateway left. PROTOCOL.md, "Fault cases";
a simulated world, in which a process dies between two statements.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest

from gateway.model import Command, CommandState, Reason
from gateway.protocol.framing import decode
from gateway.protocol.messages import Hello
from tests.board.world import FakeLink, Line, World
from tests.memory_journal import MemoryJournal

POINTS = 40  # more than any of these lives has
COMMANDS = (5, 6)
EXPIRES_IN_MS = 20_000


class Reaper:
    """Kills the gateway before or behind its nth deed: a row kept, or bytes written to the port."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, *, point: int) -> None:
        self.deeds = 0
        self.killed = False
        self.armed = False
        self._world = world
        self._point = point
        world.journal.record = self._around(world.journal.record)  # type: ignore[method-assign]
        monkeypatch.setattr(FakeLink, "write", self._around_write(FakeLink.write))

    def _reap(self) -> None:
        self.deeds += self.armed
        if self.armed and self.deeds == self._point:
            self.armed = False
            self.killed = True
            self._world.line.lose_replies = 0
            self._world.kill()

    def _around(self, deed: Callable[..., object]) -> Callable[..., object]:
        def done(*arguments: object, **named: object) -> object:
            self._reap()
            result = deed(*arguments, **named)
            self._reap()
            return result

        return done

    def _around_write(self, write: Callable[[FakeLink, bytes], None]) -> Callable[[FakeLink, bytes], None]:
        def written(link: FakeLink, data: bytes) -> None:
            self._around(write)(link, data)

        return written


def live(
    monkeypatch: pytest.MonkeyPatch, *, point: int, line: Line, between: Callable[[World], object] | None = None
) -> tuple[World, list[Command], Reaper]:
    """Two commands, one behind the other, and a death at this point; then whoever is not dead carries on."""
    world = World(line, poll_interval_s=0.5)
    reaper = Reaper(world, monkeypatch, point=point)
    commands: list[Command] = []
    kill = world.kill

    def die() -> None:
        if between is not None:
            between(world)
        kill()

    world.kill = die  # type: ignore[method-assign]

    def submit() -> None:
        reaper.armed = True
        for times in COMMANDS:
            commands.append(world.submit(action="beep", arguments={"times": times}, expires_in_ms=EXPIRES_IN_MS))

    world.at(4, submit)
    world.at(4.5, lambda: setattr(reaper, "armed", False))
    world.run(15)
    return world, commands, reaper


def hold_to_the_promise(world: World, commands: list[Command], *, unknown: int) -> list[CommandState]:
    """Nothing twice, done exactly if it ran, everything ended; the states."""
    ran = Counter(world.pins.beeps)
    rows = [row for row in world.journal.page("uno")[0] if row.arguments is not None]
    assert not world.journal.open_commands("uno")
    for row in rows:
        times = row.arguments["times"]  # type: ignore[index]
        assert ran[times] <= 1
        if row.state is CommandState.DONE:
            assert ran[times] == 1
        elif row.state is not CommandState.UNKNOWN:
            assert ran[times] == 0
    states = [row.state for row in rows]
    assert states.count(CommandState.UNKNOWN) <= unknown
    assert set(ran) <= {row.arguments["times"] for row in rows}, "nothing ran that no row tells of"  # type: ignore[index]
    return states


def points(run: Callable[[int], Reaper]) -> Iterator[int]:
    """Runs one life for each point until one ends by itself."""
    for point in range(1, POINTS):
        if not run(point).killed:
            return
        yield point
    raise AssertionError(f"more than {POINTS} points")


@pytest.mark.fault(11)
def test_killed_at_every_point_everything_is_settled_and_nothing_runs_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[list[CommandState]] = []

    def run(point: int) -> Reaper:
        with monkeypatch.context() as patched:
            world, commands, reaper = live(patched, point=point, line=Line())
        outcomes.append(hold_to_the_promise(world, commands, unknown=0))
        return reaper

    assert len(list(points(run))) >= 12
    assert {state for states in outcomes for state in states} == {CommandState.DONE}, "the board remembers all"
    assert [len(states) for states in outcomes][-1] == 2


@pytest.mark.fault(12)
def test_killed_at_every_point_and_the_board_reset_at_the_next_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record outlives the reset, its outputs do not."""

    def run(point: int) -> Reaper:
        with monkeypatch.context() as patched:
            line = Line(answers_at_once=False)
            world, commands, reaper = live(patched, point=point, line=line)
        states = hold_to_the_promise(world, commands, unknown=0)
        assert set(states) <= {CommandState.DONE}
        assert len(world.links) == 1 + reaper.killed, "each opening resets the board"
        return reaper

    assert len(list(points(run))) >= 12


@pytest.mark.fault(11, 13)
def test_killed_at_every_point_by_a_power_cut_that_takes_the_board_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent is unknown, what was not is run, what had ended stays."""
    unknown = 0

    def run(point: int) -> Reaper:
        nonlocal unknown
        with monkeypatch.context() as patched:
            world, commands, reaper = live(
                patched, point=point, line=Line(), between=lambda world: world.board.power_cycle()
            )
        states = hold_to_the_promise(world, commands, unknown=1)
        assert set(states) <= {CommandState.DONE, CommandState.UNKNOWN}
        unknown += CommandState.UNKNOWN in states
        return reaper

    assert len(list(points(run))) >= 12
    assert unknown >= 4


@pytest.mark.fault(11)
@pytest.mark.parametrize("again_s", [0.0, 0.05, 1.0])
def test_killed_again_and_again_before_it_is_settled(again_s: float) -> None:
    world = World(Line(delay_s=0.02))
    commands: list[Command] = []

    def submit() -> None:
        world.line.lose_replies = 3
        commands.append(world.submit(action="beep", arguments={"times": 5}, expires_in_ms=EXPIRES_IN_MS))

    world.at(4, submit)
    for number in range(5):
        world.at(4.05 + number * (again_s + 0.01), world.kill)
    world.run(30)
    assert world.now_is(commands[0]).state is CommandState.DONE
    assert world.pins.beeps == [5]


class Hellos:
    """What epochs the gateway offered, life after life."""

    def __init__(self, world: World) -> None:
        self.epochs: list[int] = []
        self._receive = world.board.receive
        world.board.receive = self.receive  # type: ignore[method-assign]

    def receive(self, data: bytes) -> None:
        frame = decode(data.strip(b"\0"))
        if frame is not None and frame.type == Hello.TYPE:
            self.epochs.append(Hello.from_bytes(frame.payload).epoch)
        self._receive(data)


@pytest.mark.fault(15)
@pytest.mark.parametrize("lost", [1, 3])
def test_a_cold_board_whose_hello_answers_are_lost_is_unknown_and_never_asked_to_run_it_again(lost: int) -> None:
    """A HELLO that adopted the epoch would make the second answer say: never ran."""
    world = World()
    hellos = Hellos(world)
    commands: list[Command] = []

    def submit() -> None:
        world.line.lose_replies = 1000
        commands.append(world.submit(action="beep", arguments={"times": 5}, expires_in_ms=60_000))

    def cut() -> None:
        world.board.power_cycle()
        world.board.transmit()  # nobody hears its BOOT
        world.line.lose_replies = lost
        world.kill()

    world.at(3, submit)
    world.at(3.2, cut)
    world.run(20)
    assert len(hellos.epochs) >= 2 + (lost + 1) // 2, "every other write is a HELLO"
    assert len(set(hellos.epochs)) == 1
    assert world.now_is(commands[0]).state is CommandState.UNKNOWN
    assert world.pins.beeps == [5]


@pytest.mark.fault(16)
def test_a_restored_journal_runs_nothing_again_that_it_holds_as_queued() -> None:
    """The board is ahead of it, so nobody can tell what of that has run."""
    world = World(poll_interval_s=0.5)
    commands: list[Command] = []
    backups: list[MemoryJournal] = []

    def unplug() -> None:
        world.line.failing = world.line.missing = Reason.PORT_MISSING

    def submit() -> None:
        commands.append(world.submit(action="beep", arguments={"times": 5}, expires_in_ms=60_000, waits_offline=True))
        rows, boards = dict(world.journal._rows), deepcopy(world.journal._boards)
        backups.append(MemoryJournal(clock=world.clock))
        backups[0]._rows, backups[0]._boards = rows, boards

    def plug() -> None:
        world.line.failing = world.line.missing = None

    def restore() -> None:
        world.journal = backups[0]
        world.kill()

    world.at(2, lambda: world.submit(action="beep", arguments={"times": 1}))
    world.at(3, unplug)
    world.at(4, submit)
    world.at(5, plug)
    world.at(8, restore)
    world.run(20)
    assert world.pins.beeps == [1, 5]
    assert world.now_is(commands[0]).state in (CommandState.UNKNOWN, CommandState.CANCELLED)
