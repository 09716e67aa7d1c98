"""A gateway and a virtual board with a faulty line between them: what is published is true, what is asked runs once."""

import pytest

from gateway.link.faulty_line import FaultyLine, LineFaults
from gateway.model import CommandState
from tests.board.world import World

BEEPS = 50
BEEP_EVERY_S = 0.4
TEMPERATURES = (21.5, -40.25, 99.75)


@pytest.mark.fault(3)
def test_readings_stay_true_and_commands_run_once() -> None:
    world = World(limit=BEEPS, poll_interval_s=0.02)
    faults = LineFaults(drop=0.005, corrupt=0.005, delay_s=0.003, seed=7)
    world.board = FaultyLine(world.board, faults, clock=world.clock)  # type: ignore[assignment]
    commands = []

    def beep(times: int) -> None:
        world.pins.temperature = TEMPERATURES[times % len(TEMPERATURES)]
        commands.append(world.submit(action="beep", arguments={"times": times}))

    for number in range(BEEPS):
        world.at(2 + number * BEEP_EVERY_S, lambda number=number: beep(number - (number == 13)))  # type: ignore[misc]
    world.run(2 + BEEPS * BEEP_EVERY_S + 5)
    assert [world.now_is(command).state for command in commands] == [CommandState.DONE] * BEEPS
    assert world.pins.beeps == [12 if number == 13 else number for number in range(BEEPS)], "the sketch refuses 13"
    values = [sample["temperature"].value for sample in world.sink.samples if "temperature" in sample]
    assert set(values) == set(TEMPERATURES)
    counters = world.status.counters
    assert counters["frames_rejected"] > 20, "the line was faulty"
    assert counters["retransmissions"] > 0
