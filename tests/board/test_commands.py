"""The queue's gate, bound, cancelling and asks, from the side of the views."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from gateway.board.commands import LATCH_PATIENCE_S, CommandIds, CommandQueue, CommandRequest
from gateway.errors import (
    BoardOffline,
    InvalidCommand,
    JournalError,
    NotWritable,
    QueueFull,
    UnknownCommand,
    UnknownTarget,
    WrongState,
)
from gateway.model import Command, CommandState, FailsafeCause, IdempotencyKey, Schema
from tests.board.world import FakeClock, World, refusal_of
from tests.memory_journal import MemoryJournal

LED = CommandRequest(channel="led", value=True)


@pytest.fixture(scope="module")
def schema() -> Schema:
    found = World().run(1).status.schema
    assert found is not None
    return found


class Desk:
    """A queue and what it touches."""

    def __init__(self, *, limit: int = 3) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal()
        self.wakes = 0
        self.queue = CommandQueue(
            "uno",
            virtual=True,
            journal=self.journal,
            clock=self.clock,
            wake=self.woken,
            ids=CommandIds(self.clock),
            limit=limit,
        )

    def woken(self) -> None:
        self.wakes += 1


@pytest.fixture
def desk(schema: Schema) -> Desk:
    desk = Desk()
    desk.queue.open(schema)
    return desk


def test_nothing_is_taken_before_the_board_was_ever_there() -> None:
    desk = Desk()
    with pytest.raises(BoardOffline, match="not connected yet"):
        desk.queue.submit(LED)


def test_a_command_is_recorded_queued_and_wakes_the_board_thread(desk: Desk) -> None:
    command = desk.queue.submit(CommandRequest(channel="fan", value=7, hold_ms=2000, expires_in_ms=5000))
    assert desk.journal.get(command.id) == command
    assert command.state is CommandState.QUEUED
    assert command.virtual
    assert (command.channel, command.value, command.hold_ms) == ("fan", 7, 2000)
    assert command.expires_at == command.created_at + 2
    assert command.deadline_s == desk.clock.now + 2, "a held command may not begin later than its hold"
    assert desk.wakes == 1
    assert desk.queue.take() == command
    assert desk.queue.take() is None


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (CommandRequest(channel="lamp", value=True), UnknownTarget),
        (CommandRequest(action="boop"), UnknownTarget),
        (CommandRequest(channel="temperature", value=1), NotWritable),
        (CommandRequest(channel="led", value=1), InvalidCommand),
        (CommandRequest(channel="fan", value=7), InvalidCommand),
        (CommandRequest(action="beep", arguments={}), InvalidCommand),
    ],
)
def test_what_does_not_fit_the_schema_is_refused_before_it_is_recorded(
    desk: Desk, request_: CommandRequest, error: type[Exception]
) -> None:
    with pytest.raises(error):
        desk.queue.submit(request_)
    assert desk.journal.page("uno") == ([], None)


def test_the_queue_is_bounded(desk: Desk) -> None:
    for _ in range(3):
        desk.queue.submit(LED)
    with pytest.raises(QueueFull, match="queue_limit is 3"):
        desk.queue.submit(LED)
    desk.queue.take()
    desk.queue.submit(LED)


def test_the_bound_holds_for_many_clients_at_once(desk: Desk) -> None:
    outcomes = []

    def client() -> None:
        try:
            outcomes.append(desk.queue.submit(LED))
        except QueueFull:
            outcomes.append(None)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(40):
            pool.submit(client)
    assert sum(outcome is not None for outcome in outcomes) == 3
    assert len(outcomes) == 40


def test_a_queued_command_is_cancelled_once_and_for_all(desk: Desk) -> None:
    command = desk.queue.submit(LED)
    cancelled = desk.queue.cancel(command.id)
    assert cancelled.state is CommandState.CANCELLED
    assert cancelled.finished_at is not None
    assert desk.queue.cancel(command.id) == cancelled
    assert desk.queue.take() is None


def test_a_command_that_was_taken_can_no_longer_be_cancelled(desk: Desk) -> None:
    command = desk.queue.submit(LED)
    desk.queue.take()
    with pytest.raises(WrongState, match="no longer be cancelled"):
        desk.queue.cancel(command.id)
    with pytest.raises(UnknownCommand):
        desk.queue.cancel("0" * 24)


def test_another_boards_command_is_unknown_here(desk: Desk, schema: Schema) -> None:
    command = desk.queue.submit(LED)
    other = CommandQueue(
        "mega",
        virtual=False,
        journal=desk.journal,
        clock=desk.clock,
        wake=desk.woken,
        ids=CommandIds(desk.clock),
        limit=3,
    )
    with pytest.raises(UnknownCommand, match="mega"):
        other.cancel(command.id)


def test_deadlines_end_what_is_queued(desk: Desk) -> None:
    short = desk.queue.submit(CommandRequest(channel="led", value=True, expires_in_ms=1000))
    long = desk.queue.submit(CommandRequest(channel="led", value=True, expires_in_ms=9000))
    assert desk.queue.next_deadline_s() == short.deadline_s
    desk.queue.expire(desk.clock.now + 0.999)
    assert desk.journal.get(short.id) == short
    desk.queue.expire(desk.clock.now + 1)
    ended = desk.journal.get(short.id)
    assert ended is not None
    assert ended.state is CommandState.EXPIRED
    assert desk.queue.next_deadline_s() == long.deadline_s
    assert desk.queue.take() == long


class StuckJournal(MemoryJournal):
    """Accepts rows and never confirms them."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error

    def record(self, command: Command, *, key: IdempotencyKey | None = None) -> Future[None]:
        future: Future[None] = Future()
        if self.error is not None:
            future.set_exception(self.error)
        return future


