"""What the configuration says of each board's port, and what is told where that means no port, or several. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.errors import LinkError
from gateway.link.discovery import PluggedPort
from gateway.model import Reason

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Match:
    """What the configuration says of a board's identity; all that is given has to fit. `board_id` is the board's own,
    8 hexadecimal digits; `location` is the USB port that it sits in, whatever sits there."""

    board_id: str | None = None
    usb_serial: str | None = None
    location: str | None = None

    @property
    def by_usb(self) -> bool:
        """Something of it shows without opening the port."""
        return self.usb_serial is not None or self.location is not None

    def fits(self, plugged: PluggedPort) -> bool:
        """As far as shows without opening the port."""
        return self.usb_serial in (None, plugged.serial_number) and self.location in (None, plugged.location)

    def __str__(self) -> str:
        parts = {"board id": self.board_id, "USB serial number": self.usb_serial, "location": self.location}
        return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)


ANY = Match()


@dataclass(frozen=True, slots=True)
class Wanted:
    """One configured board: its name, its port or `auto`, and its identity."""

    board: str
    port: str
    match: Match = ANY


def ambiguous(wanted: Wanted, choices: Sequence[PluggedPort], *, rivals: Sequence[str] = ()) -> LinkError:
    """The board may be any of these, and so may the rivals; the text has the lines that tell."""
    lines = " or ".join(f"`{_match_line(plugged, choices)}`" for plugged in choices)
    boards = f"any of boards {', '.join(sorted([wanted.board, *rivals]))}" if rivals else f"board {wanted.board}"
    return LinkError(
        Reason.PORT_AMBIGUOUS,
        f"{boards} may be any of {', '.join(map(str, choices))}; none was opened, since that resets most boards: "
        f"write under board {wanted.board} which one it is: {lines}",
    )


def _match_line(plugged: PluggedPort, choices: Sequence[PluggedPort]) -> str:
    """The configuration that means this port and none of the others."""
    ways: tuple[tuple[str, Callable[[PluggedPort], str | None]], ...] = (
        ('match: {{usb_serial: "{}"}}', lambda each: each.serial_number),
        ('match: {{location: "{}"}}', lambda each: each.location),
    )
    for line, fact in ways:
        if fact(plugged) and [fact(each) for each in choices].count(fact(plugged)) == 1:
            return line.format(fact(plugged))
    return f"port: {plugged.port}"


def missing(wanted: Wanted, ports: Sequence[PluggedPort]) -> LinkError:
    """None of the ports that are listed can be meant."""
    what = "no board is plugged in" if wanted.match == ANY else f"no board with {wanted.match} is plugged in"
    here = ", ".join(map(str, ports)) or "none"
    return LinkError(
        Reason.PORT_MISSING,
        f"{what} that is not another's. Ports here: {here}; one that is not known by its USB ids needs its `port:`",
    )
