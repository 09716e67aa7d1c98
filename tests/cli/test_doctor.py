"""`gateway doctor`: its words, its exit codes, its columns; without a gateway.

What it finds is brought about for real in tests/emulated/test_doctor.py.
"""

import codecs
import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.model import Reason
from gateway.tools import examine
from gateway.tools.hello import Introduction
from tests.link.fakes import pseudo_terminal
from tests.running import PATIENCE_S

ROOT = Path(__file__).parents[2]
NOBODY = 65534
ESCAPE = "\x1b["


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No config.yaml, and no gateway that runs on this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_HTTP__LISTEN", "127.0.0.1:0")


def run(*arguments: str, config: str | None = None) -> Result:
    if config is not None:
        Path("config.yaml").write_text(config)
    return CliRunner().invoke(main, ["doctor", *arguments], prog_name="gateway")


# ---- without a gateway ----


def test_a_board_that_is_well() -> None:
    result = run("--port", "virtual://uno")
    assert result.exit_code == 0
    assert re.fullmatch(
        r"board board is online, on virtual://uno, gateway \d+\.\d+\.\d+\n  Nothing is wrong with it\.\n", result.stdout
    )
    assert "may be reset by that" in result.stderr


def test_each_board_of_a_file_or_one_of_them() -> None:
    config = "boards:\n  one: {port: virtual://uno}\n  two: {port: /dev/ttyNOTHERE7}\n"
    result = run("--json", config=config)
    assert result.exit_code == 1
    one, two = json.loads(result.stdout)["items"]
    assert (one["board"], one["healthy"], one["findings"]) == ("one", True, [])
    assert (two["board"], two["healthy"]) == ("two", False)
    finding = two["findings"][0]
    assert set(finding) == {"code", "severity", "seen", "meaning", "cure"}
    assert (finding["code"], finding["severity"]) == ("port_missing", "problem")
    assert run("one", config=config).exit_code == 0
    assert run("two", config=config).exit_code == 1


def test_a_board_that_is_not_configured_is_exit_3() -> None:
    result = run("mega", config="boards:\n  one: {port: virtual://uno}\n  two: {port: virtual://uno}\n")
    assert result.exit_code == 3
    assert result.stderr == 'gateway: there is no board "mega"; there are: one, two\n'
    assert result.stdout == ""


def test_a_faulty_file_is_exit_2_with_all_that_is_wrong() -> None:
    result = run(config="boards:\n  uno: {prt: virtual://uno, baud: fast}\n")
    assert result.exit_code == 2
    assert "prt" in result.stderr
    assert "baud" in result.stderr
    assert "config.yaml:2" in result.stderr


def test_neither_file_nor_port_is_exit_2() -> None:
    result = run()
    assert result.exit_code == 2
    assert "--port" in result.stderr


def test_no_gateway_where_one_was_named_is_exit_2() -> None:
    result = run("--gateway", "127.0.0.1:1")
    assert result.exit_code == 2
    assert "no gateway runs at http://127.0.0.1:1" in result.stderr


LONG = "/dev/serial/by-id/usb-Arduino__www.arduino.cc__0043_55739323037351F01281-if00-port0"


def test_lines_fit_80_columns_and_commands_are_not_broken() -> None:
    result = run("--port", LONG)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert any(LONG in line for line in lines), "a path is there to be copied"
    assert all(len(line) < 80 or LONG in line for line in lines)
    assert [line.split()[0] for line in lines if re.match(r" {4}\w+:", line)][:3] == ["seen:", "means:", "do:"]


def test_what_a_board_prints_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Introduction(reason=Reason.WRONG_SKETCH, detail="it prints '\x1b[2J'")
    monkeypatch.setattr(examine, "introduce", lambda *_arguments, **_options: said)
    result = run("--port", "/dev/ttyACM0")
    assert "\x1b" not in result.stdout
    assert r"\x1b[2J" in result.stdout


@pytest.mark.needs("posix")
@pytest.mark.process
@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_on_a_terminal_only_and_not_where_it_is_unwanted(environ: Mapping[str, str], coloured: bool) -> None:
    command = [sys.executable, "-m", "gateway", "doctor", "--port", "/dev/ttyNOTHERE7"]
    surroundings = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
    master, slave = os.openpty()
    try:
        subprocess.run(
            command,
            env={**surroundings, "PYTHONPATH": str(ROOT), **environ},
            stdin=slave,
            stdout=slave,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_S * 2,
            check=False,
        )
        shown = os.read(master, 65536).decode()
    finally:
        os.close(slave)
        os.close(master)
    assert "problem: port_missing" in shown
    assert (ESCAPE in shown) is coloured


@pytest.mark.needs("posix")
def test_a_port_of_others_is_told_with_the_way_to_be_let_in() -> None:
    """In a process without rights: root may open anything. What it needs is imported before."""
    run("--port", "/dev/ttyNOTHERE7")
    codecs.lookup("ascii")
    with pseudo_terminal() as pty:
        os.chmod(pty.path, 0o600)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                drop_rights()
                os.write(writer, shown_by("doctor", "--port", pty.path, "--json").encode())
            os._exit(0)
        os.close(writer)
        with open(reader) as answer:
            told = answer.read()
        os.waitpid(child, 0)
    (document,) = json.loads(told)["items"]
    finding = document["findings"][0]
    assert finding["code"] == "permission_denied"
    assert f"no permission to open {pty.path}" in finding["seen"]
    assert "udev" in finding["cure"], "no group may open it, so membership would not help"


def drop_rights() -> None:
    os.chdir("/")
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def shown_by(*arguments: str) -> str:
    """What the command prints, in this process."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        main(list(arguments), prog_name="gateway")
    return shown.getvalue()
