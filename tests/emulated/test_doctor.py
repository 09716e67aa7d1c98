"""What the doctor finds, each brought about for real: by a sketch, a program, a disk; on emulated boards, and seen by
the real `gateway doctor` process and over HTTP.
"""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.protocol.framing import Deframer, Frame, encode
from gateway.protocol.messages import ErrorCode, ErrorReply, Hello
from tests.emulated.board import BoardOptions, EmulatedBoard
from tests.emulated.images import BUILD, ROOT, SKETCHES, Bench, make
from tests.link.fakes import Pty, pseudo_terminal
from tests.running import PATIENCE_S, GatewayProcess

pytestmark = [pytest.mark.needs("simavr", "avr-gcc"), pytest.mark.timeout(180)]

DOCTOR_S = 90.0  # a busy machine; a board that has to be asked what it is takes 10 s
VITALS_S = 60.0  # they come every 10 s, but a busy line may lose some
LED = "B5"
D2, D3 = "D2", "D3"
NEXT_VERSION = 2
MONITOR = """\
import fcntl, os, sys
port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
fcntl.flock(port, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""

SketchBuilder = Callable[[str, str], Path]
Finding = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Done:
    """How the command ended."""

    code: int
    out: str
    err: str

    def finding(self, code: str, *, board: str | None = None) -> Finding:
        """What it found under that code on the board, or on the only one."""
        (document,) = (each for each in json.loads(self.out)["items"] if board in (None, each["board"]))
        return finding_in(document, code)


def doctor(*arguments: str) -> Done:
    process = subprocess.run(
        [sys.executable, "-m", "gateway", "doctor", *arguments],
        cwd="/",  # no config.yaml there
        env={**os.environ, "PYTHONPATH": str(ROOT), "GATEWAY_HTTP__LISTEN": "127.0.0.1:0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DOCTOR_S,
        check=False,
    )
    return Done(process.returncode, process.stdout, process.stderr)


def finding_in(document: Any, code: str) -> Finding:
    found = [finding for finding in document["findings"] if finding["code"] == code]
    assert found, f"no {code} in {document}"
    return dict(found[0])


def diagnosis(gateway: GatewayProcess, board: str) -> Any:
    answer = gateway.get(f"boards/{board}/diagnosis")
    assert answer.status == 200
    return answer.json


def wait_finding(gateway: GatewayProcess, code: str, *, board: str, patience_s: float = PATIENCE_S) -> Finding:
    """Until the running gateway tells of it."""
    document = gateway.until(
        lambda: diagnosis(gateway, board),
        lambda seen: code in [finding["code"] for finding in seen["findings"]],
        patience_s=patience_s,
    )
    return finding_in(document, code)


@contextlib.contextmanager
def program(name: str, folder: Path) -> Iterator[int]:
    """A program of that name, which does no more than run; its pid."""
    copy = folder / name
    shutil.copy(shutil.which("sleep") or "/bin/sleep", copy)
    process = subprocess.Popen([copy, "600"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def serial_monitor(port: str, folder: Path) -> Iterator[int]:
    """A program `serial-monitor` that holds the port; its pid."""
    script = folder / "serial-monitor"
    script.write_text(MONITOR)
    command = [sys.executable, str(script), port]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.communicate()


class NextVersion:
    """A board of the next protocol version, on a TCP port: refuses HELLO. One thread of its own; a context manager."""

    def __enter__(self) -> str:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, name="next-version", daemon=True)
        self._thread.start()
        host, port = self._server.getsockname()
        return f"socket://{host}:{port}"

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)  # which ends `accept`
        self._server.close()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._server.accept()
                with connection, contextlib.suppress(OSError):
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        deframer = Deframer()
        while data := connection.recv(1024):
            for piece in deframer.feed(data):
                if isinstance(piece, Frame) and piece.type == Hello.TYPE:
                    refusal = ErrorReply(Hello.TYPE, ErrorCode.VERSION, NEXT_VERSION)
                    connection.sendall(encode(refusal.TYPE, piece.seq, piece.sid, payload=refusal.to_bytes()))


# ---- a board that is well, and one that is not ----


@pytest.fixture(scope="module")
def ailing(bench: Bench, sketch: SketchBuilder) -> Iterator[EmulatedBoard]:
    with EmulatedBoard(bench.binary, BoardOptions(flash=(sketch("ailing", "uno"),))) as board:
        yield board


@pytest.fixture(scope="module")
def taken() -> Iterator[Pty]:
    with pseudo_terminal() as pty:
        yield pty


CONFIG = """\
boards:
  well: {{port: virtual://uno}}
  ailing: {{port: {ailing}, poll_interval: 20ms, failsafe_latch: true, link_timeout: 30s}}
  noisy: {{port: 'virtual://uno?corrupt=0.004&seed=7', poll_interval: 20ms}}
  hasty: {{port: 'virtual://uno?drop=0.002&seed=7', mode: stream, poll_interval: 50ms}}
  lost: {{port: /dev/ttyNOTHERE7}}
  far: {{port: 'socket://127.0.0.1:1'}}
  taken: {{port: {taken}}}
  newer: {{port: '{newer}'}}
  wanting:
    port: virtual://uno
    on_connect: [{{channel: no_such_channel, value: 1}}]
"""


@pytest.fixture(scope="module")
def monitor_pid(taken: Pty, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serial_monitor(taken.path, tmp_path_factory.mktemp("monitor")) as pid:
        yield pid


@pytest.fixture(scope="module")
def gateway(ailing: EmulatedBoard, taken: Pty, monitor_pid: int) -> Iterator[GatewayProcess]:
    with (
        NextVersion() as newer,
        GatewayProcess(config=CONFIG.format(ailing=ailing.port, taken=taken.path, newer=newer)) as gateway,
    ):
        gateway.wait_state("online", board="ailing")
        yield gateway


def test_one_that_is_well_has_nothing_wrong_with_it(gateway: GatewayProcess) -> None:
    gateway.wait_state("online", board="well")
    done = doctor("well", "--gateway", gateway.url)
    assert done.code == 0, done
    assert "board well is online" in done.out
    assert "Nothing is wrong with it." in done.out


def test_all_boards_are_told_as_http_tells_them(gateway: GatewayProcess) -> None:
    wait_finding(gateway, "port_missing", board="lost")
    done = doctor("--gateway", gateway.url, "--json")
    assert done.code == 1, done
    documents = json.loads(done.out)["items"]
    assert [document["board"] for document in documents] == [
        board["name"] for board in gateway.get("boards").json["items"]
    ]
    assert next(each for each in documents if each["board"] == "lost") == diagnosis(gateway, "lost")


def test_a_missing_port(gateway: GatewayProcess) -> None:
    finding = wait_finding(gateway, "port_missing", board="lost")
    assert "there is no /dev/ttyNOTHERE7" in finding["seen"]
    finding = wait_finding(gateway, "port_missing", board="far")
    assert "ser2net" in finding["cure"]


def test_a_port_that_a_program_holds_is_told_with_pid_and_program(gateway: GatewayProcess, monitor_pid: int) -> None:
    finding = wait_finding(gateway, "port_busy", board="taken")
    assert f"Held by serial-monitor (pid {monitor_pid})" in finding["seen"]
    assert finding["cure"] == f"close serial-monitor, or: kill {monitor_pid}"


def test_another_version_of_the_protocol(gateway: GatewayProcess) -> None:
    finding = wait_finding(gateway, "wrong_version", board="newer")
    assert f"protocol version {NEXT_VERSION}" in finding["seen"]
    assert "gateway flash --board newer" in finding["cure"]


def test_on_connect_that_the_sketch_does_not_offer(gateway: GatewayProcess) -> None:
    finding = wait_finding(gateway, "on_connect_failed", board="wanting")
    command = finding["cure"].split(" tells which")[0]
    log = subprocess.run([*command.split(), "-sS"], capture_output=True, text=True, check=False)
    assert "no_such_channel" in log.stdout, "the cure is a command that works"


def test_a_noisy_line(gateway: GatewayProcess) -> None:
    finding = wait_finding(gateway, "noise", board="noisy", patience_s=VITALS_S)
    assert "frames from the board" in finding["seen"]
    assert "noise" not in [each["code"] for each in diagnosis(gateway, "well")["findings"]]


def test_a_stream_with_gaps(gateway: GatewayProcess) -> None:
    finding = wait_finding(gateway, "samples_skipped", board="hasty")
    assert "poll_interval" in finding["cure"]


def test_a_released_port(gateway: GatewayProcess) -> None:
    gateway.wait_state("online", board="well")
    assert gateway.request("POST", "boards/well/release").status == 200
    finding = wait_finding(gateway, "released", board="well")
    assert doctor("well", "--gateway", gateway.url).code == 0, "it is as somebody wanted it"
    answer = subprocess.run([*finding["cure"].split(), "-sS"], capture_output=True, text=True, check=False)
    assert json.loads(answer.stdout)["name"] == "well", "the cure is a command that works"
    gateway.wait_state("online", board="well")


def test_outputs_that_were_made_safe(gateway: GatewayProcess) -> None:
    gateway.wait_state("online", board="well")
    assert gateway.request("POST", "boards/well/safe").status == 200
    finding = wait_finding(gateway, "failsafe_latched", board="well")
    assert "by SAFE" in finding["seen"]
    clear = finding["cure"].partition("then: ")[2]
    subprocess.run([*clear.split(), "-sS"], capture_output=True, check=True)
    assert diagnosis(gateway, "well")["healthy"], "the cure is a command that works"


def test_a_journal_that_cannot_write(gateway: GatewayProcess) -> None:
    """No file of the gateway may grow any more, as on a full disk."""
    pid = gateway.process.pid
    former = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, former[1]))
    try:
        refused = gateway.request("POST", "boards/well/commands", {"channel": "led", "value": True})
        assert refused.status == 503
        finding = wait_finding(gateway, "journal_failing", board="well")
        assert "can't be written" in finding["seen"]
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, former)
    gateway.until(
        lambda: gateway.request("POST", "boards/well/commands", {"channel": "led", "value": True}).status,
        lambda status: status == 202,
    )
    gateway.until(lambda: diagnosis(gateway, "well")["healthy"], bool)


@pytest.mark.parametrize("name", ["ModemManager", "brltty"])
def test_programs_that_take_serial_ports(gateway: GatewayProcess, tmp_path: Path, name: str) -> None:
    wait_finding(gateway, "port_missing", board="lost")
    code = "modem_manager" if name == "ModemManager" else name
    with program(name, tmp_path):
        finding = wait_finding(gateway, code, board="lost")
        assert finding["severity"] == "warning"
        assert f"{name} runs" in finding["seen"]
        assert code not in [each["code"] for each in diagnosis(gateway, "well")["findings"]], (
            "no device of this machine"
        )


# ---- what a sketch does: the last first, since each stays as the board is not reset ----


def act(gateway: GatewayProcess, action: str, **arguments: int) -> None:
    command = gateway.command({"action": action, "arguments": arguments}, board="ailing")
    assert command["state"] == "done", command


def test_what_a_board_counts_itself(ailing: EmulatedBoard, gateway: GatewayProcess) -> None:
    """A loop that blocks, memory that is scarce, another program that writes to the port, interrupts that are off for
    too long: asked for every 10 s, so all at a time."""
    act(gateway, "block", ms=300)
    act(gateway, "hoard", leave=100)
    descriptor = os.open(ailing.port, os.O_WRONLY | os.O_NOCTTY)  # root may, whatever the lock
    try:
        os.write(descriptor, b"U" * 200)
    finally:
        os.close(descriptor)
    act(gateway, "deaf", us=300)
    finding = wait_finding(gateway, "noise", board="ailing", patience_s=VITALS_S)
    assert "interrupts" in finding["meaning"]
    act(gateway, "deaf", us=0)
    finding = wait_finding(gateway, "overruns", board="ailing", patience_s=VITALS_S)
    assert f"fuser -v {ailing.port}" in finding["cure"]
    finding = wait_finding(gateway, "blocked_loop", board="ailing")
    blocked_ms = int(finding["seen"].partition("took ")[2].split()[0])
    assert 300 <= blocked_ms < 400
    finding = wait_finding(gateway, "low_ram", board="ailing")
    assert 50 < int(finding["seen"].split()[0]) < 150


def test_a_host_that_was_silent(ailing: EmulatedBoard, gateway: GatewayProcess) -> None:
    gateway.wait_state("online", board="ailing")
    assert gateway.command({"channel": "led", "value": True}, board="ailing")["state"] == "done"
    ailing.watch(LED)
    since = ailing.mark()
    gateway.process.send_signal(signal.SIGSTOP)
    try:
        ailing.wait_event("pin", since=since, pin=LED, level=0)
    finally:
        gateway.process.send_signal(signal.SIGCONT)
    finding = wait_finding(gateway, "failsafe_latched", board="ailing")
    assert "silent" in finding["seen"]


def test_a_board_that_hangs(ailing: EmulatedBoard, gateway: GatewayProcess) -> None:
    gateway.wait_state("online", board="ailing")
    ailing.freeze()
    try:
        finding = wait_finding(gateway, "degraded", board="ailing")
        assert "bridge.poll()" in finding["cure"]
    finally:
        ailing.thaw()
    gateway.wait_state("online", board="ailing")


def test_a_supply_that_breaks_down(ailing: EmulatedBoard, gateway: GatewayProcess) -> None:
    for number in (1, 2, 3):
        gateway.wait_state("online", board="ailing")
        ailing.power_cycle()
        gateway.until(lambda: gateway.get("boards/ailing").json["resets"], lambda resets, least=number: resets >= least)
    finding = wait_finding(gateway, "resets", board="ailing")
    assert finding["severity"] == "warning"
    assert "3 times in the last 24 hours" in finding["seen"]


# ---- without a gateway: the command looks itself ----


@pytest.fixture(scope="module")
def stranger() -> Path:
    """Not a sketch with the bridge, so not checked as one."""
    build = BUILD / "sketches" / "uno"
    image = build / "stranger.hex"
    make("-C", str(ROOT / "firmware"), f"SKETCH={SKETCHES / 'stranger'}", "BOARD=uno", f"BUILD={build}", str(image))
    return image


@contextlib.contextmanager
def strange_board(bench: Bench, image: Path, *, d2: int, d3: int) -> Iterator[EmulatedBoard]:
    with EmulatedBoard(bench.binary, BoardOptions(flash=(image,))) as board:
        board.drive(D2, d2)
        board.drive(D3, d3)
        board.reset()
        yield board


STRANGERS = {
    (0, 0): ("no_answer", "not a byte came"),
    (1, 0): ("wrong_sketch", "it looks like Firmata"),
    (0, 1): ("wrong_sketch", "it looks like Marlin"),
    (1, 1): ("wrong_sketch", "'Temperature: 21.5 C'"),
}
"""By the wiring of D2 and D3: what is found, and what was seen."""
BARE = pytest.mark.parametrize("uno", ["bare"], indirect=True)


@BARE
def test_what_is_on_a_strange_board_or_at_another_rate(
    bench: Bench, stranger: Path, uno: EmulatedBoard, tmp_path: Path
) -> None:
    """All at a time: each takes 10 s, most of it waiting for an answer."""
    config = tmp_path / "config.yaml"
    config.write_text(f"boards: {{greenhouse: {{port: {uno.port}, baud: 115200}}}}\n")
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(STRANGERS) + 1) as pool:
        boards = [stack.enter_context(strange_board(bench, stranger, d2=d2, d3=d3)) for d2, d3 in STRANGERS]
        asked = [pool.submit(doctor, "--port", str(board.port), "--json") for board in boards]
        other_rate = pool.submit(doctor, "--config", str(config), "--json").result()
        for board, (code, seen), job in zip(boards, STRANGERS.values(), asked, strict=True):
            done = job.result()
            assert done.code == 1, done
            finding = done.finding(code)
            assert seen in finding["seen"], finding
            assert f"gateway flash --port {board.port}" in finding["cure"]
            assert "may be reset" in done.err
    assert other_rate.code == 1, other_rate
    finding = other_rate.finding("wrong_baud", board="greenhouse")
    assert "answers at 250000 baud" in finding["seen"]
    assert "`baud: auto`" in finding["cure"]


@BARE
def test_a_real_board_that_is_well(uno: EmulatedBoard) -> None:
    done = doctor("--port", str(uno.port), "--json")
    (document,) = json.loads(done.out)["items"]
    assert "problem" not in [finding["severity"] for finding in document["findings"]]
    assert document["summary"].startswith(f"board board is online, on {uno.port}, gateway ")


def test_a_running_gateway_lends_the_port_for_the_question(bench: Bench, stranger: Path) -> None:
    with (
        strange_board(bench, stranger, d2=1, d3=0) as board,
        GatewayProcess("--port", str(board.port)) as gateway,
    ):
        gateway.wait_state("offline")
        assert "released" not in " ".join(log_of(gateway)), "nobody asked for that"
        done = doctor("--gateway", gateway.url, "--ask", "--json")
        assert done.code == 1, done
        finding = done.finding("wrong_sketch")
        assert "Firmata" in finding["seen"]
        assert finding["meaning"] == "Another sketch is on the board."
        log = log_of(gateway)
        released = next(number for number, message in enumerate(log) if message.startswith("released"))
        assert "its port is taken back" in log[released:]
        assert gateway.state() != "released"


def log_of(gateway: GatewayProcess) -> list[str]:
    return [entry["message"] for entry in gateway.get("boards/board/log").json["items"]]
