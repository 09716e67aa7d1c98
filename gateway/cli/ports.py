"""`gateway ports`: what is plugged in, what it is called for good, who holds it, and whether it may be opened."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from gateway.text import printable

if TYPE_CHECKING:
    from gateway.tools.ports import PortReport

COLUMNS = 79
MODEL_COLUMNS = 24  # a device that is not known says of itself what it likes
HEADINGS = ("PORT", "MODEL", "USB IDS", "STATE")
NOTHING = (
    "Nothing is plugged in: there is no serial port here. "
    "A cable that only charges looks just like that; so does a board without power."
)


@click.command
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def command(*, as_json: bool) -> None:
    """Show the serial ports of this machine. Opens none."""
    from gateway.tools.ports import look_around  # brings pyserial, which `gateway --help` does without

    reports = look_around()
    if as_json:
        click.echo(json.dumps({"items": [_document(report) for report in reports]}, indent=2))
        return
    for line in _table(reports) if reports else textwrap.wrap(NOTHING, COLUMNS):
        click.echo(line)


def _document(report: "PortReport") -> dict[str, object]:
    plugged = report.plugged
    held_by = (
        None if report.held_by is None else [{"pid": each.pid, "program": each.program} for each in report.held_by]
    )
    return {
        "port": plugged.port,
        "model": plugged.model,
        "usb_ids": plugged.usb_ids,
        "serial_number": plugged.serial_number,
        "location": plugged.location,
        "description": plugged.description,
        "may_be_board": plugged.may_be_board,
        "stable_path": report.stable_path,
        "held_by": held_by,
        "may_open": report.may_open,
        "cure": report.cure,
    }


def _table(reports: Sequence["PortReport"]) -> Iterator[str]:
    """A row for each port, and under it what would not fit into one."""
    rows = [_row(report) for report in reports]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    yield _padded(HEADINGS, widths)
    for report, row in zip(reports, rows, strict=True):
        yield _padded(row, widths)
        for detail in _details(report):
            yield from textwrap.wrap(
                printable(detail),
                COLUMNS,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,  # paths and commands are there to be copied
                break_on_hyphens=False,
            )


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _row(report: "PortReport") -> tuple[str, ...]:
    plugged = report.plugged
    model = textwrap.shorten(printable(plugged.model or "-"), MODEL_COLUMNS, placeholder="...")
    return plugged.port, model, plugged.usb_ids or "no USB", _state(report)


def _state(report: "PortReport") -> str:
    if report.held_by:
        return "in use"
    if report.may_open is False:
        return "no permission"
    return "not known" if report.held_by is None else "free"


def _details(report: "PortReport") -> Iterator[str]:
    plugged = report.plugged
    if plugged.vendor is not None:
        number = f"serial number {plugged.serial_number}" if plugged.serial_number else "no serial number"
        yield f"{number}, location {plugged.location}" if plugged.location else number
    if report.stable_path:
        yield report.stable_path
    if report.held_by:
        yield f"held by {', '.join(map(str, report.held_by))}"
    if report.cure:
        yield report.cure
