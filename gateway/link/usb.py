"""USB ids of the boards and chips that are known, and which of them are native USB: the board's own processor is the
USB device, so nothing resets it on opening and no rate matters. Looks at what the system lists; opens nothing."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

LISTING_TRIES = 3
ARDUINO, ARDUINO_ORG, SPARKFUN, ADAFRUIT = 0x2341, 0x2A03, 0x1B4F, 0x239A
BOTH = (ARDUINO, ARDUINO_ORG)  # makers of the same boards for some years


@dataclass(frozen=True, slots=True)
class UsbKind:
    """What a USB id means. `model` is a board's name, or a chip's that may be on any board; a `bootloader` is a native
    USB board that is being flashed or was reset twice, and is no sketch to talk to."""

    model: str
    native: bool = False
    bootloader: bool = False


def _with(kind: UsbKind, vendors: Iterable[int], *products: int) -> dict[tuple[int, int], UsbKind]:
    return {(vendor, product): kind for vendor in vendors for product in products}


def _native(model: str, vendors: Iterable[int], *products: int) -> dict[tuple[int, int], UsbKind]:
    """Arduino's own, by the products of their sketches. In the bootloader the highest bit is missing."""
    vendors = tuple(vendors)
    return {
        **_with(UsbKind(model, native=True), vendors, *products),
        **_with(UsbKind(model, native=True, bootloader=True), vendors, *(product & 0x7FFF for product in products)),
    }


KINDS: Mapping[tuple[int, int], UsbKind] = MappingProxyType(
    {
        **_with(UsbKind("Arduino Uno"), BOTH, 0x0043),
        **_with(UsbKind("Arduino Uno"), (ARDUINO,), 0x0001, 0x0243, 0x006A),
        **_with(UsbKind("Arduino Uno Mini"), (ARDUINO,), 0x0062),
        **_with(UsbKind("Arduino Uno WiFi"), (ARDUINO_ORG,), 0x0057),
        **_with(UsbKind("Arduino Mega"), BOTH, 0x0010, 0x0042),
        **_with(UsbKind("Arduino Mega"), (ARDUINO,), 0x0210, 0x0242),
        **_with(UsbKind("Arduino Mega ADK"), BOTH, 0x003F, 0x0044),
        **_native("Arduino Leonardo", BOTH, 0x8036),
        **_native("Arduino Leonardo ETH", (ARDUINO_ORG,), 0x8040),
        **_native("Arduino Micro", BOTH, 0x8037),
        **_native("Arduino Micro", (ARDUINO,), 0x8237),
        **_native("Arduino Esplora", BOTH, 0x803C),
        **_native("Arduino Robot", BOTH, 0x8038, 0x8039),
        **_native("Arduino Yún", BOTH, 0x8041),
        **_native("Arduino Yún Mini", (ARDUINO_ORG,), 0x8050),
        **_native("Arduino Industrial 101", (ARDUINO_ORG,), 0x8056),
        **_native("Linino One", (ARDUINO_ORG,), 0x8001),
        **_with(UsbKind("SparkFun Pro Micro", native=True), (SPARKFUN,), 0x9204, 0x9206),
        **_with(UsbKind("SparkFun Pro Micro", native=True, bootloader=True), (SPARKFUN,), 0x9203, 0x9205),
        **_with(UsbKind("LilyPad Arduino USB", native=True), (SPARKFUN,), 0x9208),
        **_with(UsbKind("LilyPad Arduino USB", native=True, bootloader=True), (SPARKFUN,), 0x9207),
        **_native("Circuit Playground", (ADAFRUIT,), 0x8011),
        **_with(UsbKind("CH340"), (0x1A86,), 0x7522, 0x7523, 0x5523),
        **_with(UsbKind("CH9102"), (0x1A86,), 0x55D4),
        **_with(UsbKind("FTDI FT232"), (0x0403,), 0x6001),
        **_with(UsbKind("FTDI FT231X"), (0x0403,), 0x6015),
        **_with(UsbKind("CP2102"), (0x10C4,), 0xEA60),
        **_with(UsbKind("PL2303"), (0x067B,), 0x2303, 0x23A3),
    }
)
"""By vendor and product: the boards of the Arduino AVR core's boards.txt and of SparkFun's, and the serial chips of
boards that have no id of their own."""

NATIVE_USB = frozenset(ids for ids, kind in KINDS.items() if kind.native and not kind.bootloader)
"""ATmega32U4 boards while a sketch runs."""


def listed() -> list[ListPortInfo]:
    """What the system lists, in its own order. Where pyserial stumbles over a device that vanishes meanwhile, it looks
    again."""
    for _ in range(LISTING_TRIES):
        with contextlib.suppress(OSError, TypeError, ValueError):
            return list(list_ports.comports())
    return []


def is_native_usb(port: str) -> bool:
    """Whether a device file or COM port, a symbolic link to one too, is one of those boards."""
    device = os.path.realpath(port) if os.path.islink(port) else port
    return any((found.vid, found.pid) in NATIVE_USB for found in listed() if found.device == device)
