"""The gateway as one piece: built from a configuration, run, stopped; in this process and as the real command."""

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from gateway import runtime
from gateway.board.worker import BoardWorker
from gateway.config import Config, load
from gateway.model import CommandError, CommandState, FailsafeCause
from gateway.runtime import Gateway, StartError
from gateway.store.database import Database
from gateway.store.journal import Journal
from tests.running import PATIENCE_S, GatewayProcess
from tests.store.rows import command

pytestmark = pytest.mark.process

STOP_LIMIT_S = 5.0  # generous: promised is one second, on a machine with nothing else to do
LED = {"channel": "led", "value": True}
TWO_BOARDS = "boards: {one: {port: virtual://uno}, two: {port: virtual://uno}}"


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Config]:
    """Makes the configuration of a text, on any free port."""

    def _config(text: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return load(path, environ={}, listen="127.0.0.1:0")

    return _config


@pytest.fixture
def taken() -> Iterator[int]:
    """A TCP port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_two_boards_are_served_and_every_thread_ends(config: Callable[[str], Config]) -> None:
    before = threads()
    gateway = Gateway(config(TWO_BOARDS))
    server = threading.Thread(target=gateway.run)
    server.start()
    try:
        with urllib.request.urlopen(f"{gateway.url}/api/v1/boards", timeout=PATIENCE_S) as answer:
            assert b'"one"' in (body := answer.read())
            assert b'"two"' in body
        assert {"board-one", "board-two"} <= threads()
    finally:
        gateway.stop()
        server.join(PATIENCE_S)
    assert not server.is_alive()
    assert {name for name in threads() - before if name.startswith(("board-", "waitress"))} == set()


def test_a_gateway_that_was_stopped_before_it_ran_does_not_serve(config: Callable[[str], Config]) -> None:
    gateway = Gateway(config(TWO_BOARDS))
    gateway.stop()
    gateway.run()
    with pytest.raises(OSError, match=os.strerror(errno.ECONNREFUSED)):
        urllib.request.urlopen(gateway.url, timeout=PATIENCE_S)


def test_a_board_that_does_not_end_in_time_is_told_and_left(
    config: Callable[[str], Config], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = Gateway(config(TWO_BOARDS))
    in_time = BoardWorker.join
    monkeypatch.setattr(BoardWorker, "join", lambda worker, _timeout_s: not in_time(worker, PATIENCE_S))
    gateway.stop()
    gateway.run()
    for board in gateway._boards.values():
        board.wake.close()  # left open for the thread that may still wait for it
    assert [record.getMessage() for record in caplog.records if record.name == runtime.__name__] == [
        "one: its thread did not end in time",
        "two: its thread did not end in time",
    ]


def journal_in(folder: Path, boards: Collection[str]) -> Journal:
    """The journal that a gateway with the configuration of this folder uses."""
    (folder / ".gateway").mkdir(exist_ok=True)
    return Journal(Database(folder / ".gateway" / "journal.db"), boards=boards)


def test_commands_of_boards_that_are_not_configured_any_more_come_to_an_end(
    config: Callable[[str], Config], tmp_path: Path
) -> None:
    before = journal_in(tmp_path, ["gone", "two"])
    rows = [command(1, board="gone"), command(2, CommandState.SENT, board="gone", wire_id=1)]
    for row in rows:
        before.record(row)
    before.close(timeout_s=PATIENCE_S)
    gateway = Gateway(config(TWO_BOARDS))
    gateway.stop()
    gateway.run()
    after = journal_in(tmp_path, ["two"])
    ended = [after.get(row.id) for row in rows]
    after.close()
    assert [row and row.state for row in ended] == [CommandState.CANCELLED, CommandState.UNKNOWN]
    for row in ended:
        assert row is not None
        assert row.error == CommandError("board_removed", "board gone is not configured any more")
        assert row.finished_at is not None


def test_what_the_journal_says_is_latched_is_so_from_the_first_moment(
    config: Callable[[str], Config], tmp_path: Path
) -> None:
    before = journal_in(tmp_path, ["one"])
    before.keep_latch("one", FailsafeCause.SAFE)
    before.close(timeout_s=PATIENCE_S)
    gateway = Gateway(config(TWO_BOARDS))
    latest = gateway._boards["one"].worker._parts.reporter.status
    gateway.stop()
    gateway.run()
    assert latest.failsafe is FailsafeCause.SAFE


def test_a_gateway_that_can_not_start_lets_go_of_the_journal(tmp_path: Path, taken: int) -> None:
    (tmp_path / "config.yaml").write_text(TWO_BOARDS)
    with pytest.raises(StartError, match="can't listen"):
        Gateway(load(tmp_path / "config.yaml", environ={}, listen=f"127.0.0.1:{taken}"))
    journal_in(tmp_path, ["one"]).close()


def test_a_file_that_is_no_journal_keeps_it_from_starting(config: Callable[[str], Config], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear diary")
    with pytest.raises(StartError, match=r"letter\.txt is no journal"):
        Gateway(config(f"{TWO_BOARDS}\njournal: {{path: ../letter.txt}}"))


def test_an_address_in_use_names_listen_and_leaves_nothing_open(tmp_path: Path, taken: int) -> None:
    config = load(None, environ={"STATE_DIRECTORY": str(tmp_path)}, port="virtual://uno", listen=f"127.0.0.1:{taken}")
    with pytest.raises(StartError, match=rf"can't listen on 127\.0\.0\.1:{taken}: .*in use; .*--listen HOST:PORT"):
        Gateway(config)


def test_the_state_directory_is_for_its_owner_only(config: Callable[[str], Config], tmp_path: Path) -> None:
    gateway = Gateway(config(f"{TWO_BOARDS}\nstate_dir: deep/state"))
    gateway.stop()
    gateway.run()
    assert stat.S_IMODE((tmp_path / "deep/state").stat().st_mode) == 0o700


def test_a_state_directory_that_can_not_be_made_says_so(config: Callable[[str], Config], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"can't make state_dir .*/file/state: Not a directory"):
        Gateway(config(f"{TWO_BOARDS}\nstate_dir: file/state"))


# ---- the real command ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals, record_property: Callable[[str, object], None]) -> None:
    with GatewayProcess(config=TWO_BOARDS) as gateway:
        gateway.wait_state("online", board="one")
        code, duration_s = gateway.stop(number)
    record_property("stop_s", round(duration_s, 3))
    assert code == 0
    assert duration_s < STOP_LIMIT_S


def test_the_first_reading_comes_soon(record_property: Callable[[str, object], None]) -> None:
    with GatewayProcess("--port", "virtual://uno") as gateway:
        gateway.until(lambda: gateway.get("boards/board/readings").json["readings"], bool)
        duration_s = time.monotonic() - gateway.started_s
    record_property("first_reading_s", round(duration_s, 3))
    print(f"first reading after {duration_s:.2f} s")
    assert duration_s < PATIENCE_S / 2


def test_the_log_names_the_board() -> None:
    with GatewayProcess(config=TWO_BOARDS) as gateway:
        for board in ("one", "two"):
            line = gateway.wait_line(rf" {board}: ")
            assert " INFO " in line
            assert "online" in line


def test_options_replace_what_the_file_says() -> None:
    config = "boards: {bench: {port: /dev/does-not-exist}}"
    with GatewayProcess("--port", "virtual://uno", config=config) as gateway:
        gateway.wait_state("online", board="bench")
        assert gateway.get("boards/bench").json["port"] == "virtual://uno"


def test_a_missing_board_does_not_stop_it() -> None:
    with GatewayProcess("--port", "/dev/does-not-exist") as gateway:
        gateway.wait_state("offline")
        assert gateway.get("boards/board").json["reason"] == "port_missing"
        assert gateway.get("/healthz").status == 200


def refused(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`gateway run` that must end by itself."""
    command = [sys.executable, "-m", "gateway", "run", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_an_address_in_use_exits_with_1(tmp_path: Path, taken: int) -> None:
    done = refused("--port", "virtual://uno", "--listen", f"127.0.0.1:{taken}", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"gateway: can't listen on 127.0.0.1:{taken}: ")
    assert "--listen" in done.stderr


def test_a_second_gateway_on_the_same_journal_exits_with_1(tmp_path: Path) -> None:
    first = journal_in(tmp_path, ["board"])
    done = refused("--port", "virtual://uno", "--listen", "127.0.0.1:0", folder=tmp_path)
    first.close()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("gateway: another gateway uses the journal ")
    assert "journal.db" in done.stderr


def test_commands_are_there_after_a_kill(tmp_path: Path) -> None:
    state = {"STATE_DIRECTORY": str(tmp_path)}
    with GatewayProcess("--port", "virtual://uno", environ=state) as gateway:
        gateway.wait_state("online")
        done = gateway.command(LED)
        gateway.kill()
    assert done["state"] == "done"
    with GatewayProcess("--port", "virtual://uno", environ=state) as gateway:
        assert gateway.get(f"commands/{done['id']}").json == done
        assert gateway.get("boards/board/commands").json["items"] == [done]


def test_without_a_disk_for_the_journal_it_serves_readings_and_refuses_commands(tmp_path: Path) -> None:
    config = f"boards: {{uno: {{port: virtual://uno}}}}\njournal: {{path: {tmp_path}/unplugged/journal.db}}"
    with GatewayProcess(config=config) as gateway:
        gateway.wait_state("online", board="uno")
        gateway.until(lambda: gateway.get("boards/uno/readings").json["readings"], bool)
        answer = gateway.request("POST", "boards/uno/commands", LED)
        assert answer.status == 503
        assert answer.json["type"] == "/problems/journal-failed"
        gateway.wait_line("can't be written: .*is its directory there")
        (tmp_path / "unplugged").mkdir()
        gateway.wait_line("journal.db is written again")


def test_a_broken_configuration_exits_with_2_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("boards:\n  uno: {prt: COM3}\n")
    done = refused(folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "config.yaml:2:3: boards.uno.port: is missing",
        "config.yaml:2:9: boards.uno.prt: unknown key; did you mean port?",
    ]
    assert list(tmp_path.iterdir()) == [tmp_path / "config.yaml"]


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no clock that counts sleep")
@pytest.mark.fault(23)
def test_its_clock_counts_the_time_that_the_host_sleeps() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = runtime.HostClock().monotonic()
    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_its_clock_does_without_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    clock = runtime.HostClock()
    assert clock.monotonic is time.monotonic
    assert abs(clock.time() - time.time()) < 60
