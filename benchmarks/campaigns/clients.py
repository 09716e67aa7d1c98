"""HTTP clients that don't give up: what they posted into a gateway that died they post again, with the same key.

`Door` is where they learn the gateway's present address. Each `Client` is a thread with one command outstanding.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from benchmarks.campaigns.account import FINAL, Told

ANSWER_TIMEOUT_S = 30.0  # longer than any `wait`; a gateway that is killed ends the connection at once
BREATH_S = 0.02  # before a refused command is tried again
WAIT = "5s"
SETTLED_WITHIN_S = 30.0  # from the last start of the gateway to the last final state
ACCEPTED = (200, 202)
REFUSED = (409, 429, 503)  # the command was not taken: it may be tried again
BOARD = "board"


class UnexpectedAnswerError(Exception):
    """A status that no client here can do anything about."""


class Door:
    """The gateway's address while it serves."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._url: str | None = None
        self._closed_for_good = False

    def open(self, url: str) -> None:
        """It serves there."""
        with self._changed:
            self._url = url
            self._changed.notify_all()

    def shut(self) -> None:
        """It is gone."""
        with self._changed:
            self._url = None

    def close(self) -> None:
        """It will not come back."""
        with self._changed:
            self._closed_for_good = True
            self._changed.notify_all()

    def wait(self) -> str | None:
        """Its address, as soon as it has one; None when it will have none."""
        with self._changed:
            self._changed.wait_for(lambda: self._url or self._closed_for_good)
            return None if self._closed_for_good else self._url

    def has_left(self, url: str) -> None:
        """Waits until `url` is not the address any more, or a breath."""
        with self._changed:
            self._changed.wait_for(lambda: self._url != url or self._closed_for_good, BREATH_S)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A command that the gateway has taken."""

    number: int
    command_id: str
    state: str
    """As it was answered."""
    cut_off: bool
    """An earlier post of it got no answer."""
    replayed: bool
    """It had been taken by a gateway that died before it could say so."""


class Client(threading.Thread):
    """Posts one command after the other until `stop`, and then sees its last one through."""

    def __init__(
        self,
        door: Door,
        *,
        numbers: Iterator[int],
        body: Callable[[int], Mapping[str, object]],
        took: Callable[[Accepted], None],
    ) -> None:
        super().__init__(name="campaign-client", daemon=True)
        self.error: BaseException | None = None
        self._door = door
        self._numbers = numbers
        self._body = body
        self._took = took
        self._stopping = threading.Event()

    def stop(self) -> None:
        """No further command after this one."""
        self._stopping.set()

    def run(self) -> None:
        """The thread."""
        try:
            while not self._stopping.is_set():
                self._insist(next(self._numbers))
        except StopIteration:
            pass
        except BaseException as error:
            self.error = error

    def _insist(self, number: int) -> None:
        cut_off = False
        while url := self._door.wait():
            try:
                status, headers, answer = post(url, self._body(number), key=f"campaign-{number}")
            except (OSError, http.client.HTTPException):
                cut_off = True
                self._door.has_left(url)
                continue
            if status in ACCEPTED:
                replayed = headers.get("Idempotent-Replayed") == "true"
                self._took(Accepted(number, answer["id"], answer["state"], cut_off, replayed))
                return
            if status not in REFUSED:
                raise UnexpectedAnswerError(f"{status}: {answer}")
            self._door.has_left(url)


class Crew:
    """Some clients that share one sequence of numbers; a context manager."""

    def __init__(
        self, door: Door, *, clients: int, body: Callable[[int], Mapping[str, object]], numbers: Iterable[int]
    ) -> None:
        self.accepted: list[Accepted] = []
        self._changed = threading.Condition()
        self._door = door
        shared = _Shared(numbers)
        self._clients = [Client(door, numbers=shared, body=body, took=self._take) for _ in range(clients)]

    def __enter__(self) -> "Crew":
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._door.close()
        self.stop()

    def stop(self) -> None:
        """Each sees its last command through; raises what a client raised."""
        for client in self._clients:
            client.stop()
        for client in self._clients:
            client.join()
        self.check()

    def wait_accepted(self, count: int, *, timeout_s: float) -> bool:
        """Until so many commands in all were taken; False if they were not in time, or a client has failed."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.accepted) >= count or self._failed(), timeout_s) and (
                len(self.accepted) >= count
            )

    def check(self) -> None:
        """Raises what a client raised."""
        for client in self._clients:
            if client.error is not None:
                raise client.error

    def _failed(self) -> bool:
        return any(client.error for client in self._clients)

    def _take(self, accepted: Accepted) -> None:
        with self._changed:
            self.accepted.append(accepted)
            self._changed.notify_all()


class _Shared(Iterator[int]):
    """Each number is given to one thread."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._lock = threading.Lock()
        self._numbers = iter(numbers)

    def __next__(self) -> int:
        with self._lock:
            return next(self._numbers)


def post(url: str, body: Mapping[str, object], *, key: str) -> tuple[int, Mapping[str, str], Any]:
    """Posts a command and waits for its end; raises OSError or HTTPException where no answer comes."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    return _ask(url, "POST", f"/api/v1/boards/{BOARD}/commands?wait={WAIT}", json.dumps(body), headers)


def get(url: str, path: str) -> tuple[int, Any]:
    """GET of what stands under /api/v1."""
    status, _, answer = _ask(url, "GET", f"/api/v1/{path}", None, {})
    return status, answer


def final_states(url: str, accepted: Iterable[Accepted]) -> list[Told]:
    """Each accepted command as it ends; patience is for all of them together."""
    deadline_s = time.monotonic() + SETTLED_WITHIN_S
    return [_final_state(url, each, deadline_s=deadline_s) for each in accepted]


def _final_state(url: str, accepted: Accepted, *, deadline_s: float) -> Told:
    pause = threading.Event()
    while True:
        status, answer = get(url, f"commands/{accepted.command_id}")
        if status != 200:
            return Told(accepted.number, None, answered=accepted.state)
        if answer["state"] in FINAL or time.monotonic() > deadline_s:
            return Told(
                accepted.number,
                answer["state"],
                answer["result"],
                answered=accepted.state,
                created_s=_unix_s(answer["created_at"]) or 0.0,
                sent_s=_unix_s(answer["sent_at"]),
                finished_s=_unix_s(answer["finished_at"]),
            )
        pause.wait(BREATH_S)


def _unix_s(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None


def _ask(
    url: str, method: str, path: str, body: str | None, headers: Mapping[str, str]
) -> tuple[int, Mapping[str, str], Any]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), json.loads(response.read())
    finally:
        connection.close()
