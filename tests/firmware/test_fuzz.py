"""The firmware's receiver and session under libFuzzer: bounded and with a fixed seed here, longer by `make fuzz`."""

import shutil
from pathlib import Path

import pytest

from tests.firmware import fuzzing
from tests.firmware.desktop import LIBRARY

pytestmark = pytest.mark.needs("clang")

LIMITS = ("-runs=8000", "-seed=1")
BREAKS = {
    "a command ran twice": ("Commands.cpp", "if (command == record.started) {", "if (command == record.done) {"),
    "an answer to another request": (
        "Session.cpp",
        "decoder.frame()[1], session()",
        "decoder.frame()[1] + 1, session()",
    ),
    "a value outside its range": ("Tables.cpp", "return rank(ends, type) <= number &&", "return true ||"),
    "out of bounds": ("Framing.cpp", "if (received < kMaxSegment) segment", "segment"),
}
"""What the fuzzer must say: file of the library, what stands there, what breaks it."""


def test_nothing_breaks(tmp_path: Path) -> None:
    result = fuzzing.fuzz(fuzzing.build(tmp_path), fuzzing.write_seeds(tmp_path / "seeds"), *LIMITS)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("finding", BREAKS)
def test_it_would_be_found(finding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is broken on purpose does not survive the same run."""
    monkeypatch.setattr(fuzzing, "FINDINGS", tmp_path / "findings")
    file, right, wrong = BREAKS[finding]
    library = tmp_path / "bridge"
    shutil.copytree(LIBRARY, library)
    source = (library / file).read_text()
    assert source.count(right) == 1
    (library / file).write_text(source.replace(right, wrong))
    result = fuzzing.fuzz(fuzzing.build(tmp_path, library=library), fuzzing.write_seeds(tmp_path / "seeds"), *LIMITS)
    assert result.returncode != 0
    assert finding in result.stderr
