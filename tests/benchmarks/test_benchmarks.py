"""The benchmarks measure what they say: honest peers, a client that counts right, rounds that alternate.

No figure is judged here: a busy machine could change any of them.
"""

import math
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from benchmarks.__main__ import PARTS, main
from benchmarks.load import Job, UnexpectedAnswerError, get, run
from benchmarks.measuring import Part, alternate, cpu_s, memory_mib, ratios, with_spread
from benchmarks.peers import READING, READINGS, Answers, PeerProcess
from benchmarks.polling import wire_s
from benchmarks.serving import CASES

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0
ROUND_S = 0.05

ANSWERS = Answers(
    snapshot='{"sequence":7,"readings":{"a0":{"value":2.5}}}',
    snapshot_headers=[("Content-Type", "application/json"), ("ETag", 'W/"tag"'), ("Content-Length", "46")],
    unchanged_headers=[("ETag", 'W/"tag"')],
    text="2.5\n",
    text_headers=[("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "4")],
)


# ---- measuring ----


def test_rounds_go_there_and_back() -> None:
    order: list[str] = []
    found = alternate({name: lambda name=name: order.append(name) or len(order) for name in "abc"}, rounds=3)
    assert "".join(order) == "abccbaabc"
    assert found == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def test_what_was_measured_side_by_side_is_compared_side_by_side() -> None:
    """The machine is three times slower in the second round; the ratio is the same."""
    assert ratios([90, 30, 80], [100, 33.3, 100]) == pytest.approx([0.9, 0.9, 0.8], abs=0.001)
    assert with_spread([0.9, 0.5, 0.8]) == "0.80 (0.50-0.90)"
    with pytest.raises(ValueError, match="longer"):
        ratios([1], [1, 2])


def test_the_time_of_another_process_is_its_user_and_system_time() -> None:
    before_s, known_s = cpu_s(os.getpid()), sum(os.times()[:2])
    while cpu_s(os.getpid()) - before_s < 0.05:
        sum(range(1000))
    assert sum(os.times()[:2]) - known_s == pytest.approx(cpu_s(os.getpid()) - before_s, abs=0.025)
    assert 5 < memory_mib(os.getpid()) < 10_000


def test_a_part_is_a_table_in_markdown() -> None:
    part = Part("Sizes", ("what", "n"), [["longer than that", "1"]], ("a note",))
    assert part.markdown().splitlines() == [
        "### Sizes",
        "",
        "| what             | n |",
        "| ---------------- | - |",
        "| longer than that | 1 |",
        "",
        "- a note",
    ]


def test_the_wire_takes_what_the_protocol_budgets_say() -> None:
    page = (ROOT / "gateway" / "protocol" / "PROTOCOL.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [A-Z]+\b[^|]*\| (\d+) \| (\d+) \| [^|]+\| ([\d.]+) ms \|", page, flags=re.MULTILINE)
    assert len(rows) >= 4
    for request, reply, at_250_000_ms in rows:
        assert wire_s(int(request) + int(reply)) * 1000 == pytest.approx(float(at_250_000_ms), abs=0.005)


# ---- the client ----


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """A server that takes one connection for each of these, and gives it as the answer to every request on it. What is
    split by `~` comes in pieces; an answer with `Connection: close` ends its connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    while connection.recv(4096):
                        for piece in answer.split(b"~"):
                            connection.sendall(piece)
                        if b"close" in answer:
                            break

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def job(port: int, *, status: int = 200, clients: int = 1, duration_s: float = ROUND_S, per_s: float = 0.0) -> Job:
    return Job(port, get("/"), status, clients, duration_s, per_s)


def test_answers_are_counted_whole_however_they_come() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-~Length: 5\r\n\r\nhe~llo") as port:
        outcome = run(job(port, duration_s=30.0), clock=count().__next__)  # a second for each look at it
    assert outcome.connections == 1
    assert outcome.duration_s == 31
    assert 30 / 3 <= outcome.requests <= 30


def test_a_304_has_no_body_whatever_its_length_says() -> None:
    with answering(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n") as port:
        assert run(job(port, status=304, duration_s=30.0), clock=count().__next__).requests == 29


def test_a_connection_that_the_server_ends_is_made_anew() -> None:
    ending = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
    lasting = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    with answering(ending, ending, lasting) as port:
        assert run(job(port, duration_s=30.0), clock=count().__next__).connections == 3


def test_another_status_is_no_answer() -> None:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    with answering(refusal) as port, pytest.raises(UnexpectedAnswerError, match="503 in place of 200"):
        run(job(port))


def test_requests_at_a_rate_are_no_more_than_that() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as port:
        outcome = run(job(port, duration_s=0.2, per_s=50.0))
    assert 1 <= outcome.requests <= math.ceil(0.2 * 50)


# ---- the peers ----


@pytest.mark.process
@pytest.mark.parametrize("name", ["raw", "flask"])
def test_a_peer_gives_the_answers_it_was_told(name: str) -> None:
    with PeerProcess(name, ANSWERS) as peer:
        for case in CASES:
            outcome = run(Job(peer.port, case.request, case.status, 2, ROUND_S))
            assert outcome.requests > 0
        shown = {path: fetch(peer.port, path) for path in (READINGS, READING)}
    assert shown[READING][1] == ANSWERS.text
    if name == "raw":
        assert shown[READINGS][1] == ANSWERS.snapshot
        assert {f"{key}: {value}".lower() for key, value in ANSWERS.snapshot_headers} <= shown[READINGS][0]


def fetch(port: int, path: str) -> tuple[set[str], str]:
    """Header lines in small letters, and the body."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(get(path, "Connection: close").encode())
        with connection.makefile("rb") as stream:
            head, _, body = stream.read().decode().partition("\r\n\r\n")
    return {line.lower() for line in head.split("\r\n")}, body


# ---- the whole ----


EMULATED = pytest.mark.needs("simavr", "avr-gcc")
ROWS = {
    "serving": "| one reading, `text/plain`      | 8 ",
    "polling": "| POLL, 24 channels | gateway | 66 ",
    "streaming": "| virtual board | stream | 1 ms ",
    "footprint": "| 1 emulated Uno, serial port | 100 requests/s |",
    "firmware": "| ours, uno ",
}
"""A late row of each part."""


@pytest.mark.process
@pytest.mark.parametrize(
    "part",
    [
        pytest.param("serving"),
        pytest.param("polling", marks=EMULATED),
        pytest.param("streaming", marks=EMULATED),
        pytest.param("footprint", marks=EMULATED),
        "firmware",
    ],
)
def test_every_part_prints_its_table(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(ROWS) == set(PARTS)
    main([part, "--rounds", "1", "--round-s", str(ROUND_S)])
    assert ROWS[part] in capsys.readouterr().out


def test_a_part_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["served"])
    assert "no such part: served; there are serving, polling" in capsys.readouterr().err
