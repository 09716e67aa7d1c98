"""Readings by poll and by stream, from the same boards in the same run: how many a second, and what each costs.

The line's limit is one sample behind the other, back to back, as many as 250 000 baud carry towards the host.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from benchmarks.measuring import Effort, Part, alternate, cpu_s, let_pass, with_spread
from benchmarks.polling import BAUD, SLICE_US, wire_s
from gateway.protocol.framing import encode
from gateway.protocol.messages import Telemetry
from tests.emulated.board import BoardOptions, EmulatedBoard
from tests.emulated.images import SHIPPED_UNO_IMAGE, Bench
from tests.running import GatewayProcess

VALUES_BYTES = 38  # of the bundled sketch's readings
SAMPLE_BYTES = len(encode(Telemetry.TYPE, 1, 1, payload=Telemetry(0, 0, 0, 0, 0, bytes(VALUES_BYTES)).to_bytes()))
WAYS = (("poll", 5), ("stream", 5), ("stream", 4), ("stream", 3))
"""Mode and interval in ms; 5 ms is the shortest that can be polled."""
WAYS_VIRTUAL = (("poll", 5), ("stream", 1))
SETTLED_S = 0.3  # a stream begins when the first readings are there
CONFIG = "boards:\n  uno:\n    port: {port}\n    mode: {mode}\n    poll_interval: {interval_ms}ms\n"


@dataclass(frozen=True, slots=True)
class Measure:
    """One round of one way to read one board; `lags` as in the part on polling."""

    per_s: float
    skipped_per_s: float
    cpu_us: float
    """Of the gateway's process for one sample."""
    cpu_percent: float
    lags: int


def measure(effort: Effort, bench: Bench | None) -> Part:
    """A gateway and, where it is emulated, a board of its own for each round; with no `bench` virtual boards alone."""
    uno = [] if bench is None else [("emulated Uno", way) for way in WAYS]
    cells: dict[tuple[str, tuple[str, int]], Callable[[], Measure]] = {
        (board, way): partial(_round, bench if board == "emulated Uno" else None, way, effort.round_s)
        for board, way in [*uno, *(("virtual board", way) for way in WAYS_VIRTUAL)]
    }
    found = alternate(cells, rounds=effort.rounds)
    lags = sum(each.lags for measures in found.values() for each in measures)
    return Part(
        "Readings by poll and by stream",
        ("board", "mode", "interval", "samples/s", "of those asked", "of the line's", "skipped/s", "CPU us", "CPU, %"),
        [_row(board, way, measures) for (board, way), measures in found.items()],
        (
            f"A sample is {VALUES_BYTES} bytes of values (the bundled sketch), {SAMPLE_BYTES} on the wire; the line "
            f"at {BAUD} baud carries at most {1 / wire_s(SAMPLE_BYTES):.0f} a second. A virtual board has no line.",
            "Seconds are those of the emulated board's clock, which a busy machine slows down. Skipped: what the board "
            "had no room or no time for, by its own count.",
            "CPU: user and system time of the gateway's process, for one sample and as a share of one core; a virtual "
            "board is part of it.",
            f"In all rounds together the emulator fell behind its clock by over 100 ms {lags} times.",
        ),
    )


def _round(bench: Bench | None, way: tuple[str, int], round_s: float) -> Measure:
    with ExitStack() as stack:
        board = stack.enter_context(_emulated(bench)) if bench else None
        mode, interval_ms = way
        config = CONFIG.format(port=board.port if board else "virtual://uno", mode=mode, interval_ms=interval_ms)
        gateway = stack.enter_context(GatewayProcess(config=config))
        gateway.wait_state("online", board="uno")
        let_pass(SETTLED_S)
        before, began_board_s = _look(gateway), _clock_s(board)
        began_cpu_s, began_s = cpu_s(gateway.process.pid), time.monotonic()
        let_pass(round_s)
        taken_cpu_s, taken_s = cpu_s(gateway.process.pid) - began_cpu_s, time.monotonic() - began_s
        samples, skipped = (now - former for now, former in zip(_look(gateway), before, strict=True))
        taken_board_s = _clock_s(board) - began_board_s
        return Measure(
            samples / taken_board_s,
            skipped / taken_board_s,
            taken_cpu_s / samples * 1e6,
            taken_cpu_s / taken_s * 100,
            board.stats()["lags"] if board else 0,
        )


def _clock_s(board: EmulatedBoard | None) -> float:
    """A virtual board has the host's clock."""
    return float(board.stats()["board_s"]) if board else time.monotonic()


def _emulated(bench: Bench) -> EmulatedBoard:
    return EmulatedBoard(bench.binary, BoardOptions(flash=(SHIPPED_UNO_IMAGE,), slice_us=SLICE_US))


def _look(gateway: GatewayProcess) -> tuple[int, int]:
    """Publications and skipped samples so far: with one board nearly each publication is a sample."""
    board: Any = gateway.get("boards/uno").json
    return gateway.get("boards/uno/readings").json["sequence"], board["counters"]["samples_skipped"]


def _row(board: str, way: tuple[str, int], rounds: Sequence[Measure]) -> list[str]:
    mode, interval_ms = way
    per_s = [each.per_s for each in rounds]
    return [
        board,
        mode,
        f"{interval_ms} ms",
        f"{median(per_s):.0f}",
        with_spread([each * interval_ms / 1000 for each in per_s]),
        with_spread([each * wire_s(SAMPLE_BYTES) for each in per_s]) if board == "emulated Uno" else "-",
        f"{median(each.skipped_per_s for each in rounds):.0f}",
        f"{median(each.cpu_us for each in rounds):.0f}",
        f"{median(each.cpu_percent for each in rounds):.0f}",
    ]
