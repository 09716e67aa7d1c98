"""What `gateway ports` knows of each serial port: what is plugged in, its lasting name, who holds it, who may open it.

The caller's thread. Opens no port.
"""

from dataclasses import dataclass

from gateway.link.discovery import PluggedPort, PortLister, plugged_in, stable_path
from gateway.link.faults import permission_cure
from gateway.link.holders import Holder, holders, may_open


@dataclass(frozen=True, slots=True)
class PortReport:
    """One port. `stable_path` outlives the plug; `held_by` and `may_open` are None where the system can't tell; `cure`
    is what to do where it may not be opened."""

    plugged: PluggedPort
    stable_path: str | None
    held_by: tuple[Holder, ...] | None
    may_open: bool | None
    cure: str | None


def look_around(*, list_ports: PortLister = plugged_in) -> tuple[PortReport, ...]:
    """Every serial port; those with a USB identity first."""
    ports = sorted(list_ports(), key=lambda plugged: plugged.vendor is None)
    return tuple(_report(plugged) for plugged in ports)


def _report(plugged: PluggedPort) -> PortReport:
    allowed = may_open(plugged.port)
    return PortReport(
        plugged,
        stable_path=stable_path(plugged),
        held_by=holders(plugged.port),
        may_open=allowed,
        cure=permission_cure(plugged.port) if allowed is False else None,
    )
