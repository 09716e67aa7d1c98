"""What people see of `gateway flash`: which board is meant, what runs on it, the question, the progress, the report.

What is done to the board is in `tools.flash`.
"""

import contextlib
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from gateway.cli.options import configuration, running_gateway
from gateway.config import BoardConfig
from gateway.errors import GatewayError
from gateway.model import Reason
from gateway.resources import bundled_image, bundled_sketch
from gateway.tools.boot_port import check_flashable
from gateway.tools.client import GatewayClient
from gateway.tools.flash import ImageFile, Offer, Target, Written, flash, look, look_again, read_image, same_port
from gateway.tools.models import Model, model_called
from gateway.tools.plugged import model_by_usb, only_board
from gateway.tools.programmer import Progress

COLUMNS = 79
AUTO = "auto"  # as a port: the only board that is plugged in
VIRTUAL = ("virtual://", "replay://")


class Flashing:
    """One run of the command. `asks` before something else than the bundled sketch is replaced."""

    def __init__(
        self, target: Target, model: Model | None, *, hex_file: Path | None, asks: bool, as_json: bool
    ) -> None:
        self._target = target
        self._model = model
        self._own = read_image(hex_file, hex_file.name) if hex_file else None
        with _whole_installation():
            self._bundled = bundled_sketch()
        self._title = self._own.title if self._own else self._bundled
        self._asks = asks
        self._as_json = as_json

    def run(self) -> None:
        """Looks, asks, writes, looks again. Raises GatewayError and click's UsageError."""
        if self._target.gateway is None:
            self._say(f"{self._target.port}: asking what runs there, which may take some seconds")
        before = look(self._target)
        self._say(f"{self._target.port}: {_summary(before)}")
        if self._asks and before.sketch != self._bundled.split()[0]:
            self._ask()
        model = self._model or model_by_usb(self._target.port) or model_called(before.model or "")
        written = flash(self._target, model, self._image_for, steps=self._step)
        size = written.source.image.size
        self._say(f"{written.model.title}: {self._title} written and verified, {size} bytes, by {written.kind.name}")
        self._report(before, written, after=look_again(self._target))

    def _say(self, line: str) -> None:
        click.echo(line, err=self._as_json)

    def _ask(self) -> None:
        if self._as_json or not sys.stdin.isatty():
            raise click.UsageError(f"that is not the bundled sketch; add --yes to replace it by {self._title}")
        if not click.confirm(f"Replace it by {self._title}?"):
            raise GatewayError("nothing was written")

    def _image_for(self, model: Model) -> ImageFile:
        return self._own or _bundled(model)

    @contextlib.contextmanager
    def _step(self, label: str, size: int) -> Iterator[Progress]:
        """A progress bar, on a terminal only."""
        if self._as_json or not sys.stdout.isatty():
            yield lambda _bytes: None
            return
        with click.progressbar(length=size, label=f"{label:<9}", show_eta=False) as bar:
            yield bar.update

    def _report(self, before: Offer, written: Written, *, after: Offer) -> None:
        if self._as_json:
            click.echo(json.dumps(_document(self._target, before, written, after=after), indent=2))
        else:
            click.echo(_told(after))
        if after.sketch is None and self._own is None:
            raise GatewayError(
                "the sketch was written and verified, but does not answer; see above, or: gateway doctor"
            )
        if self._target.gateway is None:
            self._say(f"Next: gateway run{self._target.run_options}")


# ---- which board ----


@dataclass(frozen=True, slots=True)
class _Known:
    """A board that has a name: its port, `auto` where it is yet to be found, and what the file says of it."""

    port: str
    configured: BoardConfig | None

    @property
    def baud(self) -> int | None:
        return self.configured.baud if self.configured else None

    @property
    def virtual(self) -> bool:
        return self.port.startswith(VIRTUAL)


