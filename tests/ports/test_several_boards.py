"""One gateway, four boards: one fine, one noisy, one whose port is not there, one whose peer never answers. Each has
its own thread, and the fine one is served as if it were alone."""

import select
import socket
from collections.abc import Iterator

import pytest

from tests.running import PATIENCE_S, GatewayProcess

pytestmark = pytest.mark.process

CONFIG = """\
boards:
  fine: {{port: virtual://uno, poll_interval: 20ms, stale_after: 5s}}
  noisy: {{port: 'virtual://uno?drop=0.005&corrupt=0.005&delay=2ms&seed=7', poll_interval: 20ms, stale_after: 5s}}
  dead: {{port: /dev/ttyNOTHERE0}}
  silent: {{port: rfc2217://127.0.0.1:{port}}}
"""
ROUNDS = 30
TRIES = 10  # to get a command done within one opening of the silent board, which takes 3 s


@pytest.fixture(scope="module")
def silent() -> Iterator[socket.socket]:
    """Takes connections and never says a word: the gateway waits for it in pyserial's `open`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        yield server


@pytest.fixture(scope="module")
def gateway(silent: socket.socket) -> Iterator[GatewayProcess]:
    with GatewayProcess(config=CONFIG.format(port=silent.getsockname()[1])) as gateway:
        for board in ("fine", "noisy"):
            gateway.wait_state("online", board=board)
        yield gateway


def has_hung_up(connection: socket.socket) -> bool:
    while select.select([connection], [], [], 0)[0]:
        if not connection.recv(1024):
            return True
    return False


def test_each_has_its_own_state(gateway: GatewayProcess) -> None:
    gateway.wait_state("offline", board="dead")
    assert gateway.get("boards/dead").json["reason"] == "port_missing"
    assert gateway.state("silent") in ("connecting", "offline")
    assert gateway.state("fine") == "online"
    assert gateway.state("noisy") in ("online", "degraded")
    not_ready = gateway.get("/readyz")
    assert not_ready.status == 503
    assert "dead" in not_ready.json["detail"]
    assert "silent" in not_ready.json["detail"]
    assert "fine" not in not_ready.json["detail"]


def test_a_command_is_done_while_another_board_is_being_opened(gateway: GatewayProcess, silent: socket.socket) -> None:
    for _ in range(TRIES):
        connection, _ = silent.accept()  # now the silent board's thread is within `open`
        with connection:
            began = gateway.get("boards/fine/readings").json["sequence"]
            assert gateway.command({"channel": "pwm9", "value": 77}, board="fine")["state"] == "done"
            gateway.until(
                lambda: gateway.get("boards/fine/readings").json["sequence"],
                lambda now, began=began: now > began + 3,  # type: ignore[misc]
            )
            if not has_hung_up(connection):
                return
    pytest.fail("while a board is being opened, no other gets anything done")


@pytest.mark.fault(3)
def test_the_fine_one_never_notices(gateway: GatewayProcess) -> None:
    sequence = 0
    for number in range(ROUNDS):
        for board in ("fine", "noisy"):
            command = gateway.command({"channel": "led", "value": number % 2 == 0}, board=board)
            assert command["state"] == "done"
            gateway.until(
                lambda board=board: gateway.reading("led", board=board)["value"],  # type: ignore[misc]
                lambda value, wanted=number % 2 == 0: value is wanted,  # type: ignore[misc]
            )
        snapshot = gateway.get("boards/fine/readings").json
        assert {reading["quality"] for reading in snapshot["readings"].values()} == {"good"}
        assert snapshot["sequence"] > sequence
        sequence = snapshot["sequence"]
    fine, noisy = (gateway.get(f"boards/{board}").json["counters"] for board in ("fine", "noisy"))
    assert noisy["frames_rejected"] > 0
    assert noisy["retransmissions"] > 0
    trouble = ("frames_rejected", "frames_unexpected", "retransmissions", "polls_missed", "text_lines")
    assert {name: fine[name] for name in trouble} == dict.fromkeys(trouble, 0)
    assert fine["sessions"] == 1
