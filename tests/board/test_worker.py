"""The board thread over links that are perfect, slow, noisy or dead: one board, its whole life, no real time."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.errors import BoardOffline, GatewayError, WrongState
from gateway.link.virtual_board import VirtualBoard
from gateway.model import BoardState, CommandState, FailsafeCause, Reason
from gateway.protocol.framing import decode, encode
from gateway.protocol.messages import (
    Describe,
    DescribeReply,
    ErrorCode,
    ErrorReply,
    Hello,
    Log,
    Message,
    PollReply,
    RecordKind,
)
from tests.board.world import Liar, Line, World, refusal_of


def test_a_board_comes_online_at_once_and_is_polled_at_its_interval() -> None:
    world = World().run(10)
    assert world.sink.states() == [BoardState.CONNECTING, BoardState.ONLINE]
    assert world.status.schema is not None
    assert [channel.name for channel in world.status.schema.channels] == ["temperature", "uptime_ms", "led", "fan"]
    assert 99 <= len(world.sink.samples) <= 101
    assert world.sink.samples[-1]["temperature"].value == 21.5
    assert world.opened_at == [1000.0]
    assert world.links[0].closed


def test_samples_are_stamped_with_the_moment_their_poll_was_sent() -> None:
    world = World(Line(delay_s=0.05)).run(5)
    for samples in world.sink.samples:
        sample = samples["uptime_ms"]
        # The board's uptime counts from the same moment as the world's clock: what it read is never older than said.
        assert sample.value / 1000 >= sample.monotonic_s - 1000 - 1e-3
        assert sample.time_s == pytest.approx(sample.monotonic_s + 1.7e9)


@pytest.mark.parametrize(
    "line",
    [Line(), Line(chunk=1), Line(delay_s=0.02), Line(delay_s=0.15), Line(drop=0.002), Line(flip=0.002, chunk=3)],
    ids=["perfect", "one byte at a time", "delayed", "slower than its interval", "lossy", "noisy"],
)
@pytest.mark.fault(3)
def test_commands_run_exactly_once_on_every_kind_of_line(line: Line) -> None:
    world = World(line)
    commands = []
    for number in range(40):
        world.at(
            2 + number * 0.5,
            lambda number=number: commands.append(world.submit(action="beep", arguments={"times": number % 13})),
        )
    world.run(40)
    assert len(commands) == 40
    assert [world.now_is(command).state for command in commands] == [CommandState.DONE] * 40
    assert world.pins.beeps == [number % 13 for number in range(40)]
    assert [world.now_is(command).result for command in commands] == list(range(1, 41))


@pytest.mark.fault(7)
def test_a_reply_that_is_lost_costs_a_repeat_and_no_second_run() -> None:
    world = World(poll_interval_s=1.0)
    commands = []

    def submit() -> None:
        world.line.lose_replies = 3
        commands.append(world.submit(action="beep", arguments={"times": 5}))

    world.at(2.5, submit)
    world.run(8)
    assert world.pins.beeps == [5]
    assert world.now_is(commands[0]).state is CommandState.DONE
    assert world.now_is(commands[0]).result == 1
    assert world.status.counters["retransmissions"] >= 3


@pytest.mark.fault(7)
def test_when_every_repeat_is_lost_the_boards_record_settles_the_command() -> None:
    world = World(poll_interval_s=1.0, link_timeout_s=30.0, failsafe_after_s=60.0)
    commands = []

    def submit() -> None:
        world.line.lose_replies = 7
        commands.append(world.submit(action="beep", arguments={"times": 5}, expires_in_ms=60_000))

    world.at(2.5, submit)
    world.run(20)
    assert world.pins.beeps == [5]
    assert world.now_is(commands[0]).state is CommandState.DONE
    assert world.now_is(commands[0]).result == 1


def test_a_command_whose_board_is_reset_before_it_ran_runs_once_after() -> None:
    world = World(link_timeout_s=30.0)
    commands = []

    def submit() -> None:
        world.line.dead = True
        commands.append(world.submit(action="beep", arguments={"times": 5}))

    def reset() -> None:
        world.line.dead = False
        world.board.reset()

    world.at(2, submit)
    world.at(3, reset)
    world.run(10)
    assert world.pins.beeps == [5]
    assert world.now_is(commands[0]).state is CommandState.DONE
    assert world.status.resets == 1


def test_a_command_that_ran_before_a_reset_is_done_and_not_run_again() -> None:
    world = World(link_timeout_s=30.0)
    commands = []

    def submit() -> None:
        world.line.lose_replies = 2
        commands.append(world.submit(action="beep", arguments={"times": 5}))

    world.at(2, submit)
    world.at(2.05, world.board.reset)
    world.run(10)
    assert world.pins.beeps == [5]
    assert world.now_is(commands[0]).state is CommandState.DONE


@pytest.mark.fault(13)
def test_power_loss_with_a_command_under_way_is_unknown() -> None:
    world = World(link_timeout_s=30.0)
    commands = []

    def submit() -> None:
        world.line.dead = True
        commands.append(world.submit(action="beep", arguments={"times": 5}))

    def cycle() -> None:
        world.line.dead = False
        world.board.power_cycle()

    world.at(2, submit)
    world.at(2.1, cycle)
    world.at(4, lambda: commands.append(world.submit(action="beep", arguments={"times": 6})))
    world.run(10)
    first, second = (world.now_is(command) for command in commands)
    assert first.state is CommandState.UNKNOWN
    assert first.error is not None
    assert "nobody can tell" in first.error.detail
    assert second.state is CommandState.DONE
    assert world.pins.beeps == [6]


def test_a_reset_is_noticed_survived_and_counted() -> None:
    world = World()
    world.at(3, world.board.reset)
    world.at(6, world.board.reset)
    world.run(9)
    assert world.status.state is BoardState.ONLINE
    assert world.status.resets == 2
    assert world.sink.messages().count("the board was reset") == 2
    assert world.opened_at == [1000.0]


def test_a_handler_that_says_no_is_failed_with_its_code() -> None:
    world = World()
    commands = []
    world.at(2, lambda: commands.append(world.submit(action="beep", arguments={"times": 13})))
    world.run(4)
    command = world.now_is(commands[0])
    assert command.state is CommandState.FAILED
    assert command.error is not None
    assert command.error.code == "code_64"


# ---- links that go away ----


@pytest.mark.fault(18)
def test_an_unplugged_board_is_offline_at_once_and_back_within_a_second_of_its_port() -> None:
    world = World()

    def unplug() -> None:
        world.line.failing = world.line.missing = Reason.PORT_MISSING

    def replug() -> None:
        world.line.failing = world.line.missing = None

    world.at(3, unplug)
    world.at(60, replug)
    world.at(60.99, lambda: seen.append(world.status.state))
    seen: list[BoardState] = []
    world.run(62)
    assert seen == [BoardState.ONLINE]
    assert world.sink.states() == [
        BoardState.CONNECTING,
        BoardState.ONLINE,
        BoardState.OFFLINE,
        BoardState.ONLINE,
    ]
    offline = next(status for status in world.sink.statuses if status.state is BoardState.OFFLINE)
    assert offline.reason is Reason.PORT_MISSING
    assert all(link.closed for link in world.links)


@pytest.mark.fault(18)
def test_queued_commands_survive_an_unplug_and_expire_at_their_own_deadline() -> None:
    world = World()
    commands = []

    def pull() -> None:
        world.line.failing = world.line.missing = Reason.PORT_MISSING
        for expires_in_ms in (60_000, 5_000):
            commands.append(world.submit(action="beep", arguments={"times": 1}, expires_in_ms=expires_in_ms))
        commands.append(world.submit(action="beep", arguments={"times": 2}, expires_in_ms=60_000))

    def push() -> None:
        world.line.failing = world.line.missing = None

    world.at(3, pull)
    world.at(7.99, lambda: seen.append(world.now_is(commands[1]).state))
    world.at(8.02, lambda: seen.append(world.now_is(commands[1]).state))
    world.at(20, push)
    seen: list[CommandState] = []
    world.run(30)
    assert seen == [CommandState.QUEUED, CommandState.EXPIRED]
    assert [world.now_is(command).state for command in commands] == [
        CommandState.DONE,
        CommandState.EXPIRED,
        CommandState.DONE,
    ]
    assert world.pins.beeps == [1, 2]


def test_a_silent_board_is_degraded_then_offline_and_is_tried_for_ever_with_growing_pauses() -> None:
    world = World(Line())
    world.at(3, lambda: setattr(world.line, "dead", True))
    world.run(200)
    assert world.sink.states()[:4] == [
        BoardState.CONNECTING,
        BoardState.ONLINE,
        BoardState.DEGRADED,
        BoardState.OFFLINE,
    ]
    assert world.status.state is BoardState.OFFLINE
    assert world.status.reason is Reason.NO_ANSWER
    pauses = [later - sooner for sooner, later in zip(world.opened_at[2:], world.opened_at[3:], strict=False)]
    assert pauses[0] < pauses[1] < pauses[2]
    assert max(pauses) < 45
    assert sum(entry.message.startswith("offline") for entry in world.sink.entries) == 1


def test_a_degraded_board_recovers() -> None:
    world = World(link_timeout_s=10.0)
    world.at(3, lambda: setattr(world.line, "dead", True))
    world.at(7, lambda: setattr(world.line, "dead", False))
    world.run(12)
    assert world.sink.states() == [
        BoardState.CONNECTING,
        BoardState.ONLINE,
        BoardState.DEGRADED,
        BoardState.ONLINE,
    ]
    assert "readings come again" in world.sink.messages()
    assert world.status.counters["polls_missed"] >= 3
    assert world.status.detail is None


@pytest.mark.parametrize("reason", [Reason.PORT_BUSY, Reason.PERMISSION_DENIED, Reason.PORT_MISSING])
def test_a_port_that_does_not_open_is_told_with_its_reason(reason: Reason) -> None:
    world = World(Line(missing=reason))
    refused = []
    world.at(1, lambda: refused.append(refusal_of(lambda: world.submit(action="beep"))))
    world.run(2)
    assert (world.status.state, world.status.reason) == (BoardState.OFFLINE, reason)
    assert world.status.detail is not None
    assert isinstance(refused[0], BoardOffline)
    assert reason in str(refused[0])


def test_a_wrong_rate_is_named_with_the_right_one() -> None:
    world = World(Line(wrong_baud=115_200)).run(12)
    assert (world.status.state, world.status.reason) == (BoardState.OFFLINE, Reason.WRONG_BAUD)
    assert "115200" in (world.status.detail or "")


def test_automatic_baud_finds_the_rate() -> None:
    world = World(Line(wrong_baud=57_600), baud=None).run(12)
    assert world.status.state is BoardState.ONLINE
    assert any("57600 baud" in message for message in world.sink.messages())


def test_a_board_reset_by_opening_is_greeted_after_its_boot() -> None:
    world = World(Line(answers_at_once=False)).run(3)
    assert world.status.state is BoardState.ONLINE


def test_an_unexpected_error_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    broken = iter([ZeroDivisionError("a fault of ours")])

    def publish(status: object) -> None:
        for error in broken:
            raise error

    world.sink.publish_status = publish  # type: ignore[assignment]
    world.run(10)
    assert len(world.sink.samples) > 10
    assert "a fault of ours" in caplog.text


@pytest.mark.fault(20)
def test_a_port_that_another_program_writes_to_is_reported() -> None:
    world = World()

    def intrude() -> None:  # another program says HELLO: the board takes its session and forgets ours
        hello = Hello(1, 1, 0, 0x999999F0, 1, 0)
        world.board.receive(encode(Hello.TYPE, 0, 0xF0, payload=hello.to_bytes()))
        world.board.transmit()

    world.at(3, intrude)
    world.at(5, intrude)
    world.run(5.5)
    assert world.status.reason is Reason.PORT_BUSY
    assert "another program" in (world.status.detail or "")


# ---- failsafe ----


def test_after_the_host_was_silent_the_latch_is_cleared_and_nothing_moves_until_a_new_command() -> None:
    world = World(link_timeout_s=30.0)
    commands = []
    world.at(2, lambda: commands.append(world.submit(channel="led", value=True)))
    world.at(3, lambda: setattr(world.line, "dead", True))
    world.at(8, lambda: setattr(world.line, "dead", False))
    world.at(10, lambda: seen.append((world.pins.led, world.status.failsafe)))
    world.at(11, lambda: commands.append(world.submit(channel="led", value=True)))
    seen: list[object] = []
    world.run(13)
    assert seen == [(0, None)]
    assert world.pins.safe_calls == 1
    assert world.pins.led == 1
    assert {world.now_is(command).state for command in commands} == {CommandState.DONE}
    assert "outputs are latched at their safe values by link" in world.sink.messages()


def test_a_board_configured_to_stay_latched_waits_for_clear() -> None:
    world = World(link_timeout_s=30.0, failsafe_latch=True)
    world.at(3, lambda: setattr(world.line, "dead", True))
    world.at(8, lambda: setattr(world.line, "dead", False))
    refused = []
    world.at(12, lambda: refused.append(refusal_of(lambda: world.submit(channel="led", value=True))))
    world.at(13, world.queue.orders.clear)
    world.at(14, lambda: world.submit(channel="led", value=True))
    world.run(16)
    assert isinstance(refused[0], WrongState)
    assert "clear" in str(refused[0])
    assert world.pins.led == 1
    assert world.status.failsafe is None


def test_safe_overtakes_the_queue_cancels_it_and_stays_until_cleared() -> None:
    world = World()
    commands = []
    asked = []

    def ask() -> None:
        world.line.delay_s = 0.3  # a command is under way while SAFE comes
        commands.append(world.submit(channel="led", value=True))
        commands.append(world.submit(action="beep", arguments={"times": 1}))
        commands.append(world.submit(action="beep", arguments={"times": 2}))
        world.at(4.1, lambda: asked.append(world.queue.orders.safe()))

    world.at(4, ask)
    world.at(6, lambda: seen.append((world.pins.led, world.status.failsafe)))
    world.at(6, lambda: refused.append(refusal_of(lambda: world.submit(channel="led", value=True))))
    world.at(7, world.board.reset)
    world.at(9, lambda: seen.append((world.pins.led, world.status.failsafe)))
    world.at(9, lambda: cleared.append(world.queue.orders.clear()))
    world.at(11, lambda: commands.append(world.submit(channel="led", value=True)))
    seen: list[object] = []
    refused: list[GatewayError] = []
    cleared: list[object] = []
    world.run(14)
    assert asked[0].done()
    assert isinstance(refused[0], WrongState)
    assert seen == [(0, FailsafeCause.SAFE), (0, FailsafeCause.SAFE)]
    first, second, third, last = (world.now_is(command) for command in commands)
    assert first.state is CommandState.DONE
    assert [second.state, third.state] == [CommandState.CANCELLED] * 2
    assert second.error is not None
    assert second.error.code == "safe"
    assert cleared[0].done()
    assert last.state is CommandState.DONE
    assert world.pins.beeps == []
    assert world.status.failsafe is None


def test_safe_is_set_again_on_a_board_that_forgot_it() -> None:
    world = World()
    world.at(2, world.queue.orders.safe)
    world.at(3, world.board.power_cycle)
    world.at(5, lambda: refused.append(refusal_of(lambda: world.submit(channel="led", value=True))))
    refused: list[GatewayError] = []
    world.run(6)
    assert isinstance(refused[0], WrongState)
    assert world.status.failsafe is FailsafeCause.SAFE
    assert world.status.resets == 1
    assert world.pins.safe_calls == 2


def test_a_sent_command_that_never_reached_the_board_is_cancelled_by_safe() -> None:
    world = World()
    commands = []

    def lose_then_ask() -> None:
        world.line.dead = True
        commands.append(world.submit(channel="led", value=True))

    def safe() -> None:
        world.line.dead = False
        world.queue.orders.safe()

    world.at(3, lose_then_ask)
    world.at(3.01, safe)
    world.run(6)
    command = world.now_is(commands[0])
    assert command.state is CommandState.CANCELLED
    assert world.pins.led == 0


def test_safe_during_the_bring_up_comes_first() -> None:
    world = World(Line(delay_s=0.02))
    asked = []
    world.at(2, world.board.reset)
    world.at(2.06, lambda: asked.append(world.queue.orders.safe()))
    world.run(5)
    assert asked[0].done()
    assert world.status.failsafe is FailsafeCause.SAFE
    assert world.status.state is BoardState.ONLINE


def test_a_hold_ends_on_the_board_and_is_told() -> None:
    world = World()
    commands = []
    world.at(2, lambda: commands.append(world.submit(channel="fan", value=120, hold_ms=500)))
    world.at(2.4, lambda: seen.append(world.pins.fan))
    world.at(3, lambda: seen.append(world.pins.fan))
    seen: list[object] = []
    world.run(4)
    assert seen == [120, 0]
    assert any("hold ended" in message for message in world.sink.messages())
    assert world.sink.samples[-1]["fan"].value == 0


def test_a_held_command_does_not_begin_later_than_its_hold() -> None:
    world = World(link_timeout_s=30.0)
    commands = []

    def submit() -> None:
        world.line.dead = True
        commands.append(world.submit(channel="fan", value=120, hold_ms=400))

    world.at(2, submit)
    world.at(3, lambda: setattr(world.line, "dead", False))
    world.run(8)
    assert world.now_is(commands[0]).state is CommandState.EXPIRED
    assert world.pins.fan == 0


# ---- what the board prints ----


@pytest.mark.fault(5)
def test_printed_text_becomes_log_lines_and_a_flood_is_bounded() -> None:
    world = World()
    world.at(2, lambda: world.say(b"pump on\r\n"))
    for number in range(5000):
        world.at(3 + number / 5000, lambda: world.say(b"spam spam spam\n"))
    world.run(6)
    texts = [entry.message for entry in world.sink.entries if entry.kind == "text"]
    assert texts[0] == "pump on"
    assert len(texts) < 200
    assert world.status.counters["log_lines_dropped"] > 4000
    assert world.status.state is BoardState.ONLINE


def test_a_log_event_is_a_line_of_the_boards_log() -> None:
    world = World()

    def log() -> None:
        sid = world.worker._session_id % 256
        world.say(encode(Log.TYPE, 3, sid, payload=b"tank \xff\x1b[31mfull"))

    world.at(2, log)
    world.run(3)
    assert "tank \ufffd\\x1b[31mfull" in world.sink.messages()


# ---- what a board says of itself ----


def record_is(kind: RecordKind, change: Callable[[bytes], bytes]) -> Callable[[Message], Message]:
    def lie(message: Message) -> Message:
        if isinstance(message, DescribeReply) and message.kind == kind:
            return replace(message, record=change(message.record))
        return message

    return lie


def other_index(message: Message) -> Message:
    return replace(message, index=message.index + 1) if isinstance(message, DescribeReply) else message


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (record_is(RecordKind.BOARD, lambda record: record + b"x"), "board record"),
        (record_is(RecordKind.ACTION, lambda record: record[:2]), "action 0"),
        (record_is(RecordKind.CHANNEL, lambda record: record[:-1] + b"\x07"), "hash"),
        (other_index, "another record"),
    ],
)
@pytest.mark.fault(25)
def test_a_board_that_describes_itself_badly_is_refused_and_named(
    lie: Callable[[Message], Message], words: str
) -> None:
    world = World()
    Liar(world, lie)
    world.run(5)
    assert (world.status.state, world.status.reason) == (BoardState.OFFLINE, Reason.SCHEMA_REFUSED)
    assert words in (world.status.detail or "")
    assert world.sink.samples == []


@pytest.mark.parametrize(
    "lie",
    [
        lambda reply: replace(reply, values=reply.values[:-1]),
        lambda reply: replace(reply, group=3),
    ],
)
def test_a_poll_of_another_shape_is_no_reading(lie: Callable[[PollReply], Message]) -> None:
    world = World()
    Liar(world, lambda message: lie(message) if isinstance(message, PollReply) else message)
    world.run(30)
    assert world.sink.samples == []
    assert (world.status.state, world.status.reason) == (BoardState.OFFLINE, Reason.NO_ANSWER)
    assert "readings" in (world.status.detail or "")
    assert BoardState.ONLINE not in world.sink.states()
    assert len(world.opened_at) < 10, "with growing pauses"


def test_a_bring_up_that_gets_no_answer_begins_again() -> None:
    """Silence to DESCRIBE, then a refusal of it, then the truth."""
    world = World(link_timeout_s=60.0)
    answers = itertools.chain([None] * 6, [ErrorReply(Describe.TYPE, ErrorCode.BAD_TARGET, 0)])

    def lie(message: Message) -> Message | None:
        return next(answers, message) if isinstance(message, DescribeReply) else message

    Liar(world, lie)
    world.run(20)
    assert world.status.state is BoardState.ONLINE
    assert "Describe: no answer" in world.sink.messages()
    assert "Describe: bad_target" in world.sink.messages()


def test_the_thread_starts_stops_and_is_joined() -> None:
    world = World()
    world.at(1, world.worker.stop)
    world.worker.start()
    assert world.worker.join(10)
    assert world.sink.samples


def test_a_cached_schema_that_does_not_fit_the_board_is_asked_for_again() -> None:
    world = World()
    table = world.pins.table()
    asked = []

    def count(message: Message) -> Message:
        asked.append(isinstance(message, DescribeReply))
        return message

    Liar(world, count)
    world.schemas.put(table.schema_hash, [b"of another sketch"])
    world.at(2, world.board.reset)
    world.run(4)
    assert world.status.state is BoardState.ONLINE
    records = 1 + 4 + 1 + 1  # board, channels, action, argument
    assert sum(asked) == records + 2, "the board's own record again, with its new id, and after the reset"


# ---- at the edges ----


@pytest.mark.parametrize("interval_s", [0.005, 0.5, 2.5, 20.0])
def test_no_poll_interval_trips_the_boards_failsafe(interval_s: float) -> None:
    world = World(
        poll_interval_s=interval_s, failsafe_after_s=max(2.0, 3 * interval_s), link_timeout_s=max(2.0, 3 * interval_s)
    )
    commands = []
    for number in range(5):
        world.at(3 + number * 7, lambda: commands.append(world.submit(channel="led", value=True)))
    world.run(40)
    assert world.pins.safe_calls == 0
    assert world.pins.led == 1
    assert {world.now_is(command).state for command in commands} == {CommandState.DONE}
    assert world.sink.states() == [BoardState.CONNECTING, BoardState.ONLINE]


def test_what_was_written_is_read_back_before_the_command_is_done() -> None:
    world = World(poll_interval_s=20.0, failsafe_after_s=60.0, link_timeout_s=60.0)
    world.at(3, lambda: world.submit(channel="led", value=True))
    world.run(5)
    assert [samples["led"].value for samples in world.sink.samples if "led" in samples][:2] == [False, True]
    assert len(world.sink.samples) == 3, "the write itself, and a poll out of turn for what it changed"


def test_commands_without_end_leave_room_for_polls() -> None:
    world = World(Line(delay_s=0.02), limit=1000)

    def keep_busy() -> None:
        for _ in range(3):
            world.submit(action="beep", arguments={"times": 1})
        if world.clock.now < 1028:
            world.at(world.clock.now - 1000 + 0.05, keep_busy)

    world.at(2, keep_busy)
    world.run(30)
    ages = [
        later["uptime_ms"].monotonic_s - sooner["uptime_ms"].monotonic_s
        for sooner, later in itertools.pairwise(world.sink.samples)
    ]
    assert max(ages) < 0.35


@pytest.mark.fault(24)
def test_a_command_for_another_sketch_is_not_run() -> None:
    world = World()
    commands = []

    def swap() -> None:
        world.line.failing = world.line.missing = Reason.PORT_MISSING
        commands.append(world.submit(channel="led", value=True, expires_in_ms=60_000))
        table = world.pins.table()
        other = replace(table, actions=())
        world.board = VirtualBoard(clock=world.clock, table=other)

    def back() -> None:
        world.line.failing = world.line.missing = None

    world.at(3, swap)
    world.at(6, back)
    world.run(10)
    command = world.now_is(commands[0])
    assert (command.state, command.error and command.error.code) == (CommandState.FAILED, "not_executed")
    assert world.pins.led == 0


@pytest.mark.fault(23)
def test_a_host_that_slept_does_not_blame_the_board() -> None:
    world = World()

    def sleep() -> None:
        world.clock.now += 3600

    world.at(5, sleep)
    world.run(3610)
    assert world.opened_at == [1000.0]
    assert "offline" not in world.sink.states()


@pytest.mark.parametrize("step", range(12))
def test_a_reset_at_any_moment_of_a_bring_up_is_survived(step: int, caplog: pytest.LogCaptureFixture) -> None:
    world = World(Line(delay_s=0.01))
    world.at(2, world.board.reset)
    world.at(2 + step * 0.02, world.board.reset)
    world.run(6)
    assert world.status.state is BoardState.ONLINE
    assert world.opened_at == [1000.0]
    assert "unexpected" not in caplog.text


@pytest.mark.parametrize("blocked_s", [1.5, 5.0, 9.0])
@pytest.mark.fault(21)
def test_a_sketch_that_blocks_is_waited_for_as_long_as_the_link_timeout_says(blocked_s: float) -> None:
    world = World(link_timeout_s=20.0, failsafe_after_s=60.0)
    commands = []
    for number in range(3):
        world.at(3 + number * 12, world.board.freeze)
        world.at(3 + number * 12 + blocked_s, world.board.thaw)
        world.at(
            3.5 + number * 12,
            lambda: commands.append(world.submit(action="beep", arguments={"times": 1}, expires_in_ms=60_000)),
        )
    world.run(45)
    assert world.opened_at == [1000.0]
    assert [world.now_is(command).state for command in commands] == [CommandState.DONE] * 3
    assert world.pins.beeps == [1, 1, 1]


def test_session_ids_go_on_from_link_to_link() -> None:
    world = World()
    world.at(2, world.board.reset)
    world.at(4, lambda: world.line.__init__(failing=Reason.PORT_MISSING, missing=Reason.PORT_MISSING))
    world.at(5, world.line.__init__)
    seen = []
    receive = VirtualBoard.receive

    def listen(data: bytes) -> None:
        frame = decode(data.strip(b"\0"))
        if frame is not None and frame.type == Hello.TYPE:
            seen.append(frame.sid)
        receive(world.board, data)

    world.board.receive = listen  # type: ignore[method-assign]
    world.run(8)
    assert len(seen) == 3
    assert seen == [seen[0], seen[0] % 255 + 1, (seen[0] % 255 + 1) % 255 + 1]


@pytest.mark.fault(16)
def test_a_restored_journal_survives_the_next_reset_too() -> None:
    world = World()
    commands = []
    for number in range(3):
        world.at(1 + number / 10, lambda: world.submit(action="beep", arguments={"times": 1}))
    world.at(3, lambda: world.journal._of("uno").__setattr__("last_wire_id", 1))
    world.at(3.1, world.board.reset)
    world.at(5, world.board.reset)
    world.at(7, lambda: commands.append(world.submit(action="beep", arguments={"times": 9})))
    world.run(10)
    assert world.now_is(commands[0]).state is CommandState.DONE
    assert world.status.counters["sessions"] == 3


def test_a_sink_that_always_fails_ends_neither_thread_nor_commands(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    world.sink.publish_status = world.sink.publish_samples = world.sink.append_log = fail  # type: ignore[method-assign, assignment]
    world.run(30)
    assert "while telling of one" in caplog.text


def test_a_worker_that_never_began_is_joined() -> None:
    assert World().worker.join(0.0)
