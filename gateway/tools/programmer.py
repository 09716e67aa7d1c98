"""Writes an image through a bootloader and reads it back: finds the bootloader that answers, checks the chip, then the
work itself, page by page.

The caller's thread. Nothing is written before the chip has told that it is the one the image is for.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol as Interface

from gateway.errors import LinkError
from gateway.tools.bootloader import Bootloader, Channel, Interrupted, NoBootloader, VerifyFailed, WrongChip
from gateway.tools.intel_hex import HexError, Image
from gateway.tools.models import MODELS, BootloaderKind, Candidate, Chip, Model, Protocol
from gateway.tools.stk500v1 import Stk500v1
from gateway.tools.stk500v2 import Stk500v2

ROUNDS = 2  # a byte lost or too many while it was called makes a bootloader give up
AGAIN = "run the same command again: its bootloader is still there"

SPOKEN: Mapping[Protocol, Callable[[Channel], Bootloader]] = {
    Protocol.STK500V1: Stk500v1,
    Protocol.STK500V2: Stk500v2,
}
"""The bootloaders that are spoken here; the others are avrdude's."""

Progress = Callable[[int], None]
"""Told how many bytes more are done."""


class ResettablePort(Channel, Interface):
    """A channel that resets the board behind it."""

    def reset(self, *, baud: int) -> None:
        """Into the bootloader, which speaks at this rate."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A bootloader that answers, on a chip that is the model's."""

    model: Model
    kind: BootloaderKind
    bootloader: Bootloader


def find_bootloader(port: ResettablePort, candidates: Iterable[Candidate]) -> Found:
    """The first candidate whose bootloader answers. Raises NoBootloader and WrongChip."""
    tried = []
    for model, kind in [*candidates] * ROUNDS:
        port.reset(baud=kind.baud)
        bootloader = SPOKEN[kind.protocol](port)
        if bootloader.enter():
            _check_chip(model, kind, bootloader.signature())
            return Found(model, kind, bootloader)
        tried.append(f"{kind.name} at {kind.baud} baud")
    tried = tried[: len(tried) // ROUNDS]
    raise NoBootloader(
        f"no bootloader answers (tried {', '.join(tried)}), and nothing was written. Is --model right "
        f"({', '.join(MODELS)})? Does anything sit on pins 0 and 1? A board whose reset line is not wired to its USB "
        "chip wants its button pressed while this command calls it"
    )


def check_fit(image: Image, model: Model, kind: BootloaderKind) -> None:
    """Raises HexError for an image that is no sketch for this board."""
    if image.start != 0:
        raise HexError(
            f"the file begins at address {image.start:#06x}, where no sketch does: is it a bootloader? "
            "Nothing was written"
        )
    capacity = model.capacity(kind)
    if image.end > capacity:
        raise HexError(
            f"the file reaches to address {image.end - 1:#06x}, and a sketch on the {model.title} has {capacity} "
            "bytes: it is for a larger board, or has a bootloader in it (take the file without `with_bootloader`). "
            "Nothing was written"
        )


def write(found: Found, image: Image, progress: Progress) -> None:
    """Writes every page from 0 to the last of the image. Raises Interrupted and LinkError, with what to do next."""
    for address, page in _pages(image, found.model.chip):
        with _interruptions(f"at address {address:#06x}; the board holds part of the sketch now: {AGAIN}"):
            found.bootloader.write_page(address, page)
        progress(len(page))


def verify(found: Found, image: Image, progress: Progress) -> None:
    """Reads it back, and lets the bootloader go. Raises VerifyFailed, and what `write` raises."""
    for address, page in _pages(image, found.model.chip):
        with _interruptions(f"while reading back address {address:#06x}; what was written is not verified: {AGAIN}"):
            held = found.bootloader.read_page(address, len(page))
        if held != page:
            raise VerifyFailed(_difference(address, page, held))
        progress(len(page))
    with contextlib.suppress(Interrupted):  # it was left already, or the next opening resets the board
        found.bootloader.leave()


@contextlib.contextmanager
def _interruptions(then: str) -> Iterator[None]:
    """Adds to whatever ends the work early what it means for the board, and what to do."""
    try:
        yield
    except LinkError as error:
        raise LinkError(error.reason, f"{error}; {then}") from error
    except Interrupted as error:
        raise Interrupted(f"{error}, {then}") from error
    except KeyboardInterrupt:
        raise Interrupted(f"stopped by Ctrl-C {then}") from None


def flat_size(image: Image, chip: Chip) -> int:
    """How many bytes are written for an image: whole pages."""
    return len(image.flat(page_bytes=chip.page_bytes))


def _check_chip(model: Model, kind: BootloaderKind, signature: bytes) -> None:
    if signature in model.chip.signatures:
        return
    known = next((each for each in MODELS.values() if signature in each.chip.signatures), None)
    told = (
        f"{known.chip.name}, as on the {known.title}: say --model {known.name}" if known else "none that is known here"
    )
    raise WrongChip(
        f"{kind.name} answers on a chip with the signature {signature.hex(' ')} ({told}); the {model.title} has an "
        f"{model.chip.name}. Nothing was written"
    )


def _pages(image: Image, chip: Chip) -> Iterable[tuple[int, bytes]]:
    flat = image.flat(page_bytes=chip.page_bytes)
    return ((at, flat[at : at + chip.page_bytes]) for at in range(0, len(flat), chip.page_bytes))


def _difference(address: int, written: bytes, held: bytes) -> str:
    at = next(index for index, (one, other) in enumerate(zip(written, held, strict=True)) if one != other)
    return (
        f"verifying failed at address {address + at:#06x}: {written[at]:02x} was written, {held[at]:02x} is there. "
        f"{AGAIN[0].upper()}{AGAIN[1:]}. If it fails there again, the board's supply is weak or its flash worn out"
    )
