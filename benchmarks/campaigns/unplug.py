"""The board's plug is pulled in the middle of traffic and put back as another tty, again and again.

The gateway is given one path that leads to whichever tty the board is now, as a udev link does.
"""

import os
import random
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from benchmarks.campaigns.account import Account, Told, settle
from benchmarks.campaigns.clients import Crew, Door, final_states
from benchmarks.campaigns.ledger import NUMBERS, RUNNING, LedgerBoard
from benchmarks.measuring import Part
from tests.emulated.board import EmulatedBoard
from tests.emulated.images import Bench
from tests.running import GatewayProcess

CLIENTS = 4  # one command under way, the others queued
COMMAND_MS = 20  # of the handler
LONGEST_TRAFFIC_S = 0.2  # from the first command taken to the plug pulled
TRAFFIC_WITHIN_S = 20.0
ONLINE_WITHIN_S = 1.0
TOLD_BEFORE_REPLUG = 0.5  # part of the cycles
CLOSED_WITHIN_S = 1.0  # the port that was pulled, by the gateway
LOOK_AGAIN_S = 0.005
WARM_UP_COMMANDS = 40
REST_LOOKS, BETWEEN_LOOKS_S = 40, 0.05
US_PER_S = 1e6


@dataclass(frozen=True, slots=True)
class UnplugReport:
    """A campaign."""

    seed: int
    ttys: Sequence[str]
    """The board's, one after the other."""
    online_after_s: Sequence[float]
    """From the board's hello to the gateway telling `online`, by the board's clock."""
    queued_commands: int
    """Waiting while a plug was out."""
    kept: int
    """Of these, done afterwards."""
    descriptors: tuple[int, int]
    """Open ones of the gateway, before and after."""
    threads: tuple[int, int]
    account: Account

    @property
    def names_repeated(self) -> int:
        """Replugs that came back under the name they left with."""
        return sum(before == after for before, after in pairwise(self.ttys))

    @property
    def too_late(self) -> int:
        """Cycles in which the board was not online in time."""
        return sum(wait_s > ONLINE_WITHIN_S for wait_s in self.online_after_s)

    def table(self) -> Part:
        """For RESULTS.md."""
        waits = self.online_after_s
        rows = {
            "cycles": len(waits),
            "of these, back under the same tty name": self.names_repeated,
            "online after the board's hello, median": f"{median(waits):.2f} s",
            "longest": f"{max(waits):.2f} s",
            f"longer than {ONLINE_WITHIN_S:.0f} s": self.too_late,
            "descriptors before, after": "{}, {}".format(*self.descriptors),
            "threads before, after": "{}, {}".format(*self.threads),
            "commands queued while a plug was out": self.queued_commands,
            "of these, done afterwards": self.kept,
            **self.account.rows,
        }
        return Part(
            "Unplug campaign: pulled in the middle of traffic, back as another tty",
            ("what", "count"),
            [(name, str(value)) for name, value in rows.items()],
            (
                "The hello is the beginning of the sketch, at which a pin becomes an output; BOOT leaves within 3 ms. "
                "`online` is what HTTP says, asked every 20 ms; the time between is the board's.",
                "A command under way loses its board's power and memory: `unknown` is the truth.",
                f"Seed {self.seed}.",
            ),
        )


def run(bench: Bench, *, cycles: int, seed: int, bootloader: bool) -> UnplugReport:
    """Through Optiboot, as users have it, with `bootloader`."""
    with (
        tempfile.TemporaryDirectory(prefix="campaign-") as state,
        LedgerBoard(bench, bootloader=bootloader, seed=seed) as ledger,
        GatewayProcess("--port", str(ledger.board.port), environ={"STATE_DIRECTORY": state}) as gateway,
    ):
        gateway.wait_state("online")
        return _Campaign(ledger, gateway, seed=seed).run(cycles)


