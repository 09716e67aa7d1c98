"""How long an output stays driven once nobody holds it, seen at the emulated pin and told by the board's own clock.

Three ways to fall silent: the gateway is killed, the gateway is stopped, and a client no longer renews its hold.
"""

import os
import random
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from benchmarks.measuring import Part
from tests.emulated.board import BoardOptions, EmulatedBoard
from tests.emulated.images import SHIPPED_UNO_IMAGE, Bench
from tests.running import GatewayProcess

LED, PWM9 = "B5", "B1"
FAILSAFE_AFTER_MS = 500
POLL_INTERVAL_MS = 50
HOLD_MS = 300
TOLERANCE_MS = 20.0
CONFIG = (
    "boards:\n  board:\n    port: {port}\n"
    f"    poll_interval: {POLL_INTERVAL_MS}ms\n    failsafe_after: {FAILSAFE_AFTER_MS}ms\n"
)
LONGEST_RENEWALS = 4
US_PER_MS = 1000


@dataclass(frozen=True, slots=True)
class Trial:
    """One silence, in the board's time."""

    safe_after_ms: float
    """From the moment at which the silence was certain to the pin at its safe value."""
    certain_within_ms: float
    """The silence may have begun so much earlier."""


@dataclass(frozen=True, slots=True)
class Silence:
    """One way to fall silent, tried many times."""

    cause: str
    limit_ms: int
    trials: Sequence[Trial]

    @property
    def longest_ms(self) -> float:
        """The slowest."""
        return max(trial.safe_after_ms for trial in self.trials)

    @property
    def too_late(self) -> int:
        """Trials beyond the limit and its tolerance."""
        return sum(trial.safe_after_ms > self.limit_ms + TOLERANCE_MS for trial in self.trials)


@dataclass(frozen=True, slots=True)
class FailsafeReport:
    """A campaign."""

    seed: int
    silences: Sequence[Silence]

    def table(self) -> Part:
        """For RESULTS.md."""
        rows = []
        for silence in self.silences:
            taken_ms = [trial.safe_after_ms for trial in silence.trials]
            values = (min(taken_ms), median(taken_ms), max(taken_ms))
            certain_ms = max(trial.certain_within_ms for trial in silence.trials)
            rows.append(
                [
                    silence.cause,
                    str(len(taken_ms)),
                    f"{silence.limit_ms} ms",
                    *(f"{value:.1f} ms" for value in values),
                    str(silence.too_late),
                    f"{certain_ms:.1f} ms",
                ]
            )
        return Part(
            "Failsafe timing at the emulated pin",
            (
                *("silence", "trials", "limit", "min", "median", "max"),
                *(f"later than {TOLERANCE_MS:.0f} ms over it", "began at most earlier"),
            ),
            rows,
            (
                "From the moment the process was seen dead or stopped to the pin at its safe value, in the board's own "
                "time; by `began at most earlier` the silence may have begun before that moment.",
                f"A gateway that polls every {POLL_INTERVAL_MS} ms is silent since its last poll, so the pin is often "
                "safe before the limit. A hold runs from the write that renewed it last.",
                f"Seed {self.seed}.",
            ),
        )


def run(bench: Bench, *, kills: int, stops: int, holds: int, seed: int) -> FailsafeReport:
    """So many trials of each, at random phases of the poll."""
    campaign = _Campaign(bench, seed=seed)
    return FailsafeReport(
        seed,
        [
            Silence("gateway killed (SIGKILL)", FAILSAFE_AFTER_MS, list(campaign.kills(kills))),
            Silence("gateway stopped (SIGSTOP)", FAILSAFE_AFTER_MS, list(campaign.stops(stops))),
            Silence("client gone, hold not renewed", HOLD_MS, list(campaign.holds(holds))),
        ],
    )


