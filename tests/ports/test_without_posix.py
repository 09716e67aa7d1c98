"""Nothing that only POSIX systems have is imported unguarded: with all of it hidden, the gateway imports, passes its
unit tests, and serves a virtual board."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import GatewayProcess

pytestmark = [pytest.mark.process, pytest.mark.needs("posix")]

ROOT = Path(__file__).parent.parent.parent
HIDING = {"PYTHONPATH": os.pathsep.join((str(Path(__file__).parent / "without_posix"), str(ROOT)))}
UNIT_PART = ("-m", "not process and not exhaustive", "--ignore=tests/emulated", "--ignore=tests/firmware")
UNIT_LIMIT_S = 600  # of a machine with much else to do
IMPORT_ALL = """
import pkgutil, gateway
for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
    if module.name != "gateway.__main__":
        __import__(module.name)
        print(module.name)
"""


def run(*arguments: str, timeout_s: float) -> "subprocess.CompletedProcess[str]":
    """This Python with POSIX hidden; what fails there may be skipped, and coverage is no concern of it."""
    environ = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("COVERAGE_")}
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=ROOT,
        env={**environ, **HIDING},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
    )


def test_every_module_imports() -> None:
    imported = run("-c", IMPORT_ALL, timeout_s=60)
    assert imported.returncode == 0, imported.stdout
    assert len(imported.stdout.split()) > 50


@pytest.mark.parametrize("module", ["fcntl", "termios", "pty", "resource", "pwd", "grp"])
def test_it_would_be_noticed(module: str) -> None:
    program = f"exec('import {module}', {{'__name__': 'gateway.link.anything'}})"
    refused = run("-c", program, timeout_s=60)
    assert refused.returncode == 1
    assert f"No module named '{module}'" in refused.stdout


@pytest.mark.timeout(UNIT_LIMIT_S)
def test_the_unit_part_passes() -> None:
    unit = run("-m", "pytest", "-q", "-n", "auto", *UNIT_PART, timeout_s=UNIT_LIMIT_S)
    assert unit.returncode == 0, unit.stdout
    assert "skipped" in unit.stdout.splitlines()[-1], "tests of pseudo-terminals can't run there"


def test_a_virtual_board_is_served() -> None:
    with GatewayProcess("--port", "virtual://uno", environ=HIDING) as gateway:
        gateway.wait_state("online")
        assert gateway.command({"channel": "led", "value": True})["state"] == "done"
        seen = gateway.until(lambda: gateway.reading("led"), lambda reading: reading["value"] is True)
        assert seen["quality"] == "good"
