"""SAFE and CLEAR as standing orders: first the orders themselves, then a board that goes through them."""

import pytest

from gateway.board.orders import Orders
from gateway.errors import BoardOffline, WrongState
from gateway.model import BoardState, Command, CommandState, FailsafeCause, Reason
from gateway.protocol.messages import ErrorCode, ErrorReply, Message, Safe, SafeReply
from tests.board.test_worker import Liar
from tests.board.world import Line, World, refusal_of


@pytest.fixture
def orders() -> Orders:
    return Orders("uno")


def test_one_confirmation_answers_everyone_who_asked(orders: Orders) -> None:
    asked = [orders.safe() for _ in range(3)]
    assert orders.safe_due
    assert orders.safe_stands
    orders.safe_ended()
    assert [order.exception(0) for order in asked] == [None] * 3
    assert not orders.safe_due
    assert orders.safe_stands, "until it is cleared"


def test_a_clear_that_was_asked_for_before_a_safe_does_not_undo_it(orders: Orders) -> None:
    cleared = orders.clear()
    orders.safe()
    assert isinstance(cleared.exception(0), WrongState)
    assert not orders.clear_due
    after = orders.clear()
    orders.clear_found()  # it was already on the wire
    orders.clear_ended()
    assert orders.safe_due
    assert orders.safe_stands
    assert not after.done(), "it was the former that the board confirmed"
    orders.safe_ended()
    orders.clear_found()
    orders.clear_ended()
    assert after.exception(0) is None


def test_a_clear_after_a_safe_ends_it(orders: Orders) -> None:
    orders.safe()
    orders.safe_ended()
    cleared = orders.clear()
    orders.clear_found()
    orders.clear_ended()
    assert cleared.exception(0) is None
    assert not orders.safe_stands


def test_what_the_board_refuses_is_told_and_not_asked_again(orders: Orders) -> None:
    safe = orders.safe()
    orders.safe_ended(WrongState("bad_type"))
    assert isinstance(safe.exception(0), WrongState)
    assert not orders.safe_due
    assert orders.safe_stands
    cleared = orders.clear()
    orders.clear_ended(WrongState("bad_type"))
    assert isinstance(cleared.exception(0), WrongState)
    assert orders.safe_stands


def test_going_offline_answers_everyone_and_keeps_the_safe(orders: Orders) -> None:
    asked = [orders.safe(), orders.clear()]
    orders.went_offline("unplugged")
    assert all(isinstance(order.exception(0), BoardOffline) for order in asked)
    assert isinstance(orders.clear().exception(0), BoardOffline)
    assert isinstance(orders.safe().exception(0), BoardOffline)
    orders.came_back()
    assert orders.safe_due
    assert not orders.clear_due
    assert not orders.safe().done()


# ---- on a board ----


def test_whoever_is_told_that_it_is_clear_may_command_at_once() -> None:
    world = World()
    commands: list[Command] = []
    world.at(2, world.queue.orders.safe)

    def clear() -> None:
        world.queue.orders.clear().add_done_callback(
            lambda _cleared: commands.append(world.submit(channel="led", value=True))
        )

    world.at(3, clear)
    world.run(5)
    assert [world.now_is(command).state for command in commands] == [CommandState.DONE]


def test_a_clear_that_was_not_confirmed_in_time_is_not_carried_out_later() -> None:
    world = World()
    world.at(2, world.queue.orders.safe)
    world.at(3, lambda: refusals.append(refusal_of(lambda: world.queue.clear(timeout_s=0))))
    refusals: list[object] = []
    world.run(5)
    assert isinstance(refusals[0], BoardOffline)
    assert world.status.failsafe is FailsafeCause.SAFE


@pytest.mark.parametrize("clear_at", [3.0, 3.05, 3.1, 3.15, 3.2])
def test_a_safe_wins_over_every_clear_that_was_asked_for_before(clear_at: float) -> None:
    world = World(Line(delay_s=0.1))
    world.at(clear_at, lambda: given.append(world.queue.orders.clear()))
    world.at(clear_at + 0.02, lambda: given.append(world.queue.orders.safe()))
    given: list[object] = []
    world.run(6)
    assert world.status.failsafe is FailsafeCause.SAFE
    assert all(order.done() for order in given)  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", ["reset", "power_cycle"])
