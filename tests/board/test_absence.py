"""A port let go for somebody else, and taken back."""

from concurrent.futures import Future

from gateway.errors import BoardOffline, GatewayError, WrongState
from gateway.model import BoardState, Command, CommandState, Reason
from tests.board.world import Line, World, refusal_of

LED = {"channel": "led", "value": True}


def test_a_released_port_is_closed_and_commands_are_refused_until_it_is_taken_back() -> None:
    world = World()
    closed: list[Future[None]] = []
    returned: list[Future[None]] = []
    refusals: list[GatewayError] = []
    world.at(2, lambda: closed.append(world.absence.begin(BoardState.RELEASED)))
    world.at(3, lambda: links.append((world.links[-1].closed, closed[0].done())))
    links: list[tuple[bool, bool]] = []
    world.at(30, lambda: refusals.append(refusal_of(lambda: world.submit(**LED))))
    world.at(31, lambda: refusals.append(refusal_of(lambda: world.submit(**LED, waits_offline=True))))
    world.at(40, lambda: returned.append(world.absence.end()))
    world.at(45, lambda: world.submit(**LED))
    world.run(46)
    assert links == [(True, True)]
    assert len(world.opened_at) == 2, "nobody touched the port meanwhile"
    assert all(isinstance(refusal, WrongState) for refusal in refusals)
    assert "resume" in str(refusals[0])
    assert returned[0].done()
    assert world.pins.led == 1
    assert world.sink.states()[-3:] == [BoardState.RELEASED, BoardState.CONNECTING, BoardState.ONLINE]


def test_safe_finds_a_released_board_away_and_comes_first_afterwards() -> None:
    world = World()
    refusals: list[GatewayError] = []
    world.at(2, lambda: world.absence.begin(BoardState.RELEASED))
    world.at(3, lambda: refusals.append(refusal_of(lambda: world.queue.safe(timeout_s=1))))
    world.at(4, world.absence.end)
    world.run(6)
    assert isinstance(refusals[0], BoardOffline)
    assert world.pins.safe_calls >= 1
    assert world.status.failsafe == "safe"


def test_the_port_is_taken_back_when_its_time_is_over() -> None:
    world = World()
    world.at(2, lambda: world.absence.begin(BoardState.FLASHING, for_s=10.0))
    world.at(11.9, lambda: states.append(world.status.state))
    world.at(13, lambda: states.append(world.status.state))
    states: list[BoardState] = []
    world.run(14)
    assert states == [BoardState.FLASHING, BoardState.ONLINE]


def test_a_port_asked_back_before_it_was_closed_keeps_nobody_waiting() -> None:
    world = World()
    asked: list[Future[None]] = []
    world.at(2, lambda: asked.extend([world.absence.begin(BoardState.RELEASED), world.absence.end()]))
    world.at(4, lambda: ends.extend(future.exception(0) for future in asked))
    ends: list[BaseException | None] = []
    world.run(5)
    assert isinstance(ends[0], BoardOffline)
    assert ends[1] is None
    assert world.status.state is BoardState.ONLINE


def test_the_later_of_two_asks_counts() -> None:
    world = World()
    asked: list[Future[None]] = []
    world.at(2, lambda: asked.append(world.absence.begin(BoardState.RELEASED, for_s=2.0)))
    world.at(3, lambda: asked.append(world.absence.begin(BoardState.FLASHING)))
    world.at(60, lambda: states.append(world.status.state))
    states: list[BoardState] = []
    world.run(61)
    assert states == [BoardState.FLASHING]
    assert all(each.done() for each in asked)


def test_a_port_that_is_not_there_can_be_released_too() -> None:
    world = World(Line(missing=Reason.PORT_MISSING))
    closed: list[Future[None]] = []
    world.at(2, lambda: closed.append(world.absence.begin(BoardState.RELEASED)))
    world.at(3, lambda: opened.append(len(world.opened_at)))
    opened: list[int] = []
    world.run(20)
    assert closed[0].done()
    assert len(world.opened_at) == opened[0]


def test_queued_commands_wait_and_end_at_their_deadlines() -> None:
    world = World(Line(delay_s=0.05))
    commands: list[Command] = []
    world.at(2, lambda: commands.extend(world.submit(**LED, expires_in_ms=ms) for ms in (60_000, 60_000, 1000)))
    world.at(2.01, lambda: world.absence.begin(BoardState.RELEASED))
    world.at(10, lambda: states.extend(world.now_is(command).state for command in commands))
    states: list[CommandState] = []
    world.at(11, world.absence.end)
    world.run(15)
    assert states[1:] == [CommandState.QUEUED, CommandState.EXPIRED]
    assert [world.now_is(command).state for command in commands] == [
        CommandState.DONE,
        CommandState.DONE,
        CommandState.EXPIRED,
    ]


def test_to_take_back_what_is_not_away_is_done_already() -> None:
    world = World()
    returned: list[Future[None]] = []
    world.at(2, lambda: returned.append(world.absence.end()))
    world.run(3)
    assert returned[0].done()
    assert len(world.opened_at) == 1


def test_a_gateway_that_stops_leaves_nobody_waiting() -> None:
    world = World()
    asked: list[Future[None]] = []
    world.at(3, lambda: asked.append(world.absence.begin(BoardState.RELEASED)))
    world.run(3)
    assert asked[0].done()
