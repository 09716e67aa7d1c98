"""Lays down a sketch folder of the user's own: the example table under a new name, and the library beside it.

The caller's thread; writes the new folder and nothing else. The files come from the installation (`resources`).
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from gateway import resources
from gateway.errors import GatewayError
from gateway.text import printable

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,15}")  # what both the IDE and BRIDGE_SKETCH take, for every board
TEMPLATE = "template"
LIBRARY = "src/bridge"


class NameRefused(GatewayError):
    """No sketch can have this name."""


class SketchError(GatewayError):
    """The sketch folder was not made; the text says why, and the cure."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A new sketch folder."""

    folder: Path

    @property
    def file(self) -> Path:
        """What is opened in the IDE."""
        return self.folder / f"{self.folder.name}.ino"

    @property
    def library(self) -> Path:
        """The bridge's own files."""
        return self.folder / LIBRARY


def new_sketch(name: str, *, directory: Path) -> Sketch:
    """Makes `directory/name`. Raises NameRefused where that is no name for a sketch, SketchError where it is there
    already or can't be written; then nothing of it is left."""
    if not NAME.fullmatch(name):
        raise NameRefused(
            f'"{printable(name)}" is no name for a sketch: a letter, then up to 15 letters, digits, _ or -, such as '
            "greenhouse"
        )
    sketch = Sketch(directory / name)
    template = resources.path(f"firmware/{TEMPLATE}/{TEMPLATE}.ino").read_text(encoding="utf-8")
    library = resources.path(f"firmware/gateway/{LIBRARY}")
    try:
        sketch.folder.mkdir(parents=True)
    except FileExistsError as error:
        raise SketchError(f"{sketch.folder} is there already and is left as it is; take another name") from error
    except OSError as error:
        raise SketchError(f"can't make {sketch.folder}: {error.strerror}; --dir names another place") from error
    try:
        shutil.copytree(library, sketch.library)
        sketch.file.write_text(template.replace(f'"{TEMPLATE}"', f'"{name}"', 1), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(sketch.folder, ignore_errors=True)
        raise SketchError(
            f"can't write {sketch.folder}: {error.strerror or error}; --dir names another place"
        ) from error
    return sketch
