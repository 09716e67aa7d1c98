"""What every test shares: the `needs` marker, which keeps a missing tool from counting as green."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

TOOLS: dict[str, Callable[[], bool]] = {
    "avr-gcc": lambda: bool(shutil.which("avr-gcc")) and Path("/usr/share/arduino/hardware/arduino/avr").is_dir(),
    "avrdude": lambda: bool(shutil.which("avrdude")),
    "simavr": lambda: Path("/usr/include/simavr/sim_avr.h").is_file() and bool(shutil.which("cc")),
    "g++": lambda: bool(shutil.which("g++")),
    "make": lambda: bool(shutil.which("make")),
}
"""Tools that some tests need beside Python, each with the check that finds it."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        missing = [tool for tool in marker.args if not TOOLS[tool]()]
        if not missing:
            continue
        message = f"needs {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
