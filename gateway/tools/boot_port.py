"""A port as bootloaders want it: the board is reset at will, at the bootloader's rate, and a read waits.

The caller's thread. Whatever goes wrong is a LinkError; the port is then to be closed, as it is after each use.
"""

import contextlib
import threading
from types import TracebackType
from typing import Any, Self

import serial

from gateway.errors import LinkError
from gateway.link import faults, terminal
from gateway.model import Reason

WRITE_TIMEOUT_S = 2.0
RESET_PULSE_S = 0.25  # how long DTR and RTS are down: as avrdude does, long enough for every USB chip
SETTLE_S = 0.05  # from DTR up to the first byte, as avrdude waits
UNFIT = {
    "socket": "a plain TCP port can neither set the rate nor reset the board: let ser2net offer it as "
    "telnet(rfc2217) and name it rfc2217://host:port, or plug the board in here",
    "virtual": "it is a virtual board, and runs what it runs; name a real one with --port",
    "replay": "it is a recording; name a real board with --port",
}
"""Kinds of port that no board can be flashed through, and what to do instead."""


def pause(seconds: float) -> None:
    """Lets time pass that a circuit needs; nothing could end it sooner."""
    threading.Event().wait(seconds)


def check_flashable(url: str) -> None:
    """Raises LinkError for a port that no board can be flashed through."""
    if (why := UNFIT.get(faults.scheme_of(url))) is not None:
        raise LinkError(Reason.PORT_MISSING, f"{url} can't be flashed: {why}")


class BootPort:
    """An open port, as `bootloader.Channel`; a context manager. The next opening of the port resets the board again."""

    def __init__(self, url: str, *, baud: int) -> None:
        """Opens it for sole use. Raises LinkError with reason and cure."""
        check_flashable(url)
        faults.check_address(url)
        self._url = url
        with faults.opening(url):
            self._port = serial.serial_for_url(url, do_not_open=True, **_settings(url, baud))
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def reset(self, *, baud: int) -> None:
        """Resets the board into its bootloader, and goes on at that rate."""
        with faults.using(self._url, "resetting the board"):
            self._port.baudrate = baud
            try:
                self._pulse()
            except OSError:  # no modem lines, as on a pseudo-terminal: opening it anew is a reset, too
                self._reopen()
            pause(SETTLE_S)
            self._port.reset_input_buffer()

    def write(self, data: bytes) -> None:
        """Gives all of it to the port."""
        with faults.using(self._url, "writing"):
            self._port.write(data)

    def read(self, size: int, *, timeout_s: float) -> bytes:
        """So many bytes, fewer when the time is over."""
        with faults.using(self._url, "reading"):
            if self._port.timeout != timeout_s:  # over a network that is a conversation of its own
                self._port.timeout = timeout_s
            return self._port.read(size)

    def discard(self) -> None:
        """Forgets what has come and was not read."""
        with faults.using(self._url, "reading"):
            self._port.reset_input_buffer()

    def close(self) -> None:
        """Releases everything. Never raises; again is fine."""
        terminal.give_back(self._port)
        with contextlib.suppress(*faults.PORT_ERRORS):  # a port that has gone is closed
            self._port.close()

    def _open(self) -> None:
        self._port.open()
        try:
            terminal.take(self._port)
            terminal.reset_at_next_opening(self._port)
        except BaseException:
            self._port.close()
            raise

    def _pulse(self) -> None:
        for level in (False, True):
            self._port.dtr = level
            self._port.rts = level
            if not level:
                pause(RESET_PULSE_S)

    def _reopen(self) -> None:
        self.close()
        pause(RESET_PULSE_S)
        self._open()


def _settings(url: str, baud: int) -> dict[str, Any]:
    """For pyserial; rfc2217 refuses a write timeout and has its own."""
    bounded = {} if faults.scheme_of(url) == "rfc2217" else {"write_timeout": WRITE_TIMEOUT_S}
    return {"baudrate": baud, "exclusive": True, **bounded}
