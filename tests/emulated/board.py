"""Starts an emulated board (`bench/`) and drives it: the test's hands on the board, not its serial port.

One thread of its own collects the bench's events; every method may be called from any thread. Nothing here sleeps: a
command returns when the bench has carried it out, and waiting is for an event, over everything that has happened since
the start, so that none is missed.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

DEFAULT_TIMEOUT_S = 10.0
"""How long a machine may be busy before a test fails; no test waits that long when all is well."""


class BenchError(Exception):
    """The bench ended, refused a command, or an event did not come."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the bench's output; `index` is its place in the log, `time_us` the board's own time."""

    index: int
    kind: str
    time_us: int
    fields: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


@dataclass(frozen=True, slots=True)
class PinState:
    """What the sketch makes of a pin: `mode` is input, input_pullup, output or pwm."""

    mode: str
    level: int | None
    """None under PWM."""
    duty: int | None
    """The timer's compare register, so 0 to 255 after `analogWrite`; None without PWM."""


@dataclass(frozen=True, slots=True)
class BoardOptions:
    """The bench's command line; see bench/README.md."""

    board: str = "uno"
    flash: tuple[Path, ...] = ()
    bootloader: Path | None = None
    flash_image: Path | None = None
    eeprom_image: Path | None = None
    speed: float = 1.0
    slice_us: int | None = None
    seed: int = 0
    extra: tuple[str, ...] = field(default=())

    def arguments(self) -> list[str]:
        arguments = ["--board", self.board, "--speed", str(self.speed), "--seed", str(self.seed)]
        for path in self.flash:
            arguments += ["--flash", str(path)]
        optional = {
            "--boot": self.bootloader,
            "--flash-image": self.flash_image,
            "--eeprom-image": self.eeprom_image,
            "--slice-us": self.slice_us,
        }
        for name, value in optional.items():
            if value is not None:
                arguments += [name, str(value)]
        return arguments + list(self.extra)


