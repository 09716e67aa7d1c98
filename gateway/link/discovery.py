"""What is plugged in: every serial port of this machine with its USB identity.

Any thread may ask. Looks at what the system lists and opens no port.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from serial.tools.list_ports_common import ListPortInfo

from gateway.link.usb import KINDS, UsbKind, listed

LINKS_BY_ID = Path("/dev/serial/by-id")
LINKS_BY_PATH = Path("/dev/serial/by-path")
"""Where udev keeps names that outlive the plug: by what a device says of itself, and by where it is plugged in."""


@dataclass(frozen=True, slots=True)
class PluggedPort:
    """A serial port as long as it stays plugged in. `vendor` and `product` are None where it is no USB device;
    `location` is the USB port it sits in, such as `1-1.4`. AVR boards with a CH340 or PL2303 have no serial number."""

    port: str
    vendor: int | None = None
    product: int | None = None
    serial_number: str | None = None
    location: str | None = None
    description: str | None = None

    @property
    def usb_ids(self) -> str | None:
        """Vendor and product as everyone writes them, `2341:0043`."""
        return None if self.vendor is None else f"{self.vendor:04x}:{self.product or 0:04x}"

    @property
    def kind(self) -> UsbKind | None:
        """What its USB ids mean, where they are known."""
        return KINDS.get((self.vendor or 0, self.product or 0))

    @property
    def model(self) -> str | None:
        """The board or chip, else what the device says of itself, else its USB ids."""
        if self.kind is None:
            return self.description or self.usb_ids
        return f"{self.kind.model} (bootloader)" if self.kind.bootloader else self.kind.model

    @property
    def may_be_board(self) -> bool:
        """Its USB ids are those of a board, or of a chip that boards have: `port: auto` may open it."""
        return self.kind is not None and not self.kind.bootloader

    def __str__(self) -> str:
        """`/dev/ttyUSB0 (CH340, serial number 7, location 1-1.4)`."""
        facts = {"": self.model, "serial number ": self.serial_number, "location ": self.location}
        told = ", ".join(f"{name}{fact}" for name, fact in facts.items() if fact)
        return f"{self.port} ({told})" if told else self.port


PortLister = Callable[[], tuple[PluggedPort, ...]]
"""`plugged_in`, or a test's own."""


def plugged_in() -> tuple[PluggedPort, ...]:
    """Every serial port, USB or not, in the order of their names."""
    return tuple(_plugged(found) for found in sorted(listed()))


def device_of(port: str) -> str:
    """The device file behind a symbolic link such as those of udev; anything else as it is."""
    return os.path.realpath(port) if os.path.islink(port) else port


def find_port(port: str, ports: Iterable[PluggedPort]) -> PluggedPort | None:
    """The listed port that this name means, through a symbolic link too; None where it is not among them."""
    device = device_of(port)
    return next((plugged for plugged in ports if device_of(plugged.port) == device), None)


def stable_path(plugged: PluggedPort, *, by_id: Path = LINKS_BY_ID, by_path: Path = LINKS_BY_PATH) -> str | None:
    """The name by which udev keeps this port whatever its tty is called, None where there is none. A link by id is no
    name of its own for a device without a serial number: two of them share it."""
    folders = (by_id, by_path) if plugged.serial_number else (by_path,)
    return next((link for folder in folders for link in _links(folder) if device_of(link) == plugged.port), None)


def _links(folder: Path) -> list[str]:
    try:
        return sorted(str(link) for link in folder.iterdir())
    except OSError:
        return []


def _plugged(found: ListPortInfo) -> PluggedPort:
    described = found.description if found.description not in (None, "", "n/a", found.name) else None
    return PluggedPort(
        found.device,
        vendor=found.vid,
        product=found.pid,
        serial_number=found.serial_number or None,
        location=found.location or None,
        description=described,
    )
