"""Which board is meant where nobody named a port, and what its USB ids say it is.

The caller's thread. Looks at what the system lists; opens nothing, for opening resets strangers' boards.
"""

from gateway.errors import LinkError
from gateway.link.discovery import PluggedPort, PortLister, find_port, plugged_in
from gateway.link.wanted import Match
from gateway.model import Reason
from gateway.tools.models import LEONARDO, Model, model_called


def only_board(
    *, usb_serial: str | None = None, location: str | None = None, list_ports: PortLister = plugged_in
) -> PluggedPort:
    """The only board that is plugged in, known by its USB ids, with that serial number and at that place where they are
    given. Raises LinkError that names what there is."""
    wanted = Match(usb_serial=usb_serial, location=location)
    ports = list_ports()
    boards = [port for port in ports if port.kind is not None and wanted.fits(port)]
    if len(boards) == 1:
        return boards[0]
    if boards:
        named = "; ".join(map(str, boards))
        raise LinkError(Reason.PORT_AMBIGUOUS, f"{len(boards)} boards are plugged in: name one with --port ({named})")
    what = f"board with {wanted}" if wanted.by_usb else "board"
    others = "; ".join(map(str, ports))
    cure = f"name one of these ports with --port if it is one ({others})"
    if not others:
        cure = "there is no serial port here; is the cable one that carries data?"
    raise LinkError(Reason.PORT_MISSING, f"no {what} is plugged in: {cure}")


def model_by_usb(port: str, *, list_ports: PortLister = plugged_in) -> Model | None:
    """What the USB ids of a port say; None where they are unknown, or those of a chip that any board may have."""
    plugged = find_port(port, list_ports())
    if plugged is None or plugged.kind is None:
        return None
    return LEONARDO if plugged.kind.native else model_called(plugged.kind.model)


def in_bootloader(port: str, *, list_ports: PortLister = plugged_in) -> bool:
    """Whether it is a native USB board in its bootloader, which has no sketch to talk to."""
    plugged = find_port(port, list_ports())
    return plugged is not None and plugged.kind is not None and plugged.kind.bootloader
