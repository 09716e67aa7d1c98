"""The script that sets up `.venv`: what it says when that fails. It runs in a folder of its own, on a Python that is
played by a shell script, so that nothing is installed and no network is asked."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

SCRIPTS = Path(__file__).parent.parent / ".ci"
PIP_ERROR = "ERROR: Could not find a version that satisfies the requirement flask"
PYTHON = f"""\
#!/bin/sh
case "$*" in
    "-m venv "*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-m pip "*) [ -e network ] || {{ echo "{PIP_ERROR}" >&2; exit 1; }} ;;
    "-m compileall "*) ;;
    *) exec {sys.executable} "$@" ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(SCRIPTS, tmp_path / ".ci")
    (tmp_path / "pyproject.toml").touch()
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def set_up(folder: Path, purpose: str) -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, "PYTHON": str(folder / "python"), "NO_APT": "1"}
    command = [folder / ".ci" / "setup.sh", purpose]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environ)


@pytest.mark.parametrize("purpose", ["run", "test"])
def test_when_pip_fails_the_last_line_says_what_to_do(folder: Path, purpose: str) -> None:
    done = set_up(folder, purpose)
    assert done.returncode == 1
    *_, pip_line, last_line = done.stderr.splitlines()
    assert pip_line == PIP_ERROR
    assert last_line.startswith("Not set up: ")
    for word in ("network", "HTTPS_PROXY", "PIP_INDEX_URL"):
        assert word in last_line
    assert last_line.endswith(f"make {purpose}")


def test_a_failure_is_not_taken_for_done_and_done_is_not_done_again(folder: Path) -> None:
    assert set_up(folder, "run").returncode == 1
    (folder / "network").touch()
    done = set_up(folder, "run")
    assert (done.returncode, done.stderr) == (0, "")
    again = set_up(folder, "run")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
