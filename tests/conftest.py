"""What every test shares: the `needs` marker, which keeps a missing tool from counting as green."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from coverage import Coverage

FUZZER_RUNTIME = "llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a"


def has_posix() -> bool:
    """Whether this system has terminals and groups as Unix knows them."""
    try:
        import fcntl  # noqa: F401
        import grp  # noqa: F401
        import termios  # noqa: F401
    except ImportError:  # Windows
        return False
    return True


def has_namespaces() -> bool:
    """Whether a program may be shown other files than those that are there."""
    return (
        subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True, check=False).returncode
        == 0
    )


TOOLS: dict[str, Callable[[], bool]] = {
    "arduino-builder": lambda: bool(shutil.which("arduino-builder")),
    "avr-gcc": lambda: bool(shutil.which("avr-gcc")) and Path("/usr/share/arduino/hardware/arduino/avr").is_dir(),
    "avrdude": lambda: bool(shutil.which("avrdude")),
    "simavr": lambda: Path("/usr/include/simavr/sim_avr.h").is_file() and bool(shutil.which("cc")),
    "clang": lambda: bool(shutil.which("clang++")) and any(Path("/usr/lib").glob(FUZZER_RUNTIME)),
    "g++": lambda: bool(shutil.which("g++")),
    "make": lambda: bool(shutil.which("make")),
    "ser2net": lambda: bool(shutil.which("ser2net") or shutil.which("ser2net", path="/usr/sbin")),
    "systemd-analyze": lambda: bool(shutil.which("systemd-analyze")),
    "udevadm": lambda: bool(shutil.which("udevadm")) and has_namespaces(),
    "posix": has_posix,
}
"""Tools that some tests need beside Python, each with the check that finds it."""


UNMEASURED = ("campaigns", "emulated", "faults", "ports")
MEASURED_ALL_THE_SAME = ("test_gateway.py",)


@pytest.fixture(autouse=True, scope="module")
def children_unmeasured(request: pytest.FixtureRequest) -> Iterator[None]:
    """Programs that these tests start run without coverage, which doubles what a start costs and slows timers; others
    go the same ways with it."""
    path: Path = request.path
    with pytest.MonkeyPatch.context() as environ:
        if path.parent.name in UNMEASURED and path.name not in MEASURED_ALL_THE_SAME:
            for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
                environ.delenv(name)
        yield


def pytest_configure() -> None:
    """A shell has its background jobs ignore Ctrl-C, and what they start inherits that; the tests need it heard."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Lets `-m "fault(number=7)"` choose the tests of one case: pytest matches a marker's named arguments only."""
    for number in {number for marker in item.iter_markers("fault") for number in marker.args}:
        item.add_marker(pytest.mark.fault(number=number))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        missing = [tool for tool in marker.args if not TOOLS[tool]()]
        if not missing:
            continue
        message = f"needs {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Exhaustive tests repeat the same lines a million times: coverage looks away, what they reach others reach too."""
    coverage = Coverage.current() if item.get_closest_marker("exhaustive") else None
    if coverage:
        coverage.stop()
    try:
        return (yield)
    finally:
        if coverage:
            coverage.start()
