"""The one command under way, when the journal is slow, broken or older than the board, and when ids come to an end."""

from concurrent.futures import Future

import pytest

from gateway.board.commands import CommandRequest
from gateway.board.lane import LAST_WIRE_ID
from gateway.errors import GatewayError, JournalError
from gateway.model import Command, CommandState, IdempotencyKey, Reason
from gateway.protocol.framing import decode, encode
from gateway.protocol.messages import CommandReply, ErrorCode, ErrorReply, Hello, Outcome, RunCommand
from tests.board.world import World, refusal_of


class SlowJournal:
    """The world's journal, whose rows in one of `states` are committed only when the test says so."""

    def __init__(self, world: World, *states: CommandState) -> None:
        self.pending: list[tuple[Command, Future[None]]] = []
        self._states = states or (CommandState.SENT,)
        world.journal.record, self._record = self.record, world.journal.record  # type: ignore[method-assign]

    def record(self, command: Command, *, key: IdempotencyKey | None = None) -> Future[None]:
        if command.state not in self._states:
            return self._record(command, key=key)
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


@pytest.mark.fault(11)
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


def test_a_row_committed_but_never_sent_is_no_riddle_when_the_board_loses_its_memory() -> None:
    world = World()
    journal = SlowJournal(world)
    commands: list[Command] = []
    world.at(2, lambda: commands.append(beep(world, expires_in_ms=60_000)))
    world.at(3, world.board.power_cycle)
    world.at(3.5, journal.commit)
    world.run(6)
    ended = world.now_is(commands[0])
    assert (ended.state, ended.error and ended.error.code) == (CommandState.FAILED, "not_executed")
    assert world.pins.beeps == []


def test_a_row_committed_after_its_deadline_is_not_sent() -> None:
    world = World()
    journal = SlowJournal(world)
    commands: list[Command] = []
    world.at(2, lambda: commands.append(beep(world, expires_in_ms=1000)))
    world.at(4, journal.commit)
    world.run(5)
    assert world.now_is(commands[0]).state is CommandState.EXPIRED
    assert world.pins.beeps == []


@pytest.mark.fault(23)
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


@pytest.mark.fault(16)
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


@pytest.mark.fault(16)
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


def test_a_bring_up_waits_a_second_for_the_journal_then_goes_on_with_readings_alone() -> None:
    world = World()
    journal = SlowJournal(world)
    commands: list[Command] = []
    refusals: list[GatewayError] = []
    world.at(2, lambda: commands.append(beep(world, expires_in_ms=60_000)))
    world.at(3, world.board.reset)
    world.at(20, lambda: refusals.append(refusal_of(lambda: beep(world))))
    world.at(20, lambda: samples.append(len(world.sink.samples)))
    samples: list[int] = []
    world.at(30, journal.commit)
    world.run(33)
    assert world.opened_at == [1000.0]
    assert world.pins.safe_calls == 0
    assert samples[0] > 150, "readings went on"
    assert isinstance(refusals[0], JournalError)
    assert world.status.state.value == "online"
    assert world.now_is(commands[0]).state is CommandState.DONE
    assert world.pins.beeps == [5]


@pytest.mark.parametrize("cold", [True, False])
def test_a_board_forgets_nothing_before_the_end_that_its_record_told_is_kept(cold: bool) -> None:
    """A gateway killed meanwhile finds the row `sent`, and the board's record is all there is to settle it from."""
    world = World()
    journal = SlowJournal(world, CommandState.DONE, CommandState.UNKNOWN)
    commands: list[Command] = []
    world.at(2, lambda: commands.append(beep(world)))
    world.at(3, world.board.power_cycle if cold else world.board.reset)
    world.at(3, lambda: commands.append(beep(world, 6, waits_offline=True)))
    world.at(10, lambda: stored.append((world.board._memory.record.epoch, list(world.pins.beeps))))
    stored: list[tuple[int, list[int]]] = []
    world.at(11, journal.commit)
    world.at(14, journal.commit)
    world.run(15)
    epoch = world.journal.epoch("uno")
    assert stored == [(0 if cold else epoch, [5])]
    assert world.board._memory.record.epoch == epoch
    assert [world.now_is(command).state for command in commands] == [CommandState.DONE] * 2
    assert world.pins.beeps == [5, 6]


