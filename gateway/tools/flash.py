"""The steps of `gateway flash`: who is on the port, write, verify, and who is there then.

The caller's thread. Asks nobody and prints nothing: that is the command's. A running gateway's board is reached through
the gateway, which lends its port for the writing.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import LinkError
from gateway.model import BoardState, Clock, Reason, Schema
from gateway.tools import avrdude, lease
from gateway.tools.boot_port import BootPort, pause
from gateway.tools.client import GatewayClient
from gateway.tools.hello import introduce
from gateway.tools.intel_hex import HexError, Image, parse
from gateway.tools.models import BootloaderKind, Model, Protocol, candidates
from gateway.tools.plugged import in_bootloader
from gateway.tools.programmer import Progress, check_fit, find_bootloader, flat_size, verify, write

BACK_S = 10.0  # for a port that comes back, as long as the Arduino IDE waits
ASK_AGAIN_S = 0.5
ONLINE = (BoardState.ONLINE, BoardState.DEGRADED)


@dataclass(frozen=True, slots=True)
class Target:
    """The board to flash: its port, its rate if it is configured (None: the usual ones are tried), and, while a gateway
    runs on it, that gateway and the board's name there. `run_options` are those by which `gateway run` serves it."""

    port: str
    baud: int | None = None
    gateway: GatewayClient | None = None
    board: str | None = None
    run_options: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a board says of itself: sketch and names; or, with `sketch` None, why it says nothing (`reason`,
    `detail`)."""

    model: str | None = None
    sketch: str | None = None
    version: str | None = None
    readings: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    reason: Reason | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file to write, and what it holds; `title` is what people call it."""

    file: Path
    image: Image
    title: str


@dataclass(frozen=True, slots=True)
class Written:
    """What was written and verified: sizes in bytes."""

    model: Model
    kind: BootloaderKind
    source: ImageFile


Steps = Callable[[str, int], AbstractContextManager[Progress]]
"""Called with a step's name and its size in bytes; gives what is told of the progress."""


def read_image(file: Path, title: str) -> ImageFile:
    """The image in a file. Raises HexError."""
    try:
        return ImageFile(file, parse(file.read_text(encoding="ascii")), title)
    except HexError as error:
        raise HexError(f"{file}: {error}") from error
    except UnicodeDecodeError as error:
        raise HexError(f"{file} is no Intel HEX file, which is plain text; is it an .elf or .bin?") from error
    except OSError as error:
        raise HexError(f"{file} can't be read: {error.strerror or error}") from error


def look(target: Target) -> Offer:
    """What is on the board now. Raises LinkError where its port can't be opened, and what the gateway refuses."""
    if in_bootloader(target.port):
        return Offer(reason=Reason.NO_ANSWER, detail="it is in its bootloader")
    if target.gateway is None or target.board is None:
        return _asked(target)
    return _told(target.gateway, target.board, target.gateway.board(target.board))


def flash(target: Target, model: Model | None, image_for: Callable[[Model], ImageFile], *, steps: Steps) -> Written:
    """Writes the image of the model, with `model` None of the one that the bootloader tells, and verifies it.

    The gateway, where one runs on the board, has its port back afterwards whatever happens. Raises FlashError,
    HexError, LinkError and what the gateway refuses.
    """
    way = _by_avrdude if model is not None and _needs_avrdude(model) else _by_bootloader
    with _port_ours(target):
        return way(target.port, model, image_for, steps=steps)


def look_again(target: Target, *, clock: Clock = time) -> Offer:
    """What the board says once the new sketch runs. Raises as `look` does."""
    if target.gateway is None or target.board is None:
        return _asked_again(target, clock=clock)
    return _told(target.gateway, target.board, lease.wait_back(target.gateway, target.board))


def same_port(one: str, other: str) -> bool:
    """Whether two names mean one port: a stable name is a link to the device file."""
    return one == other or (os.path.exists(one) and os.path.realpath(one) == os.path.realpath(other))


# ---- writing ----


@contextlib.contextmanager
def _port_ours(target: Target) -> Iterator[None]:
    if target.gateway is None or target.board is None:
        yield
        return
    with lease.lent(target.gateway, target.board):
        yield


def _needs_avrdude(model: Model) -> bool:
    return all(kind.protocol is Protocol.AVR109 for kind in model.bootloaders)


def _by_bootloader(port: str, model: Model | None, image_for: Callable[[Model], ImageFile], *, steps: Steps) -> Written:
    with BootPort(port, baud=candidates(model)[0][1].baud) as opened:
        found = find_bootloader(opened, candidates(model))
        source = image_for(found.model)
        check_fit(source.image, found.model, found.kind)
        size = flat_size(source.image, found.model.chip)
        with steps("Writing", size) as progress:
            write(found, source.image, progress)
        with steps("Verifying", size) as progress:
            verify(found, source.image, progress)
    return Written(found.model, found.kind, source)


def _by_avrdude(port: str, model: Model | None, image_for: Callable[[Model], ImageFile], *, steps: Steps) -> Written:
    assert model is not None
    kind = model.bootloaders[0]
    source = image_for(model)
    check_fit(source.image, model, kind)
    program = avrdude.installed()
    with steps("Writing and verifying with avrdude", source.image.size) as progress:
        boot_port = port if in_bootloader(port) else avrdude.start_bootloader(port)
        avrdude.upload(source.file, port=boot_port, chip=model.chip, kind=kind, program=program)
        progress(source.image.size)
    avrdude.wait_for_port(port)
    return Written(model, kind, source)


# ---- who is there ----


def _asked(target: Target) -> Offer:
    said = introduce(target.port, baud=target.baud)
    if said.schema is None:
        return Offer(reason=said.reason, detail=said.detail)
    return _offered(said.schema)


def _asked_again(target: Target, *, clock: Clock) -> Offer:
    """A native USB board's port goes once more when its bootloader ends, perhaps after it was opened."""
    deadline_s = clock.monotonic() + BACK_S
    while True:
        try:
            return _asked(target)
        except LinkError as error:
            if clock.monotonic() >= deadline_s:
                raise LinkError(error.reason, f"the sketch was written and verified, and then: {error}") from error
        pause(ASK_AGAIN_S)


def _offered(schema: Schema) -> Offer:
    return Offer(
        model=schema.model,
        sketch=schema.sketch.name,
        version=schema.sketch.version,
        readings=tuple(each.name for each in schema.channels if each.readable and not each.writable),
        outputs=tuple(each.name for each in schema.channels if each.writable),
        actions=tuple(each.name for each in schema.actions),
    )


def _told(gateway: GatewayClient, board: str, resource: Any) -> Offer:
    if resource["state"] not in ONLINE:
        reason = Reason(resource["reason"]) if resource["reason"] else None
        detail = resource["detail"] or f"the gateway says it is {resource['state']}"
        return Offer(model=resource["model"], reason=reason, detail=detail)
    channels = gateway.get(f"boards/{board}/channels")["items"]
    return Offer(
        model=resource["model"],
        sketch=resource["sketch"]["name"],
        version=resource["sketch"]["version"],
        readings=tuple(each["name"] for each in channels if each["readable"] and not each["writable"]),
        outputs=tuple(each["name"] for each in channels if each["writable"]),
        actions=tuple(each["name"] for each in gateway.get(f"boards/{board}/actions")["items"]),
    )
