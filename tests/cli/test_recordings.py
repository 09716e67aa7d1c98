"""`gateway monitor`, `record` and `replay` as processes, beside a running gateway and straight from a port."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.link.recording import Recording
from gateway.link.tap import Trace, TraceKind
from tests.running import PATIENCE_S, GatewayProcess

NOISY = "virtual://uno?drop=0.002&corrupt=0.002&seed=5"
ROW = re.compile(r"\d\d:\d\d:\d\d\.\d{3} (->|<-|--) \S+")
pytestmark = pytest.mark.process


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="gateway")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess("--port", NOISY) as gateway:
        gateway.wait_state("online")
        yield gateway


class Monitor:
    """`gateway monitor` in a process."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "monitor", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"},
        )

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def until(self, pattern: str) -> list[str]:
        """Its lines up to the first in which the pattern is found; the test's own time limit ends a wait in vain."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if re.search(pattern, line):
                return lines
        raise AssertionError(f"it ended without {pattern}: {lines}")

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def test_the_monitor_shows_what_passes_while_the_gateway_goes_on(gateway: GatewayProcess) -> None:
    with Monitor("board", "--gateway", gateway.url) as monitor:
        monitor.until(r"<- POLL .* ms  a0 ")
        assert gateway.command({"channel": "led", "value": True})["state"] == "done"
        lines = monitor.until(r"<- COMMAND .*(executed|duplicate) \(id \d+\)")
        assert any("-> COMMAND   led = true" in line for line in lines)
        assert all(len(line) <= 79 for line in lines)
        assert all(ROW.match(line) or line.startswith(" " * 26) for line in lines)
        assert monitor.interrupt() == 0
    assert gateway.state() in ("online", "degraded")


def test_the_monitor_filters_and_speaks_json(gateway: GatewayProcess) -> None:
    with Monitor("--gateway", gateway.url, "--only", "commands,log", "--json", "--past") as monitor:
        gateway.command({"channel": "pwm9", "value": 7})
        lines = [json.loads(line) for line in monitor.until('"pwm9"')]
        assert {line["topic"] for line in lines} <= {"commands", "log"}
        assert lines[-1]["values"] == {"pwm9": 7}
        assert lines[-1]["text"].startswith("pwm9 = 7")
        assert monitor.interrupt(signal.SIGTERM) == 0


def test_the_monitor_opens_a_port_itself() -> None:
    with Monitor("--port", "virtual://uno", "--raw") as monitor:
        lines = monitor.until(r"<- POLL .* ms  a0 ")
        assert "opened    virtual://uno" in lines[0]
        assert any("channel 0: a0, V" in line for line in lines)
        assert "[" in "".join(lines)
        assert monitor.interrupt() == 0


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    with Monitor("--port", "virtual://uno") as monitor:
        monitor.until("HELLO")
        assert monitor.process.stdout is not None
        monitor.process.stdout.close()
        assert monitor.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "fault"),
    [
        (("monitor", "uno", "--port", "virtual://uno"), 2, "both name the board"),
        (("monitor", "--port", "/dev/ttyNONE"), 3, "there is no /dev/ttyNONE"),
        (("monitor", "--only", "pols"), 2, "there is no topic pols; known: polls,"),
        (("record", "a.recording", "--for", "3"), 2, "a duration is a number"),
        (("record", "none/a.recording", "--port", "virtual://uno"), 1, "can't record into none/a.recording: No such"),
        (("replay", "none"), 1, "can't read the recording none: No such file"),
    ],
)
def test_what_can_not_be_done_says_why(arguments: tuple[str, ...], code: int, fault: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, fault in result.output) == (code, True), result.output


def test_an_unknown_board_of_a_running_gateway_is_named(gateway: GatewayProcess) -> None:
    result = run("monitor", "uno", "--gateway", gateway.url)
    assert result.exit_code == 3
    assert 'no board "uno"; there are: board' in result.output


def test_a_recording_of_a_port_is_summed_up_and_shown_again(folder: Path) -> None:
    result = run("record", "a.recording", "--port", "virtual://uno", "--for", "1s")
    assert result.exit_code == 0, result.output
    assert "which ran gateway" in result.output
    assert "Next: gateway run --port replay://a.recording" in result.output
    again = run("record", "a.recording", "--port", "virtual://uno", "--for", "1s")
    assert again.exit_code == 2
    assert "a.recording is there already; --force replaces it" in again.output
    told: Any = json.loads(run("replay", "a.recording", "--json").output)
    assert told["damage"] == []
    assert told["lines"]["polls"] > 4
    shown = run("replay", "a.recording", "--frames", "--only", "link").output.splitlines()
    assert next(line.split()[2] for line in shown if ROW.match(line)) == "opened"
    (folder / "a.recording").write_bytes((folder / "a.recording").read_bytes()[:-3])
    assert "damaged: cut off in the middle of a record" in " ".join(run("replay", "a.recording").output.split())


def received(recording: Recording) -> list[Trace]:
    return [trace for trace in recording.traces if trace.kind is TraceKind.RECEIVED]


def test_a_noisy_session_recorded_by_the_gateway_replays_to_the_same_readings(folder: Path) -> None:
    config = f"boards: {{uno: {{port: '{NOISY}', record: 8MB}}}}\nstate_dir: {folder}\n"
    with GatewayProcess(config=config) as gateway:
        gateway.wait_state("online", board="uno")
        gateway.until(lambda: len(history(gateway, "uno")), lambda count: count >= 30)
        by_hand = run("record", "hand.recording", "--gateway", gateway.url, "--for", "1s")
        assert by_hand.exit_code == 0, by_hand.output
        values = history(gateway, "uno")
    (file,) = (folder / "recordings" / "uno").iterdir()
    found = Recording.read(file)
    assert found.description is not None
    assert not found.damage
    assert len(received(Recording.read(folder / "hand.recording"))) > 30
    with GatewayProcess("--port", f"replay://{file}") as gateway:
        gateway.wait_state("online")
        assert gateway.get("boards/board").json["virtual"] is True
        again = gateway.until(lambda: history(gateway, "board"), lambda seen: len(seen) >= 20)
    assert again[:20] == values[:20]


def history(gateway: GatewayProcess, board: str) -> list[Any]:
    """Every reading of a0 so far."""
    answer = gateway.get(f"boards/{board}/readings/uptime_ms/history")
    return [item["value"] for item in answer.json["items"]]
