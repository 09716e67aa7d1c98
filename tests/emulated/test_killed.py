"""SIGKILL of the real `gateway run` with commands queued, under way and ended, real at both ends: what the journal and
the board's record say afterwards, and what the board's pin says of it. PROTOCOL.md, "Fault cases".

Every point of a command's life, one by one, is tried in tests/faults/test_kill.py; at random, by benchmarks/campaigns.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.emulated.images import Bench
from tests.emulated.pulses import (
    POLL_BYTES,
    REQUEST_BYTES,
    PulseBoard,
    end_of,
    post_pulse,
    serving,
)
from tests.emulated.raw_host import RawHost
from tests.running import GatewayProcess

pytestmark = [pytest.mark.needs("simavr", "avr-gcc", "make"), pytest.mark.process]

Point = Callable[[PulseBoard, GatewayProcess], str]
"""Brings a command to one point of its life; its id."""


@pytest.fixture
def image(sketch: Callable[[str, str], Path]) -> Path:
    return sketch("pulses", "uno")


@pytest.fixture
def board(bench: Bench, image: Path) -> Iterator[PulseBoard]:
    with PulseBoard(bench, image) as board:
        yield board


@pytest.fixture
def through_optiboot(bench: Bench, image: Path) -> Iterator[PulseBoard]:
    with PulseBoard(bench, image, bootloader=bench.optiboot_uno) as board:
        yield board


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory that all lives of a gateway share."""
    return tmp_path / "state"


def request_lost(board: PulseBoard, gateway: GatewayProcess) -> str:
    """Sent, and never heard by the board."""
    board.noise(receive_drop=1.0)
    received = board.bytes("received")
    command = post_pulse(gateway)
    board.wait_bytes("received", received + REQUEST_BYTES + POLL_BYTES)
    return command


def running(board: PulseBoard, gateway: GatewayProcess) -> str:
    """The handler has begun and will end in a while."""
    command = post_pulse(gateway, before_ms=500)
    board.wait_begun(2)
    return command


def running_for_ever(board: PulseBoard, gateway: GatewayProcess) -> str:
    """The handler has begun and will not end."""
    command = post_pulse(gateway, before_ms=60_000)
    board.wait_begun(2)
    return command


def reply_lost(board: PulseBoard, gateway: GatewayProcess) -> str:
    """It ran, and nobody heard so."""
    board.noise(transmit_drop=1.0)
    command = post_pulse(gateway)
    board.wait_pulse(2)
    return command


def kill_at(point: Point, board: PulseBoard, state: Path) -> tuple[str, list[str], list[object]]:
    """One command has ended, one is at this point, two wait behind it when the gateway dies.

    Gives the id of the second, those of the waiting, and the resource of the first as it was.
    """
    with serving(board, state=state) as gateway:
        ended = end_of(gateway, post_pulse(gateway))
        assert (ended["state"], board.pulses) == ("done", 1)
        under_way = point(board, gateway)
        queued = [post_pulse(gateway) for _ in range(2)]
        gateway.kill()
    board.noise()
    return under_way, queued, [ended]


def reset_at_the_next_open(board: PulseBoard) -> None:
    """As a port does that was closed by a program which leaves HUPCL set."""
    since = board.mark()
    with RawHost(board.port):
        board.wait_event("open", since=since)
        subprocess.run(["stty", "-F", str(board.port), "hupcl"], check=True)
    board.wait_event("close", since=since, hupcl=True)


@pytest.mark.fault(11)
@pytest.mark.parametrize("point", [running, reply_lost], ids=lambda point: str(point.__name__))
def test_killed_the_board_is_asked_what_became_of_the_command(board: PulseBoard, state: Path, point: Point) -> None:
    under_way, queued, (ended,) = kill_at(point, board, state)
    since = board.mark()
    with serving(board, state=state) as gateway:
        states = [end_of(gateway, command)["state"] for command in (under_way, *queued)]
        assert states == ["done"] * 3
        assert board.pulses == 4, "each once"
        assert gateway.get(f"commands/{ended['id']}").json == ended  # type: ignore[index]
        assert board.events("reset", since=since) == []


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("point", "expected", "pulses"),
    [(running_for_ever, "unknown", 3), (reply_lost, "done", 4)],
    ids=["running", "reply_lost"],
)
def test_killed_and_the_board_reset_when_its_port_is_opened_again(
    through_optiboot: PulseBoard, state: Path, point: Point, expected: str, pulses: int
) -> None:
    """Through the stock bootloader: the record in .noinit decides."""
    board = through_optiboot
    under_way, queued, _ = kill_at(point, board, state)
    reset_at_the_next_open(board)
    since = board.mark()
    with serving(board, state=state) as gateway:
        assert end_of(gateway, under_way)["state"] == expected
        assert [end_of(gateway, command)["state"] for command in queued] == ["done", "done"]
        assert board.pulses == pulses
        assert board.events("reset", since=since)[0]["reason"] == "dtr-open"


@pytest.mark.fault(13)
def test_a_power_cut_that_takes_both_ends_is_unknown(board: PulseBoard, state: Path) -> None:
    under_way, queued, (ended,) = kill_at(reply_lost, board, state)
    board.power_cycle()
    with serving(board, state=state) as gateway:
        assert end_of(gateway, under_way)["state"] == "unknown"
        assert [end_of(gateway, command)["state"] for command in queued] == ["done", "done"]
        assert board.pulses == 4
        assert gateway.get(f"commands/{ended['id']}").json == ended  # type: ignore[index]


def stored_epoch(board: PulseBoard) -> int:
    """The journal that the board's record belongs to."""
    with RawHost(board.port) as host:
        return host.hello().stored_epoch


@pytest.mark.fault(16)
def test_a_journal_restored_from_a_backup_rotates_the_epoch(board: PulseBoard, state: Path, tmp_path: Path) -> None:
    """The backup was made with one command under way; it and those behind it have run since."""
    backup = tmp_path / "backup"
    under_way, queued, _ = kill_at(request_lost, board, state)
    shutil.copytree(state, backup)
    with serving(board, state=state) as gateway:
        assert [end_of(gateway, command)["state"] for command in (under_way, *queued)] == ["done"] * 3
    assert board.pulses == 4
    epoch = stored_epoch(board)
    with serving(board, state=backup) as gateway:
        assert end_of(gateway, under_way)["state"] == "unknown"
        for command in queued:
            end_of(gateway, command)
        before = board.pulses
        assert end_of(gateway, post_pulse(gateway))["state"] == "done"
        assert board.pulses == before + 1
    assert stored_epoch(board) != epoch
