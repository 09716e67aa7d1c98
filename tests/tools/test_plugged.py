"""Which board is meant where nobody named one: never a guess, never an opened port."""

import pytest

from gateway.errors import LinkError
from gateway.link.discovery import PluggedPort
from gateway.model import Reason
from gateway.tools.models import LEONARDO, MEGA, UNO, Model
from gateway.tools.plugged import in_bootloader, model_by_usb, only_board

GENUINE_UNO = PluggedPort("/dev/ttyACM0", 0x2341, 0x0043, serial_number="7")
CH340 = PluggedPort("/dev/ttyUSB0", 0x1A86, 0x7523, location="1-2")
MODEM = PluggedPort("/dev/ttyUSB1", 0x12D1, 0x1506)
ON_BOARD = PluggedPort("/dev/ttyS0")


@pytest.mark.parametrize("board", [GENUINE_UNO, CH340])
def test_the_only_known_one_is_meant(board: PluggedPort) -> None:
    assert only_board(list_ports=lambda: (ON_BOARD, MODEM, board)) is board


def test_of_two_none_is_meant_and_both_are_named() -> None:
    with pytest.raises(LinkError, match=r"2 boards .*name one with --port \(/dev/ttyACM0 .*; /dev/ttyUSB0 ") as caught:
        only_board(list_ports=lambda: (GENUINE_UNO, CH340))
    assert caught.value.reason is Reason.PORT_AMBIGUOUS


def test_where_nothing_is_known_what_there_is_is_named() -> None:
    with pytest.raises(LinkError, match=r"no board is plugged in: name one .*--port .*\(/dev/ttyUSB1 .*; /dev/ttyS0\)"):
        only_board(list_ports=lambda: (MODEM, ON_BOARD))
    with pytest.raises(LinkError, match="no serial port here; is the cable one that carries data"):
        only_board(list_ports=tuple)


def test_of_two_the_one_with_that_serial_number_or_place_is_meant() -> None:
    def both() -> tuple[PluggedPort, ...]:
        return GENUINE_UNO, CH340

    assert only_board(usb_serial="7", list_ports=both) is GENUINE_UNO
    assert only_board(location="1-2", list_ports=both) is CH340
    with pytest.raises(LinkError, match="no board with location 1-9 is plugged in: name one"):
        only_board(location="1-9", list_ports=both)


@pytest.mark.parametrize(
    ("vendor", "product", "model"),
    [
        (0x2341, 0x0043, UNO),
        (0x2A03, 0x0042, MEGA),
        (0x2341, 0x003F, MEGA),
        (0x2341, 0x8036, LEONARDO),
        (0x2341, 0x0036, LEONARDO),
        (0x1B4F, 0x9206, LEONARDO),
        (0x1A86, 0x7523, None),
        (0x12D1, 0x1506, None),
        (None, None, None),
    ],
)
def test_what_usb_ids_tell_of_the_model(vendor: int | None, product: int | None, model: Model | None) -> None:
    plugged = PluggedPort("/dev/ttyACM0", vendor, product)
    assert model_by_usb("/dev/ttyACM0", list_ports=lambda: (plugged,)) is model
    assert model_by_usb("/dev/ttyACM1", list_ports=lambda: (plugged,)) is None


def test_a_native_usb_board_in_its_bootloader_is_known() -> None:
    for product, expected in ((0x0036, True), (0x8036, False), (0x0043, False)):
        plugged = PluggedPort("/dev/ttyACM0", 0x2341, product)
        assert in_bootloader("/dev/ttyACM0", list_ports=lambda plugged=plugged: (plugged,)) is expected
