"""The whole gateway under a service manager and its watchdog, which is a real datagram socket: as the real command, and
in this process where a thread has to hang."""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.config import load
from gateway.link.virtual_board import VirtualBoard
from gateway.model import FailsafeCause
from gateway.notify import Supervisor
from gateway.runtime import Gateway
from gateway.store.draft import Draft
from tests.running import PATIENCE_S, GatewayProcess

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets"),
]

WATCHDOG = {"WATCHDOG_USEC": "200000"}
FEEDS = 6  # more than a thread that never answers could get
BOARDS = "boards: {one: {port: virtual://uno}, two: {port: /dev/does-not-exist}}"


class Manager:
    """The service manager's socket; `address` is what it gives to its services."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def wait_for(self, pattern: str) -> list[str]:
        """All messages up to the first that the pattern matches, that one included."""
        heard = []
        deadline_s = time.monotonic() + PATIENCE_S
        while not heard or not re.fullmatch(pattern, heard[-1]):
            self._socket.settimeout(max(0.001, deadline_s - time.monotonic()))
            heard.append(self._socket.recv(4096).decode())
        return heard

    def so_far(self) -> list[str]:
        """All messages that have come and were not looked at."""
        heard = []
        self._socket.setblocking(False)
        try:
            while True:
                heard.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.close()


@pytest.fixture
def abstract() -> Iterator[Manager]:
    manager = Manager(f"@gateway-supervision-{os.getpid()}")
    yield manager
    manager.close()


def test_it_says_when_it_serves_how_its_boards_are_and_when_it_ends(abstract: Manager) -> None:
    with GatewayProcess(config=BOARDS, environ={"NOTIFY_SOCKET": abstract.address}) as gateway:
        assert abstract.wait_for("READY=1") == ["READY=1"]
        assert gateway.get("/healthz").status == 200
        told = abstract.wait_for(r"STATUS=.*1 of 2 boards online.*")
        assert told[-1] == f"STATUS=Serving on {gateway.url}; 1 of 2 boards online, two offline (port_missing)"
        code, _ = gateway.stop(signal.SIGTERM)
        assert code == 0
        assert abstract.so_far()[-1] == "STOPPING=1\nSTATUS=Stopping"


def test_boards_that_are_offline_or_let_go_do_not_starve_the_watchdog(manager: Manager) -> None:
    with GatewayProcess(config=BOARDS, environ={"NOTIFY_SOCKET": manager.address, **WATCHDOG}) as gateway:
        gateway.wait_state("online", board="one")
        gateway.wait_state("offline", board="two")
        assert gateway.request("POST", "boards/one/release").status == 200
        manager.so_far()
        for _feed in range(FEEDS):
            manager.wait_for("WATCHDOG=1")
        assert gateway.state("one") == "released"
        assert gateway.state("two") == "offline"


def test_without_a_service_manager_it_runs_all_the_same(tmp_path: Path) -> None:
    with GatewayProcess(config=BOARDS, environ={"NOTIFY_SOCKET": str(tmp_path / "gone")}) as gateway:
        gateway.wait_state("online", board="one")
        gateway.wait_line("WARNING can't tell the service manager READY=1: No such file or directory")


def test_a_watchdog_that_ends_it_leaves_the_stack_of_each_thread_in_the_log() -> None:
    """systemd ends a service that its watchdog gave up by SIGABRT."""
    with GatewayProcess(config=BOARDS) as gateway:
        gateway.wait_state("online", board="one")
        gateway.process.send_signal(signal.SIGABRT)
        assert gateway.process.wait(PATIENCE_S) == -signal.SIGABRT
        gateway.wait_line("Fatal Python error: Aborted")
        gateway.wait_line(r'File ".*gateway/board/worker.py", line \d+ in run')


# ---- threads that hang ----


class Gate:
    """Code that can be held up at one place."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def pass_through(self) -> None:
        """Waits while it is closed."""
        self._open.wait(PATIENCE_S)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def gateway(tmp_path: Path, manager: Manager) -> Iterator[Callable[[], Gateway]]:
    """Runs a gateway with two virtual boards in a thread of this process."""
    running: list[tuple[Gateway, threading.Thread]] = []

    def run() -> Gateway:
        file = tmp_path / "config.yaml"
        file.write_text("boards: {one: {port: virtual://uno}, two: {port: virtual://uno}}")
        config = load(file, environ={}, listen="127.0.0.1:0")
        gateway = Gateway(config, environ={"NOTIFY_SOCKET": manager.address, **WATCHDOG})
        server = threading.Thread(target=gateway.run, name="gateway-main")
        server.start()
        running.append((gateway, server))
        return gateway

    yield run
    for gateway, server in running:
        gateway.stop()
        server.join(PATIENCE_S)
        assert not server.is_alive()


