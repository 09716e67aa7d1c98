"""Ports of every kind, opened by URL: pseudo-terminals, sockets, RFC 2217, virtual boards; and their deaths."""

import contextlib
import errno
import importlib.util
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import serial
from serial import rfc2217
from serial.urlhandler import protocol_socket

from gateway.errors import LinkError
from gateway.link import faults, serial_port, terminal, usb
from gateway.link.serial_port import READ_BYTES, PortTraits, SerialPort, is_virtual, open_port
from gateway.link.tap import Trace, TraceKind
from gateway.link.waits import SlicedWait
from gateway.link.wake import Wake
from gateway.model import Reason
from gateway.protocol import messages as m
from gateway.protocol.framing import Deframer, Frame, encode
from tests.link.fakes import LATER_S, FakeClock, Pty, open_descriptors

LONG_S = 30  # a wait that something ends long before
SHORT_WRITE_TIMEOUT_S = 0.05
NOBODY = 65534
NO_TRAITS = PortTraits(virtual=False, answers_at_once=False, fixed_baud=False)


@contextlib.contextmanager
def opened(url: str, wake: Wake, **options: object) -> Iterator[SerialPort]:
    port = open_port(url, baud=250_000, wake=wake, **options)  # type: ignore[arg-type]
    try:
        yield port
    finally:
        port.close()


def read_all(port: SerialPort, size: int, *, timeout_s: float = LONG_S) -> bytes:
    """Waits for so many bytes; between two looks no longer than `timeout_s`."""
    data = b""
    while len(data) < size:
        port.wait(timeout_s)
        data += port.read()
    return data


