"""The images for real boards: they build, keep their limits, and are the ones that are shipped."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from firmware import manifest
from tests.firmware import images

pytestmark = pytest.mark.needs("avr-gcc", "make")

FLASH_CEILING_BYTES = 10240
RAM_CEILING_BYTES = 430
EMPTY_SKETCH = """
#include "src/bridge/Bridge.h"
Bridge bridge(Serial);
void setup() { bridge.begin(250000); }
void loop() { bridge.poll(); }
"""


@pytest.fixture(scope="module")
def uno(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled sketch, built for the Uno: its hex file, with the ELF beside it."""
    return images.build(tmp_path_factory.mktemp("uno"))


def entry() -> dict[str, str | int]:
    (only,) = json.loads((images.SHIPPED / "manifest.json").read_text())["images"]
    return dict(only)


def test_size(uno: Path) -> None:
    image = manifest.Image(uno.with_suffix(".elf"))
    assert image.flash_bytes() <= FLASH_CEILING_BYTES
    assert image.ram_bytes() <= RAM_CEILING_BYTES


def test_ceiling_stops_the_build(uno: Path) -> None:
    result = images.make(f"BUILD={uno.parent}", "FLASH_CEILING_BYTES=1000")
    assert result.returncode != 0
    assert "bytes of flash" in result.stderr
    assert "more than the ceiling of 1000" in result.stderr


def test_record_lies_where_bootloaders_and_the_stack_leave_it_alone(uno: Path) -> None:
    image = manifest.Image(uno.with_suffix(".elf"))
    start, end = image.record_place()
    assert start >= 0x20C
    assert end <= 0x8FF - 350
    assert image.stack_top() == 0x8FF


def test_shipped_image_is_what_the_manifest_says() -> None:
    shipped = entry()
    data = (images.SHIPPED / str(shipped["file"])).read_bytes()
    assert hashlib.sha256(data).hexdigest() == shipped["sha256"]


def test_shipped_image_is_what_this_source_gives(uno: Path) -> None:
    shipped = entry()
    if (shipped["compiler"], shipped["core"]) != (manifest.compiler_version(), manifest.core_version()):
        pytest.skip(f"built with {shipped['compiler']} and {shipped['core']}")
    assert uno.read_bytes() == (images.SHIPPED / str(shipped["file"])).read_bytes(), "run `make -C firmware hex`"
    assert manifest.describe(manifest.Image(uno.with_suffix(".elf")), board="uno", hex_file=uno) == shipped


def test_image_is_the_same_wherever_the_checkout_lies(uno: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "firmware"
    shutil.copytree(images.FIRMWARE, elsewhere, ignore=shutil.ignore_patterns("build", "hex", "__pycache__"))
    assert images.build(tmp_path / "build", firmware=elsewhere).read_bytes() == uno.read_bytes()


@pytest.mark.parametrize("board", ["mega", "leonardo"])
def test_bundled_sketch_builds_for(board: str, tmp_path: Path) -> None:
    images.build(tmp_path / board, board=board)


def test_sketch_without_tables_builds(tmp_path: Path) -> None:
    sketch = images.write_sketch(tmp_path / "empty", EMPTY_SKETCH)
    image = manifest.Image(images.build(tmp_path / "build", sketch=sketch).with_suffix(".elf"))
    assert image.table("bridgeChannelRecords") == b""
    assert image.flash_bytes() < FLASH_CEILING_BYTES


def test_the_sketch_in_the_readme_builds(tmp_path: Path) -> None:
    """Word for word: what users copy must compile, with every warning an error."""
    (sketch,) = re.findall(r"^```cpp\n(.*?)^```", (images.ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    images.build(tmp_path / "build", sketch=images.write_sketch(tmp_path / "readme", sketch))
