"""Part 1: readings a second over HTTP, against bare Waitress and plain Flask with the same answers."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.load import Job, LoadProcess, get
from benchmarks.measuring import Effort, Part, alternate, cpu_s, ratios, with_spread
from benchmarks.peers import READING, READINGS, Answers, Headers, PeerProcess
from tests.running import Answer, GatewayProcess

CONFIG = "boards:\n  uno:\n    port: virtual://uno\n"
ADDED_BY_WAITRESS = {"date", "server", "content-length"}
CLIENTS = (1, 8)
SERVERS = ("gateway", "raw", "flask")


@dataclass(frozen=True, slots=True)
class Case:
    """A request and the status it has to be answered with."""

    title: str
    request: str
    status: int


CASES = (
    Case("all readings, JSON, `200`", get(READINGS), 200),
    Case("all readings, unchanged, `304`", get(READINGS, "If-None-Match: *"), 304),
    Case("one reading, `text/plain`", get(READING, "Accept: text/plain"), 200),
)


@dataclass(frozen=True, slots=True)
class Place:
    """A running server."""

    pid: int
    port: int


Cell = tuple[Case, int, str]


@dataclass(frozen=True, slots=True)
class Measure:
    """One round of one cell."""

    per_s: float
    cpu_us: float  # of the server, for one request


def measure(effort: Effort) -> Part:
    """Runs the three servers side by side; only one of them is asked at a time."""
    with ExitStack() as stack:
        gateway = stack.enter_context(GatewayProcess(config=CONFIG))
        gateway.wait_state("online", board="uno")
        answers = answers_of(gateway)
        load = stack.enter_context(LoadProcess())
        peers = {name: stack.enter_context(PeerProcess(name, answers)) for name in SERVERS[1:]}
        places = {"gateway": Place(gateway.process.pid, port_of(gateway))}
        places |= {name: Place(peer.pid, peer.port) for name, peer in peers.items()}
        cells: dict[Cell, Callable[[], Measure]] = {
            (case, clients, server): partial(
                _round, load, places[server], case, clients=clients, round_s=effort.round_s
            )
            for case in CASES
            for clients in CLIENTS
            for server in SERVERS
        }
        found = alternate(cells, rounds=effort.rounds)
    return Part(
        "Readings over HTTP",
        (
            "request",
            "clients",
            *(f"{server}/s" for server in SERVERS),
            "gateway : raw",
            "gateway : flask",
            "CPU us",
            "raw : gateway in CPU",
        ),
        [_row(case, clients, found) for case in CASES for clients in CLIENTS],
        (
            f"`raw`: Waitress handing out the same {len(answers.snapshot)} bytes and headers, made beforehand; "
            "`flask`: `jsonify` of a document that is there already. 8 worker threads each.",
            "CPU us: user and system time of the server for one request, gateway / raw / flask."
            " It depends less than the rate on what else the machine does.",
            "Stock Waitress closes the connection after each `304`; the gateway's does not.",
        ),
    )


def answers_of(gateway: GatewayProcess) -> Answers:
    """What the peers shall say."""
    snapshot = gateway.get(READINGS)
    unchanged = gateway.get(READINGS, {"If-None-Match": "*"})
    text = gateway.get(READING, {"Accept": "text/plain"})
    assert [answer.status for answer in (snapshot, unchanged, text)] == [200, 304, 200]
    return Answers(
        snapshot=snapshot.body.decode(),
        snapshot_headers=_own_headers(snapshot),
        unchanged_headers=_own_headers(unchanged),
        text=text.body.decode(),
        text_headers=_own_headers(text),
    )


def port_of(gateway: GatewayProcess) -> int:
    """The TCP port it listens on."""
    return int(gateway.url.rpartition(":")[2])


def _own_headers(answer: Answer) -> Headers:
    own = [(name, value) for name, value in answer.headers.items() if name.lower() not in ADDED_BY_WAITRESS]
    return [*own, ("Content-Length", str(len(answer.body)))] if answer.body else own


def _round(load: LoadProcess, place: Place, case: Case, *, clients: int, round_s: float) -> Measure:
    before_s = cpu_s(place.pid)
    outcome = load.run(Job(place.port, case.request, case.status, clients, round_s))
    return Measure(outcome.per_s, (cpu_s(place.pid) - before_s) / outcome.requests * 1e6)


def _row(case: Case, clients: int, found: dict[Cell, list[Measure]]) -> list[str]:
    rates = {server: [each.per_s for each in found[case, clients, server]] for server in SERVERS}
    costs = {server: [each.cpu_us for each in found[case, clients, server]] for server in SERVERS}
    return [
        case.title,
        str(clients),
        *(f"{median(rates[server]):.0f}" for server in SERVERS),
        *(with_spread(ratios(rates["gateway"], rates[peer])) for peer in SERVERS[1:]),
        " / ".join(f"{median(costs[server]):.0f}" for server in SERVERS),
        with_spread(ratios(costs["raw"], costs["gateway"])),
    ]