def find_target(config_file: Path | None, gateway_url: str | None, *, board: str | None, port: str | None) -> Target:
    """The board that is meant. Raises ConfigError, click's UsageError and LinkError."""
    gateway = running_gateway(config_file, gateway_url)
    if board is not None and port is not None:
        raise click.UsageError("--board and --port both name the board; give one")
    known = _known_boards(config_file, gateway)
    if board is None and port is None:
        board = _only_board(known)
    if board is not None and board not in known:
        raise click.UsageError(f"no board is called {board}; there are: {', '.join(known) or 'none'}")
    url = _port_of(board, known[board]) if board is not None else _port_named(port or AUTO)
    check_flashable(url)
    name = board or next((name for name, each in known.items() if same_port(each.port, url)), None)
    lender = gateway if name is not None else None
    if lender is not None and not (lender.on_this_machine or "://" in url):
        raise click.UsageError(f"{url} is a port of another machine, where {lender.url} runs: flash the board there")
    return Target(
        url,
        baud=known[name].baud if name else None,
        gateway=lender,
        board=name if lender else None,
        run_options="" if board is not None else f" --port {port or AUTO}",
    )


def _known_boards(config_file: Path | None, gateway: GatewayClient | None) -> Mapping[str, _Known]:
    """The boards of the running gateway, else of the file."""
    configured = configuration(config_file).boards if config_file else {}
    if gateway is not None:
        return {each["name"]: _Known(each["port"], configured.get(each["name"])) for each in gateway.boards()}
    return {name: _Known(each.port, each) for name, each in configured.items()}


def _only_board(known: Mapping[str, _Known]) -> str | None:
    """The board that is meant where none is named: the only one that is not virtual. None where there is none."""
    real = [name for name, board in known.items() if not board.virtual]
    if len(real) > 1:
        raise click.UsageError(f"there are several boards: name one with --board ({', '.join(real)})")
    return real[0] if real else None


def _port_named(port: str) -> str:
    return only_board().port if port == AUTO else port


def _port_of(name: str, known: _Known) -> str:
    """A board's port; one that is to be found is found by what the file says of its USB side."""
    match = known.configured.match if known.configured else None
    if known.port != AUTO or match is None:
        return _port_named(known.port)
    if match.board_id is not None:
        raise click.UsageError(
            f"board {name} is found by the id that it bears, which takes a running gateway: start it, or name --port"
        )
    return only_board(usb_serial=match.usb_serial, location=match.location).port


# ---- what is said ----


def _summary(offer: Offer) -> str:
    if offer.reason is Reason.NO_ANSWER:
        return "nothing answers; it is new, or its sketch keeps silent"
    if offer.sketch is None:
        return f"{offer.detail}".partition(": ")[0]  # the rest is what to do, which is being done
    return f"{offer.model}, runs {offer.sketch} {offer.version}"


def _told(offer: Offer) -> str:
    if offer.sketch is None:
        return f"The board does not speak to gateways ({offer.reason}): {offer.detail}"
    lines = [f"The board answers: {offer.sketch} {offer.version} on {offer.model}"]
    for what, names in (("readings", offer.readings), ("outputs", offer.outputs), ("actions", offer.actions)):
        lines.append(
            textwrap.fill(
                ", ".join(names) or "none", COLUMNS, initial_indent=f"  {what:<9} ", subsequent_indent=" " * 12
            )
        )
    return "\n".join(lines)


def _document(target: Target, before: Offer, written: Written, *, after: Offer) -> dict[str, object]:
    return {
        "port": target.port,
        "board": target.board,
        "model": written.model.name,
        "bootloader": {"name": written.kind.name, "baud": written.kind.baud},
        "file": str(written.source.file),
        "bytes": written.source.image.size,
        "before": _offer_document(before),
        "after": _offer_document(after),
    }


def _offer_document(offer: Offer) -> dict[str, object]:
    sketch = {"name": offer.sketch, "version": offer.version} if offer.sketch else None
    return {
        "model": offer.model,
        "sketch": sketch,
        "readings": list(offer.readings),
        "outputs": list(offer.outputs),
        "actions": list(offer.actions),
        "reason": offer.reason,
        "detail": offer.detail,
    }


def _bundled(model: Model) -> ImageFile:
    """The shipped image of a model. Raises GatewayError where it is missing."""
    with _whole_installation():
        shipped = bundled_image(model.image)
    return read_image(shipped.file, f"{shipped.sketch} {shipped.version}")


@contextlib.contextmanager
def _whole_installation() -> Iterator[None]:
    """Within it packaged files are looked for; one that is missing is a GatewayError."""
    try:
        yield
    except FileNotFoundError as error:
        raise GatewayError(str(error)) from error
