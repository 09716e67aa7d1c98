"""Faults of the line, through the whole board thread: what is published stays true, what is asked runs once, and the
fault costs no more than it must. PROTOCOL.md, "Fault cases"; a simulated world, so that hours would take minutes.
"""

import gc
import random
import tracemalloc
from collections.abc import Callable

import pytest

from gateway.link.virtual_board import VirtualBoard
from gateway.model import BoardState, BoardStatus, Command, CommandState, Sample
from gateway.protocol.framing import Deframer, Frame, decode, encode
from gateway.protocol.messages import PollReply, RunCommand
from tests.board.world import Line, World

SOAK_S = 900
SOAK_LIMIT_S = 300  # of a machine with much else to do
BURST_CHANCE = 1e-4  # of each byte, to be where a burst begins
BURST_BYTES = 8  # at most
BEEP_EVERY_S = 10
MEMORY_SLACK = 64 * 1024  # bytes that other threads of the test run, caches and counters may take
NOISE_BYTES = 65_536
FRAME_S = 0.1  # between two polls


def beep(world: World, times: int = 5) -> Command:
    return world.submit(action="beep", arguments={"times": times}, expires_in_ms=60_000)


class BurstyLine:
    """A board at the end of a line with random bursts, both ways, that replace up to eight bytes by any others."""

    def __init__(self, board: VirtualBoard) -> None:
        self._board = board
        self._random = random.Random(3)
        self._left = 0
        self.bursts = 0
        self.due_s = board.due_s

    def receive(self, data: bytes) -> None:
        self._board.receive(self._spoil(data))

    def transmit(self) -> bytes:
        return self._spoil(self._board.transmit())

    def _spoil(self, data: bytes) -> bytes:
        spoilt = bytearray(data)
        for at in range(len(spoilt)):
            if not self._left and self._random.random() < BURST_CHANCE:
                self._left = self._random.randint(1, BURST_BYTES)
                self.bursts += 1
            if self._left:
                self._left -= 1
                spoilt[at] = self._random.randrange(256)
        return bytes(spoilt)


class Judge:
    """Takes the world's samples and keeps none of them: each is held against what the board really had."""

    def __init__(self, world: World) -> None:
        self.taken = 0
        self.states: set[BoardState] = set()
        self._world = world
        world.sink.publish_samples = self.publish_samples  # type: ignore[method-assign]
        world.sink.publish_status = self.publish_status  # type: ignore[method-assign]

    def publish_samples(self, board: str, samples: dict[str, Sample], *, status: BoardStatus) -> None:
        self.taken += 1
        self.publish_status(status)
        if "uptime_ms" not in samples:  # the echo of a write
            return
        uptime = samples["uptime_ms"]
        assert isinstance(uptime.value, int)
        assert uptime.value / 1000 == pytest.approx(self._world.clock.now - 1000, abs=0.002)
        assert samples["temperature"].value == self._world.pins.temperature

    def publish_status(self, status: BoardStatus) -> None:
        self.status = status
        self.states.add(status.state)


