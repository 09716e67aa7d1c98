"""Part 2: the poll on the wire, from the shipped image on the emulated Uno, against the time the bytes alone take.

Two hosts ask in turn: the gateway, and a bare one that writes a frame and reads until the reply ends. What the board
itself takes is told by its own clock.
"""

import math
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median

import serial

from benchmarks.measuring import Effort, Part, alternate, let_pass, with_spread
from gateway.protocol.framing import Deframer, Frame, encode
from gateway.protocol.messages import REPLIES, Hello, Message, Ping, PingReply, Poll, PollReply
from tests.emulated.board import BoardOptions, EmulatedBoard
from tests.emulated.images import SHIPPED_UNO_IMAGE, Bench
from tests.running import GatewayProcess

BAUD = 250_000
BITS_PER_BYTE = 10  # start bit, 8 data bits, stop bit
POLL_INTERVAL_S = 0.005  # the shortest that can be configured
SLICE_US = 250  # of board time between two looks of the emulator at its port
SLOW, FINE_SLICE_US = 0.05, 50  # at a twentieth of its speed the host's own time hardly counts
SLOW_EXCHANGES = 40
LOOK_S = 0.04  # between two looks at the gateway's own round trip
SESSION = 0x11223344
PATIENCE_S = 10.0
DELIMITERS = 2  # of one frame
READ_BYTES = 4096
CONFIG = "boards:\n  uno:\n    port: {port}\n    poll_interval: 5ms\n"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One kind of request: bytes there and back, the middle round trip, and how many a second."""

    wire_bytes: int
    round_trip_s: float
    per_s: float

    @property
    def wire_s(self) -> float:
        """What the bytes alone take."""
        return wire_s(self.wire_bytes)


@dataclass(frozen=True, slots=True)
class Measure:
    """One round of one host. `lags` tells how often the emulator fell behind its clock: it then hurries, and round
    trips may be shorter than the wire."""

    poll: Exchange
    ping: Exchange | None
    lags: int


def wire_s(count: int) -> float:
    """The time that so many bytes take at 250 000 baud."""
    return count * BITS_PER_BYTE / BAUD


class BareHost:
    """An open port and nothing else: no schedule, no retransmission, no thread. Closing the port is its owner's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def begin(self) -> None:
        """Waits for BOOT, which opening the port brings about, and opens a session."""
        self._frame()
        self.ask(Hello(1, 1, 0, SESSION, 0, 0), duration_s=0.0)

    def ask(self, request: Message, *, duration_s: float) -> Exchange:
        """The same again as soon as it is answered, for so long; once at least."""
        taken_s: list[float] = []
        began_s = now_s = time.monotonic()
        while now_s - began_s < duration_s or not taken_s:
            sent_s = now_s
            wire_bytes, _ = self._exchange(request, len(taken_s))
            now_s = time.monotonic()
            taken_s.append(now_s - sent_s)
        return Exchange(wire_bytes, median(taken_s), len(taken_s) / (now_s - began_s))

    def ask_by_board_time(self, request: Message, *, times: int) -> Exchange:
        """The same, timed by the moments that the board writes into its replies: from one to the next."""
        answers = [self._exchange(request, seq) for seq in range(times)]
        moments_s = [_moment_s(reply) for _, reply in answers]
        round_trip_s = median(later_s - sooner_s for sooner_s, later_s in pairwise(moments_s))
        return Exchange(answers[0][0], round_trip_s, 1 / round_trip_s)

    def _exchange(self, request: Message, seq: int) -> tuple[int, bytes]:
        """Bytes there and back, and the reply as it came."""
        frame = encode(request.TYPE, seq & 0xFF, SESSION & 0xFF, payload=request.to_bytes())
        os.write(self._descriptor, frame)
        reply = self._frame()
        return len(frame) + len(reply), reply

    def _frame(self) -> bytes:
        """All up to the second delimiter."""
        received = b""
        while received.count(0) < DELIMITERS:
            if not select.select([self._descriptor], [], [], PATIENCE_S)[0]:
                raise TimeoutError(f"the board said {received!r} and no more")
            received += os.read(self._descriptor, READ_BYTES)
        return received


