"""The real `gateway run` process, driven as users drive it: a command line, its log, and HTTP."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

PATIENCE_S = 90.0
"""How long a busy machine may take before a test fails; none waits that long when all is well."""
LOOK_AGAIN_S = 0.02
SERVING = re.compile(r"Serving on (http://\S+)")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Served:
    """A gateway that serves on `url`, as its clients see it."""

    url: str

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """A connection of one's own, kept alive between requests."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        try:
            yield connection
        finally:
            connection.close()

    def request(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request; a path without a leading slash stands under /api/v1/."""
        with self.connection() as connection:
            sent = None if body is None else json.dumps(body)
            typed = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(
                method, path if path.startswith("/") else f"/api/v1/{path}", sent, {**typed, **(headers or {})}
            )
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET."""
        return self.request("GET", path, headers=headers)

    def command(self, body: Mapping[str, object], *, board: str = "board", wait: str = "10s") -> Any:
        """Posts a command and waits for its end; the resource."""
        answer = self.request("POST", f"boards/{board}/commands?wait={wait}", body)
        assert answer.status in (200, 202), (answer.status, answer.body)
        return answer.json

    def state(self, board: str = "board") -> str:
        """The board's state."""
        return str(self.get(f"boards/{board}").json["state"])

    def reading(self, channel: str, *, board: str = "board") -> Any:
        """One reading."""
        return self.get(f"boards/{board}/readings/{channel}").json

    def until(self, look: Callable[[], T], wanted: Callable[[T], bool], *, patience_s: float = PATIENCE_S) -> T:
        """Looks again and again, as a user with curl would, until what is seen is what is wanted."""
        deadline_s = time.monotonic() + patience_s
        pause = threading.Event()
        while not wanted(seen := look()):
            assert time.monotonic() < deadline_s, f"still {seen!r} after {patience_s} s"
            pause.wait(LOOK_AGAIN_S)
        return seen

    def wait_state(self, state: str, *, board: str = "board") -> None:
        """Until the board is in that state."""
        self.until(lambda: self.state(board), lambda seen: seen == state)


class GatewayProcess(Served):
    """A context manager around one process; `arguments` follow `gateway run`."""

    def __init__(self, *arguments: str, config: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments
        self._config = config
        self._environ = environ or {}
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._ended = False

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="gateway-test-")
        folder = Path(self._directory.name)
        if self._config is not None:
            (folder / "config.yaml").write_text(self._config)
        listen = [] if "--listen" in self._arguments else ["--listen", "127.0.0.1:0"]
        self.started_s = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", *listen, *self._arguments],
            cwd=folder,
            env={**os.environ, "STATE_DIRECTORY": str(folder / "state"), **self._environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._collect, name="gateway-output", daemon=True)
        self._reader.start()
        try:
            match = SERVING.search(self.wait_line(SERVING.pattern))
            assert match is not None
            self.url = match[1]
        except BaseException:
            self.kill()
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._directory.cleanup()
        if error is not None:
            print("".join(self._lines), file=sys.stderr)

    def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Asks it to end; the exit code, and how many seconds that took."""
        began_s = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        return code, time.monotonic() - began_s

    # ---- its log ----

    def _collect(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def mark(self) -> int:
        """Where the log ends now: `since` for a later wait."""
        with self._changed:
            return len(self._lines)

    def lines(self, *, since: int = 0) -> list[str]:
        """Its output at and after `since`, as far as it has come."""
        with self._changed:
            return self._lines[since:]

    def wait_line(self, pattern: str, *, since: int = 0) -> str:
        """The first line of its output at or after `since` that the pattern is found in."""
        deadline_s = time.monotonic() + PATIENCE_S
        with self._changed:
            while True:
                for line in self._lines[since:]:
                    if re.search(pattern, line):
                        return line
                if self._ended:
                    raise AssertionError(f"the gateway ended without {pattern!r}:\n{''.join(self._lines)}")
                if not self._changed.wait(deadline_s - time.monotonic()):
                    raise AssertionError(f"no {pattern!r} within {PATIENCE_S} s:\n{''.join(self._lines)}")
