"""What a board that does not speak our protocol looks like, by the bytes that it sent. Pure.

Each row is what that firmware is known to print or send at its start or when asked who it is: Firmata's sysex 0x79
(firmata.org, "Report Firmware"), Marlin's M115, Grbl's banner and answers, the boot ROM of the ESP8266 and ESP32.
"""

import re

FIRMATA_ASK = bytes.fromhex("f0 79 f7")
FIRMATA_BAUD = 57_600
G_CODE_ASK = b"\nM115\n"  # Marlin tells its name; Grbl that it does not know the word
G_CODE_BAUDS = (115_200, 250_000)

LOOKS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("Firmata", re.compile(rb"\xf0\x79[\x00-\x0f][\x00-\x0f]|\xf9[\x00-\x0f][\x00-\x0f]\xf0\x79")),
    ("Marlin, the firmware of 3D printers", re.compile(rb"FIRMWARE_NAME:|echo:\s?Marlin|echo:Unknown command")),
    ("Grbl, the firmware of CNC machines", re.compile(rb"Grbl \d|\['\$' for help\]|^error:\d+\r?$", re.MULTILINE)),
    (
        "an ESP8266 or ESP32, which this sketch does not run on",
        re.compile(rb"ets [A-Z][a-z]{2} +\d|rst:0x|boot mode:\("),
    ),
    ("MicroPython or CircuitPython", re.compile(rb"MicroPython v|CircuitPython|^>>> ?$", re.MULTILINE)),
    ("AT commands, a modem or a radio module", re.compile(rb"^(AT(\+|\r)|\+[A-Z]+:|OK\r$)", re.MULTILINE)),
)
"""The first that fits."""


def looks_like(heard: bytes) -> str | None:
    """The firmware that sends such bytes, None for one that nobody knows by them."""
    return next((name for name, pattern in LOOKS if pattern.search(heard)), None)
