"""Signs of life: a thread answers at its next round, wherever it waits, and only when it was asked."""

import pytest

from gateway.heartbeat import Heartbeat
from gateway.model import BoardState, Reason
from gateway.store.pending import Pending
from tests.board.world import FakeClock, Line, World


def test_nothing_was_asked_at_first() -> None:
    assert Heartbeat("board-uno", wake=lambda: None).answered


def test_a_question_wakes_the_thread_and_stands_until_the_next_round() -> None:
    woken: list[str] = []
    heartbeat = Heartbeat("board-uno", wake=lambda: woken.append("woken"))
    heartbeat.beat()
    heartbeat.ask()
    assert (woken, heartbeat.answered) == (["woken"], False)
    heartbeat.beat()
    assert heartbeat.answered
    heartbeat.beat()
    assert heartbeat.answered
    heartbeat.ask()
    heartbeat.ask()
    assert not heartbeat.answered
    heartbeat.beat()
    assert heartbeat.answered


def asked_and_answered(world: World) -> list[bool]:
    """Whether the board's thread answers what it is asked after 30 s, within a millisecond of its own clock."""
    answers: list[bool] = []
    world.at(30, world.worker.heartbeat.ask)
    world.at(30.001, lambda: answers.append(world.worker.heartbeat.answered))
    world.run(31)
    return answers


@pytest.mark.parametrize(
    "line",
    [Line(), Line(dead=True), Line(missing=Reason.PORT_MISSING), Line(missing=Reason.PORT_BUSY), Line(drop=0.3)],
    ids=["online", "silent", "missing", "busy", "noisy"],
)
def test_a_board_thread_answers_in_every_state_of_its_board(line: Line) -> None:
    assert asked_and_answered(World(line)) == [True]


def test_a_board_thread_answers_while_its_port_is_let_go() -> None:
    world = World()
    world.at(1, lambda: world.absence.begin(BoardState.RELEASED))
    assert asked_and_answered(world) == [True]
    assert BoardState.RELEASED in world.sink.states()


def test_a_nudge_ends_one_wait_of_the_journal_and_no_more() -> None:
    pending = Pending(FakeClock())
    pending.nudge()
    pending.wait(60)  # returns at once, or the test takes too long
    assert not pending
    pending.wait(0)
