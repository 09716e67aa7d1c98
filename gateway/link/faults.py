"""The one place that turns whatever a port throws into a LinkError: reason, cause and cure.

Pure but for the look at a port's owner and at the ports there are, which only a failed open pays for.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import serial

from gateway.errors import LinkError
from gateway.link import usb
from gateway.model import Reason

try:
    import termios

    TERMINAL_ERRORS: tuple[type[Exception], ...] = (termios.error,)  # no OSError, though it carries an errno
except ImportError:  # Windows
    TERMINAL_ERRORS = ()

PORT_ERRORS: tuple[type[Exception], ...] = (
    OSError,  # SerialException, PermissionError and every socket error are among them
    *TERMINAL_ERRORS,
    ValueError,  # rates and URLs that can't be; a descriptor too high for select
    TypeError,  # pyserial on a port that was closed under it
    AttributeError,  # the same, of its socket handlers
    NotImplementedError,  # options that a handler does not know
)
"""What pyserial is known to raise from a call on a port."""

REASONS = {
    errno.EACCES: Reason.PERMISSION_DENIED,
    errno.EPERM: Reason.PERMISSION_DENIED,
    errno.EBUSY: Reason.PORT_BUSY,  # TIOCEXCL
    errno.EAGAIN: Reason.PORT_BUSY,  # flock
}
"""What an errno means while opening a device file; any other: the port is not there."""

NETWORK_SCHEMES = ("socket", "rfc2217")
SERIAL_GROUP = "dialout"  # Debian and its kin; elsewhere the device file's own group is named
PORT_KINDS = "a device file (/dev/ttyACM0), COM3, socket://host:port, rfc2217://host:port or virtual://uno"


@contextmanager
def opening(url: str) -> Iterator[None]:
    """Within it a port is opened: its failures become LinkError with a cure."""
    try:
        yield
    except PORT_ERRORS as error:
        raise _not_opened(url, error) from error


@contextmanager
def using(url: str, doing: str) -> Iterator[None]:
    """Within it an open port is used: its failures become LinkError that say the link is lost."""
    try:
        yield
    except serial.SerialTimeoutException as error:
        raise LinkError(Reason.NO_ANSWER, f"{url} takes no more bytes: the board or its USB chip hangs") from error
    except PORT_ERRORS as error:
        raise LinkError(
            Reason.PORT_MISSING, f"{url} was lost while {doing}: {_cause(error)}; {_lost_cure(url)}"
        ) from error


def check_address(url: str) -> None:
    """Raises LinkError for a network address that names no host or port, which pyserial reports as a riddle."""
    scheme = scheme_of(url)
    if scheme not in NETWORK_SCHEMES:
        return
    try:
        complete = bool(urlsplit(url).hostname and urlsplit(url).port)
    except ValueError:  # a port that is no number
        complete = False
    if not complete:
        raise LinkError(Reason.PORT_MISSING, f"{url} names no host and port; write {scheme}://192.168.1.20:2000")


def scheme_of(url: str) -> str:
    """The part before `://` in lower case, "" for a device file or COM3."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else ""


def _not_opened(url: str, error: Exception) -> LinkError:
    scheme = scheme_of(url)
    if scheme in NETWORK_SCHEMES:
        return LinkError(Reason.PORT_MISSING, _unreached(url, error))
    if scheme in ("virtual", "replay"):
        return LinkError(Reason.PORT_MISSING, f"{url}: {_cause(error)}")  # which tells what would be right
    if scheme:
        return LinkError(Reason.PORT_MISSING, f"{url}: {_cause(error)}; a port is {PORT_KINDS}")
    reason = _reason(error)
    return LinkError(reason, CURES[reason](url, error))


def _unreached(url: str, error: Exception) -> str:
    if scheme_of(url) == "socket" or error.__context__ is not None:  # what connecting raised
        return f"nobody answers at {url}: {_cause(error)}; is the address right, and does ser2net run there?"
    if "'control'" in str(error):
        cure = "its port has no modem lines, or does not tell of them: add ?ign_set_control to the address"
    else:
        cure = "does ser2net offer it as telnet(rfc2217)? A plain tcp one is socket://"
    return f"{url} does not answer as RFC 2217 wants: {error}; {cure}"


def _lost_cure(url: str) -> str:
    if scheme_of(url) in NETWORK_SCHEMES:
        return "does ser2net still run there, and is the board still plugged in?"
    return "is it still plugged in?"


def _reason(error: Exception) -> Reason:
    number = _errno(error)
    if number is None and "PermissionError" in str(error):
        return Reason.PORT_BUSY  # Windows denies access to a port that another program has open, and only then
    return REASONS.get(number or 0, Reason.PORT_MISSING)


def _errno(error: BaseException | None) -> int | None:
    """The first errno along the chain of causes: pyserial often keeps it in the exception it caught only."""
    while error is not None:
        number = error.args[0] if isinstance(error, TERMINAL_ERRORS) else getattr(error, "errno", None)
        if isinstance(number, int):
            return number
        error = error.__cause__ or error.__context__
    return None


def _cause(error: Exception) -> str:
    """A few words: the system's own where it was the system."""
    number = None if isinstance(error, ValueError) else _errno(error)
    return str(error) if number is None or number not in errno.errorcode else os.strerror(number)


def _busy(url: str, _error: Exception) -> str:
    cure = "close the program that uses it (often the Arduino IDE's serial monitor)"
    named = "" if sys.platform == "win32" else f"; `fuser -v {url}` names it"
    return f"{url} is in use: {cure}{named}"


def _denied(url: str, _error: Exception) -> str:
    return f"no permission to open {url}: {permission_cure(url)}"


def permission_cure(port: str) -> str:
    """What gives this user permission to open a device file."""
    return f"run `sudo usermod -aG {_group(port)} $USER`, then log out and in again"


def _group(path: str) -> str:
    """The group that may use a device file, where its members may."""
    try:
        import grp

        status = os.stat(path)
        if status.st_gid and status.st_mode & stat.S_IRGRP and status.st_mode & stat.S_IWGRP:
            return grp.getgrgid(status.st_gid).gr_name
    except (ImportError, OSError, KeyError):
        pass
    return SERIAL_GROUP


def _missing(url: str, error: Exception) -> str:
    if os.path.exists(url) or isinstance(error, ValueError):
        return f"{url} can't be used as a serial port: {_cause(error)}; a port is {PORT_KINDS}"
    present = ", ".join(port.device for port in usb.listed())
    return f"there is no {url}: is it plugged in, by a cable that carries data? Ports here: {present or 'none'}"


CURES = {Reason.PORT_BUSY: _busy, Reason.PERMISSION_DENIED: _denied, Reason.PORT_MISSING: _missing}
