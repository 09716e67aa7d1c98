"""The command line in one process: what it prints, what it imports, how it exits."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from gateway import __version__, cli
from gateway.cli import main
from gateway.errors import GatewayError
from gateway.protocol.messages import VERSION


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder without a config.yaml and without variables of the gateway's."""
    monkeypatch.chdir(tmp_path)
    for variable in ("GATEWAY_HTTP__LISTEN", "STATE_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="gateway")


def test_version_names_gateway_protocol_and_sketch() -> None:
    result = run("--version")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:2] == [f"gateway {__version__}", f"link protocol {VERSION}"]
    assert lines[2].startswith("bundled sketch gateway ")


def test_version_survives_an_installation_without_the_sketch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gateway.resources.PACKAGE", tmp_path / "gateway")
    result = run("--version")
    assert result.exit_code == 0
    assert "bundled sketch missing: firmware/hex/manifest.json" in result.stdout


def test_help_lists_every_command_and_tells_of_completion() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in cli.COMMANDS:
        assert f"  {name} " in result.stdout
    assert "_GATEWAY_COMPLETE=bash_source" in result.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("config", "--help")])
def test_no_summary_of_a_command_is_cut(arguments: tuple[str, ...]) -> None:
    summaries = run(*arguments).stdout.partition("Commands:\n")[2]
    assert summaries.startswith("  c")
    assert "..." not in summaries


def test_commands_and_options_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    for words, expected in (("gateway r", "run"), ("gateway config ", "check"), ("gateway run --li", "--listen")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
        monkeypatch.setenv("_GATEWAY_COMPLETE", "bash_complete")
        result = CliRunner().invoke(main, prog_name="gateway")
        assert expected in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rnu",), "No such command 'rnu'. Did you mean 'run'?"),
        (("zzz",), "No such command 'zzz'."),
        (("run", "--lisen", "x"), "No such option '--lisen'. Did you mean '--listen'?"),
        (("run", "--listen"), "Option '--listen' requires an argument."),
        (("config", "chek"), "No such command 'chek'."),
    ],
)
def test_wrong_usage_exits_with_2_and_names_the_right_word(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_good_configuration_is_told_in_one_line(empty_folder: Path) -> None:
    (empty_folder / "config.yaml").write_text("boards: {a: {port: COM3}, b: {port: COM4}}")
    result = run("config", "check")
    assert (result.exit_code, result.stdout) == (0, "config.yaml: good; serves a, b on 127.0.0.1:8080\n")
    result = run("config", "check", "--json")
    assert json.loads(result.stdout) == {"valid": True, "file": "config.yaml", "problems": []}


def test_every_problem_is_told_and_the_exit_code_is_2(empty_folder: Path) -> None:
    (empty_folder / "my.yaml").write_text("boards:\n  uno:\n    pot: x\nlisten: y\n")
    expected = [
        "my.yaml:2:3: boards.uno.port: is missing",
        "my.yaml:3:5: boards.uno.pot: unknown key; did you mean port?",
        "my.yaml:4:1: listen: unknown key; did you mean http.listen?",
    ]
    result = run("config", "check", "--config", "my.yaml")
    assert (result.exit_code, result.stdout, result.stderr.splitlines()) == (2, "", expected)
    result = run("config", "check", "--config", "my.yaml", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout) == {"valid": False, "file": "my.yaml", "problems": expected}
    result = run("run", "--config", "my.yaml")
    assert (result.exit_code, result.stderr.splitlines()) == (2, expected)


def test_no_configuration_names_both_cures() -> None:
    result = run("run")
    assert result.exit_code == 2
    assert "--config FILE" in result.stderr
    assert "--port" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--listen", "12:30"),
            "--listen: http.listen: 12 is neither an IP address nor a host name; must be HOST:PORT",
        ),
        (
            ("--port", "virtual://mega"),
            '--port: boards.board.port: there is no virtual board "mega"; known: virtual://uno',
        ),
    ],
)
def test_an_option_that_means_nothing_is_refused_before_the_start(arguments: tuple[str, str], message: str) -> None:
    result = run("run", "--port", "virtual://uno", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(message)


def test_the_environment_is_checked_too(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    (empty_folder / "config.yaml").write_text("boards: {uno: {port: COM3}}")
    monkeypatch.setenv("GATEWAY_HTTP__LISTEN", "nowhere")
    result = run("config", "check")
    assert result.exit_code == 2
    assert result.stderr.startswith("GATEWAY_HTTP__LISTEN: http.listen: must be HOST:PORT")


def test_the_schema_is_a_json_schema() -> None:
    result = run("config", "schema")
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["properties"]) == {"http", "boards", "journal", "state_dir"}


def test_what_fails_exits_with_1_and_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command
    def fails() -> None:
        raise GatewayError("the cat sat on it")

    monkeypatch.setattr("gateway.cli.config.command", fails)
    result = run("config")
    assert (result.exit_code, result.stderr) == (1, "gateway: the cat sat on it\n")


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--version"], []),
        (["--help"], ["pydantic", "yaml"]),
        (["config", "check", "--config", "config.yaml"], ["pydantic", "yaml"]),
    ],
)
def test_a_command_imports_only_what_it_needs(arguments: list[str], needed: list[str]) -> None:
    program = (
        f"import sys; from gateway.cli import main; main({arguments}, standalone_mode=False); "
        "print(sorted({'pydantic', 'yaml', 'flask', 'serial', 'sqlalchemy', 'waitress'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == str(needed)


def test_python_m_gateway_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "gateway", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: gateway [OPTIONS]")
