"""The one command under way, when the journal is slow, broken or older than the board, and when ids come to an end."""

from concurrent.futures import Future

import pytest

from gateway.board.lane import LAST_WIRE_ID
from gateway.errors import JournalError
from gateway.model import Command, CommandState
from gateway.protocol.framing import encode
from gateway.protocol.messages import CommandReply, ErrorCode, ErrorReply, Outcome, RunCommand
from tests.board.world import World


class SlowJournal:
    """The world's journal, whose `sent` rows are committed only when the test says so."""

    def __init__(self, world: World) -> None:
        self._journal = world.journal
        self.pending: list[tuple[Command, Future[None]]] = []
        world.journal.record, self._record = self.record, world.journal.record  # type: ignore[method-assign]

    def record(self, command: Command) -> Future[None]:
        if command.state is not CommandState.SENT:
            return self._record(command)
        future: Future[None] = Future()
        self.pending.append((command, future))
        return future

    def commit(self) -> None:
        command, future = self.pending.pop(0)
        self._record(command)
        future.set_result(None)

    def fail(self) -> None:
        self.pending.pop(0)[1].set_exception(JournalError("the disk is full"))


def beep(world: World, times: int = 5, **options: object) -> Command:
    return world.submit(action="beep", arguments={"times": times}, **options)


def test_no_byte_leaves_before_the_row_is_committed_and_polls_go_on_meanwhile() -> None:
    world = World()
    journal = SlowJournal(world)
    commands: list[Command] = []
    world.at(2, lambda: commands.append(beep(world)))
    world.at(5, lambda: seen.append((list(world.pins.beeps), len(world.sink.samples))))
    world.at(5, journal.commit)
    seen: list[tuple[list[int], int]] = []
    world.run(7)
    ((beeps, samples),) = seen
    assert beeps == []
    assert samples >= 49
    assert world.pins.beeps == [5]
    assert world.now_is(commands[0]).state is CommandState.DONE


def test_a_journal_that_fails_means_the_command_is_not_sent() -> None:
    world = World()
    journal = SlowJournal(world)
    commands: list[Command] = []
    world.at(2, lambda: commands.append(beep(world)))
    world.at(3, journal.fail)
    world.run(5)
    command = world.now_is(commands[0])
    assert (command.state, command.error and command.error.code) == (CommandState.FAILED, "journal")
    assert "the disk is full" in str(command.error)
    assert world.pins.beeps == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_reset_while_the_row_is_being_committed_waits_for_the_journal(fails: bool) -> None:
    world = World()
    journal = SlowJournal(world)
    commands: list[Command] = []
    world.at(2, lambda: commands.append(beep(world)))
    world.at(3, world.board.reset)
    world.at(4, journal.fail if fails else journal.commit)
    world.run(6)
    assert world.now_is(commands[0]).state is (CommandState.FAILED if fails else CommandState.DONE)
    assert world.pins.beeps == ([] if fails else [5])


def test_a_row_committed_after_its_deadline_is_not_sent() -> None:
    world = World()
    journal = SlowJournal(world)
    commands: list[Command] = []
    world.at(2, lambda: commands.append(beep(world, expires_in_ms=1000)))
    world.at(4, journal.commit)
    world.run(5)
    assert world.now_is(commands[0]).state is CommandState.EXPIRED
    assert world.pins.beeps == []


def test_the_epoch_is_rotated_before_the_ids_end() -> None:
    world = World()
    world.at(1, lambda: world.journal._of("uno").__setattr__("last_wire_id", LAST_WIRE_ID - 1))
    commands: list[Command] = []
    epoch = world.journal.epoch("uno")
    world.at(2, lambda: commands.extend([beep(world, 1), beep(world, 2)]))
    world.run(6)
    assert [world.now_is(command).wire_id for command in commands] == [LAST_WIRE_ID, 1]
    assert [world.now_is(command).state for command in commands] == [CommandState.DONE] * 2
    assert world.pins.beeps == [1, 2]
    assert world.journal.epoch("uno") != epoch


def test_a_board_that_is_ahead_of_the_journal_gets_a_new_epoch() -> None:
    world = World()
    commands: list[Command] = []
    epoch = world.journal.epoch("uno")
    for number in range(3):
        world.at(1 + number / 10, lambda: commands.append(beep(world)))
    # A restored journal: same epoch, older ids.
    world.at(3, lambda: world.journal._of("uno").__setattr__("last_wire_id", 1))
    world.at(3.1, world.board.reset)
    world.at(5, lambda: commands.append(beep(world, 9)))
    world.run(7)
    assert world.journal.epoch("uno") != epoch
    assert world.now_is(commands[-1]).state is CommandState.DONE
    assert world.pins.beeps == [5, 5, 5, 9]


