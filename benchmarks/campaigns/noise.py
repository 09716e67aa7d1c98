"""Commands and readings over a bad line, between the gateway and the emulated Uno and in a simulated world."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.campaigns.account import Account, settle
from benchmarks.campaigns.clients import BOARD, Crew, Door, final_states, get
from benchmarks.campaigns.ledger import NUMBERS, LedgerBoard
from benchmarks.campaigns.line import BadLine
from benchmarks.campaigns.noisy_world import NoisyWorld
from benchmarks.campaigns.readings import Collector, Judge, places_of
from benchmarks.measuring import Part
from tests.emulated.images import Bench
from tests.running import GatewayProcess

CLIENTS = 3
COLLECT_EVERY_S = 2.0
CONFIG = "boards:\n  board:\n    port: {port}\n    poll_interval: 20ms\n"
COUNTERS = ("frames_rejected", "retransmissions", "polls_missed")


@dataclass(frozen=True, slots=True)
class Cell:
    """One rate. `rate` is the chance of each byte, either way, to be lost, changed in one bit, doubled, or to have a
    random one put before it."""

    rate: float
    faults: int
    counters: Mapping[str, int]
    readings: int
    """Published ones, each of all channels."""
    wrong_readings: int
    account: Account
    duration_s: float
    """By the board's clock."""

    @property
    def per_s(self) -> float:
        """Commands accepted and ended."""
        return self.account.accepted / self.duration_s


@dataclass(frozen=True, slots=True)
class NoiseReport:
    """A campaign: the first cell is the clean line."""

    title: str
    seed: int
    cells: Sequence[Cell]

    def table(self) -> Part:
        """For RESULTS.md."""
        clean = self.cells[0].per_s
        columns = [
            {
                "faults": str(cell.faults),
                **{name.replace("_", " "): str(count) for name, count in cell.counters.items()},
                **{name: str(count) for name, count in cell.account.rows.items()},
                "readings": str(cell.readings),
                "wrong readings": str(cell.wrong_readings),
                "commands a second, of the clean line's": f"{cell.per_s / clean:.2f}",
            }
            for cell in self.cells
        ]
        return Part(
            self.title,
            ("faults per byte", *(f"{cell.rate:g}" for cell in self.cells)),
            [(name, *(column[name] for column in columns)) for name in columns[0]],
            (
                "A fault is a byte lost, a bit changed, a byte doubled or a random byte inserted, each as likely, "
                "both ways.",
                f"The clean line carried {clean:.0f} commands a second by the board's clock.",
                f"Seed {self.seed}.",
            ),
        )


def run_simulated(*, rates: Sequence[float], commands: int, seed: int) -> NoiseReport:
    """So many commands at each rate, the clean line first, in a world whose clock jumps."""
    cells = [_simulated(rate, commands=commands, seed=seed) for rate in (0.0, *rates)]
    return NoiseReport("Noise campaign: a bad line to the virtual board, simulated", seed, cells)


def _simulated(rate: float, *, commands: int, seed: int) -> Cell:
    world = NoisyWorld(rate, commands=commands, seed=seed).live()
    counters = world.status.counters
    return Cell(
        rate,
        world.spoiler.faults,
        {name: counters[name] for name in COUNTERS},
        world.judge.judged,
        world.judge.wrong,
        settle(world.told(), world.ran),
        world.duration_s,
    )


def run_emulated(bench: Bench, *, rates: Sequence[float], commands: int, seed: int) -> NoiseReport:
    """So many commands at each rate, the clean line first."""
    cells = [_emulated(bench, rate, commands=commands, seed=seed) for rate in (0.0, *rates)]
    return NoiseReport("Noise campaign: a bad line to the emulated Uno", seed, cells)


def _emulated(bench: Bench, rate: float, *, commands: int, seed: int) -> Cell:
    with (
        tempfile.TemporaryDirectory(prefix="campaign-") as state,
        LedgerBoard(bench, bootloader=False, seed=seed) as ledger,
        BadLine(ledger.board.port, rate=rate, seed=seed) as line,
        GatewayProcess(config=CONFIG.format(port=line.path), environ={"STATE_DIRECTORY": state}) as gateway,
    ):
        gateway.wait_state("online")
        door, collector = Door(), Collector(gateway.url)
        door.open(gateway.url)
        before_s = ledger.board.stats()["board_s"]
        with Crew(door, clients=CLIENTS, body=_body, numbers=NUMBERS[:commands]) as crew:
            while not crew.wait_accepted(commands, timeout_s=COLLECT_EVERY_S):
                crew.check()
                collector.collect()
            duration_s = ledger.board.stats()["board_s"] - before_s
            told = final_states(gateway.url, crew.accepted)
        collector.collect()
        ran = ledger.executions()
        judge = Judge(places_of(run.number for run in ran if run.number is not None))
        for published in collector.published:
            judge.take(published)
        counters = get(gateway.url, f"boards/{BOARD}")[1]["counters"]
        return Cell(
            rate,
            line.faults,
            {name: counters[name] for name in COUNTERS},
            judge.judged,
            judge.wrong,
            settle(told, ran),
            duration_s,
        )


def _body(number: int) -> Mapping[str, object]:
    return {"action": "mark", "arguments": {"number": number, "ms": 0}, "expires_in_ms": 60_000}
