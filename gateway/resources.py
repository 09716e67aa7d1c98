"""Files that come with the gateway: firmware images and the sketch. One resolver, for the wheel and for the checkout.

Standard library only; any thread.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parent
MANIFEST = "firmware/hex/manifest.json"


def path(name: str) -> Path:
    """Where the packaged file or directory `name` lies, such as `firmware/hex/manifest.json`.

    A wheel holds it in the package, a checkout beside it. FileNotFoundError, with the cure, where it is in neither.
    """
    for base in (PACKAGE, PACKAGE.parent):
        if (base / name).exists():
            return base / name
    raise FileNotFoundError(f"{name} is missing from this installation of the gateway; install it again")


@dataclass(frozen=True, slots=True)
class BundledImage:
    """A shipped image of the bundled sketch."""

    file: Path
    sketch: str
    version: str


def bundled_image(board: str) -> BundledImage:
    """The image for a board of the manifest, such as `uno`. FileNotFoundError, with the cure, where it is missing or
    not the one that was shipped."""
    manifest = path(MANIFEST)
    image = next(each for each in json.loads(manifest.read_text(encoding="utf-8"))["images"] if each["board"] == board)
    file = path(f"firmware/hex/{image['file']}")
    if hashlib.sha256(file.read_bytes()).hexdigest() != image["sha256"]:
        raise FileNotFoundError(f"{file} is not the one that {manifest.name} names; install the gateway again")
    return BundledImage(file, image["sketch"], image["version"])


def bundled_sketch() -> str:
    """Name and version of the sketch whose images come with the gateway, such as `gateway 1.0.0`."""
    manifest = json.loads(path(MANIFEST).read_text(encoding="utf-8"))
    image = manifest["images"][0]  # the same sketch for every board
    return f"{image['sketch']} {image['version']}"