def measure(effort: Effort, bench: Bench) -> Part:
    """A board of its own for each round of each host: opening the port resets it, and it says BOOT."""
    cells: dict[str, Callable[[], Measure]] = {
        "bare": partial(_bare_round, bench, effort.round_s),
        "gateway": partial(_gateway_round, bench, effort.round_s),
    }
    found = alternate(cells, rounds=effort.rounds)
    lags = sum(each.lags for measures in found.values() for each in measures)
    slow_ping, slow_poll = _by_board_time(bench)
    asked_per_s = 1 / POLL_INTERVAL_S
    return Part(
        "Polling the emulated Uno at 250 000 baud",
        ("exchange", "host", "bytes", "wire", "round trip", "wire : round trip", "per second", "of the wire's"),
        [
            _row("PING", "board", [slow_ping]),
            _row("PING", "bare", [each.ping for each in found["bare"] if each.ping]),
            _row("POLL, 24 channels", "board", [slow_poll]),
            _row("POLL, 24 channels", "bare", [each.poll for each in found["bare"]]),
            _row("POLL, 24 channels", "gateway", [each.poll for each in found["gateway"]], asked_per_s=asked_per_s),
        ],
        (
            "`board`: the emulator at a twentieth of its speed, timed by the board's clock, so that no host counts.",
            "`bare` writes a frame, reads until the reply ends, and begins again, in real time.",
            f"`gateway` is `gateway run`, asked for {asked_per_s:.0f} polls a second (`poll_interval: 5ms`, the "
            "shortest); its rate is held against those.",
            f"The emulator looks at its port every {SLICE_US} us of board time, so it adds up to that each way.",
            f"In all rounds together it fell behind its clock by over 100 ms {lags} times: 0, or the figures are worth "
            "little.",
        ),
    )


def _moment_s(reply: bytes) -> float:
    """When the board answered, by its own clock."""
    (frame,) = Deframer().feed(reply)
    assert isinstance(frame, Frame)
    message = REPLIES[frame.type].from_bytes(frame.payload)
    assert isinstance(message, PingReply | PollReply)
    return message.t_us / 1e6


def _by_board_time(bench: Bench) -> tuple[Exchange, Exchange]:
    """PING and POLL without the host's own time and almost without the emulator's slices: what the board takes."""
    options = BoardOptions(flash=(SHIPPED_UNO_IMAGE,), speed=SLOW, slice_us=FINE_SLICE_US)
    with EmulatedBoard(bench.binary, options) as board, serial.Serial(str(board.port), BAUD, exclusive=True) as port:
        host = BareHost(port.fileno())
        host.begin()
        ping, poll = (host.ask_by_board_time(request, times=SLOW_EXCHANGES) for request in (Ping(0), Poll(0)))
        return ping, poll


def _bare_round(bench: Bench, round_s: float) -> Measure:
    with _board(bench) as board, serial.Serial(str(board.port), BAUD, exclusive=True) as port:
        host = BareHost(port.fileno())
        host.begin()
        ping = host.ask(Ping(0), duration_s=round_s / 2)
        return Measure(host.ask(Poll(0), duration_s=round_s), ping, board.stats()["lags"])


def _gateway_round(bench: Bench, round_s: float) -> Measure:
    """The gateway keeps its last round trip only: it is looked at now and then, by HTTP."""
    with _board(bench) as board, GatewayProcess(config=CONFIG.format(port=board.port)) as gateway:
        gateway.wait_state("online", board="uno")
        before, began_s = _counters(gateway), time.monotonic()
        round_trips_s: list[float] = []
        while time.monotonic() - began_s < round_s or not round_trips_s:
            let_pass(LOOK_S)
            round_trips_s.append(gateway.get("boards/uno").json["round_trip_ms"] / 1000)
        after, taken_s = _counters(gateway), time.monotonic() - began_s
        lags = board.stats()["lags"]
    polls = after["frames_received"] - before["frames_received"]
    wire_bytes = sum(after[name] - before[name] for name in ("bytes_sent", "bytes_received")) / polls
    return Measure(Exchange(round(wire_bytes), median(round_trips_s), polls / taken_s), None, lags)


def _board(bench: Bench) -> EmulatedBoard:
    return EmulatedBoard(bench.binary, BoardOptions(flash=(SHIPPED_UNO_IMAGE,), slice_us=SLICE_US))


def _counters(gateway: GatewayProcess) -> Mapping[str, int]:
    counters: Mapping[str, int] = gateway.get("boards/uno").json["counters"]
    return counters


def _row(request: str, host: str, rounds: Sequence[Exchange], *, asked_per_s: float = math.inf) -> list[str]:
    return [
        request,
        host,
        str(rounds[0].wire_bytes),
        f"{rounds[0].wire_s * 1000:.2f} ms",
        f"{median(each.round_trip_s for each in rounds) * 1000:.2f} ms",
        with_spread([each.wire_s / each.round_trip_s for each in rounds]),
        f"{median(each.per_s for each in rounds):.0f}",
        with_spread([each.per_s / min(1 / each.wire_s, asked_per_s) for each in rounds]),
    ]