class EmulatedBoard:
    """A running board; use it as a context manager. Its serial port is `port`, a path that pyserial opens."""

    def __init__(self, binary: Path, options: BoardOptions) -> None:
        self._binary = binary
        self._options = options
        self._log: list[Event] = []
        self._ended = False
        self._changed = threading.Condition()
        self._one_command = threading.Lock()

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="emulated-board-")
        self._stderr: IO[bytes] = tempfile.TemporaryFile()
        self.port = Path(self._directory.name) / "port"
        self._process = subprocess.Popen(
            [str(self._binary), "--port", str(self.port), *self._options.arguments()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._collect, name="emulated-board", daemon=True)
        self._reader.start()
        try:
            self.wait_event("port")
        except BenchError:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the bench: asked first, killed when it does not listen."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # the bench ends with its standard input
        try:
            self._process.wait(timeout=DEFAULT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._stderr.close()
        self._directory.cleanup()

    # Events

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            members = json.loads(line)
            with self._changed:
                event = Event(len(self._log), members.pop("event"), members.pop("avr_us"), members)
                self._log.append(event)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def mark(self) -> int:
        """Where the log ends now: `since` for a later wait."""
        self.command("sync")
        return self._log_length()

    def _log_length(self) -> int:
        with self._changed:
            return len(self._log)

    def events(self, kind: str, *, since: int = 0) -> list[Event]:
        """All events of this kind that have happened by now."""
        self.command("sync")
        with self._changed:
            return [event for event in self._log[since:] if event.kind == kind]

    def wait_event(self, kind: str, *, since: int = 0, timeout_s: float = DEFAULT_TIMEOUT_S, **match: object) -> Event:
        """The first event at or after `since` of this kind whose fields are as given.

        Raises BenchError when it does not come in time or the bench has ended.
        """
        return self._wait_any((kind,), since=since, timeout_s=timeout_s, match=match)

    def wait_let_go(self) -> None:
        """Until nobody has the port open any more: a process that was killed takes a moment to be gone from it."""
        opened, closed = self.events("open"), self.events("close")
        if opened and (not closed or closed[-1].index < opened[-1].index):
            self.wait_event("close", since=opened[-1].index)

    def _wait_any(self, kinds: Iterable[str], *, since: int, timeout_s: float, match: Mapping[str, object]) -> Event:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for event in self._log[since:]:
                    if event.kind in kinds and match.items() <= event.fields.items():
                        return event
                since = max(since, len(self._log))
                if self._ended:
                    raise BenchError(f"the bench ended while waiting for {kinds} {dict(match)}: {self._diagnosis()}")
                if not self._changed.wait(deadline - time.monotonic()):
                    raise BenchError(f"no {kinds} {dict(match)} within {timeout_s} s; last: {self._log[-5:]}")

    def _diagnosis(self) -> str:
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace").strip()
        return text or f"exit status {self._process.poll()}, nothing on stderr"

    # Commands

    def command(self, line: str) -> int:
        """Have the bench carry out one command (bench/README.md lists them); returns where in the log it began.

        Raises BenchError when the bench refuses it or has ended.
        """
        assert self._process.stdin is not None
        with self._one_command:
            since = self._log_length()
            try:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            except OSError as error:
                raise BenchError(f"the bench has ended: {self._diagnosis()}") from error
            outcome = self._wait_any(("done", "error"), since=since, timeout_s=DEFAULT_TIMEOUT_S, match={})
        if outcome.kind == "error":
            raise BenchError(f"{line!r}: {outcome['detail']}")
        return since

    def reset(self) -> None:
        """Press the reset button."""
        self.command("reset")

    def power_cycle(self) -> None:
        """Take the supply away for a moment; the port stays, as behind a powered hub."""
        self.command("power")

    def unplug(self) -> None:
        """Pull the USB plug: the port disappears."""
        self.command("unplug")

    def plug(self, path: Path | None = None) -> None:
        """Put the plug back in, as another port when a path is given."""
        if path is not None:
            self.port = path
        self.command(f"plug {self.port}")

    def freeze(self) -> None:
        """Hang the board: its port stays, but nothing runs until `thaw` or a reset."""
        self.command("freeze")

    def thaw(self) -> None:
        """Let a frozen board go on where it stood."""
        self.command("thaw")

    def adc(self, channel: int, millivolts: int) -> None:
        """Put a voltage on an analogue input."""
        self.command(f"adc {channel} {millivolts}")

    def drive(self, pin: str, level: int) -> None:
        """Wire a pin to ground (0) or to the supply (1)."""
        self.command(f"drive {pin} {level}")

    def release(self, pin: str) -> None:
        """Take that wire away."""
        self.command(f"release {pin}")

    def noise(
        self,
        *,
        receive_drop: float = 0.0,
        receive_flip: float = 0.0,
        transmit_drop: float = 0.0,
        transmit_flip: float = 0.0,
    ) -> None:
        """Spoil the line; probabilities per byte, receive and transmit as the board sees them."""
        self.command(f"noise {receive_drop} {receive_flip} {transmit_drop} {transmit_flip}")

    def set_speed(self, speed: float) -> None:
        """Board seconds per second; 0 runs free."""
        self.command(f"speed {speed}")

    # What the board does

    def pin(self, name: str) -> PinState:
        """The pin as it is now, named as on the chip ("B5" is an Uno's D13)."""
        since = self.command(f"pin {name}")
        return _pin_state(self.wait_event("pin_read", since=since, pin=name))

    def watch(self, name: str) -> None:
        """Record this pin's state now, and each change from now on, as a "pin" event."""
        self.command(f"watch {name}")

    def wait_pin(
        self,
        name: str,
        level: int | None = None,
        *,
        mode: str | None = None,
        duty: int | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> PinState:
        """Wait until the pin is in this state (what is None does not matter); it may be already.

        For a state that may have passed again, `watch` the pin before and wait for its "pin" event.
        """
        self.watch(name)
        since = self.command(f"pin {name}")
        wanted = {"level": level, "mode": mode, "duty": duty}
        match = {"pin": name} | {key: value for key, value in wanted.items() if value is not None}
        return _pin_state(self._wait_any(("pin_read", "pin"), since=since, timeout_s=timeout_s, match=match))

    def peek(self, address: int, count: int) -> bytes:
        """Bytes of the data space: registers, input and output, SRAM."""
        since = self.command(f"peek {address:x} {count}")
        return bytes.fromhex(self.wait_event("memory", since=since)["hex"])

    def stats(self) -> Mapping[str, Any]:
        """Times and counters since the start; bench/README.md names them."""
        since = self.command("stats")
        return self.wait_event("stats", since=since).fields


def _pin_state(event: Event) -> PinState:
    level, duty = event["level"], event["duty"]
    return PinState(mode=event["mode"], level=None if level < 0 else level, duty=None if duty < 0 else duty)
