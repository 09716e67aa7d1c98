"""A stream from the virtual board through the real `gateway run` process, on a good line and on a bad one."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.running import GatewayProcess

pytestmark = pytest.mark.process

PERIOD_MS = 2
ENOUGH = 1000  # samples
CONFIG = "boards:\n" + "".join(
    f"  {name}: {{port: '{port}', mode: stream, poll_interval: {PERIOD_MS}ms, stale_after: 5s}}\n"
    for name, port in (("fine", "virtual://uno"), ("noisy", "virtual://uno?drop=0.0005&corrupt=0.0005&seed=7"))
)


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


def missing(taken: list[int]) -> int:
    """Beats without a sample since the first one, give or take one: any may come a little late. The very first
    reading is a poll's."""
    assert all(later >= former for former, later in pairwise(taken))
    return round((taken[-1] - taken[1]) / PERIOD_MS) - (len(taken) - 2)


def test_every_beat_is_a_sample_or_counted(gateway: GatewayProcess) -> None:
    taken = uptimes_ms(gateway, "fine")
    board = gateway.get("boards/fine").json
    assert board["mode"] == "stream"
    # On a busy machine the board itself may be late for a beat, as with any sketch that is busy.
    assert -1 <= missing(taken) <= board["counters"]["samples_skipped"] + 1 < len(taken) / 2
    assert gateway.reading("uptime_ms", board="fine")["quality"] == "good"


def test_what_a_bad_line_lost_is_a_gap_and_counted(gateway: GatewayProcess) -> None:
    taken = uptimes_ms(gateway, "noisy")
    assert 1 < missing(taken) <= gateway.get("boards/noisy").json["counters"]["samples_skipped"] + 1
    assert gateway.state("noisy") == "online"


def test_commands_go_through_beside_it(gateway: GatewayProcess) -> None:
    for board in ("fine", "noisy"):
        for value in (20, 30, 40):
            assert gateway.command({"channel": "pwm9", "value": value}, board=board)["state"] == "done"
            gateway.until(
                lambda board=board: gateway.reading("pwm9", board=board)["value"],  # type: ignore[misc]
                lambda seen, value=value: seen == value,  # type: ignore[misc]
            )