class _Campaign:
    """A board for each way."""

    def __init__(self, bench: Bench, *, seed: int) -> None:
        self._bench = bench
        self._seed = seed
        self._random = random.Random(seed)

    def kills(self, count: int) -> Iterator[Trial]:
        with self._board() as board, tempfile.TemporaryDirectory(prefix="campaign-") as state:
            for _ in range(count):
                with self._gateway(board, state) as gateway:
                    self._light(gateway)
                    yield silence(board, lambda gateway=gateway: kill(gateway))  # type: ignore[misc]

    def stops(self, count: int) -> Iterator[Trial]:
        with (
            self._board() as board,
            tempfile.TemporaryDirectory(prefix="campaign-") as state,
            self._gateway(board, state) as gateway,
        ):
            for _ in range(count):
                self._light(gateway)
                yield silence(board, lambda: stop(gateway))
                gateway.process.send_signal(signal.SIGCONT)

    def holds(self, count: int) -> Iterator[Trial]:
        """Each renewal writes another value, so that the pin tells when it came."""
        with (
            self._board() as board,
            tempfile.TemporaryDirectory(prefix="campaign-") as state,
            self._gateway(board, state) as gateway,
        ):
            for _ in range(count):
                since = board.mark()
                for duty in range(1, 1 + self._random.randint(1, LONGEST_RENEWALS)):
                    self._command(gateway, {"channel": "pwm9", "value": duty, "hold_ms": HOLD_MS})
                    self._let_pass(HOLD_MS / 2)
                last = [event for event in board.events("pin", since=since) if event["mode"] == "pwm"][-1]
                fall = board.wait_event("pin", since=last.index, pin=PWM9, mode="output", level=0)
                yield Trial((fall.time_us - last.time_us) / US_PER_MS, 0.0)

    @contextmanager
    def _board(self) -> Iterator[EmulatedBoard]:
        with EmulatedBoard(self._bench.binary, BoardOptions(flash=(SHIPPED_UNO_IMAGE,), seed=self._seed)) as board:
            board.watch(LED)
            board.watch(PWM9)
            yield board

    @contextmanager
    def _gateway(self, board: EmulatedBoard, state: str) -> Iterator[GatewayProcess]:
        config = CONFIG.format(port=board.port)
        with GatewayProcess(config=config, environ={"STATE_DIRECTORY": state}) as gateway:
            gateway.wait_state("online")
            yield gateway

    def _light(self, gateway: GatewayProcess) -> None:
        """The LED is on, and it is any moment between two polls."""
        gateway.until(
            lambda: gateway.request("POST", "boards/board/commands?wait=5s", {"channel": "led", "value": True}),
            lambda answer: answer.status == 200 and answer.json["state"] == "done",
        )
        self._let_pass(POLL_INTERVAL_MS)

    def _command(self, gateway: GatewayProcess, body: Mapping[str, object]) -> None:
        state = gateway.command(body)["state"]
        assert state == "done", state

    def _let_pass(self, longest_ms: float) -> None:
        threading.Event().wait(self._random.uniform(0, longest_ms) / 1000)


def silence(board: EmulatedBoard, fall_silent: Callable[[], object]) -> Trial:
    """The LED is on; how long it stays so after `fall_silent`."""
    before = _now_us(board)
    since = board.mark()
    fall_silent()
    certain = _now_us(board)
    fall = board.wait_event("pin", since=since, pin=LED, level=0)
    return Trial((fall.time_us - certain) / US_PER_MS, (certain - before) / US_PER_MS)


def kill(gateway: GatewayProcess) -> None:
    """SIGKILL, and waits until it is dead."""
    gateway.process.kill()
    os.waitid(os.P_PID, gateway.process.pid, os.WEXITED | os.WNOWAIT)


def stop(gateway: GatewayProcess) -> None:
    """SIGSTOP, and waits until it has stopped."""
    gateway.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, gateway.process.pid, os.WSTOPPED)


def _now_us(board: EmulatedBoard) -> int:
    since = board.command("sync")
    return board.wait_event("done", since=since, command="sync").time_us
