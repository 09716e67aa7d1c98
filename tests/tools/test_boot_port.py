"""The port as bootloaders want it, on pseudo-terminals and over a network protocol that has modem lines.

That it resets boards is shown on emulated ones, in tests/emulated/test_flash.py.
"""

import pytest

from gateway.errors import LinkError
from gateway.link.serial_port import open_port
from gateway.link.wake import Wake
from gateway.model import Reason
from gateway.tools.boot_port import BootPort
from tests.link.fakes import pseudo_terminal

pytestmark = pytest.mark.needs("posix")


def test_bytes_pass_and_a_read_gives_what_came_in_time() -> None:
    with pseudo_terminal() as pty, BootPort(pty.path, baud=115_200) as port:
        port.write(b"ab")
        assert pty.heard(2) == b"ab"
        pty.say(b"cde")
        assert port.read(2, timeout_s=5.0) == b"cd"
        assert port.read(2, timeout_s=0.01) == b"e"
        pty.say(b"old")
        assert port.read(1, timeout_s=5.0) == b"o"
        port.discard()
        assert port.read(1, timeout_s=0.01) == b""


def test_the_next_opening_resets_the_board_though_the_last_did_not() -> None:
    """A gateway clears HUPCL, so that nothing resets the board; a board that was flashed is to start anew."""
    wake = Wake()
    with pseudo_terminal() as pty:
        open_port(pty.path, baud=250_000, wake=wake).close()
        assert not pty.hupcl()
        with BootPort(pty.path, baud=115_200) as port:
            port.reset(baud=57_600)
            assert pty.hupcl()
        assert pty.hupcl()
    wake.close()


def test_nobody_else_opens_it_meanwhile_and_it_is_free_again_after() -> None:
    with pseudo_terminal() as pty:
        with BootPort(pty.path, baud=115_200) as port:
            port.reset(baud=115_200)
            with pytest.raises(LinkError) as caught:
                BootPort(pty.path, baud=115_200)
            assert caught.value.reason is Reason.PORT_BUSY
        BootPort(pty.path, baud=115_200).close()


def test_a_lost_port_is_a_link_error_and_closes() -> None:
    with pseudo_terminal() as pty, BootPort(pty.path, baud=115_200) as port:
        pty.unplug()
        with pytest.raises(LinkError) as caught:
            port.read(1, timeout_s=5.0)
        assert caught.value.reason is Reason.PORT_MISSING
        with pytest.raises(LinkError):
            port.reset(baud=115_200)
        port.close()
        port.close()


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("socket://127.0.0.1:1", r"can neither set the rate nor reset the board: let ser2net offer it as telnet"),
        ("virtual://uno", r"virtual://uno can't be flashed: it is a virtual board"),
        ("replay://x", r"it is a recording"),
        ("rfc2217://nowhere", r"names no host and port"),
        ("/dev/ttyNONE", r"there is no /dev/ttyNONE: is it plugged in"),
    ],
)
def test_what_can_not_be_flashed_is_told_with_what_can(url: str, fault: str) -> None:
    with pytest.raises(LinkError, match=fault) as caught:
        BootPort(url, baud=115_200)
    assert caught.value.reason is Reason.PORT_MISSING
