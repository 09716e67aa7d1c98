"""Waitress with every limit set, and the only module that imports it.

Owns the listening sockets, the loop that serves them and the worker threads. `run` belongs to the main thread; `close`
may be called from any thread and from a signal handler. Knows nothing of boards: it serves one WSGI application.

What stock Waitress leaves to be desired, and the class here that mends it: it closes the connection after every 304
(`_Answer`); its own errors are text/plain (`_Refusal`); some malformed requests end the connection without any answer
(`_Request`); a refused client that is still sending gets a reset in place of the answer, clients that send or read
drop by drop are never timed out, and a worker waits for ever for one that has stopped reading (`_Channel`); idle
connections fill up the last place, and closing takes 5 s (`Server`).
"""

import logging
import math
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

from gateway.web.environ import CLOSING
from gateway.web.problems import Kind, Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

KIB = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take. The body limit counts chunk framing too; the application's own limit is below it."""

    header_bytes: int = 16 * KIB
    body_bytes: int = 128 * KIB
    unsent_bytes: int = 64 * KIB  # of one answer, before the worker waits for the client
    connections: int = 256  # well below the 512 and 1024 descriptors that Windows and Linux allow at least
    idle_s: float = 60.0  # between requests
    request_s: float = 20.0  # from the first byte of a request to its last
    write_s: float = 30.0  # for a client to take an answer, or 64 KiB of it
    linger_s: float = 2.0  # to read and drop what a refused client is still sending
    sweep_interval_s: float = 1.0
    close_grace_s: float = 0.5  # for views in progress when the server stops


def _nothing() -> None:
    """Where nothing else is to be done."""


class _Request(HTTPRequestParser):
    """A parser that answers everything it can't read."""

    path = ""  # Waitress logs it even of a request that it could not read

    def received(self, data: bytes) -> int:
        consumed = super().received(data)
        if self.error is not None:
            self.expect_continue = False  # stock Waitress would ask for the body it is about to refuse
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # from urlsplit for http://[, from int for a length of 5 000 digits
            raise ParsingError("Address or Content-Length is invalid") from error


class _Answer(WSGITask):
    """What the application says."""

    channel: "_Channel"
    request: _Request  # type: ignore[assignment]  # the stubs call it an Error

    def set_close_on_finish(self) -> None:
        ends_with_its_header = self.version == "1.1" and not self.has_body
        if not ends_with_its_header or self.request.connection_close:
            super().set_close_on_finish()

    def get_environment(self) -> "WSGIEnvironment":
        environ = super().get_environment()
        environ[CLOSING] = self.channel.server.is_closing
        return environ


REFUSALS = {
    400: Kind.BAD_REQUEST,
    413: Kind.TOO_LARGE,
    431: Kind.HEADERS_TOO_LARGE,
    501: Kind.NOT_IMPLEMENTED,
}
"""Problems by the status that Waitress refuses a request with."""


class _Refusal(ErrorTask):
    """What Waitress itself refuses, as a problem document; the connection ends after it."""

    channel: "_Channel"
    request: _Request  # type: ignore[assignment]  # the stubs call it an Error

    def execute(self) -> None:
        error = self.request.error
        assert error is not None, "only requests with an error are refused"
        kind = REFUSALS.get(error.code, Kind.INTERNAL)
        problem = Problem(kind, error.body if kind is Kind.BAD_REQUEST else kind.meaning)
        body = problem.body()
        self.status = kind.status_line
        self.response_headers = problem.all_headers(body)
        self.content_length = len(body)
        self.set_close_on_finish()
        self.channel.refused = True
        self.write(body)


class _Channel(HTTPChannel):
    """One connection. Every state it can be in has a limit in time."""

    parser_class = _Request
    task_class = _Answer
    error_task_class = _Refusal
    server: "_Listener"

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self.since_s = time.monotonic()  # Waitress's own `last_activity` follows the wall clock
        self.refused = False
        self.stalled = False
        self.lingering = False
        super().__init__(*arguments, **keywords)

    # ---- main thread ----

    def overdue(self, now_s: float) -> bool:
        """True for a client that has taken too long over what it is doing."""
        return self.stalled or now_s - self.since_s > self._allowance_s()

    def shut(self) -> None:
        """Closes at once."""
        super().handle_close()

    def handle_close(self) -> None:
        """Closing while a refused client still sends would reset the connection and lose the answer on its way:
        says that nothing more will come, and reads on until the client closes or `linger_s` is over."""
        if self.refused and not self.lingering and self._end_sending():
            self.lingering = True
            self.will_close = False
            self.since_s = time.monotonic()
        else:
            self.shut()

    def received(self, data: bytes) -> bool:
        if self.lingering:
            return False
        if self.request is None:
            self.since_s = time.monotonic()
        return super().received(data)

    def _allowance_s(self) -> float:
        limits = self.server.limits
        if self.requests:
            return math.inf  # views end by themselves
        if self.lingering:
            return limits.linger_s
        if self.request is not None:
            return limits.request_s
        return limits.write_s if self.total_outbufs_len else limits.idle_s

    def idle(self) -> bool:
        """True between requests."""
        return not (self.requests or self.request or self.total_outbufs_len)

    def _end_sending(self) -> bool:
        try:
            if self.socket is not None:
                self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return self.socket is not None

    # ---- worker threads ----

    def service(self) -> None:
        super().service()
        self.since_s = time.monotonic()

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Waits until the client has taken enough of the answer, `write_s` at most; then it counts as gone."""
        deadline_s = time.monotonic() + self.server.limits.write_s
        with self.outbuf_lock:
            while self.connected and self.total_outbufs_len > self.adj.outbuf_high_watermark:
                self.server.pull_trigger()
                if not self.outbuf_lock.wait(deadline_s - time.monotonic()):
                    self.stalled = True
                    self.connected = False


class _Listener(TcpWSGIServer):
    """One listening socket; its connections share map and workers with those of the others."""

    channel_class = _Channel
    active_channels: dict[int, _Channel]  # type: ignore[assignment]

    def __init__(self, *arguments: Any, limits: Limits, is_closing: Callable[[], bool], **keywords: Any) -> None:
        self.limits = limits
        self.is_closing = is_closing
        self._trigger_lock = threading.RLock()  # reentrant: a signal handler may interrupt its holder
        self._trigger_closed = False
        super().__init__(*arguments, **keywords)

    def maintenance(self, now: float) -> None:
        """Nothing: `Server` does it between two polls, where a channel whose client stopped reading can be closed."""

    def pull_trigger(self) -> None:
        """Wakes the main thread. Any thread; harmless after `close`, when the descriptor may be another's."""
        with self._trigger_lock:
            if not self._trigger_closed:
                super().pull_trigger()

    def close(self) -> None:
        with self._trigger_lock:
            self._trigger_closed = True
            super().close()


class Server:
    """Serves a WSGI application on one address until it is closed.

    Binds and listens at once, so that an OSError (address in use, no such address) comes from here; a host name with
    several addresses is served on all of them.
    """

    def __init__(
        self, app: "WSGIApplication", *, host: str, port: int, threads: int, limits: Limits | None = None
    ) -> None:
        self._limits = limits or Limits()
        self._lock = threading.RLock()  # reentrant: `close` may run in a signal handler
        self._closing = False
        self._running = False
        self._map: dict[int, Any] = {}
        sockets = _listen(host, port)
        self.port: int = sockets[0].getsockname()[1]
        self._workers = ThreadedTaskDispatcher()
        self._workers.set_thread_count(threads)
        adjustments = _adjustments(self._limits)
        self._listeners = [self._listener(app, sock, adjustments) for sock in sockets]
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a warning per request while all workers are busy

    def run(self, *, between: Callable[[], None] = _nothing) -> None:
        """Serves in the calling thread until `close`, then lets views in progress end for `close_grace_s`. Calls
        `between` once in every `sweep_interval_s`, between two rounds of the sockets."""
        with self._lock:
            if self._closing:
                return
            self._running = True
        try:
            self._serve(between)
        finally:
            self._closing = True
            self._release()

    def close(self) -> None:
        """Makes `run` return; before `run`, gives the address back. Any thread, any number of times."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            if self._running:
                self._listeners[0].pull_trigger()
            else:
                self._release()

    def is_closing(self) -> bool:
        """True once `close` was called: views that wait should answer now."""
        return self._closing

    def _listener(self, app: "WSGIApplication", sock: socket.socket, adjustments: Adjustments) -> _Listener:
        return _Listener(
            app,
            self._map,
            True,
            sock,
            self._workers,
            adjustments,
            (sock.family, sock.type, sock.proto, sock.getsockname()),
            False,
            limits=self._limits,
            is_closing=self.is_closing,
        )

    def _serve(self, between: Callable[[], None]) -> None:
        next_sweep_s = time.monotonic()
        while not self._closing:
            wasyncore.loop(timeout=self._limits.sweep_interval_s, use_poll=True, map=self._map, count=1)
            now_s = time.monotonic()
            if now_s >= next_sweep_s:
                next_sweep_s = now_s + self._limits.sweep_interval_s
                self._sweep(now_s)
                between()

    def _sweep(self, now_s: float) -> None:
        """Closes what is overdue, and the older half of what is idle when no place is left."""
        for channel in self._channels():
            if channel.overdue(now_s):
                channel.shut()
        if len(self._map) >= self._limits.connections:
            idle = sorted((channel for channel in self._channels() if channel.idle()), key=lambda each: each.since_s)
            for channel in idle[: (len(idle) + 1) // 2]:
                channel.shut()

    def _channels(self) -> list[_Channel]:
        return [channel for listener in self._listeners for channel in listener.active_channels.values()]

    def _release(self) -> None:
        """Workers send their last answers themselves, so the loop need not run for that."""
        for listener in self._listeners:
            listener.close()
        self._workers.shutdown(timeout=self._limits.close_grace_s)  # type: ignore[arg-type]
        for channel in self._channels():
            channel.shut()


def _listen(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on every address of the host."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in found:
            sockets.append(socket.create_server(address[:2], family=family))
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _adjustments(limits: Limits) -> Adjustments:
    """Waitress's settings. Its parser refuses what *reaches* a limit, hence one more."""
    return Adjustments(
        sockets=[],
        ident="gateway",
        expose_tracebacks=False,
        log_socket_errors=False,  # a client that goes away is no news
        clear_untrusted_proxy_headers=False,  # nothing here reads them
        asyncore_use_poll=True,
        max_request_header_size=limits.header_bytes + 1,
        max_request_body_size=limits.body_bytes + 1,
        inbuf_overflow=limits.body_bytes * 2,  # never a temporary file
        outbuf_high_watermark=limits.unsent_bytes,
        connection_limit=limits.connections,
        channel_request_lookahead=0,  # clients that half-close would lose answers
        cleanup_interval=3600,
    )
