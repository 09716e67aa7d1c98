"""The byte channel to a board: any pyserial URL, opened for sole use, with one wait and one kind of failure.

One thread, the board's worker, opens, uses and closes a port; other threads only set its wake. Nothing here knows
frames. Whatever goes wrong is a LinkError, and the port is then closed already.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import serial

from gateway.errors import LinkError
from gateway.link import faults, terminal, usb
from gateway.link.tap import Tap, Trace, TraceKind
from gateway.link.waits import Scheduled, ScheduledWait, SelectorWait, SlicedWait, Wait
from gateway.link.wake import Wake
from gateway.model import Clock

WRITE_TIMEOUT_S = 1.0  # longer than any frame takes, shorter than the link timeout
READ_BYTES = 4096  # at most for one read
VIRTUAL_SCHEMES = ("virtual", "replay")

serial.protocol_handler_packages.append("gateway.link")  # where pyserial finds protocol_virtual


@dataclass(frozen=True, slots=True)
class PortTraits:
    """What the kind of port says about the board behind it."""

    virtual: bool
    """Not a real board."""
    answers_at_once: bool
    """Opening did not reset the board: it can be spoken to without a wait."""
    fixed_baud: bool
    """The rate means nothing: no baud search, no bootloader to leave."""


def is_virtual(url: str) -> bool:
    """Whether a URL means a virtual board, known without opening it."""
    return faults.scheme_of(url) in VIRTUAL_SCHEMES


def open_port(url: str, *, baud: int, wake: Wake, tap: Tap | None = None, clock: Clock = time) -> "SerialPort":
    """Opens a port for sole use. Raises LinkError with reason and cure; nothing stays open then."""
    faults.check_address(url)
    with faults.opening(url), contextlib.ExitStack() as undo:
        port = serial.serial_for_url(url, do_not_open=True, **_settings(url, baud))
        undo.callback(_close, port)
        port.open()  # asserts DTR and discards what came before
        kept_running = terminal.take(port)
        opened = SerialPort(
            port,
            url=url,
            traits=_traits(url, kept_running=kept_running),
            wait=_way_to_wait(port, wake, clock=clock),
            tap=tap,
            clock=clock,
        )
        undo.pop_all()
        opened.tell(TraceKind.OPENED, url.encode())
        opened.tell(TraceKind.BAUD, str(baud).encode())
        return opened


class SerialPort:
    """An open port. After its first LinkError it is closed; every later call raises LinkError again."""

    def __init__(
        self,
        port: serial.SerialBase,
        *,
        url: str,
        traits: PortTraits,
        wait: Wait,
        tap: Tap | None = None,
        clock: Clock = time,
    ) -> None:
        self.traits = traits
        self._port = port
        self._url = url
        self._wait = wait
        self._tap = tap
        self._clock = clock
        self._closed = False

    def read(self) -> bytes:
        """What has come, b"" for nothing yet. Never blocks."""
        with self._using("reading"):
            data = self._port.read(READ_BYTES)
            while data and len(data) < READ_BYTES and self._port.in_waiting:  # type: ignore[attr-defined]
                data += self._port.read(READ_BYTES)  # rfc2217 gives one byte at a time
        if data:
            self.tell(TraceKind.RECEIVED, data)
        return data

    def write(self, data: bytes) -> None:
        """Gives all of it to the port, within a second."""
        self.tell(TraceKind.SENT, data)
        with self._using("writing"):
            self._port.write(data)

    def set_baud(self, baud: int) -> None:
        """Another rate; means nothing where `traits.fixed_baud`."""
        with self._using("setting its rate"):
            self._port.baudrate = baud
        self.tell(TraceKind.BAUD, str(baud).encode())

    def wait(self, timeout_s: float | None) -> None:
        """Until bytes, a wake or the time (None = for ever); may also return early for nothing."""
        with self._using("waiting"):
            self._wait(timeout_s)

    def close(self, why: str = "") -> None:
        """Releases everything. Never raises; again is fine."""
        self._wait.close()
        _close(self._port)
        if not self._closed:
            self._closed = True
            self.tell(TraceKind.CLOSED, why.encode())

    def tell(self, kind: TraceKind, data: bytes) -> None:
        """To whoever listens; costs nothing where nobody does."""
        if self._tap is not None:
            self._tap(Trace(kind, self._clock.monotonic(), self._clock.time(), data))

    @contextlib.contextmanager
    def _using(self, doing: str) -> Iterator[None]:
        try:
            with faults.using(self._url, doing):
                yield
        except LinkError as error:
            self.close(str(error))
            raise


def _settings(url: str, baud: int) -> dict[str, Any]:
    """For pyserial; timeout 0 = a read never blocks. rfc2217 refuses a write timeout and has its own, of 5 s."""
    bounded = {} if faults.scheme_of(url) == "rfc2217" else {"write_timeout": WRITE_TIMEOUT_S}
    return {"baudrate": baud, "timeout": 0, "exclusive": True, **bounded}


def _traits(url: str, *, kept_running: bool) -> PortTraits:
    virtual = is_virtual(url)
    fixed_baud = virtual or faults.scheme_of(url) == "socket" or usb.is_native_usb(url)
    return PortTraits(virtual=virtual, answers_at_once=fixed_baud or kept_running, fixed_baud=fixed_baud)


def _way_to_wait(port: serial.SerialBase, wake: Wake, *, clock: Clock) -> Wait:
    if hasattr(port, "due_s"):
        return ScheduledWait(cast(Scheduled, port), wake=wake, clock=clock)
    descriptor = terminal.descriptor_of(port)
    if descriptor is None:
        return SlicedWait(port, wake=wake, clock=clock)
    return SelectorWait(descriptor, wake=wake)


def _close(port: serial.SerialBase) -> None:
    """pyserial's handlers forget to close a socket whose peer is already gone."""
    forgotten = getattr(port, "_socket", None)
    terminal.give_back(port)
    for closing in (port, forgotten):
        if closing is not None:
            with contextlib.suppress(Exception):
                closing.close()
