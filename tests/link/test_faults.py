"""Whatever a port throws becomes one kind of error, with the right reason, what was seen and what helps."""

import errno
import os
import sys
from pathlib import Path

import pytest
import serial
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from gateway.errors import LinkError
from gateway.link import faults
from gateway.model import Reason

PORT = "/dev/ttyNOTHERE0"
TERMINAL_ERROR: type[Exception] = next(iter(faults.TERMINAL_ERRORS), OSError)
"""What a terminal raises, termios.error where there is such a thing."""


def opening_failed(error: Exception, url: str = PORT) -> LinkError:
    with pytest.raises(LinkError) as caught, faults.opening(url):
        raise error
    return caught.value


def using_failed(error: Exception) -> LinkError:
    with pytest.raises(LinkError) as caught, faults.using(PORT, "reading"):
        raise error
    return caught.value


def caused_by(cause: Exception, error: Exception) -> Exception:
    """As pyserial wraps what it caught."""
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (serial.SerialException(errno.ENOENT, "could not open"), Reason.PORT_MISSING, "is it plugged in"),
        (serial.SerialException(errno.ENXIO, "could not open"), Reason.PORT_MISSING, "is it plugged in"),
        (PermissionError(errno.EACCES, "Permission denied"), Reason.PERMISSION_DENIED, "usermod -aG dialout $USER"),
        (serial.SerialException(errno.EPERM, "could not"), Reason.PERMISSION_DENIED, "log out and in again"),
        (serial.SerialException(errno.EBUSY, "could not open"), Reason.PORT_BUSY, "serial monitor"),
        (serial.SerialException(errno.EAGAIN, "could not lock"), Reason.PORT_BUSY, f"fuser -v {PORT}"),
        (TERMINAL_ERROR(errno.EIO, "Input/output error"), Reason.PORT_MISSING, "is it plugged in"),
        (caused_by(OSError(errno.EBUSY, "busy"), serial.SerialException("no")), Reason.PORT_BUSY, "in use"),
        (
            serial.SerialException("could not open port 'COM3': PermissionError(13, 'Access is denied.', None, 5)"),
            Reason.PORT_BUSY,
            "in use",
        ),
        (
            serial.SerialException("could not open port 'COM3': FileNotFoundError(2, 'The system cannot ...')"),
            Reason.PORT_MISSING,
            "is it plugged in",
        ),
        (TypeError("argument must be an int"), Reason.PORT_MISSING, "is it plugged in"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_opening_a_device_file(error: Exception, reason: Reason, words: str) -> None:
    failure = opening_failed(error)
    assert failure.reason is reason
    assert words in str(failure)
    assert PORT in str(failure)
    assert failure.__cause__ is error


def test_a_missing_port_names_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_ports, "comports", lambda: [ListPortInfo("/dev/ttyUSB3"), ListPortInfo("/dev/ttyACM1")])
    assert "Ports here: /dev/ttyUSB3, /dev/ttyACM1" in str(opening_failed(FileNotFoundError(errno.ENOENT, "no")))
    monkeypatch.setattr(list_ports, "comports", list)
    assert "Ports here: none" in str(opening_failed(FileNotFoundError(errno.ENOENT, "no")))


def test_what_is_no_serial_port_says_so(tmp_path: Path) -> None:
    failure = opening_failed(TERMINAL_ERROR(errno.ENOTTY, "Inappropriate ioctl for device"), str(tmp_path))
    assert failure.reason is Reason.PORT_MISSING
    assert "can't be used as a serial port: Inappropriate ioctl for device" in str(failure)


def test_a_rate_that_can_not_be_is_told_in_pyserials_words(tmp_path: Path) -> None:
    error = caused_by(OSError(errno.EINVAL, "Invalid argument"), ValueError("Not a valid baudrate: -1"))
    assert "Not a valid baudrate: -1" in str(opening_failed(error, str(tmp_path)))


