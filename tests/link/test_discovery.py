"""What is plugged in, as the system tells it, and the names that outlive the plug."""

from pathlib import Path

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from gateway.link.discovery import PluggedPort, find_port, plugged_in, stable_path
from gateway.link.usb import KINDS, NATIVE_USB

UNO = PluggedPort("/dev/ttyACM0", 0x2341, 0x0043, "5573", "1-1.4", "Arduino Uno")
CLONE = PluggedPort("/dev/ttyUSB0", 0x1A86, 0x7523, None, "1-1.2", "USB Serial")


def listed(device: str, **facts: object) -> ListPortInfo:
    info = ListPortInfo(device)
    for name, fact in facts.items():
        setattr(info, name, fact)
    return info


def test_the_system_s_list_becomes_ports_in_the_order_of_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    system = [
        listed("/dev/ttyUSB10", vid=0x1A86, pid=0x7523, location="1-1.2", description="USB Serial"),
        listed("/dev/ttyUSB9", vid=0x1234, pid=0x5, serial_number="", description="ttyUSB9"),
        listed("/dev/ttyS0"),
        listed("/dev/ttyACM0", vid=0x2341, pid=0x43, serial_number="5573", location="1-1.4", description="Arduino Uno"),
    ]
    monkeypatch.setattr(list_ports, "comports", lambda: system)
    assert plugged_in() == (
        UNO,
        PluggedPort("/dev/ttyS0"),
        PluggedPort("/dev/ttyUSB9", 0x1234, 0x5),
        PluggedPort("/dev/ttyUSB10", 0x1A86, 0x7523, None, "1-1.2", "USB Serial"),
    )


@pytest.mark.parametrize(
    ("port", "ids", "model", "may_be_board"),
    [
        (UNO, "2341:0043", "Arduino Uno", True),
        (CLONE, "1a86:7523", "CH340", True),
        (PluggedPort("x", 0x0403, 0x6001), "0403:6001", "FTDI FT232", True),
        (PluggedPort("x", 0x2A03, 0x8036), "2a03:8036", "Arduino Leonardo", True),
        (PluggedPort("x", 0x2341, 0x0036), "2341:0036", "Arduino Leonardo (bootloader)", False),
        (PluggedPort("x", 0x1B4F, 0x9205), "1b4f:9205", "SparkFun Pro Micro (bootloader)", False),
        (PluggedPort("x", 0x1234, 0x0005, description="Modem"), "1234:0005", "Modem", False),
        (PluggedPort("x", 0x1234, 0x0005), "1234:0005", "1234:0005", False),
        (PluggedPort("/dev/ttyS0"), None, None, False),
    ],
)
def test_what_usb_ids_mean(port: PluggedPort, ids: str | None, model: str | None, may_be_board: bool) -> None:
    assert (port.usb_ids, port.model, port.may_be_board) == (ids, model, may_be_board)


def test_a_native_board_is_one_only_while_its_sketch_runs() -> None:
    assert (0x2341, 0x8036) in NATIVE_USB
    assert (0x2341, 0x0036) not in NATIVE_USB
    assert all(KINDS[ids].native for ids in NATIVE_USB)


def test_a_port_tells_what_it_is_found_by() -> None:
    assert str(UNO) == "/dev/ttyACM0 (Arduino Uno, serial number 5573, location 1-1.4)"
    assert str(CLONE) == "/dev/ttyUSB0 (CH340, location 1-1.2)"
    assert str(PluggedPort("/dev/ttyS0")) == "/dev/ttyS0"


def test_a_port_is_found_by_its_name_and_by_a_link(tmp_path: Path) -> None:
    device, link = tmp_path / "ttyACM0", tmp_path / "by-id"
    device.touch()
    link.symlink_to(device)
    plugged = PluggedPort(str(device))
    assert find_port(str(device), [CLONE, plugged]) is plugged
    assert find_port(str(link), [CLONE, plugged]) is plugged
    assert find_port(str(tmp_path / "ttyACM1"), [CLONE, plugged]) is None


@pytest.mark.parametrize(("serial_number", "folder"), [("5573", "by-id"), (None, "by-path")])
def test_the_stable_name_is_by_id_where_the_device_has_a_serial_number(
    tmp_path: Path, serial_number: str | None, folder: str
) -> None:
    """Two CH340 share one link by id: it would lead to the other one some day."""
    device = tmp_path / "ttyACM0"
    device.touch()
    for name in ("by-id", "by-path"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "another").symlink_to(tmp_path / "ttyACM1")
        (tmp_path / name / "this").symlink_to(device)
    found = stable_path(
        PluggedPort(str(device), 1, 2, serial_number), by_id=tmp_path / "by-id", by_path=tmp_path / "by-path"
    )
    assert found == str(tmp_path / folder / "this")


def test_without_udev_there_is_no_stable_name(tmp_path: Path) -> None:
    assert stable_path(UNO, by_id=tmp_path / "by-id", by_path=tmp_path / "by-path") is None
