"""The client: many keep-alive connections on plain sockets, in a process of its own.

`python -m benchmarks.load` reads one `Job` a line from its standard input and answers each with one `Outcome`, both as
JSON. It reads no more of an answer than it must: its status, its length, and whether the connection goes on.
"""

import json
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
PATIENCE_S = 10.0  # without any answer
READ_BYTES = 65536
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
BODILESS = 304


@dataclass(frozen=True, slots=True)
class Job:
    """The same request from every client, again as soon as it is answered; at `per_s` all together where not 0."""

    port: int
    request: str
    status: int
    clients: int
    duration_s: float
    per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many answers came, how long it took, and how many connections that needed."""

    requests: int
    duration_s: float
    connections: int

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.requests / self.duration_s


class UnexpectedAnswerError(Exception):
    """Another status than the job's, or the connection ended within an answer."""


@dataclass(slots=True)
class _Client:
    """One connection, which it makes anew when the server ends it."""

    job: Job
    answers: int = 0
    connections: int = 0
    waiting: bool = False
    sock: socket.socket = field(init=False)
    _received: bytes = b""

    def connect(self) -> None:
        self.sock = socket.create_connection((HOST, self.job.port), timeout=PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1

    def close(self) -> None:
        self.sock.close()

    def ask(self) -> None:
        self.sock.sendall(self.job.request.encode())
        self.waiting = True

    def take(self) -> bool:
        """Reads what has come; False if the connection ends with the answer."""
        data = self.sock.recv(READ_BYTES)
        if not data:
            raise UnexpectedAnswerError(f"the connection ended within an answer: {self._received[:80]!r}")
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < self._body_length(head):
            return True
        self._received = b""
        self.waiting = False
        self.answers += 1
        return not _CLOSES.search(head)

    def _body_length(self, head: bytes) -> int:
        status = int(head[9:12])
        if status != self.job.status:
            raise UnexpectedAnswerError(f"{status} in place of {self.job.status}: {self._received[:400]!r}")
        found = _LENGTH.search(head)
        return int(found[1]) if found and status != BODILESS else 0


def run(job: Job, *, clock: Callable[[], float] = time.monotonic) -> Outcome:
    """Does a job. The first answer of each client warms things up and does not count."""
    clients = [_Client(job) for _ in range(job.clients)]
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        for client in clients:
            _open(client, selector)
            stack.callback(client.close)
            client.ask()
        while any(client.waiting for client in clients):
            _take(selector, PATIENCE_S)
        warmed_up = sum(client.answers for client in clients)
        began_s = clock()
        _drive(clients, selector, began_s=began_s, clock=clock)
        taken_s = clock() - began_s
    answers = sum(client.answers for client in clients) - warmed_up
    return Outcome(answers, taken_s, sum(client.connections for client in clients))


def _drive(
    clients: list[_Client], selector: selectors.BaseSelector, *, began_s: float, clock: Callable[[], float]
) -> None:
    job = clients[0].job
    free = list(clients)
    asked = 0
    while (now_s := clock()) < began_s + job.duration_s:
        while free and (not job.per_s or now_s >= began_s + asked / job.per_s):
            free.pop().ask()
            asked += 1
        next_s = began_s + asked / job.per_s if free else now_s + PATIENCE_S
        free += _take(selector, max(0.0, next_s - now_s))


def _take(selector: selectors.BaseSelector, timeout_s: float) -> list[_Client]:
    """Those that have their answer."""
    ready = [key.data for key, _ in selector.select(timeout_s)]
    for client in ready:
        if not client.take():
            selector.unregister(client.sock)
            client.close()
            _open(client, selector)
    return [client for client in ready if not client.waiting]


def _open(client: _Client, selector: selectors.BaseSelector) -> None:
    client.connect()
    selector.register(client.sock, selectors.EVENT_READ, client)


class LoadProcess:
    """This module in a process of its own; a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(self, job: Job) -> Outcome:
        """Has a job done. Raises EOFError when it failed; its own traceback is on standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asdict(job)), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise EOFError("the load process ended")
        return Outcome(**json.loads(line))


def get(path: str, *headers: str) -> str:
    """A request as it goes over the wire; a header as `Accept: text/plain`."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""])


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(asdict(run(Job(**json.loads(line))))), flush=True)
