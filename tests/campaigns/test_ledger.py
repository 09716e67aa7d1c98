"""The campaigns' own eyes: what the ledger reads from the pins, and that the books show each broken promise."""

import pytest

from benchmarks.campaigns.account import Account, Told, settle
from benchmarks.campaigns.ledger import BITS, ONE, RUNNING, ZERO, Execution, executions, proof
from benchmarks.campaigns.readings import Judge, Published, places_of
from tests.emulated.board import Event


class Pins:
    """Writes the log that the emulator would."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._levels = {RUNNING: 0, ZERO: 0, ONE: 0}

    def begin(self, number: int, *, bits: int = BITS) -> None:
        """The handler tells its number, or the first bits of it."""
        self.set(RUNNING, 1)
        for place in range(BITS - 1, BITS - 1 - bits, -1):
            pin = ONE if number >> place & 1 else ZERO
            self.set(pin, 1 - self._levels[pin])

    def set(self, pin: str, level: int, *, mode: str = "output") -> None:
        self._levels[pin] = level
        self._add("pin", {"pin": pin, "mode": mode, "level": level, "duty": -1})

    def mark(self, number: int) -> None:
        """The whole command."""
        self.begin(number)
        self.set(RUNNING, 0)

    def reset(self, *, seen_as_inputs: bool) -> None:
        """The sketch begins anew; it may be so quick that nobody saw its pins as inputs."""
        self._add("reset", {"reason": "command"})
        for pin, level in self._levels.items():
            if seen_as_inputs:
                self.set(pin, 0, mode="input")
            if seen_as_inputs or level:
                self.set(pin, 0)

    def _add(self, kind: str, fields: dict[str, object]) -> None:
        self.events.append(Event(len(self.events), kind, 10 * len(self.events), fields))


@pytest.fixture(params=[True, False], ids=["inputs seen", "inputs unseen"])
def seen_as_inputs(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_numbers_are_read_from_the_pins() -> None:
    pins = Pins()
    for pin in (RUNNING, ZERO, ONE):
        pins.set(pin, 0, mode="input")
        pins.set(pin, 0)
    for number in (1, 0xFFFFFF, 0xA5A5A5, 1):
        pins.mark(number)
    assert executions(pins.events) == [Execution(number, finished=True) for number in (1, 0xFFFFFF, 0xA5A5A5, 1)]


def test_a_command_that_a_reset_broke_off_is_not_finished(seen_as_inputs: bool) -> None:
    pins = Pins()
    pins.begin(7)
    pins.reset(seen_as_inputs=seen_as_inputs)
    pins.begin(8, bits=20)
    pins.reset(seen_as_inputs=seen_as_inputs)
    pins.mark(9)
    pins.begin(10)
    assert executions(pins.events) == [
        Execution(7, finished=False),
        Execution(None, finished=False),
        Execution(9, finished=True),
        Execution(10, finished=False),
    ]


def test_a_reset_between_commands_costs_none_of_them(seen_as_inputs: bool) -> None:
    pins = Pins()
    pins.mark(7)
    pins.reset(seen_as_inputs=seen_as_inputs)
    pins.mark(0xFFFFFF)
    assert executions(pins.events) == [Execution(7, finished=True), Execution(0xFFFFFF, finished=True)]


WHOLE = [Execution(1, finished=True), Execution(2, finished=True)]


def test_the_books_of_a_perfect_campaign() -> None:
    told = [Told(1, "done", 1), Told(2, "done", 2), Told(3, "expired"), Told(4, "unknown")]
    account = settle(told, [*WHOLE, Execution(4, finished=False)])
    assert set(account.broken.values()) == {0}
    assert (account.accepted, account.executed) == (4, 3)
    assert account.states == {"done": 2, "failed": 0, "unknown": 1, "expired": 1, "cancelled": 0}


@pytest.mark.parametrize(
    ("promise", "told", "ran"),
    [
        ("duplicates", [Told(1, "done", 1), Told(2, "done", 2)], [*WHOLE, Execution(1, finished=True)]),
        ("duplicates", [Told(1, "done", 1), Told(2, "done", 2)], [*WHOLE, Execution(2, finished=False)]),
        ("false_done", [Told(1, "done", 1), Told(2, "done", 2), Told(3, "done", 3)], WHOLE),
        ("false_done", [Told(1, "done", 1)], [Execution(1, finished=False)]),
        ("false_not_run", [Told(1, "done", 1), Told(2, "expired")], WHOLE),
        ("false_not_run", [Told(1, "cancelled")], [Execution(1, finished=False)]),
        ("false_not_run", [Told(1, "failed"), Told(2, "unknown")], WHOLE),
        ("wrong_results", [Told(1, "done", 1), Told(2, "done", 1)], WHOLE),
        ("not_asked_for", [Told(1, "done", 1)], WHOLE),
        ("changed_final_states", [Told(1, "done", 1), Told(2, "done", 2, answered="unknown")], WHOLE),
        ("without_final_state", [Told(1, "done", 1), Told(2, "sent")], WHOLE),
        ("without_final_state", [Told(1, "done", 1, answered="done"), Told(2, None, answered="queued")], WHOLE),
    ],
)
def test_each_broken_promise_shows(promise: str, told: list[Told], ran: list[Execution]) -> None:
    account: Account = settle(told, ran)
    assert account.broken == {name: int(name == promise) for name in account.broken}


def published(number: int) -> Published:
    return Published(number, proof(number), number / 2)


def test_readings_of_numbers_in_their_order_are_right() -> None:
    judge = Judge(places_of([5, 6, 9, 7]))
    for number in (0, 0, 5, 5, 9, 7):
        judge.take(published(number))
    assert (judge.judged, judge.wrong) == (6, 0)


@pytest.mark.parametrize(
    "last",
    [
        Published(7, proof(9), 3.5),
        Published(7, proof(7), 4.5),
        Published(7, None, 3.5),
        Published(None, proof(7), 3.5),
        Published(True, proof(1), 0.5),
        published(8),
        published(5),
        published(0),
    ],
    ids=str,
)
def test_a_reading_that_the_board_never_had_or_had_no_longer_shows(last: Published) -> None:
    judge = Judge(places_of([1, 5, 9, 7]))
    for each in (published(5), published(9), last, published(7)):
        judge.take(each)
    assert (judge.judged, judge.wrong) == (4, 1)
