"""A gateway that is killed and started again: what the journal kept goes on, and nothing runs twice."""

from dataclasses import replace

import pytest

from gateway.board.commands import CommandRequest
from gateway.errors import WrongState
from gateway.model import Command, CommandOrigin, CommandState, FailsafeCause, Reason
from gateway.protocol.messages import Message, SafeReply
from tests.board.world import Liar, World, refusal_of


def beep(world: World, times: int = 5, **options: object) -> Command:
    return world.submit(action="beep", arguments={"times": times}, **options)


def unplug(world: World) -> None:
    world.line.failing = world.line.missing = Reason.PORT_MISSING


def plug(world: World) -> None:
    world.line.failing = world.line.missing = None


@pytest.mark.fault(11)
def test_queued_commands_outlive_the_gateway_in_their_order() -> None:
    world = World()
    commands: list[Command] = []
    world.at(2, lambda: unplug(world))
    for number in (1, 2, 3):
        world.at(4, lambda number=number: commands.append(beep(world, number, waits_offline=True)))
    world.at(5, world.kill)
    world.at(6, lambda: plug(world))
    world.run(10)
    assert world.pins.beeps == [1, 2, 3]
    assert [world.now_is(command).state for command in commands] == [CommandState.DONE] * 3


def test_a_queued_command_whose_deadline_came_while_nobody_lived_expires() -> None:
    world = World()
    commands: list[Command] = []
    world.at(2, lambda: unplug(world))
    world.at(4, lambda: commands.append(beep(world, waits_offline=True, expires_in_ms=1000)))

    def sleep_dead() -> None:
        world.clock.now += 60
        world.kill()

    world.at(4.5, sleep_dead)
    world.at(64, lambda: plug(world))
    world.run(70)
    assert world.now_is(commands[0]).state is CommandState.EXPIRED
    assert world.pins.beeps == []


@pytest.mark.parametrize("lost", ["request", "reply"])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.fault(11)
def test_a_command_under_way_is_settled_from_the_board_s_record(lost: str, reset: bool) -> None:
    world = World()
    commands: list[Command] = []

    def submit() -> None:
        if lost == "request":
            world.line.dead = True
        else:
            world.line.lose_replies = 1000
        commands.append(beep(world))

    def kill() -> None:
        world.line.dead, world.line.lose_replies = False, 0
        if reset:
            world.board.reset()
        world.kill()

    world.at(2, submit)
    world.at(2.25, kill)
    world.run(6)
    assert world.now_is(commands[0]).state is CommandState.DONE
    assert world.pins.beeps == [5]


@pytest.mark.fault(13)
def test_a_gateway_that_is_killed_again_and_again_gives_a_lost_board_up_all_the_same() -> None:
    world = World(settle_within_s=200.0)
    commands: list[Command] = []
    seen: list[CommandState] = []

    def submit() -> None:
        world.line.dead = True
        commands.append(beep(world))

    world.at(2, submit)
    world.at(2.2, lambda: unplug(world))
    for second in range(10, 400, 70):
        world.at(second, world.kill)
    world.at(190, lambda: seen.append(world.now_is(commands[0]).state))
    world.run(400)
    assert seen == [CommandState.SENT]
    ended = world.now_is(commands[0])
    assert ended.state is CommandState.UNKNOWN
    assert ended.finished_at is not None
    assert ended.finished_at - ended.created_at < 300


def test_a_command_under_way_at_a_power_cut_is_unknown() -> None:
    world = World()
    commands: list[Command] = []

    def submit() -> None:
        world.line.lose_replies = 1000
        commands.append(beep(world))

    def cut() -> None:
        world.line.lose_replies = 0
        world.board.power_cycle()
        world.kill()

    world.at(2, submit)
    world.at(2.25, cut)
    world.run(6)
    assert world.now_is(commands[0]).state is CommandState.UNKNOWN
    assert world.pins.beeps == [5]


def test_what_was_sent_to_a_virtual_board_never_runs_on_a_real_one() -> None:
    """A recording has the sketch and the epoch of the board that it was made of."""
    world = World()
    commands: list[Command] = []

    def submit() -> None:
        world.line.dead = True
        commands.append(beep(world))

    def kill() -> None:
        world.line.dead = False
        world.journal.record(replace(world.now_is(commands[0]), virtual=True))
        world.kill()

    world.at(2, submit)
    world.at(2.25, kill)
    world.run(6)
    assert world.now_is(commands[0]).state is CommandState.UNKNOWN
    assert world.pins.beeps == []


