"""Gathers what a diagnosis looks at: the port, who holds it, what else runs on this machine. Opens no port.

The caller's thread. Linux tells most of it; elsewhere less is known, and nothing fails.
"""

import contextlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.link.discovery import PortLister, device_of, plugged_in
from gateway.link.faults import permission_cure
from gateway.link.holders import PROC, holders, may_open
from gateway.model import BoardStatus, Clock
from gateway.tools.doctor import BRLTTY, MODEM_MANAGER, Evidence

TTY_CLASS = Path("/sys/class/tty")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where to look; tests have their own."""

    list_ports: PortLister = plugged_in
    proc: Path = PROC
    tty_class: Path = TTY_CLASS


HERE = Surroundings()


def gather(
    status: BoardStatus,
    *,
    clock: Clock,
    state_dir: Path,
    journal_fault: str | None = None,
    surroundings: Surroundings = HERE,
) -> Evidence:
    """All that can be known of a board without disturbing it."""
    evidence = Evidence(
        status,
        now_s=clock.time(),
        meddlers=_meddlers(surroundings.proc),
        journal_fault=journal_fault,
        state_dir=str(state_dir),
        free_bytes=_free_bytes(state_dir),
    )
    if not evidence.is_device:
        return evidence
    return replace(
        evidence,
        plugged=surroundings.list_ports(),
        holders=holders(status.port, proc=surroundings.proc),
        may_open=may_open(status.port),
        permission_cure=permission_cure(status.port),
        latency_timer_ms=_latency_timer_ms(status.port, surroundings.tty_class),
    )


def _meddlers(proc: Path) -> tuple[str, ...]:
    running = set()
    for name in proc.glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it has just ended
            running.add(name.read_text(errors="replace").strip())
    return tuple(name for name in (MODEM_MANAGER, BRLTTY) if name in running)


def _latency_timer_ms(port: str, tty_class: Path) -> int | None:
    """Of an FTDI chip, as its driver has it."""
    try:
        return int((tty_class / Path(device_of(port)).name / "device" / "latency_timer").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _free_bytes(directory: Path) -> int | None:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None
