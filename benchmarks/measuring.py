"""What every part measures with: the time and memory of a process, rounds that alternate, tables.

Runs in the benchmark's own process, which idles while something is measured. Linux only: it asks for the processor
clocks of other processes, and reads /proc.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

CPUCLOCK_SCHED = 2  # linux/posix-timers.h: the process's user and system time, in nanoseconds
KIB_PER_MIB = 1024

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: every cell of a table `rounds` times, each for `round_s`."""

    rounds: int
    round_s: float


@dataclass(frozen=True, slots=True)
class Part:
    """A measured table, with lines to read it by."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """As it stands in RESULTS.md."""
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = [f"### {self.title}", "", _line(self.header, widths), _line(["-" * width for width in widths], widths)]
        lines += [_line(row, widths) for row in self.rows]
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes), ""])


def cpu_s(pid: int) -> float:
    """User and system time that a process has taken, all its threads together."""
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


def memory_mib(pid: int) -> float:
    """What of a process is in memory now (RSS)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(resident.split()[1]) / KIB_PER_MIB


def alternate(cells: Mapping[K, Callable[[], V]], *, rounds: int) -> dict[K, list[V]]:
    """Measures every cell once a round, there and back, so that what else the machine does hits all alike."""
    found: dict[K, list[V]] = {cell: [] for cell in cells}
    for number in range(rounds):
        for cell in list(cells)[:: -1 if number % 2 else 1]:
            found[cell].append(cells[cell]())
    return found


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round: what was measured side by side is compared side by side."""
    return [our / their for our, their in zip(ours, theirs, strict=True)]


def with_spread(values: Sequence[float]) -> str:
    """`0.71 (0.68-0.74)`: the median, and the lowest and highest round."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def let_pass(duration_s: float) -> None:
    """Does nothing while others are watched."""
    threading.Event().wait(duration_s)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"