def test_ids_go_on_where_they_were_and_the_epoch_stays() -> None:
    world = World()
    commands: list[Command] = []
    epoch = world.journal.epoch("uno")
    for second in (2, 4):
        world.at(second, lambda: commands.append(beep(world)))
    world.at(3, world.kill)
    world.run(6)
    assert [world.now_is(command).wire_id for command in commands] == [1, 2]
    assert world.journal.epoch("uno") == epoch
    assert world.status.resets == 0


# ---- SAFE and the latch ----


@pytest.mark.parametrize("forgets", [False, True])
def test_safe_outlives_gateway_and_board_until_it_is_cleared(forgets: bool) -> None:
    world = World()
    refusals = []
    world.at(2, world.queue.orders.safe)
    world.at(3, world.board.power_cycle if forgets else world.board.reset)
    world.at(3, world.kill)
    world.at(5, lambda: refusals.append(refusal_of(lambda: beep(world))))
    world.at(5, lambda: causes.append(world.status.failsafe))
    causes: list[FailsafeCause | None] = []
    world.at(6, world.clear)
    world.at(7, lambda: beep(world))
    world.run(9)
    assert isinstance(refusals[0], WrongState)
    assert causes == [FailsafeCause.SAFE]
    assert world.pins.safe_calls >= 1
    assert world.pins.beeps == [5]
    assert world.journal.latch("uno") is None


def test_safe_asked_for_while_the_board_was_away_comes_first_after_a_restart() -> None:
    world = World()
    world.at(2, lambda: unplug(world))
    world.at(3, lambda: refusal_of(lambda: world.queue.safe(timeout_s=1)))
    world.at(4, world.kill)
    world.at(5, lambda: plug(world))
    world.run(9)
    assert world.status.failsafe is FailsafeCause.SAFE
    assert world.pins.safe_calls >= 1


def test_safe_cancels_what_waits_for_the_board_and_forbids_more() -> None:
    world = World()
    commands: list[Command] = []
    refusals = []
    world.at(2, lambda: unplug(world))
    world.at(3, lambda: commands.append(beep(world, waits_offline=True)))
    world.at(4, lambda: refusal_of(lambda: world.queue.safe(timeout_s=1)))
    world.at(5, lambda: refusals.append(refusal_of(lambda: beep(world, waits_offline=True))))
    world.run(6)
    assert world.now_is(commands[0]).state is CommandState.CANCELLED
    assert isinstance(refusals[0], WrongState)


def test_what_is_queued_never_begins_on_a_board_found_latched_by_safe() -> None:
    """Another gateway asked for SAFE; this one was offline and did not know."""
    world = World()
    commands: list[Command] = []
    world.at(2, lambda: unplug(world))
    world.at(3, lambda: commands.append(beep(world, waits_offline=True)))
    world.at(4, lambda: setattr(world.board._memory.record, "latched", True))
    world.at(4, world.board.reset)
    world.at(5, lambda: plug(world))
    world.at(8, world.clear)
    world.run(12)
    ended = world.now_is(commands[0])
    assert (ended.state, ended.error and ended.error.code) == (CommandState.CANCELLED, "safe")
    assert world.pins.beeps == []


def test_a_silence_that_stays_latched_outlives_both_ends() -> None:
    world = World(failsafe_latch=True, link_timeout_s=60.0)
    world.at(2, lambda: setattr(world.line, "dead", True))
    world.at(6, lambda: setattr(world.line, "dead", False))
    world.at(8, world.board.power_cycle)
    world.at(8, world.kill)
    world.at(12, lambda: latched.append(world.status.failsafe))
    latched: list[FailsafeCause | None] = []
    world.at(13, world.clear)
    world.run(15)
    assert latched[0] is not None
    assert world.status.failsafe is None
    assert world.journal.latch("uno") is None


def test_a_silence_that_stays_latched_outlives_a_link_that_is_lost_while_the_board_is_told_again() -> None:
    world = World(failsafe_latch=True, link_timeout_s=60.0)
    told: list[Message] = []

    def unplugged_at_the_first_answer(message: Message) -> Message | None:
        if isinstance(message, SafeReply) and not told:
            told.append(message)
            unplug(world)
            world.at(world.clock.now - 999.5, world.board.power_cycle)
            world.at(world.clock.now - 999, lambda: plug(world))
            return None
        return message

    world.at(2, lambda: setattr(world.line, "dead", True))
    world.at(6, lambda: setattr(world.line, "dead", False))
    world.at(8, lambda: Liar(world, unplugged_at_the_first_answer))
    world.at(8, world.board.power_cycle)
    world.run(20)
    assert told
    assert world.status.failsafe is not None
    assert world.journal.latch("uno") is not None


