"""Runs the parts that are named, all of them by default, and prints their tables as Markdown."""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from benchmarks import firmware, footprint, polling, serving, streaming
from benchmarks.measuring import Effort, Part
from tests.emulated.images import Bench, build_bench

Measuring = Callable[[Effort, Bench | None], Part | None]
"""Gives None where the emulated board is needed and not there."""

PARTS: Mapping[str, tuple[Measuring, Effort]] = {
    "serving": (lambda effort, _bench: serving.measure(effort), Effort(rounds=15, round_s=0.3)),
    "polling": (lambda effort, bench: polling.measure(effort, bench) if bench else None, Effort(rounds=7, round_s=1.0)),
    "streaming": (streaming.measure, Effort(rounds=5, round_s=1.5)),
    "footprint": (footprint.measure, Effort(rounds=7, round_s=1.5)),
    "firmware": (lambda _effort, _bench: firmware.measure(), Effort(rounds=1, round_s=0.0)),
}
NEED_THE_BENCH = {"polling", "streaming", "footprint"}


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, help="measure each cell so often, whatever the part's own number")
    parser.add_argument("--round-s", type=float, help="and for so many seconds")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    names = options.parts or list(PARTS)
    bench = _bench() if NEED_THE_BENCH & set(names) else None
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{time.strftime('%Y-%m-%d')}, {python}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
    for name in names:
        run, effort = PARTS[name]
        part = run(Effort(options.rounds or effort.rounds, options.round_s or effort.round_s), bench)
        print(part.markdown() if part else f"### {name}: not measured, it needs the emulated board\n", flush=True)


def _bench() -> Bench | None:
    """The emulated board, where it can be built."""
    try:
        return build_bench()
    except RuntimeError as error:
        print(f"No emulated board: {error}", file=sys.stderr)
        return None


if __name__ == "__main__":
    main(sys.argv[1:])
