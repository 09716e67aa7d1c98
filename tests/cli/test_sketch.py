"""`gateway sketch new`: what it prints."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_says_what_it_made_and_what_comes_next() -> None:
    result = CliRunner().invoke(main, ["sketch", "new", "greenhouse"])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:3] == [
        "greenhouse",
        "  greenhouse.ino  your tables: a line is a reading, an output or an action",
        "  src/bridge      the library; leave it as it is",
    ]
    assert "1. Open greenhouse/greenhouse.ino in the Arduino IDE" in result.stdout
    assert "2. gateway run --port auto" in result.stdout


def test_json_names_the_paths(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["sketch", "new", "greenhouse", "--dir", str(tmp_path / "deep/down"), "--json"])
    folder = tmp_path / "deep/down/greenhouse"
    assert json.loads(result.stdout) == {
        "folder": str(folder),
        "file": str(folder / "greenhouse.ino"),
        "library": str(folder / "src/bridge"),
    }
    assert (folder / "greenhouse.ino").is_file()


def test_a_name_that_is_taken_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "greenhouse").mkdir()
    result = CliRunner().invoke(main, ["sketch", "new", "greenhouse"], prog_name="gateway")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "gateway: greenhouse is there already and is left as it is; take another name\n"


def test_a_name_that_can_not_be_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["sketch", "new", "9x"], prog_name="gateway")
    assert result.exit_code == 2
    assert '"9x" is no name for a sketch' in result.stderr