@pytest.mark.exhaustive
@pytest.mark.timeout(SOAK_LIMIT_S)
@pytest.mark.fault(3)
def test_a_long_time_of_bursts_publishes_nothing_wrong_and_keeps_nothing() -> None:
    world = World()
    bursty = BurstyLine(world.board)
    world.board = bursty  # type: ignore[assignment]
    judge = Judge(world)
    commands: list[Command] = []
    for number in range(1, SOAK_S // BEEP_EVERY_S):
        world.at(number * BEEP_EVERY_S, lambda number=number: commands.append(beep(world, number % 13)))  # type: ignore[misc]
        world.at(number * BEEP_EVERY_S, lambda number=number: setattr(world.pins, "temperature", number % 100 / 4))  # type: ignore[misc]
    kept: list[int] = []

    def begin_to_count() -> None:
        gc.collect()
        tracemalloc.start()

    def count() -> None:
        gc.collect()
        kept.append(tracemalloc.get_traced_memory()[0])

    world.at(SOAK_S - 200, begin_to_count)
    for ago_s in (150, 1):
        world.at(SOAK_S - ago_s, count)
    try:
        world.run(SOAK_S)
    finally:
        tracemalloc.stop()
    assert bursty.bursts > 20
    assert judge.taken > SOAK_S * 9
    assert judge.states == {BoardState.CONNECTING, BoardState.ONLINE}
    assert judge.status.counters["frames_rejected"] > 10
    assert judge.status.counters["sessions"] == 1
    assert {world.now_is(command).state for command in commands} == {CommandState.DONE}
    assert world.pins.beeps == [number % 13 for number in range(1, SOAK_S // BEEP_EVERY_S)]
    assert kept[1] - kept[0] < MEMORY_SLACK


@pytest.mark.fault(4)
@pytest.mark.parametrize("alphabet", [range(256), range(1, 256)], ids=["any", "no zero"])
def test_64_kb_of_noise_cost_the_gateway_one_answer_at_most(alphabet: range) -> None:
    world = World(poll_interval_s=0.1)
    noise = bytes(random.Random(4).choices(alphabet, k=NOISE_BYTES))
    world.at(5.05, lambda: world.say(noise))
    world.run(10)
    assert world.sink.states() == [BoardState.CONNECTING, BoardState.ONLINE]
    counters = world.status.counters
    assert counters["polls_missed"] <= 1
    assert counters["frames_rejected"] >= 1
    assert counters["sessions"] == 1


@pytest.mark.fault(5)
@pytest.mark.parametrize("text", [b"x", b"\xff"], ids=["text", "garbage"])
def test_endless_bytes_without_a_zero_are_counted_once_and_bounded_in_the_log(text: bytes) -> None:
    """A megabyte within a second. What answers lie amid it are lost with it; behind it all is well."""
    world = World(link_timeout_s=10.0)
    for number in range(256):
        world.at(5 + number / 256, lambda: world.say(text * 4096))
    world.at(6, lambda: world.say(b"\0"))
    tracemalloc.start()
    try:
        world.run(10)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert world.status.state is BoardState.ONLINE
    assert world.status.counters["sessions"] == 1
    assert world.status.counters["bytes_received"] > 256 * 4096
    assert world.status.counters["frames_rejected"] <= 2 * 10  # one, and one for each answer that ended a stretch
    assert len([entry for entry in world.sink.entries if entry.kind == "text"]) < 250
    assert kept < 4096 * 256


class Deaf:
    """The board does not hear the first so many requests of one kind."""

    def __init__(self, world: World, kind: type[RunCommand], count: int) -> None:
        self.swallowed: list[bytes] = []
        self._receive = world.board.receive
        self._kind = kind
        self._count = count
        world.board.receive = self.receive  # type: ignore[method-assign]

    def receive(self, data: bytes) -> None:
        frame = decode(data.strip(b"\0"))
        if frame is not None and frame.type == self._kind.TYPE and len(self.swallowed) < self._count:
            self.swallowed.append(data)
        else:
            self._receive(data)


@pytest.mark.fault(8)
@pytest.mark.parametrize("lost", [1, 4, 5])
def test_a_request_that_is_lost_and_then_delivered_runs_once(lost: int) -> None:
    """The same bytes every time, so that whichever copy arrives is the one command."""
    world = World()
    deaf = Deaf(world, RunCommand, lost)
    commands: list[Command] = []
    world.at(3, lambda: commands.append(beep(world)))
    world.run(10)
    assert len(set(deaf.swallowed)) == 1
    assert len(deaf.swallowed) == lost
    assert world.now_is(commands[0]).state is CommandState.DONE
    assert world.pins.beeps == [5]
    assert world.status.counters["retransmissions"] == lost
    assert world.status.counters["sessions"] == 1


class Late:
    """Holds the answer to one poll back, until behind the next poll's sending."""

    def __init__(self, world: World) -> None:
        self.held: list[bytes] = []
        self.hold = False
        self._world = world
        self._transmit = world.board.transmit
        world.board.transmit = self.transmit  # type: ignore[method-assign]

    def transmit(self) -> bytes:
        on_time = b""
        for frame in Deframer().feed(self._transmit()):
            assert isinstance(frame, Frame)
            wire = encode(frame.type, frame.seq, frame.sid, payload=frame.payload)
            if self.hold and frame.type == PollReply.TYPE:
                self.hold = False
                self.held.append(wire)
            elif frame.type == PollReply.TYPE and self.held:
                on_time += self.held.pop() + wire  # the late one arrives first, while the new one is awaited
            else:
                on_time += wire
        return on_time


@pytest.mark.fault(9)
def test_a_late_answer_to_the_poll_before_is_not_taken_for_this_ones() -> None:
    world = World()
    late = Late(world)
    world.at(5, lambda: setattr(late, "hold", True))
    for tenth in range(100):
        world.at(tenth / 10, lambda tenth=tenth: setattr(world.pins, "temperature", tenth / 4))  # type: ignore[misc]
    judge = Judge(world)
    world.run(10)
    assert judge.status.counters["frames_unexpected"] == 1
    assert judge.status.counters["polls_missed"] == 1
    assert judge.taken > 90
    assert judge.states == {BoardState.CONNECTING, BoardState.ONLINE}


@pytest.mark.fault(10)
@pytest.mark.parametrize("usual_s", [0.0, 0.02, 0.1, 0.3])
def test_answers_delayed_to_twice_the_timeout_raise_it_instead_of_a_storm(usual_s: float) -> None:
    """For ten seconds, with commands amid them. However slow the line, one request is outstanding at a time."""
    world = World(Line(delay_s=usual_s))
    commands: list[Command] = []
    seen: dict[str, dict[str, int]] = {}
    slow: list[float] = []

    def slow_down() -> None:
        round_trip = world.worker._parts.reporter.status.round_trip_s
        assert round_trip is not None
        slow.append(2 * max(0.03, round_trip + 0.01))
        world.line.delay_s = slow[0]

    def note(name: str) -> Callable[[], None]:
        return lambda: seen.__setitem__(name, dict(world.status.counters))

    world.at(20, note("before"))
    world.at(20, slow_down)
    for second in (21, 23, 25, 27, 29):
        world.at(second, lambda second=second: commands.append(beep(world, second - 20)))  # type: ignore[misc]
    world.at(30, note("after"))
    world.at(30, lambda: setattr(world.line, "delay_s", usual_s))
    world.run(40)
    repeated = seen["after"]["retransmissions"] - seen["before"]["retransmissions"]
    missed = seen["after"]["polls_missed"] - seen["before"]["polls_missed"]
    sent = seen["after"]["bytes_sent"] - seen["before"]["bytes_sent"]
    assert missed + repeated > 0, "the delay was longer than the timeout"
    assert repeated <= 2 * len(commands)
    assert missed <= 3, "until the timeout is longer than the delay"
    assert sent < 10 / FRAME_S * 9 + (len(commands) + repeated) * 25
    assert [world.now_is(command).state for command in commands] == [CommandState.DONE] * 5
    assert world.pins.beeps == [1, 3, 5, 7, 9]
    assert world.sink.states() == [BoardState.CONNECTING, BoardState.ONLINE], "never degraded"
    assert world.status.counters["sessions"] == 1
