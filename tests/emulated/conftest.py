"""The emulated boards that tests ask for. What is built is built once per session and kept in bench/build."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.emulated.board import BoardOptions, EmulatedBoard
from tests.emulated.images import SHIPPED_UNO_IMAGE, Bench, build_bench, build_sketch

SketchBuilder = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def bench() -> Bench:
    """The bench, modemshim.so and the bootloaders (these need avr-gcc and the Arduino core)."""
    return build_bench()


@pytest.fixture(scope="session")
def bench_binary(bench: Bench) -> Path:
    return bench.binary


@pytest.fixture(scope="session")
def sketch() -> SketchBuilder:
    """`sketch("echo", "uno")` gives the image of a sketch under sketches/."""
    built: dict[tuple[str, str], Path] = {}

    def build(name: str, board: str) -> Path:
        if (name, board) not in built:
            built[name, board] = build_sketch(name, board=board)
        return built[name, board]

    return build


@pytest.fixture(scope="session")
def shipped_image() -> Path:
    """The image that users flash, not one built here."""
    assert SHIPPED_UNO_IMAGE.is_file(), f"{SHIPPED_UNO_IMAGE} is missing; `make -C firmware hex` makes it"
    return SHIPPED_UNO_IMAGE


@pytest.fixture
def uno(request: pytest.FixtureRequest, bench: Bench, shipped_image: Path) -> Iterator[EmulatedBoard]:
    """An Uno as users have it: the shipped image behind Optiboot.

    `@pytest.mark.parametrize("uno", ["bare"], indirect=True)` leaves the bootloader out: no 1.4 s after each reset.
    """
    style = getattr(request, "param", "optiboot")
    bootloader = {"optiboot": bench.optiboot_uno, "bare": None}[style]
    with EmulatedBoard(bench.binary, BoardOptions(flash=(shipped_image,), bootloader=bootloader)) as board:
        yield board
