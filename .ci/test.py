"""`make test`: every test under coverage, and one line at the end that says what the run was worth.

Installs the Debian packages that some tests need where it may; what is missing makes those tests skip, and the verdict
NOT A FULL PASS. With CI=true that is a failure.
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

TEST_PACKAGES = (
    *("gcc-avr", "avr-libc", "binutils-avr", "arduino-core-avr"),  # build the firmware
    *("libsimavr-dev", "gcc", "libc6-dev"),  # run it on the emulated board
    "g++",  # run its protocol code on this machine
    *("clang", "libclang-rt-dev"),  # feed it with what nobody thought of
    "arduino-builder",  # build it as the Arduino IDE does
    "avrdude",  # upload it through the real bootloaders
    "ser2net",  # reach a board over the network
    *("systemd", "udev"),  # check the unit and the rule of the service
)
MOST_WORKERS = 4  # boards are emulated in real time, each on a fifth of a core
COVERAGE_PERCENT = 95
COMPLETE_PACKAGE = "gateway/protocol"  # its coverage is 100 %

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "build" / "tests.xml"


@dataclass(frozen=True)
class Outcome:
    """What pytest wrote down."""

    passed: int
    failed: int
    skipped: tuple[str, ...]  # the reason of each
    figures: tuple[str, ...]  # what tests measured, by `record_property`


def main() -> int:
    """Runs all of it; 0 for a pass, full or not."""
    missing = install_tools()
    RESULTS.unlink(missing_ok=True)
    python("-m", "coverage", "erase")
    started_s = time.monotonic()
    # Whole files go to a worker each: what a file's tests share is built once.
    workers = ("-n", str(min(os.cpu_count() or 1, MOST_WORKERS)), "--dist", "loadfile")
    pytest = python("-m", "coverage", "run", "-m", "pytest", *workers, "--durations=5", f"--junitxml={RESULTS}")
    duration_s = time.monotonic() - started_s
    if not RESULTS.is_file():
        return verdict(f"FAILED: pytest ended with {pytest} before any test", failed=True)
    outcome = read_results()
    if pytest != 0:
        return verdict(f"FAILED: {outcome.failed} of {outcome.failed + outcome.passed} tests", failed=True)
    if not covered():
        return verdict("FAILED: the tests pass, but cover too little; see the report above", failed=True)
    if outcome.figures:
        print("\nMeasured:", *outcome.figures, sep="\n  ")
    run = f"{outcome.passed} tests passed in {duration_s:.0f} s"
    if not outcome.skipped:
        return verdict(f"FULL PASS: {run}, none skipped, coverage kept", failed=False)
    cure = f" For a full one: sudo apt install {' '.join(missing)} && make test" if missing else ""
    return verdict(
        f"NOT A FULL PASS: {run}, {len(outcome.skipped)} skipped ({'; '.join(sorted(set(outcome.skipped)))}).{cure}",
        failed=os.environ.get("CI") == "true",
    )


def install_tools() -> list[str]:
    """Installs the Debian packages that are not there, as far as apt may; gives those that are still missing."""
    if shutil.which("dpkg-query") is None:
        return list(TEST_PACKAGES)
    missing = missing_packages()
    if missing:
        subprocess.run([ROOT / ".ci" / "apt.sh", *missing], check=False)
        missing = missing_packages()
    return missing


def missing_packages() -> list[str]:
    """The test packages that dpkg does not know as installed."""
    command = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", *TEST_PACKAGES]
    listing = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    installed = {line.split()[0] for line in listing.splitlines() if line.endswith(" installed")}
    return [package for package in TEST_PACKAGES if package not in installed]


def read_results() -> Outcome:
    """What became of the tests, from pytest's own record."""
    suite = next(ElementTree.parse(RESULTS).iter("testsuite"))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    reasons = tuple(skip.get("message", "") for skip in suite.iter("skipped") if skip.get("type") == "pytest.skip")
    figures = tuple(
        f"{case.get('name')}: {figure.get('name')} = {figure.get('value')}"
        for case in suite.iter("testcase")
        for figure in case.iter("property")
    )
    return Outcome(int(suite.get("tests", 0)) - failed - len(reasons), failed, reasons, figures)


def covered() -> bool:
    """Prints what the tests leave out; True when that is little enough."""
    python("-m", "coverage", "combine", "--quiet")
    overall = python("-m", "coverage", "report", f"--fail-under={COVERAGE_PERCENT}")
    complete = python("-m", "coverage", "report", f"--include={COMPLETE_PACKAGE}/*", "--fail-under=100")
    return overall == 0 and complete == 0


def python(*arguments: str) -> int:
    """Runs this Python on the project and gives the exit code."""
    return subprocess.run([sys.executable, *arguments], check=False, cwd=ROOT).returncode


def verdict(line: str, *, failed: bool) -> int:
    """The last line of the run."""
    print(f"\n{line}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