@pytest.mark.parametrize("error", [None, JournalError("the disk is full")])
def test_a_command_the_journal_does_not_keep_is_refused_and_frees_its_place(
    schema: Schema, error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.board.commands.JOURNAL_TIMEOUT_S", 0.01)
    desk = Desk(limit=1)
    kept, desk.queue._journal = desk.queue._journal, StuckJournal(error)
    desk.queue.open(schema)
    for _ in range(2):
        with pytest.raises(JournalError, match="disk is full" if error else "did not answer"):
            desk.queue.submit(LED)
    desk.queue._journal = kept
    desk.queue.submit(LED)


# ---- SAFE and CLEAR ----


def test_safe_closes_the_gate_cancels_the_queue_and_waits_for_the_board(desk: Desk, schema: Schema) -> None:
    command = desk.queue.submit(LED)
    asked = threading.Event()
    desk.queue.wake = asked.set
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(desk.queue.safe, timeout_s=30)
        assert asked.wait(30)
        ended = desk.journal.get(command.id)
        assert ended is not None
        assert ended.state is CommandState.CANCELLED
        assert ended.error is not None
        assert ended.error.code == "safe"
        desk.queue.open(schema)  # a poll's reply that was on its way
        with pytest.raises(WrongState, match="SAFE was asked for"):
            desk.queue.submit(LED)
        desk.queue.orders.safe_ended()
        answer.result(30)


def test_an_order_that_is_not_confirmed_in_time_says_so(desk: Desk) -> None:
    with pytest.raises(BoardOffline, match=r"did not confirm within 0\.01 s"):
        desk.queue.clear(timeout_s=0.01)
    assert not desk.queue.orders.clear_due, "nor is it carried out later"


def test_safe_of_an_offline_board_cancels_what_is_queued_and_stands(desk: Desk, schema: Schema) -> None:
    command = desk.queue.submit(LED)
    desk.queue.refuse(BoardOffline("unplugged"))
    desk.queue.orders.went_offline("unplugged")
    with pytest.raises(BoardOffline, match=r"unplugged.*as soon as it is back"):
        desk.queue.safe(timeout_s=30)
    ended = desk.journal.get(command.id)
    assert ended is not None
    assert ended.state is CommandState.CANCELLED
    assert desk.queue.orders.safe_due
    desk.queue.open(schema)
    with pytest.raises(BoardOffline):
        desk.queue.submit(LED)


def test_a_command_overtaken_by_safe_while_its_row_was_kept_is_cancelled(schema: Schema) -> None:
    desk = Desk()
    desk.queue.open(schema)
    record = desk.journal.record

    def record_while_safe_comes(command: Command, *, key: IdempotencyKey | None = None) -> Future[None]:
        if command.state is CommandState.QUEUED:
            with pytest.raises(BoardOffline):
                desk.queue.safe(timeout_s=0)
        return record(command, key=key)

    desk.journal.record = record_while_safe_comes  # type: ignore[method-assign]
    command = desk.queue.submit(LED)
    assert command.state is CommandState.CANCELLED
    assert desk.queue.take() is None


def test_a_command_overtaken_by_safe_does_not_begin_after_the_clear_either(desk: Desk) -> None:
    record = desk.journal.record

    def record_while_safe_comes_and_goes(command: Command, *, key: IdempotencyKey | None = None) -> Future[None]:
        if command.state is CommandState.QUEUED:
            desk.queue.orders.safe()
            desk.queue.orders.safe_ended()
            desk.queue.orders.clear_found()
        return record(command, key=key)

    desk.journal.record = record_while_safe_comes_and_goes  # type: ignore[method-assign]
    command = desk.queue.submit(LED)
    assert (command.state, command.error and command.error.code) == (CommandState.CANCELLED, "safe")
    assert desk.queue.take() is None


@pytest.mark.parametrize("offline", [False, True])
def test_a_safe_is_answered_once_it_is_kept_too(desk: Desk, offline: bool) -> None:
    asked: list[float | None] = []

    class Kept(Future[None]):
        def result(self, timeout: float | None = None) -> None:
            asked.append(timeout)
            raise JournalError("the disk is gone")

    def keep_latch(_board: str, _cause: FailsafeCause | None) -> Future[None]:
        if not offline:
            desk.queue.orders.safe_ended()
        return Kept()

    desk.journal.keep_latch = keep_latch  # type: ignore[method-assign]
    if offline:
        desk.queue.orders.went_offline("unplugged")
        assert isinstance(refusal_of(lambda: desk.queue.safe(timeout_s=1)), BoardOffline)
    else:
        desk.queue.safe(timeout_s=1)
    assert asked == [LATCH_PATIENCE_S]


def test_a_clear_that_waits_for_the_journal_says_so(desk: Desk) -> None:
    desk.queue.refuse(JournalError("mend its disk"))
    with pytest.raises(JournalError, match="mend its disk"):
        desk.queue.clear(timeout_s=0)


def test_a_refusal_is_raised_anew_for_every_client(desk: Desk) -> None:
    desk.queue.refuse(BoardOffline("unplugged"))
    raised = [refusal_of(lambda: desk.queue.submit(LED)) for _ in range(2)]
    assert raised[0] is not raised[1]


# ---- ids ----


@pytest.mark.fault(23)
def test_ids_sort_by_creation_and_never_repeat_even_when_the_clock_steps_back() -> None:
    clock = FakeClock()
    ids = CommandIds(clock)
    given = [ids.next() for _ in range(3)]
    clock.now -= 3600
    given += [ids.next() for _ in range(3)]
    clock.now += 7200
    given.append(ids.next())
    assert given == sorted(set(given))
    assert {len(each) for each in given} == {24}
    assert all(each.isalnum() for each in given)


def test_ids_of_a_new_life_follow_those_of_the_last_though_the_clock_was_set_back() -> None:
    clock = FakeClock()
    newest = CommandIds(clock).next()
    clock.now -= 86_400
    ids = CommandIds(clock, newest=newest)
    assert newest < ids.next() < ids.next()