@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.11, 0.2])
def test_a_safe_on_its_way_survives_a_reset(fault: str, after_s: float) -> None:
    world = World(Line(delay_s=0.02))

    def ask() -> None:
        world.line.lose_replies = 1
        given.append(world.queue.orders.safe())

    world.at(3, ask)
    world.at(3 + after_s, getattr(world.board, fault))
    given: list[object] = []
    world.run(8)
    assert given[0].exception(0) is None  # type: ignore[attr-defined]
    assert world.status.failsafe is FailsafeCause.SAFE
    assert world.pins.led == 0


@pytest.mark.parametrize("step", range(16))
def test_a_safe_at_any_moment_of_a_bring_up_is_carried_out(step: int) -> None:
    world = World(Line(delay_s=0.02))
    world.at(2, world.board.reset)
    world.at(2 + step * 0.03, lambda: given.append(world.queue.orders.safe()))
    given: list[object] = []
    world.run(8)
    assert given[0].exception(0) is None  # type: ignore[attr-defined]
    assert (world.status.state, world.status.failsafe) == (BoardState.ONLINE, FailsafeCause.SAFE)


def test_many_who_ask_for_safe_are_all_answered_by_one() -> None:
    world = World(Line(delay_s=0.2))
    for number in range(5):
        world.at(3 + number * 0.15, lambda: given.append(world.queue.orders.safe()))
    given: list[object] = []
    world.run(8)
    assert [order.exception(0) for order in given] == [None] * 5  # type: ignore[attr-defined]


def test_a_command_under_way_does_not_run_after_a_safe_that_found_the_board_offline() -> None:
    world = World()
    commands: list[Command] = []

    def lose() -> None:
        world.line.dead = True
        commands.append(world.submit(channel="led", value=True, expires_in_ms=60_000))

    def back() -> None:
        world.line.dead = False
        world.board.reset()

    world.at(3, lose)
    world.at(10, lambda: given.append(world.queue.orders.safe()))
    world.at(12, back)
    given: list[object] = []
    world.run(60)
    assert isinstance(given[0].exception(0), BoardOffline)  # type: ignore[attr-defined]
    assert world.status.failsafe is FailsafeCause.SAFE
    assert world.now_is(commands[0]).state is CommandState.CANCELLED
    assert world.pins.led == 0
    assert isinstance(refusal_of(lambda: world.submit(channel="led", value=True)), (WrongState, BoardOffline))


def test_a_board_that_refuses_safe_is_not_called_safe() -> None:
    world = World()

    def refuse(message: Message) -> Message:
        return ErrorReply(Safe.TYPE, ErrorCode.BAD_TYPE, 0) if isinstance(message, SafeReply) else message

    Liar(world, refuse)
    world.at(3, lambda: given.append(world.queue.orders.safe()))
    given: list[object] = []
    world.run(3.05)
    assert isinstance(given[0].exception(0), WrongState)  # type: ignore[attr-defined]


def test_a_silence_that_the_configuration_keeps_outlives_a_reset_of_the_board() -> None:
    world = World(link_timeout_s=30.0, failsafe_latch=True)
    world.at(3, lambda: setattr(world.line, "dead", True))
    world.at(8, lambda: setattr(world.line, "dead", False))
    world.at(12, world.board.reset)
    world.at(15, lambda: refused.append(refusal_of(lambda: world.submit(channel="led", value=True))))
    refused: list[Exception] = []
    world.run(16)
    assert isinstance(refused[0], WrongState)
    assert world.status.failsafe is not None


def test_an_unplugged_board_answers_orders_at_once() -> None:
    world = World()

    def unplug() -> None:
        world.line.failing = world.line.missing = Reason.PORT_MISSING

    world.at(3, unplug)
    world.at(3.5, lambda: given.append(world.queue.orders.clear()))
    given: list[object] = []
    world.run(4)
    assert isinstance(given[0].exception(0), BoardOffline)  # type: ignore[attr-defined]
