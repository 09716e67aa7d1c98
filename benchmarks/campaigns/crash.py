"""The gateway is killed with SIGKILL at random points while clients post commands, and started again.

Its state directory stays; what the board has run is read from its pins. Now and then the board does not stay what it
was either: opening the port resets it, its button is pressed, or its power fails.
"""

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.campaigns.account import Account, settle
from benchmarks.campaigns.clients import Crew, Door, final_states
from benchmarks.campaigns.ledger import NUMBERS, LedgerBoard
from benchmarks.measuring import Part
from tests.emulated.board import EmulatedBoard
from tests.emulated.images import Bench
from tests.running import GatewayProcess

CLIENTS = 3
LONGEST_COMMAND_MS = 20  # of its handler, so that many a kill falls into one
LONGEST_TRAFFIC_S = 0.3  # from the end of a first command to the kill
LONGEST_BRING_UP_S = 0.3  # from serving to a kill that does not wait for commands
EARLY_KILLS = 0.2  # part of the rounds
TRAFFIC_WITHIN_S = 20.0  # from serving to the end of a first command, on a machine however busy
OUTAGES: Mapping[str, int] = {"none": 12, "DTR reset as the port is opened": 4, "reset button": 2, "power cut": 2}
"""What befalls the board while the gateway is away, by weight."""


@dataclass(frozen=True, slots=True)
class CrashReport:
    """A campaign's counts."""

    seed: int
    rounds: int
    outages: Mapping[str, int]
    early_kills: int
    stalled: int
    """Rounds in which no command ended within a long time though the gateway served."""
    kills_amid_a_command: int
    """Rounds that ended while a command was under way: its `sent_at` before the kill, its `finished_at` after."""
    posts_cut_off: int
    taken_all_the_same: int
    """Of the commands in those posts, how many the killed gateway had taken: a repeated key found them."""
    account: Account

    def table(self) -> Part:
        """For RESULTS.md."""
        rows = {
            "rounds, each with a kill": self.rounds,
            "kills amid a command": self.kills_amid_a_command,
            "rounds without a command in time": self.stalled,
            "kills into start and connection": self.early_kills,
            **{f"outages with the board: {name}": count for name, count in self.outages.items()},
            "posts that were cut off": self.posts_cut_off,
            "of these, commands that had been taken": self.taken_all_the_same,
            **self.account.rows,
        }
        return Part(
            "Crash campaign: SIGKILL at random points",
            ("what", "count"),
            [(name, str(count)) for name, count in rows.items()],
            (
                "`executed` and all below are told by the board's pins.",
                "A post that was cut off was sent again with its `Idempotency-Key`; the answer tells if it was taken.",
                f"Seed {self.seed}.",
            ),
        )


def run(bench: Bench, *, rounds: int, seed: int, bootloader: bool) -> CrashReport:
    """Through Optiboot, as users have it, with `bootloader`; without, a reset costs no 1.4 s."""
    with (
        tempfile.TemporaryDirectory(prefix="campaign-") as folder,
        LedgerBoard(bench, bootloader=bootloader, seed=seed) as ledger,
    ):
        return _Campaign(ledger, Path(folder), seed=seed).run(rounds)


class _Campaign:
    """One board, one state directory, many lives of the gateway."""

    def __init__(self, ledger: LedgerBoard, state: Path, *, seed: int) -> None:
        self._ledger = ledger
        self._state = state
        self._seed = seed
        self._random = random.Random(seed)
        self._door = Door()
        self._outages: Counter[str] = Counter(dict.fromkeys(OUTAGES, 0))
        self._killed_at_s: list[float] = []
        self._early = 0
        self._stalled = 0

    def run(self, rounds: int) -> CrashReport:
        with Crew(self._door, clients=CLIENTS, body=self._body, numbers=NUMBERS) as crew:
            for _ in range(rounds):
                self._round(crew)
                crew.check()
                self._outage(self._ledger.board)
            with self._gateway() as gateway:
                self._door.open(gateway.url)
                crew.stop()
                ended = final_states(gateway.url, crew.accepted)
        return CrashReport(
            self._seed,
            rounds,
            outages=dict(self._outages),
            early_kills=self._early,
            stalled=self._stalled,
            kills_amid_a_command=sum(any(told.was_under_way(at_s) for told in ended) for at_s in self._killed_at_s),
            posts_cut_off=sum(each.cut_off for each in crew.accepted),
            taken_all_the_same=sum(each.replayed for each in crew.accepted),
            account=settle(ended, self._ledger.executions()),
        )

    def _gateway(self) -> GatewayProcess:
        return GatewayProcess("--port", str(self._ledger.board.port), environ={"STATE_DIRECTORY": str(self._state)})

    def _round(self, crew: Crew) -> None:
        is_early = self._random.random() < EARLY_KILLS
        self._early += is_early
        with self._gateway() as gateway:
            before = len(crew.accepted)
            self._door.open(gateway.url)
            if not is_early:
                self._stalled += not crew.wait_accepted(before + 1, timeout_s=TRAFFIC_WITHIN_S)
            longest_s = LONGEST_BRING_UP_S if is_early else LONGEST_TRAFFIC_S
            threading.Event().wait(self._random.uniform(0, longest_s))
            self._door.shut()
            self._killed_at_s.append(time.time())
            gateway.kill()

    def _outage(self, board: EmulatedBoard) -> None:
        (outage,) = self._random.choices(list(OUTAGES), weights=list(OUTAGES.values()))
        self._outages[outage] += 1
        match outage:
            case "DTR reset as the port is opened":
                raise_dtr_at_next_opening(board)
            case "reset button":
                board.reset()
            case "power cut":
                board.power_cycle()

    def _body(self, number: int) -> Mapping[str, object]:
        """The same for a number each time: a key goes with one body only."""
        ms = random.Random(self._seed + number).randrange(LONGEST_COMMAND_MS)
        return {"action": "mark", "arguments": {"number": number, "ms": ms}, "when_offline": "queue"}


def raise_dtr_at_next_opening(board: EmulatedBoard) -> None:
    """Sets HUPCL, as a port monitor would that was here in between; DTR falls as the port is closed."""
    import termios  # which Windows has not

    board.wait_let_go()
    since = board.mark()
    with board.port.open("rb+", buffering=0) as port:
        attributes = termios.tcgetattr(port)
        attributes[2] |= termios.HUPCL
        termios.tcsetattr(port, termios.TCSANOW, attributes)
        board.wait_event("open", since=since)
    board.wait_event("close", since=since, hupcl=True)