def test_a_journal_that_can_not_be_read_leaves_the_board_s_record_alone_until_it_can() -> None:
    world = World(on_connect=(CommandRequest(action="beep", arguments={"times": 1}),))
    epoch, world.journal.epoch = world.journal.epoch, lambda _board: 0  # type: ignore[method-assign]
    refusals: list[GatewayError] = []
    seen: list[tuple[int, list[int]]] = []
    world.at(30, lambda: refusals.append(refusal_of(lambda: beep(world))))
    world.at(30, lambda: seen.append((world.board._memory.record.epoch, list(world.pins.beeps))))
    world.at(31, lambda: setattr(world.journal, "epoch", epoch))
    world.at(33, lambda: beep(world))
    world.run(35)
    assert isinstance(refusals[0], JournalError)
    assert seen == [(0, [])]
    assert world.status.state.value == "online"
    assert world.board._memory.record.epoch == epoch("uno")
    assert world.pins.beeps == [1, 5]
    assert [row.state for row in world.journal.page("uno")[0]] == [CommandState.DONE] * 2


# ---- boards that stay away ----


def away(world: World, commands: list[Command], *, until_s: float) -> None:
    """A command is sent at 2 s, what the board says is lost, and the line is gone from then until `until_s`."""
    world.at(2, lambda: setattr(world.line, "dead", True))
    world.at(2, lambda: commands.append(beep(world, expires_in_ms=500)))
    world.at(2.2, lambda: setattr(world.line, "failing", Reason.PORT_MISSING))
    world.at(2.2, lambda: setattr(world.line, "missing", Reason.PORT_MISSING))
    for name, value in (("dead", False), ("failing", None), ("missing", None)):
        world.at(until_s, lambda name=name, value=value: setattr(world.line, name, value))


@pytest.mark.parametrize(("until_s", "state"), [(590, CommandState.EXPIRED), (620, CommandState.UNKNOWN)])
def test_a_board_away_for_settle_within_makes_its_sent_command_unknown(until_s: float, state: CommandState) -> None:
    world = World()
    commands: list[Command] = []
    seen: list[CommandState] = []
    away(world, commands, until_s=until_s)
    world.at(until_s - 1, lambda: seen.append(world.now_is(commands[0]).state))
    world.run(630)
    assert seen == [CommandState.SENT if state is CommandState.EXPIRED else CommandState.UNKNOWN]
    assert world.now_is(commands[0]).state is state
    assert world.status.state.value == "online"
    assert world.pins.beeps == []


def test_settle_within_is_told_and_configured() -> None:
    world = World(settle_within_s=30.0)
    commands: list[Command] = []
    away(world, commands, until_s=100)
    world.run(60)
    ended = world.now_is(commands[0])
    assert ended.error is not None
    assert "settle_within" in ended.error.detail
    assert ended.finished_at is not None
    assert ended.finished_at - world.clock.time() == pytest.approx(32.2 - 60, abs=0.7)


def test_a_board_that_connects_and_never_settles_is_given_up_too() -> None:
    """Its sketch says HELLO and then nothing: no session ever comes to settle what was sent."""
    world = World(settle_within_s=20.0)
    commands: list[Command] = []
    away(world, commands, until_s=5)
    world.at(4, lambda: mute(world))
    world.run(60)
    assert world.now_is(commands[0]).state is CommandState.UNKNOWN


def test_a_board_that_keeps_its_port_and_never_comes_back_is_given_up_too() -> None:
    """It said BOOT, and the gateway waits for it as long as `link_timeout` says."""
    world = World(settle_within_s=5.0, link_timeout_s=120.0)
    commands: list[Command] = []
    world.at(2, lambda: setattr(world.line, "dead", True))
    world.at(2, lambda: commands.append(beep(world)))
    world.at(2.1, lambda: setattr(world.board, "receive", lambda _data: None))
    world.at(2.1, lambda: setattr(world.line, "dead", False))
    world.at(2.1, world.board.reset)
    world.run(60)
    ended = world.now_is(commands[0])
    assert ended.state is CommandState.UNKNOWN
    assert ended.finished_at == pytest.approx((ended.sent_at or 0) + 5.1, abs=0.3)
    assert world.opened_at == [1000.0]


def mute(world: World) -> None:
    """The board answers HELLO and nothing else."""
    receive = world.board.receive

    def only_hello(data: bytes) -> None:
        frame = decode(data.strip(b"\0"))
        if frame is not None and frame.type == Hello.TYPE:
            receive(data)

    world.board.receive = only_hello  # type: ignore[method-assign]


def test_a_row_never_sent_ends_at_its_deadline_though_the_board_is_away() -> None:
    world = World()
    journal = SlowJournal(world)
    commands: list[Command] = []
    world.at(2, lambda: commands.append(beep(world, expires_in_ms=3000)))
    world.at(2.5, lambda: setattr(world.line, "failing", Reason.PORT_MISSING))
    world.at(2.5, lambda: setattr(world.line, "missing", Reason.PORT_MISSING))
    world.at(3, journal.commit)
    world.run(20)
    ended = world.now_is(commands[0])
    assert ended.state is CommandState.EXPIRED
    assert ended.finished_at == pytest.approx(ended.expires_at, abs=0.01)
