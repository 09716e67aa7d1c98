"""Builds and drives the desktop programs: the firmware's own library, compiled with both sanitizers."""

import functools
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.firmware.wire import Frame, decode

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[1] / "firmware" / "gateway" / "src" / "bridge"
VECTORS = HERE.parent / "vectors"
SOURCES = {"board": "*.cpp", "framing": "Framing.cpp"}
"""What of the library goes into each program of `desktop/`."""
FLAGS = "-std=c++11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -Wall -Wextra -Werror"


def compile_flags(*, library: Path = LIBRARY) -> list[str]:
    """The flags of every desktop build, with the fake Arduino core before the library."""
    return [*shlex.split(FLAGS), f"-I{HERE / 'desktop'}", f"-I{library}"]


@functools.cache
def build(program: str, *, library: Path = LIBRARY) -> Path:
    """Compile `desktop/PROGRAM.cpp` with the library; the path of the binary."""
    binary = Path(tempfile.mkdtemp(prefix="firmware-")) / program
    sources = [HERE / "desktop" / f"{program}.cpp", *sorted(library.glob(SOURCES[program]))]
    command = ["g++", *compile_flags(library=library), *map(str, sources), "-o", str(binary)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.exit(f"the desktop build of the firmware fails:\n{result.stderr}", returncode=1)
    return binary


class BenchBoard:
    """The bench board of tests/vectors/README.md, run by the C++ library. Used by one thread."""

    def __init__(self, *, library: Path = LIBRARY) -> None:
        self._process = subprocess.Popen(
            [build("board", library=library)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.tell("blank")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=10)

    def tell(self, stimulus: str) -> list[str]:
        """One stimulus of board.cpp; the lines that it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(stimulus + "\n")
        self._process.stdin.flush()
        lines: list[str] = []
        while (line := self._process.stdout.readline()) != ".\n":
            if not line:
                raise AssertionError(f"the board died of {stimulus!r}:\n{self._process.communicate(timeout=10)[1]}")
            lines.append(line.rstrip("\n"))
        return lines

    def observe(self, stimulus: str) -> list[Frame | str]:
        """One stimulus; what it led to, in order: frames, and calls of the sketch's functions as text."""
        seen: list[Frame | str] = []
        for line in self.tell(stimulus):
            kind, _, rest = line.partition(" ")
            if kind == "call":
                seen.append(rest)
                continue
            frames, text = decode(bytes.fromhex(rest))
            assert not text, f"not a frame: {text!r}"
            seen += frames
        return seen

    def ask(self, request: Frame) -> Frame:
        """Send a request; its answer, which must be all that is sent."""
        answers = [item for item in self.observe(f"rx {request.to_wire().hex()}") if isinstance(item, Frame)]
        assert len(answers) == 1, answers
        return answers[0]


def text_lines(path: Path) -> Sequence[list[str]]:
    """The fields of every line that is not empty or a comment."""
    return [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
