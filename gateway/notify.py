"""Tells the service manager how the gateway is: ready, its status in a line, stopping, and that its threads move.

Speaks sd_notify(3): datagrams to the socket that $NOTIFY_SOCKET names. Everything runs in the main thread, which comes
by between two rounds of the server, so that a server that hangs is found out too. Nothing here raises: a service
manager that does not listen keeps no board from being served.
"""

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence

from gateway.heartbeat import Heartbeat
from gateway.model import Clock

SOCKET_VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLE = "WATCHDOG_USEC"
WATCHDOG_PID_VARIABLE = "WATCHDOG_PID"  # whom the watchdog means, where it is not every process of the service
SEND_TIMEOUT_S = 1.0  # for a service manager that is busy
TICK_S = 1.0  # how soon the status line follows
TICKS_PER_INTERVAL = 2  # at least, so that a feed is late by half an interval at most

logger = logging.getLogger(__name__)


class Notifier:
    """The way to the service manager; silent without an address."""

    def __init__(self, address: str = "") -> None:
        """An absolute path, or `@` and a name in the abstract namespace; others (vsock) are not spoken to."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._failing = False
        if address and address[0] not in "/@":
            logger.warning("%s=%s is neither a path nor an abstract name; not used", SOCKET_VARIABLE, address)
            self._address = ""

    @property
    def listening(self) -> bool:
        """Whether there is anyone to tell."""
        return bool(self._address)

    def send(self, *lines: str) -> None:
        """One datagram of `NAME=value` lines."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_TIMEOUT_S)
                sender.sendto("\n".join(lines).encode(), self._address)
            self._failing = False
        except OSError as error:
            level = logging.DEBUG if self._failing else logging.WARNING
            logger.log(level, "can't tell the service manager %s: %s", lines[0], error.strerror or error)
            self._failing = True


class Watchdog:
    """Feeds the service manager's watchdog as long as every thread answers.

    At each feed all are asked, and the next one waits for their answers. So a thread that hangs is found out between
    one and one and a half times `limit_s` later, and one that rests is woken once per `interval_s`, no more.
    """

    def __init__(self, notifier: Notifier, *, limit_s: float, heartbeats: Sequence[Heartbeat], clock: Clock) -> None:
        self.interval_s = limit_s / 2
        self._notifier = notifier
        self._heartbeats = heartbeats
        self._clock = clock
        self._due_s = clock.monotonic()
        self._hanging: list[str] = []

    def tick(self) -> None:
        """Feeds if that is due and deserved."""
        now_s = self._clock.monotonic()
        if now_s < self._due_s:
            return
        self._tell([heartbeat.thread for heartbeat in self._heartbeats if not heartbeat.answered])
        if self._hanging:
            return
        self._notifier.send("WATCHDOG=1")
        self._due_s = now_s + self.interval_s
        for heartbeat in self._heartbeats:
            heartbeat.ask()

    def _tell(self, hanging: list[str]) -> None:
        if hanging and hanging != self._hanging:
            logger.warning("%s: no sign of life for %g s; the watchdog gets none", ", ".join(hanging), self.interval_s)
        elif self._hanging and not hanging:
            logger.info("%s: moves again; so does the watchdog", ", ".join(self._hanging))
        self._hanging = hanging


class Supervisor:
    """What the main thread has to tell while the gateway runs."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        heartbeats: Sequence[Heartbeat],
        status: Callable[[], str],
        clock: Clock,
    ) -> None:
        """`status` is what `systemctl status` shows: one line, told whenever it changes."""
        self._notifier = Notifier(environ.get(SOCKET_VARIABLE, ""))
        self._status = status
        self._told = ""
        limit_s = watchdog_limit_s(environ) if self._notifier.listening else None
        self._watchdog = (
            Watchdog(self._notifier, limit_s=limit_s, heartbeats=heartbeats, clock=clock) if limit_s else None
        )

    @property
    def tick_interval_s(self) -> float:
        """How often `tick` has to be called at least."""
        return min(TICK_S, self._watchdog.interval_s / TICKS_PER_INTERVAL) if self._watchdog else TICK_S

    def ready(self) -> None:
        """The address is open: clients and dependent services may come."""
        self._notifier.send("READY=1")
        self.tick()

    def tick(self) -> None:
        """Between two rounds of the server."""
        if self._notifier.listening and (status := self._status()) != self._told:
            self._notifier.send(f"STATUS={status}")
            self._told = status
        if self._watchdog:
            self._watchdog.tick()

    def stopping(self) -> None:
        """The end has begun."""
        self._notifier.send("STOPPING=1", "STATUS=Stopping")


def watchdog_limit_s(environ: Mapping[str, str]) -> float | None:
    """How long the service manager goes without a sign of life; None where it has no watchdog on this process."""
    microseconds = environ.get(WATCHDOG_VARIABLE, "")
    if not microseconds or environ.get(WATCHDOG_PID_VARIABLE, str(os.getpid())) != str(os.getpid()):
        return None
    if not (microseconds.isascii() and microseconds.isdigit() and int(microseconds)):
        logger.warning("%s=%s is no number of microseconds; not used", WATCHDOG_VARIABLE, microseconds)
        return None
    return int(microseconds) / 1e6