def later(action: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(LATER_S, action)
    timer.start()
    return timer


def fail(*_arguments: object, **_named: object) -> None:
    """As a port that is unplugged meanwhile."""
    raise OSError(errno.EIO, "unplugged")


def refused(url: str, wake: Wake) -> LinkError:
    """Opening fails, and leaves nothing open."""
    before = open_descriptors()
    with pytest.raises(LinkError) as caught:
        open_port(url, baud=250_000, wake=wake)
    assert open_descriptors() == before
    return caught.value


@pytest.mark.needs("posix")
class TestTerminal:
    def test_bytes_pass_both_ways_unchanged(self, pty: Pty, wake: Wake) -> None:
        every_byte = bytes(range(256))
        with opened(pty.path, wake) as port:
            assert port.read() == b""
            port.write(every_byte)
            assert pty.heard(256) == every_byte
            pty.say(every_byte)
            assert read_all(port, 256) == every_byte
            assert port.read() == b""

    def test_what_came_before_it_was_opened_is_discarded(self, pty: Pty, wake: Wake) -> None:
        with opened(pty.path, wake):
            pass
        pty.say(b"old")
        with opened(pty.path, wake) as port:
            pty.say(b"new")
            assert read_all(port, 3) == b"new"

    def test_hupcl_is_cleared_and_says_whether_the_board_was_reset(self, pty: Pty, wake: Wake) -> None:
        pty.set_hupcl()
        with opened(pty.path, wake) as port:
            assert port.traits == NO_TRAITS
            assert not pty.hupcl()
        with opened(pty.path, wake) as port:
            assert port.traits.answers_at_once

    def test_native_usb_answers_at_once_at_any_rate(
        self, pty: Pty, wake: Wake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pty.set_hupcl()
        monkeypatch.setattr(usb, "is_native_usb", lambda path: path == pty.path)
        with opened(pty.path, wake) as port:
            assert port.traits == PortTraits(virtual=False, answers_at_once=True, fixed_baud=True)

    def test_the_rate_can_be_changed_and_hupcl_stays_clear(self, pty: Pty, wake: Wake) -> None:
        with opened(pty.path, wake) as port:
            port.set_baud(115_200)
            assert port._port.baudrate == 115_200
            assert not pty.hupcl()

    def test_a_rate_that_can_not_be_is_a_link_error(self, pty: Pty, wake: Wake) -> None:
        with opened(pty.path, wake) as port, pytest.raises(LinkError, match="Not a valid baudrate"):
            port.set_baud(-1)

    def test_the_tap_sees_all_bytes_in_order_with_their_times(self, pty: Pty, wake: Wake) -> None:
        seen: list[Trace] = []
        clock = FakeClock()
        with opened(pty.path, wake, tap=seen.append, clock=clock) as port:
            clock.ms += 1000
            port.write(b"ask")
            pty.say(b"answer")
            read_all(port, 6)
            port.read()
            port.set_baud(115_200)
        port.close()
        assert [(trace.kind, trace.data) for trace in seen] == [
            (TraceKind.OPENED, pty.path.encode()),
            (TraceKind.BAUD, b"250000"),
            (TraceKind.SENT, b"ask"),
            (TraceKind.RECEIVED, b"answer"),
            (TraceKind.BAUD, b"115200"),
            (TraceKind.CLOSED, b""),
        ]
        assert seen[2].monotonic_s - seen[1].monotonic_s == 1
        assert [trace.time_s for trace in seen[-1:]] == [clock.time()]

    def test_the_tap_hears_why_a_port_was_lost(self, pty: Pty, wake: Wake) -> None:
        seen: list[Trace] = []
        with opened(pty.path, wake, tap=seen.append) as port, pytest.raises(LinkError):
            port.set_baud(-1)
        assert [trace.kind for trace in seen].count(TraceKind.CLOSED) == 1
        assert "was lost while setting its rate" in seen[-1].text

    def test_a_wait_ends_with_bytes_a_wake_or_its_time(self, pty: Pty, wake: Wake) -> None:
        with opened(pty.path, wake) as port:
            port.wait(0)
            timer = later(lambda: pty.say(b"x"))
            port.wait(LONG_S)
            timer.join()
            assert port.read() == b"x"
            timer = later(wake.set)
            port.wait(LONG_S)
            timer.join()
            assert not wake.wait(0)
            assert port.read() == b""

    def test_close_releases_everything_once(self, pty: Pty, wake: Wake) -> None:
        before = open_descriptors()
        with opened(pty.path, wake) as port:
            assert open_descriptors() > before
            port.close()
            port.close()
            assert open_descriptors() == before

    @pytest.mark.parametrize(
        ("where", "name"), [(terminal, "_keep_board_running"), (serial_port, "_traits"), (serial_port, "SelectorWait")]
    )
    def test_a_failure_halfway_through_open_leaves_nothing_open(
        self, pty: Pty, wake: Wake, monkeypatch: pytest.MonkeyPatch, where: ModuleType, name: str
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(where, name, fail)
            assert "Input/output error" in str(refused(pty.path, wake))
        with opened(pty.path, wake):
            pass


@pytest.mark.needs("posix")
class TestUnplugged:
    @pytest.mark.parametrize(
        "use",
        [
            lambda port: port.read(),
            lambda port: port.write(b"x"),
            lambda port: port.set_baud(57_600),
        ],
        ids=["read", "write", "set_baud"],
    )
    @pytest.mark.fault(18)
    def test_any_use_is_one_link_error_and_the_port_is_closed(
        self, pty: Pty, wake: Wake, use: Callable[[SerialPort], object]
    ) -> None:
        before = open_descriptors()
        with opened(pty.path, wake) as port:
            pty.unplug()
            with pytest.raises(LinkError) as caught:
                use(port)
            assert caught.value.reason is Reason.PORT_MISSING
            assert open_descriptors() == before - 1  # the pseudo-terminal's other end

    @pytest.mark.fault(18)
    def test_during_a_wait(self, pty: Pty, wake: Wake) -> None:
        before = open_descriptors()
        with opened(pty.path, wake) as port:
            timer = later(pty.unplug)
            with pytest.raises(LinkError):
                read_all(port, 1)
            timer.join()
            assert open_descriptors() == before - 1

    @pytest.mark.fault(18)
    def test_before_it_is_used_again(self, pty: Pty, wake: Wake) -> None:
        with opened(pty.path, wake) as port:
            pty.unplug()
            port.close()

    @pytest.mark.parametrize("use", [SerialPort.read, lambda port: port.wait(0), lambda port: port.write(b"x")])
    def test_a_closed_port_gives_link_errors(self, pty: Pty, wake: Wake, use: Callable[[SerialPort], object]) -> None:
        with opened(pty.path, wake) as port:
            port.close()
            with pytest.raises(LinkError):
                use(port)

    @pytest.mark.fault(21)
    def test_a_board_that_takes_no_bytes_ends_the_link_in_bounded_time(
        self, pty: Pty, wake: Wake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(serial_port, "WRITE_TIMEOUT_S", SHORT_WRITE_TIMEOUT_S)
        with opened(pty.path, wake) as port:
            with pytest.raises(LinkError) as caught:
                port.write(b"x" * 1_000_000)  # far more than a pseudo-terminal holds
            assert caught.value.reason is Reason.NO_ANSWER
            assert not port._port.is_open


@pytest.mark.needs("posix")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks where other threads may live
class TestSoleUse:
    @pytest.mark.fault(20)
    def test_a_second_opening_is_refused(self, pty: Pty, wake: Wake) -> None:
        with opened(pty.path, wake):
            assert refused(pty.path, wake).reason is Reason.PORT_BUSY
        with opened(pty.path, wake):
            pass

    @pytest.mark.fault(20)
    def test_another_process_that_locked_it(self, pty: Pty, wake: Wake) -> None:
        script = (
            f"import fcntl; f = open({pty.path!r}, 'rb+', buffering=0); fcntl.flock(f, 2); print(flush=True); input()"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout
            holder.stdout.readline()
            error = refused(pty.path, wake)
            holder.communicate(b"\n")
        assert error.reason is Reason.PORT_BUSY
        assert f"fuser -v {pty.path}" in str(error)

    @pytest.mark.fault(20)
    def test_programs_that_lock_nothing_are_kept_out_too(self, pty: Pty, wake: Wake) -> None:
        """TIOCEXCL, which does not bind root; and given back, since a pseudo-terminal would keep it."""
        os.chmod(pty.path, 0o666)
        with opened(pty.path, wake):
            assert "busy" in open_unprivileged(pty.path)
        assert open_unprivileged(pty.path) == ""

    def test_exclusive_use_by_others_is_port_busy(self, pty: Pty, wake: Wake) -> None:
        os.chmod(pty.path, 0o666)
        with opened(pty.path, wake):
            assert reason_unprivileged(pty.path) == Reason.PORT_BUSY

    def test_a_port_of_others_is_permission_denied(self, pty: Pty) -> None:
        os.chmod(pty.path, 0)
        assert reason_unprivileged(pty.path) == Reason.PERMISSION_DENIED


def open_unprivileged(path: str) -> str:
    """What a shell without rights says to opening a port for reading and writing."""
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    shell = subprocess.run(
        ["/bin/sh", "-c", 'exec 3<>"$0"', path],
        env={"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
        **user,
    )  # type: ignore[call-overload]
    return str(shell.stderr)


def reason_unprivileged(path: str) -> str:
    """The reason of the LinkError that a process without rights gets from open_port, "" for none."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            try:
                open_port(path, baud=250_000, wake=Wake())
            except LinkError as error:
                os.write(writer, error.reason.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader) as answer:
        return answer.read()


class TestNotOpened:
    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("/dev/ttyNOTHERE0", "there is no /dev/ttyNOTHERE0: is it plugged in"),
            ("/dev/null", "/dev/null can't be used as a serial port"),
            ("COM3", "there is no COM3"),
            ("virtual://due", 'there is no virtual board "due"; known: virtual://uno'),
            (
                "virtual://uno?drp=0.1",
                'virtual://uno?drp=0.1: a virtual board has no parameter "drp"; did you mean drop?',
            ),
            ("bluetooth://board", "virtual://uno"),
            ("socket://localhost", "names no host and port"),
            ("a\0b", "embedded null"),
        ],
    )
    def test_missing(self, url: str, words: str, wake: Wake) -> None:
        error = refused(url, wake)
        assert error.reason is Reason.PORT_MISSING
        assert words in str(error)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Listens on a free port of the loopback. pyserial rests 0.3 s after closing a socket; not here."""
    monkeypatch.setattr(protocol_socket, "time", SimpleNamespace(sleep=lambda _seconds: None))
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def address(server: socket.socket) -> str:
    host, port = server.getsockname()
    return f"{host}:{port}"


class TestSocket:
    def test_bytes_pass_both_ways(self, server: socket.socket, wake: Wake) -> None:
        with opened(f"socket://{address(server)}", wake) as port, server.accept()[0] as board:
            assert port.traits == PortTraits(virtual=False, answers_at_once=True, fixed_baud=True)
            port.set_baud(115_200)
            port.write(b"ask")
            assert board.recv(16) == b"ask"
            board.send(b"answer")
            assert read_all(port, 6) == b"answer"
            timer = later(wake.set)
            port.wait(LONG_S)
            timer.join()

    def test_its_end_is_a_link_error(self, server: socket.socket, wake: Wake) -> None:
        before = open_descriptors()
        with opened(f"socket://{address(server)}", wake) as port:
            server.accept()[0].close()
            with pytest.raises(LinkError, match="was lost while reading") as caught:
                read_all(port, 1)
            assert caught.value.reason is Reason.PORT_MISSING
            assert open_descriptors() == before

    def test_a_reset_leaves_no_descriptor_behind(self, server: socket.socket, wake: Wake) -> None:
        before = open_descriptors()
        with opened(f"socket://{address(server)}", wake) as port:
            with server.accept()[0] as board:
                board.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            with pytest.raises(LinkError):
                read_all(port, 1)
            assert open_descriptors() == before

    def test_nobody_there(self, server: socket.socket, wake: Wake) -> None:
        url = f"socket://{address(server)}"
        server.close()
        error = refused(url, wake)
        assert error.reason is Reason.PORT_MISSING
        assert f"nobody answers at {url}: Connection refused" in str(error)

    def test_a_failure_halfway_through_open(
        self, server: socket.socket, wake: Wake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(terminal, "take", fail)
        refused(f"socket://{address(server)}", wake)


class TestWithoutDescriptor:
    def test_bytes_and_a_wake_end_a_wait_over_loop(self, wake: Wake) -> None:
        with opened("loop://", wake) as port:
            port.wait(0)
            timer = later(lambda: port.write(b"later"))
            port.wait(LONG_S)
            timer.join()
            assert read_all(port, 5) == b"later"
            timer = later(wake.set)
            port.wait(LONG_S)
            timer.join()

    def test_single_bytes_are_read_in_one_piece_of_bounded_size(self, wake: Wake, clock: FakeClock) -> None:
        spoonfed = SingleBytes(b"x" * (READ_BYTES + 3))
        wait = SlicedWait(spoonfed, wake=wake, clock=clock)  # type: ignore[arg-type]
        port = SerialPort(spoonfed, url="rfc2217://host:1", traits=NO_TRAITS, wait=wait)  # type: ignore[arg-type]
        assert [len(port.read()) for _ in range(3)] == [READ_BYTES, 3, 0]

    @pytest.mark.filterwarnings("ignore:set(Daemon|Name)")
    def test_rfc2217(self, server: socket.socket, wake: Wake, monkeypatch: pytest.MonkeyPatch) -> None:
        before = open_descriptors()
        briefly = SimpleNamespace(sleep=lambda _seconds: threading.Event().wait(0.005))
        monkeypatch.setattr(rfc2217, "time", briefly)  # pyserial's client asks 20 times a second, and rests when closed
        peer = threading.Thread(target=serve_rfc2217, args=(server,))
        peer.start()
        with opened(f"rfc2217://{address(server)}", wake) as port:
            assert port.traits == NO_TRAITS
            port.write(b"\0echo\xff")
            assert read_all(port, 6) == b"\0echo\xff"
            port.set_baud(115_200)
            port.write(b"!")
            with pytest.raises(LinkError):
                read_all(port, 1, timeout_s=LATER_S)  # such a port tells its end to a read only
        peer.join()
        assert open_descriptors() == before


class SingleBytes:
    """Gives one byte for each read, as pyserial's rfc2217 does without a timeout."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def in_waiting(self) -> int:
        return len(self.data)

    def read(self, _size: int) -> bytes:
        first, self.data = self.data[:1], self.data[1:]
        return first


def serve_rfc2217(server: socket.socket) -> None:
    """A network serial port with a loop behind it; hangs up when it gets an exclamation mark."""
    connection, _ = server.accept()
    with connection, serial.serial_for_url("loop://", timeout=0) as loop:
        writer = SimpleNamespace(write=connection.sendall)
        manager = rfc2217.PortManager(loop, writer)  # type: ignore[arg-type]  # its stubs know one kind of port only
        while data := connection.recv(1024):
            loop.write(b"".join(manager.filter(data)))
            echo = loop.read(loop.in_waiting)
            if b"!" in echo:
                return
            connection.sendall(b"".join(manager.escape(echo)))


class TestVirtual:
    def test_a_session_by_hand(self, wake: Wake) -> None:
        with opened("virtual://uno", wake) as port:
            assert port.traits == PortTraits(virtual=True, answers_at_once=True, fixed_baud=True)
            hello = m.Hello(1, 1, 0, session=0x11223344, epoch=7, unix_time=0)
            reply = m.HelloReply.from_bytes(exchange(port, hello, seq=1).payload)
            assert (reply.session, reply.channels, reply.actions) == (0x11223344, 24, 6)
            exchange(port, m.SetEpoch(7), seq=2)
            done = m.CommandReply.from_bytes(exchange(port, m.RunCommand(1, 21, 0, b"\1"), seq=3).payload)
            assert (done.outcome, done.code) == (m.Outcome.EXECUTED, 0)
            poll = m.PollReply.from_bytes(exchange(port, m.Poll(0), seq=4).payload)
            assert (poll.done, poll.values[-3:]) == (1, b"\1\0\0")

    def test_it_says_boot_when_opened_and_again_by_itself(self, wake: Wake) -> None:
        with opened("VIRTUAL://UNO", wake) as port:
            deframer = Deframer()
            boots: list[Frame] = []
            while len(boots) < 2:
                port.wait(LONG_S)
                boots += [frame for frame in deframer.feed(port.read()) if isinstance(frame, Frame)]
            assert [(boot.type, boot.seq) for boot in boots] == [(m.Boot.TYPE, 0), (m.Boot.TYPE, 1)]

    def test_each_opening_is_a_fresh_board(self, wake: Wake) -> None:
        for _ in range(2):
            with opened("virtual://uno", wake) as port:
                hello = m.Hello(1, 1, 0, session=0x44, epoch=7, unix_time=0)
                assert m.HelloReply.from_bytes(exchange(port, hello, seq=1).payload).stored_epoch == 0
                exchange(port, m.SetEpoch(7), seq=2)

    def test_a_wake_ends_a_wait(self, wake: Wake) -> None:
        with opened("virtual://uno", wake) as port:
            port.read()
            timer = later(wake.set)
            port.wait(LONG_S)
            timer.join()

    def test_it_holds_no_descriptor_and_is_gone_when_closed(self, wake: Wake) -> None:
        before = open_descriptors()
        port = open_port("virtual://uno", baud=250_000, wake=wake)
        assert open_descriptors() == before
        port.set_baud(1)
        port.close()
        with pytest.raises(LinkError):
            port.wait(0)

    def test_as_pyserial_opens_it(self) -> None:
        with serial.serial_for_url("virtual://uno", timeout=0) as port:
            assert port.in_waiting
            port.reset_input_buffer()
            port.reset_output_buffer()
            assert not port.in_waiting
            with pytest.raises(serial.SerialException, match="open already"):
                port.open()
        with pytest.raises(io.UnsupportedOperation):
            port.fileno()

    @pytest.mark.parametrize(
        ("url", "virtual"),
        [
            ("virtual://uno", True),
            ("Virtual://uno", True),
            ("replay://file", True),
            ("socket://virtual:1", False),
            ("/dev/ttyACM0", False),
            ("virtual", False),
        ],
    )
    def test_it_is_known_before_opening(self, url: str, virtual: bool) -> None:
        assert is_virtual(url) is virtual


def exchange(port: SerialPort, request: m.Message, *, seq: int) -> Frame:
    """The reply to one request of the session whose low byte is 44; events are passed over."""
    port.write(encode(request.TYPE, seq, 0x44, payload=request.to_bytes()))
    deframer = Deframer()
    while True:
        port.wait(LONG_S)
        for frame in deframer.feed(port.read()):
            if isinstance(frame, Frame) and frame.seq == seq and frame.type & m.REPLY:
                assert frame.type == request.TYPE | m.REPLY
                return frame


@pytest.mark.needs("posix")
class TestWithoutPosix:
    """On Windows there is neither termios nor fcntl."""

    def test_the_modules_do_without(self, monkeypatch: pytest.MonkeyPatch, pty: Pty) -> None:
        for name in ("termios", "fcntl", "grp"):
            monkeypatch.setitem(sys.modules, name, None)
        bare_terminal, bare_faults = fresh_copy(terminal), fresh_copy(faults)
        with serial.Serial(pty.path, exclusive=True) as port:
            assert bare_terminal.take(port) is False
            bare_terminal.give_back(port)
        with pytest.raises(LinkError, match="usermod -aG dialout"), bare_faults.opening(pty.path):
            raise PermissionError(13, "Permission denied")
        assert bare_faults.TERMINAL_ERRORS == ()


def fresh_copy(module: ModuleType) -> ModuleType:
    """The module as it would be imported now; the real one stays as it is."""
    assert module.__file__
    spec = importlib.util.spec_from_file_location(f"fresh_{Path(module.__file__).stem}", module.__file__)
    assert spec
    assert spec.loader
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy
