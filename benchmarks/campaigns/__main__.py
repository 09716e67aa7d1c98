"""Runs the campaigns that are named, all of them by default, and prints their tables as Markdown.

A run of all of them, in full, is written to RESULTS.md.
"""

import argparse
import os
import platform
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.campaigns import crash, failsafe, noise, unplug
from benchmarks.measuring import Part
from tests.emulated.images import Bench, build_bench

RESULTS = Path(__file__).parent / "RESULTS.md"
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
QUICK_RATES = (3e-3,)


class Report(Protocol):
    """What a campaign returns."""

    def table(self) -> Part:
        """For people."""
        ...


Campaign = Callable[[Bench, int], Report]
"""Takes the emulated board and a seed."""

CAMPAIGNS: Mapping[str, Campaign] = {
    "crash": lambda bench, seed: crash.run(bench, rounds=300, seed=seed, bootloader=True),
    "noise": lambda bench, seed: noise.run_emulated(bench, rates=RATES, commands=500, seed=seed),
    "simulated": lambda _bench, seed: noise.run_simulated(rates=RATES, commands=20_000, seed=seed),
    "failsafe": lambda bench, seed: failsafe.run(bench, kills=50, stops=100, holds=200, seed=seed),
    "unplug": lambda bench, seed: unplug.run(bench, cycles=100, seed=seed, bootloader=True),
}
QUICK: Mapping[str, Campaign] = {
    "crash": lambda bench, seed: crash.run(bench, rounds=30, seed=seed, bootloader=False),
    "noise": lambda bench, seed: noise.run_emulated(bench, rates=QUICK_RATES, commands=150, seed=seed),
    "simulated": lambda _bench, seed: noise.run_simulated(rates=QUICK_RATES, commands=1000, seed=seed),
    "failsafe": lambda bench, seed: failsafe.run(bench, kills=2, stops=3, holds=3, seed=seed),
    "unplug": lambda bench, seed: unplug.run(bench, cycles=10, seed=seed, bootloader=False),
}
"""As the tests run them."""

ABOUT = """# The campaigns

`make campaigns` runs them all and writes this page; `make campaigns ARGS=crash` runs one and only prints. What each
does stands at the top of its module in `benchmarks/campaigns/`; the tests run the same with smaller numbers.
"""


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaigns", description=__doc__)
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=f"any of {', '.join(CAMPAIGNS)}")
    parser.add_argument("--quick", action="store_true", help="as small as in the tests")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="a new one each time by default")
    options = parser.parse_args(arguments)
    if unknown := set(options.campaigns) - set(CAMPAIGNS):
        parser.error(f"no such campaign: {', '.join(sorted(unknown))}; there are {', '.join(CAMPAIGNS)}")
    bench = build_bench()
    sections = [_machine()]
    print(sections[0], flush=True)
    for name in options.campaigns or CAMPAIGNS:
        began_s = time.monotonic()
        report = (QUICK if options.quick else CAMPAIGNS)[name](bench, options.seed)
        sections.append(f"{report.table().markdown()}- Took {time.monotonic() - began_s:.0f} s.\n")
        print(sections[-1], flush=True)
    if not options.campaigns and not options.quick:
        RESULTS.write_text("\n".join([ABOUT, *sections]), encoding="utf-8")
        print(f"Written to {RESULTS}")


def _machine() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{time.strftime('%Y-%m-%d')}, {python}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"


if __name__ == "__main__":
    main(sys.argv[1:])
