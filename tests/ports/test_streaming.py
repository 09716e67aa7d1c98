"""A stream from the virtual board through the real `gateway run` process, on a good line and on a bad one."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.running import GatewayProcess

pytestmark = pytest.mark.process

PERIOD_MS = 2
TICK_MS = 1  # a beat that falls due while the board handles a request is a little late
ENOUGH = 1000  # samples
CONFIG = f"""\
boards:
  fine: {{port: virtual://uno, mode: stream, poll_interval: {PERIOD_MS}ms}}
  noisy: {{port: 'virtual://uno?drop=0.0005&corrupt=0.0005&seed=7', mode: stream, poll_interval: {PERIOD_MS}ms}}
"""


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess(config=CONFIG) as gateway:
        for board in ("fine", "noisy"):
            gateway.wait_state("online", board=board)
        yield gateway


def uptimes_ms(gateway: GatewayProcess, board: str) -> list[int]:
    """What the board's clock said with each sample, once there are enough of them."""
    path = f"boards/{board}/readings/uptime_ms/history"
    items = gateway.until(lambda: gateway.get(path).json["items"], lambda items: len(items) > ENOUGH)
    return [item["value"] for item in items]


def test_every_beat_is_a_sample(gateway: GatewayProcess) -> None:
    taken = uptimes_ms(gateway, "fine")
    assert max(later - former for former, later in pairwise(taken[1:])) <= PERIOD_MS + TICK_MS
    assert taken[-1] - taken[1] == pytest.approx(PERIOD_MS * (len(taken) - 2), abs=TICK_MS)
    board = gateway.get("boards/fine").json
    assert (board["mode"], board["counters"]["samples_skipped"]) == ("stream", 0)
    assert gateway.reading("uptime_ms", board="fine")["quality"] == "good"


def test_what_a_bad_line_lost_is_a_gap_and_counted(gateway: GatewayProcess) -> None:
    taken = uptimes_ms(gateway, "noisy")
    steps_ms = [later - former for former, later in pairwise(taken[1:])]
    assert all(step_ms > 0 for step_ms in steps_ms)
    missing = round(sum(steps_ms) / PERIOD_MS) - len(steps_ms)
    assert 0 < missing <= gateway.get("boards/noisy").json["counters"]["samples_skipped"]
    assert gateway.state("noisy") == "online"


def test_commands_go_through_beside_it(gateway: GatewayProcess) -> None:
    for board in ("fine", "noisy"):
        for value in (20, 30, 40):
            assert gateway.command({"channel": "pwm9", "value": value}, board=board)["state"] == "done"
            gateway.until(
                lambda board=board: gateway.reading("pwm9", board=board)["value"],  # type: ignore[misc]
                lambda seen, value=value: seen == value,  # type: ignore[misc]
            )
