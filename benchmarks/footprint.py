"""Part 3: processor time and memory of the gateway while it polls, with and without requests.

The virtual boards run inside the gateway's process and count with it; the emulated one runs in its own.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.load import Job, LoadProcess, get
from benchmarks.measuring import Effort, Part, alternate, cpu_s, let_pass, memory_mib
from benchmarks.peers import READINGS
from benchmarks.serving import port_of
from tests.emulated.board import BoardOptions, EmulatedBoard
from tests.emulated.images import SHIPPED_UNO_IMAGE, Bench
from tests.running import GatewayProcess

REQUESTS_PER_S = 100.0
VIRTUAL_BOARDS = {
    "1 virtual board": ("uno",),
    "4 virtual boards": ("uno", "two", "three", "four"),
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One round of one cell."""

    cpu_percent: float  # of one core
    memory_mib: float


def measure(effort: Effort, bench: Bench | None) -> Part:
    """Runs all gateways side by side; with no `bench` there is no emulated board."""
    with ExitStack() as stack:
        load = stack.enter_context(LoadProcess())
        ports = {title: dict.fromkeys(names, "virtual://uno") for title, names in VIRTUAL_BOARDS.items()}
        if bench is not None:
            board = EmulatedBoard(bench.binary, BoardOptions(flash=(SHIPPED_UNO_IMAGE,)))
            ports["1 emulated Uno, serial port"] = {"uno": str(stack.enter_context(board).port)}
        gateways = {title: _start(stack, boards) for title, boards in ports.items()}
        cells: dict[tuple[str, float], Callable[[], Measure]] = {
            (title, per_s): partial(_round, gateway, load, per_s, effort.round_s)
            for title, gateway in gateways.items()
            for per_s in (0.0, REQUESTS_PER_S)
        }
        found = alternate(cells, rounds=effort.rounds)
    return Part(
        "The gateway's process at 10 polls a second",
        ("boards", "HTTP", "CPU, % of a core", "memory, MiB"),
        [
            [
                title,
                f"{per_s:.0f} requests/s" if per_s else "idle",
                f"{median(each.cpu_percent for each in measures):.2f}",
                f"{median(each.memory_mib for each in measures):.1f}",
            ]
            for (title, per_s), measures in found.items()
        ],
        (
            "Requests: all readings of one board, `200`, over one keep-alive connection.",
            "A virtual board runs inside the gateway's process and counts with it; the emulated Uno does not.",
        ),
    )


def _start(stack: ExitStack, boards: Mapping[str, str]) -> GatewayProcess:
    lines = [f"  {name}:\n    port: {port}\n    poll_interval: 100ms\n" for name, port in boards.items()]
    gateway = stack.enter_context(GatewayProcess(config="boards:\n" + "".join(lines)))
    for name in boards:
        gateway.wait_state("online", board=name)
    return gateway


def _round(gateway: GatewayProcess, load: LoadProcess, per_s: float, round_s: float) -> Measure:
    pid = gateway.process.pid
    before_s = cpu_s(pid)
    taken_s = round_s
    if per_s:
        taken_s = load.run(Job(port_of(gateway), get(READINGS), 200, 1, round_s, per_s)).duration_s
    else:
        let_pass(round_s)
    return Measure((cpu_s(pid) - before_s) / taken_s * 100, memory_mib(pid))
