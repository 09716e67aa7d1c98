"""The sketch folders as the Arduino IDE sees them: built by its own builder, without this project's makefile."""

import re
import subprocess
from pathlib import Path

import pytest

from firmware import manifest
from gateway.tools.sketch import new_sketch
from tests.firmware import images

pytestmark = pytest.mark.needs("arduino-builder", "avr-gcc", "make")

RULES = Path("/usr/share/arduino-builder")
HARDWARE = Path("/usr/share/arduino/hardware")
BUNDLED = images.FIRMWARE / "gateway"


def build_as_the_ide_does(sketch: Path, folder: Path) -> manifest.Image:
    """The image of a sketch folder for an Uno; fails with what the IDE would show."""
    build = folder / "build"
    build.mkdir()
    command = [
        *("arduino-builder", "-compile", "-fqbn", "arduino:avr:uno", "-warnings", "all", "-ide-version", "10819"),
        *("-hardware", str(RULES), "-hardware", str(HARDWARE), "-tools", str(RULES)),
        # Debian's core wants a macro that C++11 of its own avr-gcc does not define; the IDE's compiler does.
        *("-prefs", "compiler.cpp.extra_flags=-DDECIMAL_DIG=__DECIMAL_DIG__"),
        *("-build-path", str(build), str(sketch / f"{sketch.name}.ino")),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert "src/bridge" not in result.stderr, f"a warning in the library: {result.stderr}"
    assert f"{sketch.name}.ino:" not in result.stderr, f"a warning in the sketch: {result.stderr}"
    return manifest.Image(build / f"{sketch.name}.ino.elf")


def sizes(image: manifest.Image) -> tuple[int, int]:
    return image.flash_bytes(), image.ram_bytes()


def test_bundled_sketch_is_an_arduino_sketch(tmp_path: Path) -> None:
    made = manifest.Image(images.build(tmp_path / "made").with_suffix(".elf"))
    assert sizes(build_as_the_ide_does(BUNDLED, tmp_path)) == sizes(made)


def test_the_sketch_in_the_readme_is_an_arduino_sketch(tmp_path: Path) -> None:
    """It is the one that `gateway sketch new greenhouse` makes."""
    (source,) = re.findall(r"^```cpp\n(.*?)^```", (images.ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    sketch = new_sketch("greenhouse", directory=tmp_path).folder
    assert source == (sketch / "greenhouse.ino").read_text()
    made = manifest.Image(images.build(tmp_path / "made", sketch=sketch).with_suffix(".elf"))
    assert sizes(build_as_the_ide_does(sketch, tmp_path)) == sizes(made)
