"""What the gateway's serving is held against: the same answers from Waitress with hardly anything on top.

`python -m benchmarks.peers raw|flask` reads the gateway's answers from its standard input (`Answers`, as JSON), prints
the port it listens on, and serves until it is ended. `raw` hands out bytes made beforehand: it does nothing but
Waitress. `flask` is what one writes first: a view with `jsonify`. Both have as many worker threads as the gateway.
"""

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from flask import Flask, Response, jsonify, request
from waitress import serve

from benchmarks.load import HOST

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

READINGS = "/api/v1/boards/uno/readings"
READING = "/api/v1/boards/uno/readings/a0"
THREADS = 8  # the gateway's default

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answers:
    """What the gateway answered, its headers without those that the server adds."""

    snapshot: str
    snapshot_headers: Headers
    unchanged_headers: Headers
    text: str
    text_headers: Headers


def raw(answers: Answers) -> "WSGIApplication":
    """Bytes made beforehand."""
    ready = {
        (READINGS, False): ("200 OK", answers.snapshot_headers, answers.snapshot.encode()),
        (READINGS, True): ("304 Not Modified", answers.unchanged_headers, b""),
        (READING, False): ("200 OK", answers.text_headers, answers.text.encode()),
    }

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        status, headers, body = ready[environ["PATH_INFO"], "HTTP_IF_NONE_MATCH" in environ]
        start_response(status, [(name, value) for name, value in headers])
        return [body]

    return application


def flask(answers: Answers) -> "WSGIApplication":
    """A view with `jsonify`; the document is there already, so only writing it counts."""
    app = Flask("peer", static_folder=None)
    document = json.loads(answers.snapshot)

    @app.get(READINGS)
    def readings() -> Response:
        response = jsonify(document)
        if "If-None-Match" in request.headers:
            response.set_etag(str(document["sequence"]), weak=True)
            response.make_conditional(request)
        return response

    @app.get(READING)
    def reading() -> Response:
        return Response(answers.text, mimetype="text/plain")

    return app


PEERS = {"raw": raw, "flask": flask}


class PeerProcess:
    """One of `PEERS` in a process of its own; a context manager."""

    def __init__(self, name: str, answers: Answers) -> None:
        self._name = name
        self._answers = answers

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers", self._name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asdict(self._answers)), file=self._process.stdin, flush=True)
        self.pid = self._process.pid
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()


def main(name: str) -> None:
    """Serves one peer."""
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # as the gateway: no warning while all are busy
    app = PEERS[name](Answers(**json.loads(sys.stdin.readline())))
    with socket.create_server((HOST, 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        serve(app, sockets=[listener], threads=THREADS)


if __name__ == "__main__":
    main(sys.argv[1])
