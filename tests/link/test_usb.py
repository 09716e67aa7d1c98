"""Native USB boards are told by their ids, through a symbolic link too."""

from pathlib import Path

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from gateway.link.usb import is_native_usb, listed


def port_of(device: Path, vendor: int | None, product: int | None) -> ListPortInfo:
    port = ListPortInfo(str(device))
    port.vid, port.pid = vendor, product
    return port


@pytest.mark.parametrize(
    ("vendor", "product", "native"),
    [
        (0x2341, 0x8036, True),  # Leonardo
        (0x2341, 0x8037, True),  # Micro
        (0x2A03, 0x8041, True),  # Yun
        (0x1B4F, 0x9206, True),  # Pro Micro
        (0x2341, 0x0043, False),  # Uno: its 16U2 is the USB device
        (0x2341, 0x0036, False),  # Leonardo in its bootloader
        (0x1A86, 0x7523, False),  # CH340
        (None, None, False),  # a UART on the mainboard
    ],
)
def test_ids(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vendor: int | None, product: int | None, native: bool
) -> None:
    device, link = tmp_path / "ttyACM7", tmp_path / "by-id"
    device.touch()
    link.symlink_to(device)
    monkeypatch.setattr(list_ports, "comports", lambda: [port_of(device, vendor, product)])
    assert is_native_usb(str(device)) is native
    assert is_native_usb(str(link)) is native
    assert not is_native_usb(str(tmp_path / "ttyACM8"))


@pytest.mark.parametrize(("stumbles", "found"), [(1, ["/dev/ttyS0"]), (99, [])])
def test_a_device_that_vanishes_while_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, stumbles: int, found: list[str]
) -> None:
    """pyserial then makes a number of a file that is not there any more."""
    looks: list[int] = []

    def comports() -> list[ListPortInfo]:
        looks.append(1)
        if len(looks) <= stumbles:
            raise TypeError("int() can't convert non-string with explicit base")
        return [ListPortInfo("/dev/ttyS0")]

    monkeypatch.setattr(list_ports, "comports", comports)
    assert [port.device for port in listed()] == found
