"""Part 4: what the shipped images take of their chips, beside other firmware for the same purpose."""

import json
from pathlib import Path
from typing import Any

from benchmarks.measuring import Part

MANIFEST = Path(__file__).parent.parent / "firmware" / "hex" / "manifest.json"

PEERS = (
    ("StandardFirmata", 13_186, 1_061, "no checksum"),
    ("Klipper", 12_456, 398, "ATmega328 build"),
    ("aREST", 8_932, 763, ""),
    ("simpleRPC", 2_490, 194, "no checksum"),
)
"""Flash and static RAM on an Uno, and a remark; taken once with the same compiler and core, not measured anew here."""


def measure() -> Part:
    """Reads the manifest of the images that users flash."""
    images: list[dict[str, Any]] = json.loads(MANIFEST.read_text(encoding="utf-8"))["images"]
    ours = [(f"ours, {each['board']}", each["flash_bytes"], each["ram_bytes"], "as shipped") for each in images]
    return Part(
        "Firmware",
        ("firmware", "flash, bytes", "static RAM, bytes", ""),
        [[name, str(flash), str(ram), remark] for name, flash, ram, remark in (*ours, *PEERS)],
        (
            "An Uno has 32 256 bytes of flash for a sketch and 2 048 of RAM. Ours has 24 channels there.",
            "The four others were measured with this compiler and core when the protocol was designed, not anew here.",
        ),
    )
