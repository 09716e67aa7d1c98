"""Builds sketches for real boards with `make -C firmware`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
SHIPPED = FIRMWARE / "hex"


def make(*arguments: str, firmware: Path = FIRMWARE) -> subprocess.CompletedProcess[str]:
    """Run make in the firmware directory."""
    # A make that runs the tests must not pass its job server on: its file descriptors are closed here.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
    command = ["make", "-s", "-C", str(firmware), f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def build(build_directory: Path, *, board: str = "uno", sketch: Path | None = None, firmware: Path = FIRMWARE) -> Path:
    """Build a sketch folder (the bundled one unless told); its hex file. Fails with what make said."""
    arguments = [f"BOARD={board}", f"BUILD={build_directory}"]
    if sketch:
        arguments.append(f"SKETCH={sketch}")
    result = make(*arguments, firmware=firmware)
    assert result.returncode == 0, result.stderr
    return build_directory / f"{sketch.name if sketch else 'gateway'}.hex"


def write_sketch(folder: Path, source: str) -> Path:
    """A sketch folder with this source, which uses the library of the checkout."""
    folder.mkdir()
    (folder / f"{folder.name}.ino").write_text(source)
    return folder