@pytest.mark.needs("posix")
def test_the_group_named_is_the_one_that_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = tmp_path / "ttyS0"
    port.touch()
    denied = PermissionError(errno.EACCES, "Permission denied")
    real = os.stat(port)

    def owned_by(group: int, mode: int) -> None:
        fields = [mode, *real[1:5], group, *real[6:]]
        monkeypatch.setattr(os, "stat", lambda _path: os.stat_result(fields))

    owned_by(1, 0o660)
    assert "usermod -aG daemon $USER" in str(opening_failed(denied, str(port)))
    owned_by(0, 0o660)
    assert "usermod -aG dialout $USER" in str(opening_failed(denied, str(port)))
    owned_by(1, 0o640)
    assert "usermod -aG dialout $USER" in str(opening_failed(denied, str(port)))
    owned_by(3_999_999, 0o660)
    assert "usermod -aG dialout $USER" in str(opening_failed(denied, str(port)))


def test_windows_is_not_sent_to_fuser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert "fuser" not in str(opening_failed(OSError(errno.EBUSY, "busy"), "COM3"))


@pytest.mark.parametrize(
    "error",
    [
        serial.SerialException("device reports readiness to read but returned no data"),
        OSError(errno.EIO, "Input/output error"),
        TERMINAL_ERROR(errno.EIO, "Input/output error"),
        PermissionError(errno.EACCES, "Windows, unplugged"),
        TypeError("an integer is required"),
        ValueError("filedescriptor out of range in select()"),
        AttributeError("'NoneType' object has no attribute 'recv'"),
        serial.PortNotOpenError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.fault(18)
def test_using_a_port_that_is_lost(error: Exception) -> None:
    failure = using_failed(error)
    assert failure.reason is Reason.PORT_MISSING
    assert f"{PORT} was lost while reading: " in str(failure)
    assert "still plugged in" in str(failure)


@pytest.mark.parametrize("url", ["socket://host:2000", "rfc2217://host:2217"])
def test_a_network_port_that_is_lost_asks_for_ser2net(url: str) -> None:
    with pytest.raises(LinkError, match="reading: gone; does ser2net still run there"), faults.using(url, "reading"):
        raise serial.SerialException("gone")


def test_a_peer_that_is_no_rfc2217_server_is_told_from_none() -> None:
    url = "rfc2217://host:2217"
    refused = OSError(errno.ECONNREFUSED, "Connection refused")
    assert f"nobody answers at {url}: Connection refused" in str(
        opening_failed(caused_by(refused, serial.SerialException("no")), url)
    )
    plain = opening_failed(serial.SerialException("Remote does not seem to support RFC2217"), url)
    assert f"{url} does not answer as RFC 2217 wants: Remote does not seem" in str(plain)
    assert "telnet(rfc2217)? A plain tcp one is socket://" in str(plain)
    bare = opening_failed(serial.SerialException("timeout while waiting for option 'control'"), url)
    assert "add ?ign_set_control to the address" in str(bare)
    assert {plain.reason, bare.reason} == {Reason.PORT_MISSING}


@pytest.mark.fault(21)
def test_a_write_that_hangs_is_no_missing_port() -> None:
    failure = using_failed(serial.SerialTimeoutException("Write timeout"))
    assert failure.reason is Reason.NO_ANSWER
    assert "takes no more bytes" in str(failure)


def test_faults_of_our_own_pass() -> None:
    with pytest.raises(ZeroDivisionError), faults.using(PORT, "reading"):
        raise ZeroDivisionError


@pytest.mark.parametrize("url", ["socket://", "socket://host", "socket://:2000", "rfc2217://host:many", "SOCKET://a:0"])
def test_an_address_without_host_and_port_is_refused(url: str) -> None:
    with pytest.raises(LinkError, match=r"names no host and port; write (socket|rfc2217)://192") as caught:
        faults.check_address(url)
    assert caught.value.reason is Reason.PORT_MISSING


@pytest.mark.parametrize("url", ["socket://host:2000", "rfc2217://[::1]:2217", "/dev/ttyACM0", "COM3", "virtual://uno"])
def test_other_addresses_pass(url: str) -> None:
    faults.check_address(url)
