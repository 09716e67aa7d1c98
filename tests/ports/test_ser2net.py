"""Boards behind a real ser2net, plain and RFC 2217: found, lost with a reason, found again when it is back."""

import threading
from collections.abc import Iterator

import pytest

from tests.board.world import Pins
from tests.ports.pty_board import PtyBoard
from tests.ports.ser2net import Ser2net
from tests.running import PATIENCE_S, GatewayProcess

pytestmark = [pytest.mark.needs("ser2net"), pytest.mark.process]

QUERY = {"socket": "", "rfc2217": "?ign_set_control"}
"""A pseudo-terminal has no modem lines that ser2net could tell of."""
BEEPS = 20
RESTARTS = {"socket": 3, "rfc2217": 1}  # the gateway waits for 2 s whether an RFC 2217 port was reset by opening it


@pytest.fixture
def pins() -> Pins:
    return Pins()


@pytest.fixture
def board(pins: Pins) -> Iterator[PtyBoard]:
    with PtyBoard(pins.table()) as board:
        yield board


@pytest.fixture(params=sorted(QUERY))
def ser2net(request: pytest.FixtureRequest, board: PtyBoard) -> Iterator[Ser2net]:
    with Ser2net(board.path, request.param) as ser2net:
        ser2net.url += QUERY[request.param]
        yield ser2net


def test_ser2net_is_restarted_under_way(ser2net: Ser2net, pins: Pins) -> None:
    with GatewayProcess("--port", ser2net.url) as gateway:
        gateway.wait_state("online")
        assert gateway.reading("temperature")["value"] == 21.5
        assert gateway.command({"action": "beep", "arguments": {"times": 50}})["state"] == "done"

        since = gateway.mark()
        ser2net.kill()
        lost = gateway.wait_line("offline, port_missing", since=since)
        assert f"{ser2net.url} was lost while " in lost
        assert "does ser2net still run there" in lost
        gateway.wait_state("offline")
        board = gateway.until(
            lambda: gateway.get("boards/board").json, lambda board: "Connection refused" in board["detail"]
        )
        assert board["reason"] == "port_missing"
        assert f"nobody answers at {ser2net.url}" in board["detail"]
        assert gateway.request("POST", "boards/board/commands", {"channel": "led", "value": True}).status == 503

        ser2net.start()
        gateway.wait_state("online")
        pins.temperature = 37.5
        gateway.until(lambda: gateway.reading("temperature")["value"], lambda value: value == 37.5)
        assert gateway.command({"action": "beep", "arguments": {"times": 49}})["state"] == "done"
    assert pins.beeps == [50, 49]


@pytest.mark.fault(18)
def test_commands_under_way_through_a_restart_run_once_or_never(ser2net: Ser2net, pins: Pins) -> None:
    with GatewayProcess("--port", ser2net.url) as gateway:
        gateway.wait_state("online")
        finished = threading.Semaphore(0)
        ended: dict[int, str] = {}

        def beep() -> None:
            for times in (number for number in range(BEEPS + 1) if number != 13):  # which the sketch refuses
                ended[times] = beep_once(gateway, times)
                finished.release()

        client = threading.Thread(target=beep)
        client.start()
        for _ in range(RESTARTS[ser2net.url.partition(":")[0]]):
            for _ in range(4):
                assert finished.acquire(timeout=PATIENCE_S)
            ser2net.kill()
            ser2net.start()
        client.join()
    assert set(ended.values()) == {"done"}
    assert pins.beeps == list(ended), "each ran once, in order"


def beep_once(gateway: GatewayProcess, times: int) -> str:
    """Asks again while the board is offline, and only then; the command's final state."""
    body = {"action": "beep", "arguments": {"times": times}, "expires_in_ms": 60_000}
    accepted = gateway.until(
        lambda: gateway.request("POST", "boards/board/commands?wait=1s", body), lambda answer: answer.status != 503
    )
    command = f"commands/{accepted.json['id']}"
    return gateway.until(lambda: str(gateway.get(command).json["state"]), lambda state: state not in ("queued", "sent"))


@pytest.mark.parametrize("ser2net", ["rfc2217"], indirect=True)
def test_a_port_without_modem_lines_is_told_how_to_go_on(ser2net: Ser2net) -> None:
    with GatewayProcess("--port", ser2net.url.partition("?")[0]) as gateway:
        gateway.wait_state("offline")
        board = gateway.until(lambda: gateway.get("boards/board").json, lambda board: "control" in board["detail"])
    assert board["reason"] == "port_missing"
    assert "does not answer as RFC 2217 wants" in board["detail"]
    assert "add ?ign_set_control to the address" in board["detail"]


@pytest.mark.parametrize("ser2net", ["socket"], indirect=True)
def test_plain_ser2net_is_told_from_none(ser2net: Ser2net) -> None:
    with GatewayProcess("--port", ser2net.url.replace("socket", "rfc2217")) as gateway:
        gateway.wait_state("offline")
        board = gateway.until(lambda: gateway.get("boards/board").json, lambda board: "RFC" in board["detail"])
    assert board["reason"] == "port_missing"
    assert "A plain tcp one is socket://" in board["detail"]
