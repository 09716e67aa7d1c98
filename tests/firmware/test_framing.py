"""The firmware's framing, on the desktop under both sanitizers, against the shared vectors."""

import subprocess

import pytest

from tests.firmware.desktop import VECTORS, build, text_lines
from tests.firmware.wire import Frame, decode

pytestmark = pytest.mark.needs("g++")

GOLDEN_TESTS = (
    *("encode", "decode", "split"),
    pytest.param("bit-flip", marks=pytest.mark.fault(1)),
    pytest.param("byte-fault", marks=pytest.mark.fault(2)),
    pytest.param("noise", marks=pytest.mark.fault(4)),
    pytest.param("bounded", marks=pytest.mark.fault(5)),
)
FRAMES = VECTORS / "frames.txt"


def run(*arguments: str) -> None:
    result = subprocess.run([build("framing"), *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[:4000] + result.stderr[:4000]


@pytest.mark.parametrize("test", GOLDEN_TESTS)
def test_golden_frames(test: str) -> None:
    run(test, str(FRAMES))


def test_rejected() -> None:
    run("rejected", str(VECTORS / "rejected.txt"))


def test_vectors_agree_with_the_tests_own_oracle() -> None:
    for name, kind, sequence, session, payload, wire in text_lines(FRAMES):
        frame = Frame(int(kind, 16), int(sequence, 16), int(session, 16), bytes.fromhex(payload.strip("-")))
        assert frame.to_wire().hex() == wire, name
        assert decode(bytes.fromhex(wire)) == ([frame], b""), name