class Ticks:
    """How often the main thread came by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._changed = threading.Condition()
        self._count = 0
        tick = Supervisor.tick

        def counted(supervisor: Supervisor) -> None:
            tick(supervisor)
            with self._changed:
                self._count += 1
                self._changed.notify_all()

        monkeypatch.setattr(Supervisor, "tick", counted)

    def wait_until(self, look: Callable[[], bool]) -> None:
        """Until a tick after which this is so."""
        with self._changed:
            assert self._changed.wait_for(look, PATIENCE_S)

    def wait_for(self, more: int) -> None:
        """So many more."""
        with self._changed:
            enough = self._count + more
            assert self._changed.wait_for(lambda: self._count >= enough, PATIENCE_S)


class Watchdog:
    """What the watchdog of a gateway in this process gets, and what the log tells about it."""

    def __init__(self, manager: Manager, ticks: Ticks, log: pytest.LogCaptureFixture) -> None:
        self._manager = manager
        self._ticks = ticks
        self._log = log

    def is_fed(self, *, times: int) -> None:
        for _feed in range(times):
            self._manager.wait_for("WATCHDOG=1")
        self._log.clear()  # a busy machine may have been late for a feed

    def starves(self, *, thread: str) -> None:
        """It gets nothing any more, and the log names that thread alone."""
        self._ticks.wait_until(lambda: bool(self._warnings()))
        self._manager.so_far()
        self._ticks.wait_for(4 * FEEDS)  # two make a feed
        assert "WATCHDOG=1" not in self._manager.so_far()
        assert self._warnings() == [f"{thread}: no sign of life for 0.1 s; the watchdog gets none"]

    def _warnings(self) -> list[str]:
        return [record.getMessage() for record in self._log.records if record.name == "gateway.notify"]


@pytest.fixture
def watchdog(manager: Manager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Watchdog:
    return Watchdog(manager, Ticks(monkeypatch), caplog)


def test_a_board_thread_that_hangs_starves_the_watchdog_until_it_moves_again(
    gateway: Callable[[], Gateway], gate: Gate, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its board's port blocks in a read, as a driver may."""
    transmit = VirtualBoard.transmit

    def held_up(board: VirtualBoard) -> bytes:
        if threading.current_thread().name == "board-one":
            gate.pass_through()
        return transmit(board)

    monkeypatch.setattr(VirtualBoard, "transmit", held_up)
    gateway()
    watchdog.is_fed(times=FEEDS)
    gate.close()
    watchdog.starves(thread="board-one")
    gate.open()
    watchdog.is_fed(times=FEEDS)


def test_a_journal_thread_that_hangs_starves_the_watchdog_until_it_moves_again(
    gateway: Callable[[], Gateway], gate: Gate, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk does not answer."""
    write = Draft.write

    def held_up(draft: Draft) -> bool:
        gate.pass_through()
        return write(draft)

    monkeypatch.setattr(Draft, "write", held_up)
    running = gateway()
    watchdog.is_fed(times=FEEDS)
    gate.close()
    kept = running._journal.keep_latch("one", FailsafeCause.SAFE)
    watchdog.starves(thread="journal")
    gate.open()
    watchdog.is_fed(times=FEEDS)
    kept.result(PATIENCE_S)
