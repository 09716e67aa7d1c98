"""Builds the firmware's fuzz target with clang, and gives libFuzzer the shared conversations to begin with.

`python -m tests.firmware.fuzzing SECONDS` fuzzes that long; an input that breaks something is left in build/fuzz.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.firmware.conversations import Conversation, parse_request, read_conversations
from tests.firmware.desktop import HERE, LIBRARY, VECTORS, compile_flags
from tests.firmware.images import ROOT

FINDINGS = ROOT / "build" / "fuzz"
MAX_INPUT_BYTES = 600
RAW, SOUND_FRAME, WAIT, RESET = 0x00, 0x80, 0xC0, 0xFC
"""First bytes of the steps of fuzz/session.cpp."""
WAIT_UNIT_MS = 16


def build(folder: Path, *, library: Path = LIBRARY) -> Path:
    """The fuzz target's binary. RuntimeError with what the compiler said."""
    binary = folder / "fuzz-session"
    flags = [*compile_flags(library=library), "-fsanitize=fuzzer", "-Wno-unused-const-variable"]
    sources = [HERE / "fuzz" / "session.cpp", *sorted(library.glob("*.cpp"))]
    result = subprocess.run(
        ["clang++", *flags, *map(str, sources), "-o", str(binary)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise RuntimeError(f"the fuzz target does not compile:\n{result.stderr}")
    return binary


def as_input(conversation: Conversation) -> bytes:
    """A conversation's stimuli as steps of the fuzz target; those it has no step for are left out."""
    steps = bytearray()
    for step in conversation.steps:
        mark, _, rest = step.stimulus.partition(" ")
        if mark == ">":
            request = parse_request(rest)
            steps += bytes([SOUND_FRAME, request.type, request.session, len(request.payload)]) + request.payload
        elif mark == ">>":
            raw = bytes.fromhex(rest)[:63]
            steps += bytes([RAW + len(raw)]) + raw
        elif mark == "@":
            passed_ms = int(rest.removeprefix("+").split()[0])
            steps += bytes([WAIT, min(-(-passed_ms // WAIT_UNIT_MS), 255)])
        elif step.stimulus == "! reset":
            steps.append(RESET)
    return bytes(steps)


def write_seeds(folder: Path) -> Path:
    """The corpus to begin with: one file for each of the shared conversations."""
    folder.mkdir()
    for conversation in read_conversations(VECTORS / "conversations.txt"):
        (folder / conversation.name).write_bytes(as_input(conversation))
    return folder


def fuzz(binary: Path, seeds: Path, *limits: str) -> subprocess.CompletedProcess[str]:
    """One run of libFuzzer within these limits; its exit code is not 0 where something broke."""
    FINDINGS.mkdir(parents=True, exist_ok=True)
    command = [str(binary), *limits, f"-max_len={MAX_INPUT_BYTES}", f"-artifact_prefix={FINDINGS}/", str(seeds)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def main() -> int:
    if shutil.which("clang++") is None:
        print("clang is missing. To install: sudo apt install clang libclang-rt-dev", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        binary = build(Path(folder))
        result = fuzz(binary, write_seeds(Path(folder) / "seeds"), f"-max_total_time={int(sys.argv[1])}")
    print(result.stderr if result.returncode else result.stderr.splitlines()[-1])
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