def test_a_restored_journal_with_a_command_under_way_says_unknown_and_repeats_nothing() -> None:
    world = World()
    commands: list[Command] = []
    for number in range(3):
        world.at(1 + number / 10, lambda: commands.append(beep(world)))
    world.at(3, lambda: world.journal._of("uno").__setattr__("last_wire_id", 1))
    world.at(3.05, lambda: commands.append(beep(world, 9)))  # gets id 2, which the board has long done
    world.run(7)
    assert world.now_is(commands[-1]).state is CommandState.UNKNOWN
    assert world.pins.beeps == [5, 5, 5]


class Impostor:
    """Answers COMMAND in the board's place."""

    def __init__(self, world: World, answer: object) -> None:
        self._world = world
        self._answer = answer
        self._receive = world.board.receive
        world.board.receive = self.receive  # type: ignore[method-assign]

    def receive(self, data: bytes) -> None:
        link = self._world.links[-1]
        self._receive(data)
        from gateway.protocol.framing import decode

        frame = decode(data.strip(b"\0"))
        if frame is not None and frame.type == RunCommand.TYPE:
            self._world.board.transmit()
            reply = self._answer
            link.arrive(encode(reply.TYPE, frame.seq, frame.sid, payload=reply.to_bytes()))  # type: ignore[attr-defined]
            self._world.board.receive = self._receive  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("answer", "state", "code"),
    [
        (CommandReply(1, Outcome.INTERRUPTED, 0, 0, b""), CommandState.UNKNOWN, "unknown"),
        (CommandReply(1, Outcome.DUPLICATE, ErrorCode.OUT_OF_RANGE, 0, b""), CommandState.FAILED, "out_of_range"),
        (ErrorReply(RunCommand.TYPE, ErrorCode.BAD_TARGET, 0), CommandState.FAILED, "bad_target"),
        (ErrorReply(RunCommand.TYPE, ErrorCode.FAILSAFE, 0), CommandState.FAILED, "failsafe"),
        (CommandReply(99, Outcome.EXECUTED, 0, 0, b""), CommandState.DONE, None),
        (ErrorReply(RunCommand.TYPE, ErrorCode.STALE_ID, 0), CommandState.DONE, None),
    ],
)
def test_what_the_board_answers_decides(answer: object, state: CommandState, code: str | None) -> None:
    """The last two make no sense of the command itself: the board's record is asked, and tells that it ran."""
    world = World()
    commands: list[Command] = []

    def submit() -> None:
        Impostor(world, answer)
        commands.append(beep(world))

    world.at(2, submit)
    world.run(5)
    command = world.now_is(commands[0])
    assert (command.state, command.error and command.error.code) == (state, code)


def test_a_failsafe_while_a_row_is_being_committed_ends_with_the_row() -> None:
    world = World(link_timeout_s=60.0)
    journal = SlowJournal(world)
    commands: list[Command] = []
    world.at(2, lambda: commands.append(beep(world)))
    world.at(2.5, lambda: setattr(world.line, "dead", True))
    world.at(6, lambda: setattr(world.line, "dead", False))
    world.at(8, journal.commit)
    world.run(12)
    command = world.now_is(commands[0])
    assert (command.state, command.error and command.error.code) == (CommandState.FAILED, "failsafe")
    assert world.status.failsafe is None
    assert world.pins.beeps == []


def test_a_row_still_being_committed_when_safe_comes_is_never_sent() -> None:
    world = World()
    journal = SlowJournal(world)
    commands: list[Command] = []
    world.at(2, lambda: commands.append(beep(world)))
    world.at(3, world.queue.orders.safe)
    world.at(5, journal.commit)
    world.run(7)
    assert world.now_is(commands[0]).state is CommandState.CANCELLED
    assert world.pins.beeps == []


def test_a_bring_up_that_waits_for_the_journal_keeps_the_board_alive() -> None:
    world = World()
    journal = SlowJournal(world)
    world.at(2, lambda: beep(world))
    world.at(3, world.board.reset)
    world.at(30, journal.commit)
    world.run(33)
    assert world.opened_at == [1000.0]
    assert world.pins.safe_calls == 0
    assert world.status.state.value == "online"