class _Campaign:
    """One board, one gateway."""

    def __init__(self, ledger: LedgerBoard, gateway: GatewayProcess, *, seed: int) -> None:
        self._ledger = ledger
        self._board: EmulatedBoard = ledger.board
        self._gateway = gateway
        self._seed = seed
        self._random = random.Random(seed)
        self._ttys = [os.readlink(self._board.port)]
        self._online_after_s: list[float] = []
        self._out_at_s: list[float] = []

    def run(self, cycles: int) -> UnplugReport:
        """The first cycle warms up: what the gateway opens once is open then."""
        warm_up = self._traffic(1, NUMBERS[:WARM_UP_COMMANDS])
        before = self._resources()
        self._ttys, self._online_after_s, self._out_at_s = self._ttys[-1:], [], []
        told = self._traffic(cycles, NUMBERS[WARM_UP_COMMANDS:])
        after = self._resources()
        waited = [each for each in told if any(each.was_waiting(at_s) for at_s in self._out_at_s)]
        return UnplugReport(
            self._seed,
            self._ttys,
            self._online_after_s,
            queued_commands=len(waited),
            kept=sum(each.state == "done" for each in waited),
            descriptors=(before[0], after[0]),
            threads=(before[1], after[1]),
            account=settle([*warm_up, *told], self._ledger.executions()),
        )

    def _traffic(self, cycles: int, numbers: Iterable[int]) -> list[Told]:
        door = Door()
        door.open(self._gateway.url)
        with Crew(door, clients=CLIENTS, body=_body, numbers=numbers) as crew:
            for _ in range(cycles):
                self._cycle(crew)
            crew.stop()
            return final_states(self._gateway.url, crew.accepted)

    def _cycle(self, crew: Crew) -> None:
        """Pulled at any moment; put back as soon as the old port is closed, or once the gateway says `offline`."""
        crew.wait_accepted(len(crew.accepted) + CLIENTS, timeout_s=TRAFFIC_WITHIN_S)
        threading.Event().wait(self._random.uniform(0, LONGEST_TRAFFIC_S))
        since = self._board.mark()
        self._board.unplug()
        if self._random.random() < TOLD_BEFORE_REPLUG:
            self._gateway.wait_state("offline")
        with taken(self._ttys[-1]):
            self._out_at_s.append(time.time())
            self._board.plug()
        self._ttys.append(os.readlink(self._board.port))
        self._gateway.until(lambda: self._is_online_again(since), bool)
        online = self._board.command("sync")
        online_us = self._board.wait_event("done", since=online, command="sync").time_us
        self._online_after_s.append((online_us - _began_us(self._board, since=since)) / US_PER_S)

    def _is_online_again(self, since: int) -> bool:
        """Online, and not still: the port that was pulled is gone by then."""
        return bool(self._board.events("open", since=since)) and self._gateway.state() == "online"

    def _resources(self) -> tuple[int, int]:
        """Open descriptors and threads of the gateway at rest: the fewest in a while, since connections that clients
        have closed take a moment to go."""
        process = Path("/proc") / str(self._gateway.process.pid)
        looks = []
        for _ in range(REST_LOOKS):
            looks.append([sum(1 for _ in (process / kind).iterdir()) for kind in ("fd", "task")])
            threading.Event().wait(BETWEEN_LOOKS_S)
        descriptors, threads = map(min, zip(*looks, strict=True))
        return descriptors, threads


@contextmanager
def taken(tty: str) -> Iterator[None]:
    """Holds this terminal's name, so that the next one gets another. The kernel gives the lowest number that is free,
    and this one is free once the gateway has closed it; a stranger may have it by then, which does as well."""
    deadline_s = time.monotonic() + CLOSED_WITHIN_S
    pause = threading.Event()
    with ExitStack() as held:
        while time.monotonic() < deadline_s:
            with ExitStack() as stack:
                ends = os.openpty()
                for end in ends:
                    stack.callback(os.close, end)
                if _number(os.ttyname(ends[1])) <= _number(tty):
                    held.enter_context(stack.pop_all())
                if os.ttyname(ends[1]) == tty:
                    break
            pause.wait(LOOK_AGAIN_S)
        yield


def _number(tty: str) -> int:
    return int(Path(tty).name)


def _began_us(board: EmulatedBoard, *, since: int) -> int:
    """When the sketch last began: its reset, or later, behind a bootloader, when its pin became an output."""
    began_us, mode = 0, ""
    events = board.events("reset", since=since) + board.events("pin", since=since)
    for event in sorted(events, key=lambda event: event.index):
        if event.kind == "reset":
            began_us, mode = event.time_us, ""
        elif event["pin"] == RUNNING:
            if mode == "input" and event["mode"] == "output":
                began_us = event.time_us
            mode = event["mode"]
    return began_us


def _body(number: int) -> Mapping[str, object]:
    return {"action": "mark", "arguments": {"number": number, "ms": COMMAND_MS}, "when_offline": "queue"}
