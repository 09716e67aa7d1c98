"""What the service manager is told, over real datagram sockets: paths, abstract names, and nobody listening."""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gateway.heartbeat import Heartbeat
from gateway.notify import Notifier, Supervisor, Watchdog, watchdog_limit_s
from tests.board.world import FakeClock

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")

LIMIT_S = 60.0


class Manager:
    """A service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_NONBLOCK", 0))
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def heard(self) -> list[str]:
        """All datagrams since the last call: with datagrams on one machine what was sent is there."""
        heard = []
        while True:
            try:
                heard.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify") if request.param == "path" else f"@gateway-test-{os.getpid()}")
    yield manager
    manager.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def supervisor(
    manager: Manager, clock: FakeClock, *heartbeats: Heartbeat, status: list[str], **environ: str
) -> Supervisor:
    return Supervisor(
        {"NOTIFY_SOCKET": manager.address, **environ}, heartbeats=heartbeats, status=lambda: status[-1], clock=clock
    )


def test_a_message_arrives_as_one_datagram(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    assert notifier.listening
    notifier.send("STOPPING=1", "STATUS=Stopping \u2014 soon")
    assert manager.heard() == ["STOPPING=1\nSTATUS=Stopping \u2014 soon"]


def test_without_a_service_manager_nothing_is_said() -> None:
    notifier = Notifier()
    assert not notifier.listening
    notifier.send("READY=1")


def test_an_address_of_another_kind_is_told_and_not_used(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier("vsock:2:1234")
    notifier.send("READY=1")
    assert not notifier.listening
    assert [record.getMessage() for record in caplog.records] == [
        "NOTIFY_SOCKET=vsock:2:1234 is neither a path nor an abstract name; not used"
    ]


def test_a_service_manager_that_is_gone_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    notifier = Notifier(str(tmp_path / "gone"))
    notifier.send("READY=1")
    notifier.send("WATCHDOG=1")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "can't tell the service manager READY=1: No such file or directory"),
        ("DEBUG", "can't tell the service manager WATCHDOG=1: No such file or directory"),
    ]


def test_it_is_ready_then_tells_its_status_when_that_changes_then_stops(manager: Manager, clock: FakeClock) -> None:
    status = ["0 of 1 boards online"]
    told = supervisor(manager, clock, status=status)
    told.ready()
    told.tick()
    assert manager.heard() == ["READY=1", "STATUS=0 of 1 boards online"]
    status.append("1 of 1 boards online")
    told.tick()
    told.tick()
    assert manager.heard() == ["STATUS=1 of 1 boards online"]
    told.stopping()
    assert manager.heard() == ["STOPPING=1\nSTATUS=Stopping"]


def test_without_a_watchdog_no_thread_is_asked(manager: Manager, clock: FakeClock) -> None:
    heartbeat = Heartbeat("board-uno", wake=lambda: pytest.fail("woken for nothing"))
    told = supervisor(manager, clock, heartbeat, status=[""])
    told.ready()
    clock.now += LIMIT_S
    told.tick()
    assert "WATCHDOG=1" not in manager.heard()
    assert told.tick_interval_s == 1.0


@pytest.mark.parametrize(("limit_us", "tick_s"), [("120000000", 1.0), ("1000000", 0.25)])
def test_a_strict_watchdog_makes_it_come_by_more_often(
    manager: Manager, clock: FakeClock, limit_us: str, tick_s: float
) -> None:
    assert supervisor(manager, clock, status=[""], WATCHDOG_USEC=limit_us).tick_interval_s == tick_s


def test_threads_are_asked_once_in_half_the_limit_and_it_is_fed_when_all_have_answered(
    manager: Manager, clock: FakeClock
) -> None:
    asked: list[str] = []
    first = Heartbeat("board-one", wake=lambda: asked.append("one"))
    second = Heartbeat("board-two", wake=lambda: asked.append("two"))
    watchdog = Watchdog(Notifier(manager.address), limit_s=LIMIT_S, heartbeats=[first, second], clock=clock)
    fed = []
    for _second in range(90):
        watchdog.tick()
        fed += [clock.now - 1000.0] * len(manager.heard())
        first.beat()
        second.beat()
        clock.now += 1.0
    assert fed == [0.0, 30.0, 60.0]
    assert asked == ["one", "two"] * 3


def test_one_thread_that_hangs_starves_it_until_it_moves(
    manager: Manager, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    lively, hanging = (Heartbeat(name, wake=lambda: None) for name in ("journal", "board-uno"))
    watchdog = Watchdog(Notifier(manager.address), limit_s=LIMIT_S, heartbeats=[lively, hanging], clock=clock)
    watchdog.tick()
    assert manager.heard() == ["WATCHDOG=1"]
    for _second in range(300):
        clock.now += 1.0
        lively.beat()
        watchdog.tick()
    assert manager.heard() == []
    hanging.beat()
    watchdog.tick()
    assert manager.heard() == ["WATCHDOG=1"]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "board-uno: no sign of life for 30 s; the watchdog gets none"),
        ("INFO", "board-uno: moves again; so does the watchdog"),
    ]


@pytest.mark.parametrize(
    ("environ", "limit_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "120000000"}, 120.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getppid())}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_limit_is_the_watchdogs_and_only_where_it_means_this_process(
    environ: Mapping[str, str], limit_s: float | None
) -> None:
    assert watchdog_limit_s(environ) == limit_s
