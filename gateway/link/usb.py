"""Which ports are native USB: the board's own processor is the USB device, so nothing resets it on opening and no
rate matters. Looks at what the system lists; opens nothing."""

import os

from serial.tools import list_ports

ARDUINO, ARDUINO_ORG, SPARKFUN, ADAFRUIT = 0x2341, 0x2A03, 0x1B4F, 0x239A
NATIVE_USB = frozenset(
    {
        *((vendor, product) for vendor in (ARDUINO, ARDUINO_ORG) for product in (0x8036, 0x8037, 0x803C)),
        *((vendor, product) for vendor in (ARDUINO, ARDUINO_ORG) for product in (0x8038, 0x8039, 0x8041)),
        (ARDUINO, 0x8237),
        *((ARDUINO_ORG, product) for product in (0x8001, 0x8040, 0x8050, 0x8056)),
        *((SPARKFUN, product) for product in (0x9204, 0x9206, 0x9208)),
        (ADAFRUIT, 0x8011),
    }
)
"""Vendor and product ids of ATmega32U4 boards while a sketch runs: Leonardo, Micro, Esplora; Robot, Yun; Micro of
2017; Linino, Leonardo ETH, Yun Mini, Industrial 101; Pro Micro 3.3 V and 5 V, LilyPad USB; Circuit Playground (the
Arduino AVR core's boards.txt; SparkFun's for the Pro Micro)."""


def is_native_usb(port: str) -> bool:
    """Whether a device file or COM port, a symbolic link to one too, is one of those boards."""
    device = os.path.realpath(port) if os.path.islink(port) else port
    return any((found.vid, found.pid) in NATIVE_USB for found in list_ports.comports() if found.device == device)