# ---- on_connect ----

SETTINGS = (
    CommandRequest(action="beep", arguments={"times": 1}),
    CommandRequest(channel="fan", value=20, hold_ms=60_000),
)


def of_on_connect(world: World) -> list[Command]:
    """Oldest first."""
    rows, _cursor = world.journal.page("uno")
    return [row for row in reversed(rows) if row.origin is CommandOrigin.ON_CONNECT]


def test_settings_are_sent_after_each_connect_before_what_clients_asked_for() -> None:
    world = World(on_connect=SETTINGS)
    world.at(2, lambda: unplug(world))
    world.at(3, lambda: beep(world, 7, waits_offline=True))
    world.at(4, world.board.power_cycle)
    world.at(5, lambda: plug(world))
    world.run(8)
    assert world.pins.beeps == [1, 1, 7]
    assert world.pins.fan == 20
    assert [row.state for row in of_on_connect(world)] == [CommandState.DONE] * 4
    assert world.status.counters["on_connect_failed"] == 0


def test_a_reset_under_way_brings_the_settings_again() -> None:
    world = World(on_connect=SETTINGS)
    world.at(3, world.board.reset)
    world.run(6)
    assert world.pins.beeps == [1, 1]
    assert world.pins.fan == 20


def test_settings_that_fail_are_told_recorded_and_counted() -> None:
    world = World(
        on_connect=(
            CommandRequest(channel="lamp", value=True),
            CommandRequest(channel="fan", value=300, hold_ms=1),
            CommandRequest(action="beep", arguments={"times": 13}),
            CommandRequest(channel="led", value=True),
        )
    )
    world.run(3)
    rows = of_on_connect(world)
    assert sorted((row.channel or row.action or "", row.state) for row in rows) == [
        ("beep", CommandState.FAILED),
        ("fan", CommandState.FAILED),
        ("lamp", CommandState.FAILED),
        ("led", CommandState.DONE),
    ]
    assert world.pins.led == 1
    assert world.status.counters["on_connect_failed"] == 3
    told = [message for message in world.sink.messages() if message.startswith("on_connect: ")]
    assert any("lamp" in message for message in told)
    assert any("300 is out of range" in message for message in told)
    assert any("beep is failed: the board refused it: code 64" in message for message in told)


def test_settings_wait_while_safe_stands() -> None:
    world = World(on_connect=SETTINGS)
    world.at(2, lambda: unplug(world))
    world.at(3, lambda: refusal_of(lambda: world.queue.safe(timeout_s=1)))
    world.at(4, lambda: plug(world))
    world.at(8, lambda: beeps.extend(world.pins.beeps))
    beeps: list[int] = []
    world.at(9, world.clear)
    world.run(12)
    assert beeps == [1], "those of the first connect"
    assert world.pins.beeps == [1, 1]
    assert world.pins.fan == 20


@pytest.mark.parametrize("mishap", ["kill", "reset"])
def test_settings_left_over_from_a_broken_connect_are_cancelled_and_sent_afresh(mishap: str) -> None:
    world = World(on_connect=(CommandRequest(action="beep", arguments={"times": 1}),) * 3)
    befallen: list[str] = []

    def watch() -> None:
        """Strikes once, while two of the three wait."""
        if not befallen and len(world.journal.open_commands("uno")) >= 2:
            befallen.append(mishap)
            world.board.reset() if mishap == "reset" else world.kill()

    for step in range(200):
        world.at(0.01 * step, watch)
    world.line.delay_s = 0.05
    world.run(8)
    rows = of_on_connect(world)
    assert befallen
    assert all(row.state.final for row in rows)
    assert CommandState.CANCELLED in {row.state for row in rows}
    assert len(world.pins.beeps) == sum(row.state is CommandState.DONE for row in rows)
    assert [row.state for row in rows[-3:]] == [CommandState.DONE] * 3


def test_a_board_that_connects_again_and_again_gets_its_settings_now_and_then() -> None:
    world = World(on_connect=SETTINGS[:1])
    for second in range(2, 62):
        world.at(second, world.board.reset)
    world.run(100)
    assert 6 <= len(world.pins.beeps) <= 9
    assert world.status.resets == 60
    (last,) = of_on_connect(world)[-1:]
    assert last.created_at > world.clock.time() - 40, "the last connect gets them too"
