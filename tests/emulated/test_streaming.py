"""A stream from the shipped image on an emulated Uno, through the real `gateway run` process, at a rate that polling
does not reach. All counts and times are the board's own, so that no busy machine spoils them."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import pytest

from gateway.board.streamer import LEASE_S
from tests.emulated.board import EmulatedBoard
from tests.running import GatewayProcess

pytestmark = [pytest.mark.needs("simavr", "avr-gcc"), pytest.mark.parametrize("uno", ["bare"], indirect=True)]

PERIOD_MS = 4  # 250 samples a second: an Uno answers 224 polls a second, asked by a host that takes no time at all
ENOUGH = 1000  # samples
UNBROKEN = 100  # of them one after another, beat for beat
TICK_MS = 1  # millis() of a 16 MHz AVR goes in steps of 1.024 ms
CONFIG = """\
boards:
  board:
    port: {port}
    mode: stream
    poll_interval: {period_ms}ms
"""
LED = "B5"


@pytest.fixture
def gateway(uno: EmulatedBoard) -> Iterator[GatewayProcess]:
    with GatewayProcess(config=CONFIG.format(port=uno.port, period_ms=PERIOD_MS)) as gateway:
        gateway.wait_state("online")
        yield gateway


def uptimes_ms(gateway: GatewayProcess) -> list[int]:
    """What the board's clock said with each sample."""
    items = gateway.get("boards/board/readings/uptime_ms/history").json["items"]
    return [item["value"] for item in items]


def counters(gateway: GatewayProcess) -> Mapping[str, int]:
    found: Mapping[str, int] = gateway.get("boards/board").json["counters"]
    return found


def test_every_beat_is_a_sample_or_counted(gateway: GatewayProcess) -> None:
    taken = gateway.until(lambda: uptimes_ms(gateway), lambda seen: len(seen) > ENOUGH)
    assert gateway.get("boards/board").json["mode"] == "stream"
    steps_ms = [later - former for former, later in pairwise(taken)]
    assert min(steps_ms[1:]) >= PERIOD_MS - TICK_MS
    broken = [0, *(at for at, step_ms in enumerate(steps_ms) if step_ms > PERIOD_MS + TICK_MS), len(steps_ms)]
    assert max(later - former for former, later in pairwise(broken)) > UNBROKEN
    # The first is a poll's; what is skipped may have been so since the last was looked at.
    beats = (taken[-1] - taken[1]) / PERIOD_MS
    missing = beats - (len(taken) - 2)
    assert -2 <= missing <= counters(gateway)["samples_skipped"] + 2


def test_commands_go_through_beside_it(uno: EmulatedBoard, gateway: GatewayProcess) -> None:
    for number in range(20):
        command = gateway.command({"channel": "led", "value": number % 2 == 0})
        assert command["state"] == "done"
        assert uno.pin(LED).level == (number + 1) % 2
    before = len(uptimes_ms(gateway))
    gateway.until(lambda: uptimes_ms(gateway), lambda seen: len(seen) > before + UNBROKEN)
    assert gateway.reading("led")["value"] is False
    assert gateway.state() == "online"


def test_a_killed_gateway_leaves_a_board_that_falls_silent_by_its_lease(
    uno: EmulatedBoard, gateway: GatewayProcess
) -> None:
    gateway.until(lambda: uptimes_ms(gateway), lambda seen: len(seen) > UNBROKEN)
    gateway.kill()
    killed = uno.stats()
    uno.set_speed(0)
    still = gateway.until(uno.stats, lambda now: now["sent"] > killed["sent"])
    assert still["board_s"] < killed["board_s"] + LEASE_S
    over = gateway.until(uno.stats, lambda now: now["board_s"] > killed["board_s"] + LEASE_S * 1.01)
    later = gateway.until(uno.stats, lambda now: now["board_s"] > over["board_s"] + LEASE_S)
    assert later["sent"] == over["sent"]
