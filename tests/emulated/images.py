"""Builds what the emulated board runs: the bench itself and its bootloaders, and the tests' own sketches."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCH = Path(__file__).resolve().parent / "bench"
SKETCHES = Path(__file__).resolve().parent / "sketches"
BUILD = BENCH / "build"
SHIPPED_IMAGES = ROOT / "firmware" / "hex"
SHIPPED_UNO_IMAGE = SHIPPED_IMAGES / "gateway-uno.hex"


@dataclass(frozen=True, slots=True)
class Bench:
    """What `make -C bench` has built."""

    binary: Path
    modem_shim: Path
    optiboot_uno: Path
    atmegaboot_nano: Path
    stk500v2_mega: Path


def make(*arguments: str) -> None:
    """Run make; its output is only shown, in the error, when it fails."""
    # A make that runs the tests must not pass its job server on: its file descriptors are closed here.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
    result = subprocess.run(["make", *arguments], capture_output=True, text=True, check=False, env=environment)
    if result.returncode != 0:
        raise RuntimeError(f"make {' '.join(arguments)} failed:\n{result.stdout}{result.stderr}")


def build_bench() -> Bench:
    make("-C", str(BENCH), f"BUILD={BUILD}")
    return Bench(
        binary=BUILD / "emulated-board",
        modem_shim=BUILD / "modemshim.so",
        optiboot_uno=BUILD / "optiboot-uno.hex",
        atmegaboot_nano=BUILD / "atmegaboot-nano.hex",
        stk500v2_mega=BUILD / "stk500v2-mega.hex",
    )


def build_sketch(name: str, *, board: str) -> Path:
    """The Intel HEX image of one of the tests' sketches."""
    build = BUILD / "sketches" / board  # one for all of them: they share the Arduino core
    make("-C", str(ROOT / "firmware"), f"SKETCH={SKETCHES / name}", f"BOARD={board}", f"BUILD={build}")
    return build / f"{name}.hex"
