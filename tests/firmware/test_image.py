"""The images for real boards: they build, keep their limits, and are the ones that are shipped."""

import functools
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware import manifest
from tests.firmware import images

pytestmark = pytest.mark.needs("avr-gcc", "make")

UNO_FLASH_BYTES = 10240
UNO_RAM_BYTES = 430
RAM_ENDS = {"uno": 0x8FF, "nano": 0x8FF, "mega": 0x21FF, "leonardo": 0xAFF}
"""Each board of which an image is shipped, and the last byte of its RAM (the chips' data sheets)."""
EMPTY_SKETCH = """
#include "src/bridge/Bridge.h"
Bridge bridge(Serial);
void setup() { bridge.begin(250000); }
void loop() { bridge.poll(); }
"""

Builder = Callable[[str], Path]


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """`bundled("uno")` is the bundled sketch built for that board, once: its hex file, with the ELF beside it."""
    return functools.cache(lambda board: images.build(tmp_path_factory.mktemp(board), board=board))


@pytest.fixture(params=RAM_ENDS)
def board(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def image_of(hex_file: Path) -> manifest.Image:
    return manifest.Image(hex_file.with_suffix(".elf"))


def entries() -> dict[str, dict[str, str | int]]:
    """The manifest, by board."""
    return {entry["board"]: entry for entry in json.loads((images.SHIPPED / "manifest.json").read_text())["images"]}


def test_an_uno_keeps_to_the_size_that_the_product_promises(bundled: Builder) -> None:
    image = image_of(bundled("uno"))
    assert image.flash_bytes() <= UNO_FLASH_BYTES
    assert image.ram_bytes() <= UNO_RAM_BYTES


@pytest.mark.parametrize(("ceiling", "memory"), [("FLASH", "flash"), ("RAM", "static RAM")])
def test_each_board_has_ceilings_that_stop_the_build(board: str, ceiling: str, memory: str, bundled: Builder) -> None:
    build = [f"BOARD={board}", f"BUILD={bundled(board).parent}"]
    assert images.make(*build).returncode == 0
    result = images.make(*build, f"{ceiling}_CEILING_BYTES_{board}=100")
    assert result.returncode != 0
    assert f"bytes of {memory}" in result.stderr
    assert "more than the ceiling of 100" in result.stderr


def test_record_lies_where_bootloaders_and_the_stack_leave_it_alone(board: str, bundled: Builder) -> None:
    image = image_of(bundled(board))
    start, end = image.record_place()
    assert start >= 0x20C
    assert end <= RAM_ENDS[board] - 350
    assert image.stack_top() == RAM_ENDS[board]


def test_every_board_has_a_shipped_image() -> None:
    assert set(entries()) == set(RAM_ENDS)
    assert {file.name for file in images.SHIPPED.glob("*.hex")} == {entry["file"] for entry in entries().values()}


def test_shipped_image_is_what_the_manifest_says(board: str) -> None:
    shipped = entries()[board]
    data = (images.SHIPPED / str(shipped["file"])).read_bytes()
    assert hashlib.sha256(data).hexdigest() == shipped["sha256"]


def test_shipped_image_is_what_this_source_gives(board: str, bundled: Builder) -> None:
    shipped = entries()[board]
    if (shipped["compiler"], shipped["core"]) != (manifest.compiler_version(), manifest.core_version()):
        pytest.skip(f"built with {shipped['compiler']} and {shipped['core']}")
    built = bundled(board)
    assert built.read_bytes() == (images.SHIPPED / str(shipped["file"])).read_bytes(), "run `make -C firmware hex`"
    assert manifest.describe(image_of(built), board=board, hex_file=built) == shipped


def test_the_readme_tells_the_sizes_of_the_shipped_images() -> None:
    readme = (images.ROOT / "README.md").read_text()
    for row, key in (("flash", "flash_bytes"), ("static RAM", "ram_bytes")):
        told = re.search(rf"^\| {row} \| (.*) \|$", readme, re.MULTILINE)
        assert told is not None
        sizes = [int(cell.replace(" ", "")) for cell in told[1].split("|")]
        assert sizes == [entries()[board][key] for board in RAM_ENDS]


def test_image_is_the_same_wherever_the_checkout_lies(bundled: Builder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "firmware"
    shutil.copytree(images.FIRMWARE, elsewhere, ignore=shutil.ignore_patterns("build", "hex", "__pycache__"))
    assert images.build(tmp_path / "build", firmware=elsewhere).read_bytes() == bundled("uno").read_bytes()


def test_a_board_that_is_not_known_is_named_with_those_that_are() -> None:
    result = images.make("BOARD=due")
    assert result.returncode != 0
    assert "BOARD=due is not known: uno nano mega leonardo" in result.stderr


def test_sketch_without_tables_builds(tmp_path: Path) -> None:
    sketch = images.write_sketch(tmp_path / "empty", EMPTY_SKETCH)
    image = manifest.Image(images.build(tmp_path / "build", sketch=sketch).with_suffix(".elf"))
    assert image.table("bridgeChannelRecords") == b""
    assert image.flash_bytes() < UNO_FLASH_BYTES


def test_the_sketch_in_the_readme_builds(tmp_path: Path) -> None:
    """Word for word: what users copy must compile, with every warning an error."""
    (sketch,) = re.findall(r"^```cpp\n(.*?)^```", (images.ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    images.build(tmp_path / "build", sketch=images.write_sketch(tmp_path / "readme", sketch))
