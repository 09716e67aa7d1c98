"""Files that come with the gateway: firmware images and the sketch. One resolver, for the wheel and for the checkout.

Standard library only; any thread.
"""

import json
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


def bundled_sketch() -> str:
    """Name and version of the sketch whose images come with the gateway, such as `gateway 1.0.0`."""
    manifest = json.loads(path(MANIFEST).read_text(encoding="utf-8"))
    image = manifest["images"][0]  # the same sketch for every board
    return f"{image['sketch']} {image['version']}"
