"""An emulated Uno with the sketch `pulses`: every execution of its action is seen at a pin, whatever the gateway says
of it; and the gateway process before it, held to what no fault may cost: threads, descriptors, executions."""

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.emulated.board import BoardOptions, EmulatedBoard, Event
from tests.emulated.images import Bench
from tests.running import GatewayProcess

PULSE, BUSY, LAMP = "D4", "D7", "B4"
"""The pins on the chip: one pulse for each execution; high while the action runs; the output `lamp`."""
FINAL = {"done", "failed", "unknown", "cancelled", "expired"}
EXPIRES_IN_MS = 60_000
REQUEST_BYTES, REPLY_BYTES = 19, 20
"""A pulse's COMMAND and its answer, on the wire."""
POLL_BYTES = 9
LOOK_AGAIN_S, LOOKS = 0.01, 2000


class PulseBoard(EmulatedBoard):
    """A context manager, as every emulated board."""

    def __init__(self, bench: Bench, image: Path, *, bootloader: Path | None = None) -> None:
        super().__init__(bench.binary, BoardOptions(flash=(image,), bootloader=bootloader))
        self.pause = threading.Event()

    def __enter__(self) -> "PulseBoard":
        super().__enter__()
        for pin in (PULSE, BUSY, LAMP):
            self.watch(pin)
        return self

    def _rises(self, pin: str) -> list[Event]:
        return [event for event in self.events("pin") if event["pin"] == pin and event["level"] == 1]

    @property
    def pulses(self) -> int:
        """How often the action has pulsed the pin since the board began, through all its resets."""
        return len(self._rises(PULSE))

    @property
    def begun(self) -> int:
        """How often the action was entered."""
        return len(self._rises(BUSY))

    def wait_pulse(self, number: int = 1) -> None:
        """Until the action has pulsed the pin so often."""
        self._wait_rise(PULSE, number)

    def wait_begun(self, number: int = 1) -> None:
        """Until the action was entered so often."""
        self._wait_rise(BUSY, number)

    def bytes(self, counter: str) -> int:
        """How many bytes the board has `received` or `sent`, those that noise swallowed included."""
        return int(self.stats()[counter])

    def wait_bytes(self, counter: str, count: int) -> None:
        """Until the board has come so far."""
        for _ in range(LOOKS):
            if self.bytes(counter) >= count:
                return
            self.pause.wait(LOOK_AGAIN_S)
        raise AssertionError(f"the board has not {counter} {count} bytes")

    def _wait_rise(self, pin: str, number: int) -> None:
        index = -1
        for _ in range(number):
            index = self.wait_event("pin", since=index + 1, pin=pin, level=1).index


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds of the system, but for its HTTP connections."""

    threads: int
    descriptors: int

    @classmethod
    def by(cls, gateway: GatewayProcess) -> "Held":
        """As the kernel counts it."""
        threads = os.listdir(f"/proc/{gateway.process.pid}/task")
        return cls(len(threads), len([path for path in opened(gateway) if not path.startswith("socket:")]))


def wait_no_more_held(gateway: GatewayProcess, before: Held) -> None:
    """Until what a fault made it hold is given back."""
    gateway.until(
        lambda: Held.by(gateway),
        lambda held: held.threads <= before.threads and held.descriptors <= before.descriptors,
    )


def opened(gateway: GatewayProcess) -> list[str]:
    """What the gateway's descriptors lead to."""
    found = []
    for descriptor in Path(f"/proc/{gateway.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(str(descriptor.readlink()))
    return found


def ports_of(gateway: GatewayProcess) -> list[str]:
    """The pseudo-terminals that the gateway holds."""
    return [path for path in opened(gateway) if path.startswith("/dev/pts/")]


@contextmanager
def serving(
    board: EmulatedBoard, *, port: Path | None = None, state: Path | None = None, more: str = ""
) -> Iterator[GatewayProcess]:
    """A gateway with this board online; `state` outlives it where it is given, `more` are further keys of the board.
    Boards let go after 20 s of silence, so that no busy machine is taken for a dead host."""
    config = f"boards: {{board: {{port: {port or board.port}, failsafe_after: 20s{more}}}}}\n"
    environ = {} if state is None else {"STATE_DIRECTORY": str(state)}
    with GatewayProcess(config=config, environ=environ) as gateway:
        gateway.wait_state("online")
        yield gateway


def post_pulse(gateway: GatewayProcess, *, before_ms: int = 0, after_ms: int = 0) -> str:
    """Asks for one pulse, now or when the board is back, and does not wait for it; the command's id."""
    body = {
        "action": "pulse",
        "arguments": {"before_ms": before_ms, "after_ms": after_ms},
        "expires_in_ms": EXPIRES_IN_MS,
        "when_offline": "queue",
    }
    answer = gateway.request("POST", "boards/board/commands", body)
    assert answer.status == 202, answer.body
    return str(answer.json["id"])


def end_of(gateway: GatewayProcess, command: str) -> Any:
    """Waits for the command's final state; the resource."""
    return gateway.until(lambda: gateway.get(f"commands/{command}").json, lambda seen: seen["state"] in FINAL)


def counters(gateway: GatewayProcess) -> dict[str, int]:
    """The board's counters."""
    return dict(gateway.get("boards/board").json["counters"])


def wait_resets(gateway: GatewayProcess, count: int) -> None:
    """Until the gateway has noticed so many resets and the board is online."""
    gateway.until(
        lambda: gateway.get("boards/board").json, lambda seen: (seen["resets"], seen["state"]) == (count, "online")
    )
