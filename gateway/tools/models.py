"""The boards that can be flashed: chip, bootloader, and which of the shipped images is theirs. One table; pure.

Signatures, page and flash sizes are those of the chips' data sheets; rates and sizes of bootloaders those of the
Arduino AVR core's boards.txt.
"""

import enum
from dataclasses import dataclass


class Protocol(enum.StrEnum):
    """What a bootloader speaks."""

    STK500V1 = "STK500 v1"
    STK500V2 = "STK500 v2"
    AVR109 = "AVR109"


@dataclass(frozen=True, slots=True)
class Chip:
    """A microcontroller; sizes in bytes. `part` is what avrdude calls it."""

    name: str
    part: str
    signatures: tuple[bytes, ...]
    flash_bytes: int
    page_bytes: int


@dataclass(frozen=True, slots=True)
class BootloaderKind:
    """A bootloader as it comes on boards; it takes `reserved_bytes` at the end of the flash."""

    name: str
    protocol: Protocol
    baud: int
    reserved_bytes: int


@dataclass(frozen=True, slots=True)
class Model:
    """A board: the `name` of `--model`, its `title` as sketches and people say it, the bootloaders it may have in the
    order in which they are tried, and the name of its image."""

    name: str
    title: str
    chip: Chip
    bootloaders: tuple[BootloaderKind, ...]
    image: str

    def capacity(self, bootloader: BootloaderKind) -> int:
        """How many bytes a sketch may have."""
        return self.chip.flash_bytes - bootloader.reserved_bytes


ATMEGA328P = Chip("ATmega328P", "m328p", (b"\x1e\x95\x0f", b"\x1e\x95\x14"), 32_768, 128)  # and 328 without P
ATMEGA2560 = Chip("ATmega2560", "m2560", (b"\x1e\x98\x01",), 262_144, 256)
ATMEGA32U4 = Chip("ATmega32U4", "m32u4", (b"\x1e\x95\x87",), 32_768, 128)

OPTIBOOT = BootloaderKind("Optiboot", Protocol.STK500V1, 115_200, 512)
ATMEGABOOT = BootloaderKind("ATmegaBOOT", Protocol.STK500V1, 57_600, 2_048)
STK500BOOT = BootloaderKind("stk500boot", Protocol.STK500V2, 115_200, 8_192)
CATERINA = BootloaderKind("Caterina", Protocol.AVR109, 57_600, 4_096)

UNO = Model("uno", "Arduino Uno", ATMEGA328P, (OPTIBOOT, ATMEGABOOT), "uno")
NANO = Model("nano", "Arduino Nano", ATMEGA328P, (OPTIBOOT, ATMEGABOOT), "nano")
NANO_OLD = Model("nano-old", "Arduino Nano", ATMEGA328P, (ATMEGABOOT,), "nano")
MEGA = Model("mega", "Arduino Mega", ATMEGA2560, (STK500BOOT,), "mega")
LEONARDO = Model("leonardo", "Arduino Leonardo", ATMEGA32U4, (CATERINA,), "leonardo")

MODELS = {model.name: model for model in (UNO, NANO, NANO_OLD, MEGA, LEONARDO)}

Candidate = tuple[Model, BootloaderKind]

UNTOLD: tuple[Candidate, ...] = ((UNO, OPTIBOOT), (NANO_OLD, ATMEGABOOT), (MEGA, STK500BOOT))
"""What a board may be of which nothing is known: the bootloader that answers decides. A Nano with Optiboot is taken for
an Uno, whose image it runs."""

_TITLES = {
    **{model.title: model for model in (UNO, NANO, MEGA, LEONARDO)},
    "Arduino Uno Mini": UNO,
    "Arduino Uno WiFi": UNO,
    "Arduino Mega ADK": MEGA,
    "Arduino Micro": LEONARDO,
}


def candidates(model: Model | None) -> tuple[Candidate, ...]:
    """What to try on a board of this model, or of an unknown one."""
    return UNTOLD if model is None else tuple((model, bootloader) for bootloader in model.bootloaders)


def model_called(title: str) -> Model | None:
    """The model that sketches and lists of ports call so."""
    return _TITLES.get(title)
