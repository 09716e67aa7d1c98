"""The server over real sockets: what stock Waitress gets wrong, every limit, and stopping."""

import errno
import http.client
import io
import json
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.server import Limits, Server
from gateway.web.app import create_app
from gateway.web.environ import CLOSING
from gateway.web.problems import MEDIA_TYPE, Kind
from tests.web.helpers import Desk

PATIENCE_S = 10.0
"""How long anything may take on a busy machine before the test fails; nothing here waits that long when all is well."""
HASTY = Limits(
    connections=20, idle_s=0.2, request_s=0.2, write_s=0.2, linger_s=0.2, sweep_interval_s=0.02, close_grace_s=0.05
)
HOST = "127.0.0.1"


class _Reader(io.BufferedReader):
    """What `http.client` reads answers from; it closes it after each, and would lose what follows."""

    def close(self) -> None:
        pass


class Wire:
    """One client connection, byte by byte."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection((HOST, server.port), timeout=PATIENCE_S)
        self._reader = _Reader(socket.SocketIO(self.socket, "r"))

    def makefile(self, *_: object) -> _Reader:
        """For `http.client`, which takes this for a socket."""
        return self._reader

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> "Wire":
        self.socket.sendall(data)
        return self

    def answer(self, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
        response = http.client.HTTPResponse(self, method=method)
        response.begin()
        return response, response.read()

    def ask(self, path: str, *headers: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
        return self.send("\r\n".join(lines).encode()).answer(method)

    def rest(self) -> bytes:
        """Everything until the server closes; a reset counts as closed."""
        data = bytearray()
        with suppress(ConnectionResetError):
            while chunk := self._reader.read1(65_536):
                data += chunk
        return bytes(data)

    def is_closed_while_sending(self, drop: bytes) -> bool:
        """Sends drop by drop until the server has had enough of it: not only sends nothing more, but takes nothing."""
        poller = select.poll()
        poller.register(self.socket, 0)  # an error or a hang-up only
        with suppress(ConnectionError):
            for _ in range(500):
                if poller.poll(20):
                    return True
                self.socket.sendall(drop)
            return False
        return True


@contextmanager
def serving(app: Callable[..., Any], *, threads: int = 2, limits: Limits | None = None) -> Iterator[Server]:
    """A server that runs in a thread of its own, and must end when it is closed."""
    server = Server(app, host=HOST, port=0, threads=threads, limits=limits)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


class App:
    """A WSGI application with one address for each thing that a server must get right."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.gone = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        view = getattr(self, environ["PATH_INFO"].strip("/"), self.echo)
        return view(environ, start_response)

    def echo(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        body = environ["wsgi.input"].read() or b"ok"
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def unchanged(self, _environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("304 Not Modified", [("ETag", 'W/"1"')])
        return []

    def nothing(self, _environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("204 No Content", [])
        return []

    def fail(self, _environ: dict[str, Any], _start_response: Callable[..., Any]) -> list[bytes]:
        raise RuntimeError("secret")

    def large(self, _environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(64_000_000))])
        return [bytes(64_000_000)]

    def endless(self, _environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield bytes(65_536)
        finally:
            self.gone.set()

    def patient(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        """Waits until the server is about to stop, as a view should."""
        self.entered.set()
        while not environ[CLOSING]():
            self.release.wait(0.01)
        start_response("202 Accepted", [("Content-Length", "4")])
        return [b"soon"]

    def stubborn(self, _environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        """Waits for ever, as no view should."""
        self.entered.set()
        self.release.wait(PATIENCE_S)
        start_response("200 OK", [])
        return [b"late"]


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(App()) as running:
        yield running


@pytest.fixture(scope="module")
def hasty() -> Iterator[Server]:
    with serving(App(), threads=1, limits=HASTY) as running:
        yield running


def refused(answer: tuple[http.client.HTTPResponse, bytes], kind: Kind) -> dict[str, Any]:
    """Waitress's own errors are problems too, and end the connection."""
    response, body = answer
    assert response.status == kind.status, body
    assert response.headers["Content-Type"] == MEDIA_TYPE
    assert response.headers["Connection"] == "close"
    assert response.headers["Server"] == "gateway"
    document: dict[str, Any] = json.loads(body)
    assert document["type"] == kind.uri
    return document


# ---- connections that stay open ----


@pytest.mark.parametrize(("path", "status"), [("/unchanged", 304), ("/nothing", 204), ("/", 200)])
def test_a_connection_stays_open_after_every_kind_of_answer(server: Server, path: str, status: int) -> None:
    with Wire(server) as wire:
        for _ in range(3):
            response, _ = wire.ask(path)
            assert response.status == status
            assert response.headers["Connection"] is None
        assert wire.ask("/")[1] == b"ok"


@pytest.mark.parametrize("path", ["/unchanged", "/nothing", "/"])
def test_a_client_that_wants_it_closed_gets_it_closed(server: Server, path: str) -> None:
    with Wire(server) as wire:
        response, _ = wire.ask(path, "Connection: close")
        assert response.headers["Connection"] == "close"
        assert wire.rest() == b""


def test_http_1_0_is_closed_unless_asked_for_otherwise(server: Server) -> None:
    with Wire(server) as wire:
        assert wire.send(b"GET / HTTP/1.0\r\n\r\n").rest().endswith(b"\r\n\r\nok")
    with Wire(server) as wire:
        for _ in range(2):
            response, body = wire.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").answer()
            assert (response.headers["Connection"], body) == ("Keep-Alive", b"ok")


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    bodies = [b"one", b"two", b"", b"three"]
    with Wire(server) as wire:
        wire.send(b"".join(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies))
        wire.send(b"GET /unchanged HTTP/1.1\r\n\r\n")
        assert [wire.answer()[1] for _ in bodies] == [b"one", b"two", b"ok", b"three"]
        assert wire.answer()[0].status == 304


def test_a_client_that_half_closes_gets_its_answers(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(b"GET / HTTP/1.1\r\n\r\n" * 20)
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.rest().count(b"\r\n\r\nok") == 20


def test_a_client_that_half_closes_while_its_view_runs_gets_its_answer(app: App) -> None:
    with serving(app) as server, Wire(server) as wire:
        wire.send(b"GET /stubborn HTTP/1.1\r\n\r\n")
        assert app.entered.wait(PATIENCE_S)
        wire.socket.shutdown(socket.SHUT_WR)
        with Wire(server) as other:  # by the time of its answers the server has seen the end of the first
            assert [other.ask("/")[1] for _ in range(2)] == [b"ok", b"ok"]
        app.release.set()
        assert b"late" in wire.rest()


def test_a_chunked_body_is_read(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=1\r\ncde\r\n0\r\n\r\n")
        assert wire.answer()[1] == b"abcde"


def test_a_client_that_asks_first_is_told_to_go_on(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert wire.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert wire.send(b"abc").answer()[1] == b"abc"


# ---- what Waitress itself refuses ----


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1 x\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"GET http://[::g]/ HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_is_no_http_is_a_400(server: Server, request_bytes: bytes) -> None:
    with Wire(server) as wire:
        refused(wire.send(request_bytes).answer(), Kind.BAD_REQUEST)
        assert wire.rest() == b""
    with Wire(server) as wire:
        assert wire.ask("/")[1] == b"ok"


def test_another_transfer_coding_is_a_501(server: Server) -> None:
    with Wire(server) as wire:
        refused(wire.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n").answer(), Kind.NOT_IMPLEMENTED)


@pytest.mark.parametrize("head", [b"GET /" + b"x" * 20_000, b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000])
def test_headers_too_large_are_a_431(server: Server, head: bytes) -> None:
    with Wire(server) as wire:
        refused(wire.send(head + b"\r\n\r\n").answer(), Kind.HEADERS_TOO_LARGE)
    with Wire(server) as wire:  # even though they never end
        refused(wire.send(head).answer(), Kind.HEADERS_TOO_LARGE)


def test_headers_up_to_the_limit_are_taken(server: Server) -> None:
    with Wire(server) as wire:
        head = b"GET / HTTP/1.1\r\nX: "
        wire.send(head + b"y" * (Limits().header_bytes - len(head) - 4) + b"\r\n\r\n")
        assert wire.answer()[1] == b"ok"


def test_a_body_too_large_is_refused_before_it_is_sent(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 10000000\r\n\r\n")
        refused(wire.answer("POST"), Kind.TOO_LARGE)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_client_that_sends_ten_megabytes_gets_to_read_the_413(server: Server, framing: str) -> None:
    body = bytes(10_000_000)
    with Wire(server) as wire:
        if framing == "length":
            wire.send(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        else:
            wire.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body)
        refused(wire.answer("POST"), Kind.TOO_LARGE)


def test_a_body_up_to_the_limit_is_taken(server: Server) -> None:
    body = b"x" * Limits().body_bytes
    with Wire(server) as wire:
        wire.send(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert wire.answer()[1] == body


def test_an_application_that_fails_is_a_500_that_reveals_nothing(server: Server) -> None:
    with Wire(server) as wire:
        response, body = wire.ask("/fail")
        refused((response, body), Kind.INTERNAL)
        assert b"secret" not in body
        assert b"waitress" not in body.lower()


PIECES = [
    *(
        b"GET",
        b"POST / HTTP/1.1\r\n",
        b" ",
        b"/",
        b"http://",
        b"[",
        b"HTTP/1.1",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b":",
        b"*",
    ),
    *(b"Host", b"%00", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close"),
]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=80) | st.lists(st.sampled_from(PIECES)).map(b"".join))
@example(data=b"OPTIONS * HTTP/1.1\r\n\r\n")
@example(data=b"HTTP/1.\r\n\r\n")
@example(data=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
def test_whatever_bytes_come_are_answered_with_a_problem_or_not_at_all(server: Server, data: bytes) -> None:
    with Wire(server) as wire:
        wire.send(data)
        wire.socket.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):  # the end of the answers
            while True:
                response, body = wire.answer()
                assert response.status in (200, 400, 501)
                if response.status != 200:
                    assert json.loads(body)["status"] == response.status
    with Wire(server) as wire:
        assert wire.ask("/")[1] == b"ok"


# ---- clients that take their time ----


def test_a_client_that_dawdles_holds_up_nobody(app: App) -> None:
    with serving(app, threads=1) as server, ExitStack() as stack:
        for part in (b"", b"GET", b"GET / HTTP/1.1\r\nHost: x", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n1"):
            stack.enter_context(Wire(server)).send(part)
        with Wire(server) as wire:
            assert wire.ask("/")[1] == b"ok"


def test_200_idle_connections_leave_room(app: App) -> None:
    with serving(app) as server, ExitStack() as stack:
        idle = [stack.enter_context(Wire(server)) for _ in range(200)]
        with Wire(server) as wire:
            assert wire.ask("/")[1] == b"ok"
        assert idle[0].ask("/")[1] == b"ok"


def test_when_no_place_is_left_the_longest_idle_make_room(app: App) -> None:
    limits = Limits(connections=20, sweep_interval_s=0.02)
    with serving(app, limits=limits) as server, ExitStack() as stack:
        idle = [stack.enter_context(Wire(server)) for _ in range(60)]
        with Wire(server) as wire:
            assert wire.ask("/")[1] == b"ok"
        assert idle[0].rest() == b""


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"GET",
        b"GET / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n1",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n1",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_connection_on_which_nothing_happens_is_closed(hasty: Server, part: bytes) -> None:
    with Wire(hasty) as wire:
        wire.send(part)
        wire.rest()  # returns, since the server closes


@pytest.mark.parametrize("drop", [b"X: y\r\n", b"1"])
def test_a_client_that_sends_drop_by_drop_is_closed(hasty: Server, drop: bytes) -> None:
    head = b"GET / HTTP/1.1\r\n" if drop != b"1" else b"POST / HTTP/1.1\r\nContent-Length: 60000\r\n\r\n"
    with Wire(hasty) as wire:
        wire.send(head)
        assert wire.is_closed_while_sending(drop)


def test_a_worker_is_freed_from_a_client_that_stops_reading(app: App) -> None:
    with serving(app, threads=1, limits=HASTY) as server, Wire(server) as stalled:
        stalled.send(b"GET /endless HTTP/1.1\r\n\r\n")
        with Wire(server) as wire:
            assert wire.ask("/")[1] == b"ok"
        assert app.gone.is_set()


def test_pipelined_answers_that_nobody_reads_free_the_worker_too(app: App) -> None:
    with serving(app, threads=1, limits=HASTY) as server, Wire(server) as stalled:
        stalled.send(b"GET /large HTTP/1.1\r\n\r\n" * 3)
        with Wire(server) as wire:
            assert wire.ask("/")[1] == b"ok"
        assert len(stalled.rest()) < 64_000_000


def test_an_answer_that_nobody_reads_is_given_up(app: App) -> None:
    with serving(app, threads=1, limits=HASTY) as server, Wire(server) as stalled:
        stalled.send(b"GET /large HTTP/1.1\r\n\r\n")
        with Wire(server) as wire:
            assert wire.ask("/")[1] == b"ok"
            wire.rest()  # closed for being idle, which is later than the other gets its answer made
        assert len(stalled.rest()) < 64_000_000


def test_a_refused_client_that_goes_on_sending_is_cut_off(hasty: Server) -> None:
    with Wire(hasty) as wire:
        refused(wire.send(b"nonsense\r\n\r\n").answer(), Kind.BAD_REQUEST)
        assert wire.is_closed_while_sending(b"more")


def test_a_refused_client_that_is_gone_is_no_news(hasty: Server, caplog: pytest.LogCaptureFixture) -> None:
    with Wire(hasty) as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing sends a reset
        wire.send(b"nonsense\r\n\r\n")
    with Wire(hasty) as wire:
        assert wire.ask("/")[1] == b"ok"
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


# ---- stopping ----


def started(server: Server) -> threading.Thread:
    thread = threading.Thread(target=server.run)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(PATIENCE_S)
    return not thread.is_alive()


def test_closing_ends_idle_connections_and_gives_the_address_back(app: App) -> None:
    server = Server(app, host=HOST, port=0, threads=2, limits=Limits(sweep_interval_s=60))  # nothing else wakes it
    thread = started(server)
    with Wire(server) as idle, Wire(server) as used:
        used.ask("/")
        server.close()
        assert ended(thread)
        assert (idle.rest(), used.rest()) == (b"", b"")
    again = Server(app, host=HOST, port=server.port, threads=1)
    again.close()


def test_a_view_that_heeds_the_closing_gets_its_answer_out(app: App) -> None:
    server = Server(app, host=HOST, port=0, threads=2)
    thread = started(server)
    with Wire(server) as wire:
        wire.send(b"GET /patient HTTP/1.1\r\n\r\n")
        assert app.entered.wait(PATIENCE_S)
        server.close()
        assert wire.answer()[1] == b"soon"
    assert ended(thread)


def test_a_view_that_does_not_is_left_behind(app: App) -> None:
    others = set(threading.enumerate())
    server = Server(app, host=HOST, port=0, threads=1, limits=HASTY)
    thread = started(server)
    with Wire(server) as wire, Wire(server) as waiting:
        wire.send(b"GET /stubborn HTTP/1.1\r\n\r\n")
        assert app.entered.wait(PATIENCE_S)
        waiting.send(b"GET / HTTP/1.1\r\n\r\n")
        server.close()
        assert ended(thread)
        assert not app.release.is_set()
        assert (wire.rest(), waiting.rest()) == (b"", b"")
    app.release.set()
    assert all(ended(worker) for worker in set(threading.enumerate()) - others)


def test_close_may_come_first_and_often(app: App) -> None:
    server = Server(app, host=HOST, port=0, threads=1)
    assert not server.is_closing()
    for _ in range(3):
        server.close()
    server.run()
    assert server.is_closing()
    with pytest.raises(ConnectionRefusedError):
        Wire(server)


def test_a_signal_handler_may_close(app: App) -> None:
    server = Server(app, host=HOST, port=0, threads=1)
    former = signal.signal(signal.SIGUSR1, lambda *_: server.close())
    try:
        with Wire(server) as wire:

            def kill() -> None:
                wire.ask("/")
                os.kill(os.getpid(), signal.SIGUSR1)
                os.kill(os.getpid(), signal.SIGUSR1)

            killer = threading.Thread(target=kill)
            killer.start()
            server.run()
            assert ended(killer)
    finally:
        signal.signal(signal.SIGUSR1, former)


def test_what_interrupts_the_loop_still_stops_everything(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_between: object) -> None:
        raise KeyboardInterrupt

    server = Server(app, host=HOST, port=0, threads=1)
    monkeypatch.setattr(server, "_serve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.run()
    with pytest.raises(ConnectionRefusedError):
        Wire(server)


# ---- the address ----


def test_an_address_in_use_passes_through(server: Server) -> None:
    with pytest.raises(OSError, match="in use") as caught:
        Server(App(), host=HOST, port=server.port, threads=1)
    assert caught.value.errno == errno.EADDRINUSE


def test_a_host_that_is_not_known_is_an_error() -> None:
    with pytest.raises(OSError, match=r"."):
        Server(App(), host="no.such.host.invalid", port=0, threads=1)


def test_a_name_with_several_addresses_is_served_on_all(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("127.0.0.1", "127.0.0.2")]

    with monkeypatch.context() as patch:
        patch.setattr("socket.getaddrinfo", addresses)
        server = Server(app, host="several", port=0, threads=1)
    thread = started(server)
    ports = [listener.effective_port for listener in server._listeners]
    for host, port in zip(("127.0.0.1", "127.0.0.2"), ports, strict=True):
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"ok"
        connection.close()
    server.close()
    assert ended(thread)


def test_a_second_address_that_is_taken_gives_the_first_back(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[socket.socket] = []

    def addresses(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, port)) for port in (0, server.port)]

    create = socket.create_server

    def remember(*arguments: Any, **keywords: Any) -> socket.socket:
        bound.append(create(*arguments, **keywords))
        return bound[-1]

    monkeypatch.setattr("socket.getaddrinfo", addresses)
    monkeypatch.setattr("socket.create_server", remember)
    with pytest.raises(OSError, match="in use"):
        Server(App(), host="several", port=0, threads=1)
    (first,) = bound
    assert first.fileno() == -1


# ---- with the gateway's own application ----


@pytest.fixture
def desk() -> Desk:
    return Desk(max_waiting=1)


@pytest.fixture
def gateway(desk: Desk) -> Iterator[Server]:
    with serving(create_app(desk.services, allowed_hosts=[])) as running:
        yield running


COMMAND = b'{"channel": "led", "value": true}'


def post(wait: str, *headers: str, body: bytes = COMMAND) -> bytes:
    lines = [
        f"POST /api/v1/boards/uno/commands{wait} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        *headers,
    ]
    if not headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_conditional_reading_goes_on_over_one_connection(gateway: Server, desk: Desk) -> None:
    path = "/api/v1/boards/uno/readings"
    with Wire(gateway) as wire:
        tag = wire.ask(path)[0].headers["ETag"]
        for _ in range(3):
            response, body = wire.ask(path, f"If-None-Match: {tag}")
            assert (response.status, body, response.headers["Connection"]) == (304, b"", None)
        desk.sample({"led": False})
        assert wire.ask(path, f"If-None-Match: {tag}")[0].status == 200
        response, body = wire.ask(path, method="HEAD")
        assert (response.status, body) == (200, b"")
        assert wire.ask("/healthz")[0].status == 200


def test_a_command_that_waits_is_answered_before_the_server_stops(desk: Desk) -> None:
    desk.clock.advance = lambda _seconds: None  # type: ignore[method-assign]
    waiting = threading.Event()
    feed_wait = desk.journal.feed.wait

    def wait(*, after: int, timeout_s: float) -> int:
        waiting.set()
        return feed_wait(after=after, timeout_s=timeout_s)

    desk.journal.feed.wait = wait  # type: ignore[method-assign]
    server = Server(create_app(desk.services, allowed_hosts=[]), host=HOST, port=0, threads=2)
    thread = started(server)
    with Wire(server) as wire:
        wire.send(post("?wait=30s"))
        assert waiting.wait(PATIENCE_S)
        server.close()
        response, body = wire.answer()
    assert (response.status, json.loads(body)["state"]) == (202, "queued")
    assert ended(thread)


@pytest.mark.parametrize(
    "body", [COMMAND + b" " * 65_536, bytes(10_000_000), b"[" * 1_500, b'{"channel": "ratio", "value": NaN}']
)
def test_hostile_bodies_get_problems_over_the_wire(gateway: Server, body: bytes) -> None:
    with Wire(gateway) as wire:
        response, answer = wire.send(post("", body=body)).answer()
        assert response.status in (400, 413)
        assert response.headers["Content-Type"] == MEDIA_TYPE
        assert json.loads(answer)["status"] == response.status


def test_a_chunked_body_is_held_to_64_kib_as_well(gateway: Server) -> None:
    def chunked(body: bytes) -> bytes:
        return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)

    with Wire(gateway) as wire:
        wire.send(post("", "Transfer-Encoding: chunked", body=chunked(COMMAND)))
        assert wire.answer()[0].status == 202
        wire.send(post("", "Transfer-Encoding: chunked", body=chunked(COMMAND.ljust(65_537))))
        assert wire.answer()[0].status == 413
        assert wire.ask("/healthz")[0].status == 200


@pytest.mark.parametrize(
    "target", ["*", "http://localhost/", "//healthz", "/%00", "/%ff", "/a?%ff", "/?" + "x" * 9_000]
)
def test_strange_targets_are_answered_with_problems(gateway: Server, target: str) -> None:
    with Wire(gateway) as wire:
        response, _ = wire.ask(target)
        assert response.status in (404, 200 if target == "//healthz" else 404)
        assert wire.ask("/healthz")[0].status == 200


def test_a_host_that_is_not_ours_is_refused_over_the_wire(gateway: Server) -> None:
    with Wire(gateway) as wire:
        assert wire.send(b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n").answer()[0].status == 421
    for hosts in (b"", b"Host: localhost\r\nHost: evil.example\r\n", b"Host: localhost\r\nHost: localhost\r\n"):
        with Wire(gateway) as wire:
            assert wire.send(b"GET /healthz HTTP/1.1\r\n" + hosts + b"\r\n").answer()[0].status == 400
    with Wire(gateway) as wire:
        assert wire.send(b"GET /healthz HTTP/1.0\r\n\r\n").answer()[0].status == 200
