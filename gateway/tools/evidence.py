"""Gathers what a diagnosis looks at: the port, who holds it, what else runs on this machine. Opens no port.

The caller's thread. Linux tells most of it; elsewhere less is known, and nothing fails.
"""

import contextlib
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.link.discovery import PortLister, device_of, find_port, plugged_in
from gateway.link.holders import PROC, Holder, holders
from gateway.model import BoardStatus, Clock
from gateway.tools.doctor import BRLTTY, MODEM_MANAGER, Evidence
from gateway.tools.permission import how_to_permit

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
    url: str = "",
    flash: str | None = None,
    journal_fault: str | None = None,
    surroundings: Surroundings = HERE,
) -> Evidence:
    """All that can be known of a board without disturbing it. `url` is the gateway's address, where one runs, `flash`
    the command that flashes this board, for one that is not configured."""
    evidence = Evidence(
        status,
        now_s=clock.time(),
        flash=flash or f"gateway flash --board {status.board}",
        url=url,
        meddlers=_meddlers(surroundings.proc),
        journal_fault=journal_fault,
        state_dir=str(state_dir),
        free_bytes=_free_bytes(state_dir),
    )
    if not evidence.is_device:
        return evidence
    plugged = surroundings.list_ports()
    device = find_port(status.port, plugged)
    return replace(
        evidence,
        plugged=plugged,
        device=device,
        holders=_others(holders(status.port, proc=surroundings.proc)),
        permission_cure=how_to_permit(status.port, usb_ids=device.usb_ids if device else None),
        latency_timer_ms=_latency_timer_ms(status.port, surroundings.tty_class),
    )


def _others(found: tuple[Holder, ...] | None) -> tuple[Holder, ...] | None:
    """Without this process, which may just be trying again."""
    return None if found is None else tuple(holder for holder in found if holder.pid != os.getpid())


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
