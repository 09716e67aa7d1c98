"""Checks a firmware image against its limits, and keeps hex/ with its manifest. Run by the Makefile.

manifest.py check ELF [--flash BYTES --ram BYTES]
manifest.py write ELF HEX BOARD
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HEX_DIRECTORY = Path(__file__).resolve().parent / "hex"
CORE_DIRECTORY = Path("/usr/share/arduino/hardware/arduino/avr")
RAM_OFFSET = 0x800000
"""Where avr-gcc puts RAM in its one address space."""
LOWEST_RECORD = 0x20C
"""ATmegaBOOT, the old Nano's bootloader, wipes RAM below this at every reset."""
STACK_BYTES = 350
"""What is kept free above the record for the stack."""


class ImageError(Exception):
    """The image does not keep a limit; the text says which, and by how much."""


@dataclass(frozen=True, slots=True)
class Image:
    """A linked sketch: what the tool chain tells about it."""

    elf: Path

    def sections(self) -> dict[str, tuple[int, int]]:
        """Size and address of each section."""
        rows = re.findall(r"^(\.\w+)\s+(\d+)\s+(\d+)\s*$", run("avr-size", "-A", self.elf), re.MULTILINE)
        return {name: (int(size), int(address)) for name, size, address in rows}

    def flash_bytes(self) -> int:
        return self._total(".text", ".data")

    def ram_bytes(self) -> int:
        """Static RAM, the record in .noinit included, as the Arduino IDE counts it."""
        return self._total(".data", ".bss", ".noinit")

    def _total(self, *names: str) -> int:
        size = {name: entry[0] for name, entry in self.sections().items()}
        return sum(size.get(name, 0) for name in names)

    def stack_top(self) -> int:
        """RAMEND of the chip."""
        found = re.search(r"^(\w+) . __stack$", run("avr-nm", self.elf), re.MULTILINE)
        return int(found[1], 16) & 0xFFFF if found else 0

    def record_place(self) -> tuple[int, int]:
        """First address and end of the record that survives a reset."""
        size, address = self.sections()[".noinit"]
        return address - RAM_OFFSET, address - RAM_OFFSET + size

    def table(self, name: str) -> bytes:
        """The bytes of one of the sketch's tables in flash; empty if it has none."""
        found = re.search(rf"^(\w+) (\w+) . \w*{name}E", run("avr-nm", "-S", self.elf), re.MULTILINE)
        if not found:
            return b""
        with tempfile.NamedTemporaryFile() as flash:
            run("avr-objcopy", "-O", "binary", "-j", ".text", self.elf, flash.name)
            start, size = int(found[1], 16), int(found[2], 16)
            return Path(flash.name).read_bytes()[start : start + size]


def run(*command: str | Path) -> str:
    """What a program prints."""
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout


def fnv1a(data: bytes) -> int:
    """The hash that names a schema: 32 bit."""
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def strings(record: bytes) -> list[str]:
    """The length-prefixed strings of a record."""
    texts = []
    while record:
        texts.append(record[1 : 1 + record[0]].decode())
        record = record[1 + record[0] :]
    return texts


def check(image: Image, *, flash_ceiling: int | None, ram_ceiling: int | None) -> str:
    """Hold the image against its limits; a line with its size. Raises ImageError."""
    flash, ram = image.flash_bytes(), image.ram_bytes()
    if flash_ceiling is not None and flash > flash_ceiling:
        raise ImageError(f"{flash} bytes of flash, {flash - flash_ceiling} more than the ceiling of {flash_ceiling}")
    if ram_ceiling is not None and ram > ram_ceiling:
        raise ImageError(f"{ram} bytes of static RAM, {ram - ram_ceiling} more than the ceiling of {ram_ceiling}")
    start, end = image.record_place()
    if start < LOWEST_RECORD:
        raise ImageError(f"the record begins at 0x{start:X}; a bootloader may wipe what lies below 0x{LOWEST_RECORD:X}")
    highest = image.stack_top() - STACK_BYTES
    if end > highest:
        raise ImageError(f"the record ends at 0x{end:X}, above 0x{highest:X}: less than {STACK_BYTES} bytes of stack")
    return f"{image.elf.stem}: {flash} bytes of flash, {ram} bytes of static RAM, record at 0x{start:X}"


def describe(image: Image, *, board: str, hex_file: Path) -> dict[str, str | int]:
    """The manifest's entry for an image."""
    _, sketch, version = strings(image.table("bridgeBoardRecord"))
    schema = image.table("bridgeChannelRecords") + image.table("bridgeActionRecords")
    return {
        "board": board,
        "file": f"{image.elf.stem}-{board}.hex",
        "sketch": sketch,
        "version": version,
        "schema_hash": f"{fnv1a(schema):08x}",
        "sha256": hashlib.sha256(hex_file.read_bytes()).hexdigest(),
        "flash_bytes": image.flash_bytes(),
        "ram_bytes": image.ram_bytes(),
        "compiler": compiler_version(),
        "core": core_version(),
    }


def compiler_version() -> str:
    """The first line of what the compiler says of itself."""
    return run("avr-gcc", "--version").splitlines()[0]


def core_version() -> str:
    """The version of the AVR core."""
    found = re.search(r"^version=(.+)$", (CORE_DIRECTORY / "platform.txt").read_text(), re.MULTILINE)
    return f"arduino-core-avr {found[1]}" if found else "unknown"


def write(image: Image, *, board: str, hex_file: Path) -> None:
    """Copy the image into hex/ and bring its entry in the manifest up to date."""
    HEX_DIRECTORY.mkdir(exist_ok=True)
    manifest = HEX_DIRECTORY / "manifest.json"
    images = json.loads(manifest.read_text())["images"] if manifest.exists() else []
    entry = describe(image, board=board, hex_file=hex_file)
    kept = [other for other in images if other["file"] != entry["file"]]
    shutil.copyfile(hex_file, HEX_DIRECTORY / str(entry["file"]))
    content = {"images": sorted([*kept, entry], key=lambda item: str(item["file"]))}
    manifest.write_text(json.dumps(content, indent=2) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check")
    checking.add_argument("elf", type=Path)
    checking.add_argument("--flash", type=int)
    checking.add_argument("--ram", type=int)
    writing = commands.add_parser("write")
    writing.add_argument("elf", type=Path)
    writing.add_argument("hex", type=Path)
    writing.add_argument("board")
    options = parser.parse_args()
    image = Image(options.elf)
    if options.command == "write":
        write(image, board=options.board, hex_file=options.hex)
        return 0
    try:
        print(check(image, flash_ceiling=options.flash, ram_ceiling=options.ram))
    except ImageError as error:
        print(f"{options.elf.name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
