"""The virtual board holds the conversations that the firmware holds: tests/vectors/README.md has their format."""

import re
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway.link.virtual_board import BoardReset, VirtualBoard
from gateway.link.virtual_table import BoardTable, Core, Raw, Refused, action, argument, output, reading
from gateway.model import ValueType
from gateway.protocol.framing import Deframer, Frame, encode
from gateway.protocol.messages import BoardRecord
from tests.faults.conversations import SHOWS
from tests.link.fakes import FakeClock

CONVERSATIONS = Path(__file__).parents[1] / "vectors" / "conversations.txt"
ZEROS = ("level", "temperature", "ticks", "c7", "c8", "c9", "c10", "c11", "c12", "tiny", "last")


class Bench:
    """The bench board of tests/vectors/README.md: plays stimuli, writes down what follows, in order."""

    def __init__(self, *, at_once: bool) -> None:
        self.at_once = at_once
        self.clock = FakeClock()
        self.readings: dict[str, Raw] = dict.fromkeys(ZEROS, 0)
        self.events: list[str] = []
        self.deframer = Deframer()
        self.board: VirtualBoard | None = None
        self.board = VirtualBoard(clock=self.clock, table=bench_table(self))
        self.take_events()

    def note(self, name: str, *values: str) -> None:
        """A function of the sketch ran, after what the board has sent until now."""
        if self.board is not None:
            self.take_frames(bytes(self.board.port.sent))
            self.board.port.sent.clear()
        self.events.append(" ".join(("=", name, *values)))

    def take_frames(self, data: bytes) -> None:
        for frame in self.deframer.feed(data):
            assert isinstance(frame, Frame)
            self.events.append(f"< {frame.type:02x} {frame.seq:02x} {frame.sid:02x} {frame.payload.hex() or '-'}")

    def take_events(self) -> list[str]:
        assert self.board is not None
        self.take_frames(self.board.transmit())
        events, self.events = self.events, []
        return events

    def play(self, stimulus: str) -> None:
        assert self.board is not None
        kind, *words = stimulus.split()
        match kind, words:
            case ">", [frame_type, seq, sid, *payload]:
                data = bytes.fromhex("".join(payload).replace("-", ""))
                self.board.receive(encode(int(frame_type, 16), int(seq, 16), int(sid, 16), payload=data))
            case ">>", payload:
                self.board.receive(bytes.fromhex("".join(payload)))
            case "@", [time, "blocked"]:
                self.board.freeze()
                self.clock.ms += int(time)
                self.board.thaw()
            case "@", [time]:
                self.pass_time(int(time))
            case "%", [name, value]:
                self.readings[name] = parse_value(value)
            case "!", ["reset"]:
                self.board.reset()
            case "!", ["power"]:
                self.board.power_cycle()
            case "!", [("full" | "room") as room]:
                self.board.port.has_room = room == "room"
            case _:
                pytest.fail(f"not a stimulus: {stimulus}")

    def pass_time(self, ms: int) -> None:
        """Touched every millisecond, or once at the end: it must not matter."""
        assert self.board is not None
        for step in [ms] if self.at_once else [1] * ms:
            self.clock.ms += step
            self.take_frames(self.board.transmit())


def parse_value(word: str) -> Raw:
    if re.fullmatch("[0-9a-f]{8}", word) and not word.isdecimal():
        return float(struct.unpack(">f", bytes.fromhex(word))[0])
    return int(word)


def show_value(value_type: ValueType, value: Raw) -> str:
    return struct.pack(">f", value).hex() if value_type is ValueType.F32 else str(value)


def bench_table(bench: Bench) -> BoardTable:
    def read(name: str, _core: Core) -> Raw:
        return bench.readings[name]

    def write(name: str, value_type: ValueType, _core: Core, value: Raw) -> None:
        bench.note(name, show_value(value_type, value))

    def reset_count(_core: Core) -> None:
        bench.note("reset_count")

    def add(_core: Core, a: Raw, b: Raw) -> Raw:
        bench.note("add", str(a), str(b))
        return a + b

    def refuse(_core: Core, code: int) -> None:
        bench.note("refuse", str(code))
        raise Refused(code)

    def mix(_core: Core, flag: Raw, small: Raw, big: Raw, ratio: Raw) -> Raw:
        bench.note("mix", str(flag), str(small), str(big), show_value(ValueType.F32, ratio))
        return ratio

    def slow(core: Core, ms: int) -> Raw:
        bench.note("slow", str(ms))
        bench.clock.ms += ms
        return core.micros() // 1000

    def crash(_core: Core) -> None:
        bench.note("crash")
        raise BoardReset

    t = ValueType

    def reads(name: str, value_type: ValueType, unit: str = "", scale: int = 0, **options: tuple[Raw, Raw]):  # type: ignore[no-untyped-def]
        return reading(name, unit, value_type, partial(read, name), scale=scale, **options)

    def writes(name: str, value_type: ValueType, unit: str = "", **options):  # type: ignore[no-untyped-def]
        return output(name, unit, value_type, partial(write, name, value_type), **options)

    return BoardTable(
        board=BoardRecord("Bench", "twins", "1.2.3", ""),
        channels=[
            reads("level", t.I16, "mm", -1, limits=(-500, 500)),
            reads("temperature", t.F32, "degC"),
            reads("ticks", t.U32),
            writes("led", t.BOOL, safe=0),
            writes("fan", t.U8, limits=(0, 200), safe=0, hold_required=True),
            writes("setpoint", t.F32, "degC", limits=(-10, 50)),
            writes("trim", t.I16, "V", scale=-2, limits=(-1000, 1000), safe=-5),
            *(reads(f"c{index}", t.U32) for index in range(7, 13)),
            reads("tiny", t.I8),
            reads("last", t.U16),
        ],
        actions=[
            action("reset_count", "Set the counter to zero", reset_count),
            action(
                "add",
                "Add two numbers",
                add,
                arguments=[argument("a", t.I16, limits=(-100, 100)), argument("b", t.I16, limits=(-100, 100))],
                returns=t.I16,
            ),
            action("refuse", "Refuse with a code", refuse, arguments=[argument("code", t.U8, limits=(64, 255))]),
            action(
                "mix",
                "",
                mix,
                arguments=[
                    argument("flag", t.BOOL),
                    argument("small", t.I8, limits=(-5, 5)),
                    argument("big", t.U32),
                    argument("ratio", t.F32, limits=(0, 1), unit="V"),
                ],
                returns=t.F32,
            ),
            action(
                "slow",
                "Take some time",
                slow,
                arguments=[argument("ms", t.U16, limits=(0, 5000), unit="ms")],
                returns=t.U32,
            ),
            action("crash", "Reset in the middle", crash),
        ],
        on_safe=partial(bench.note, "safe"),
    )


def conversations() -> Iterator[tuple[str, list[tuple[int, str, list[str]]]]]:
    """Name, and for each stimulus its line number, itself and what follows from it."""
    steps: list[tuple[int, str, list[str]]] = []
    name = ""
    for number, line in enumerate(CONVERSATIONS.read_text().splitlines(), start=1):
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if heading := re.fullmatch(r"\[(\w+)\]", text):
            if name:
                yield name, steps
            name, steps = heading[1], []
        elif text and text[0] in "<=":
            steps[-1][2].append(text)
        elif text:
            steps.append((number, text, []))
    yield name, steps


def same(expected: str, seen: str) -> bool:
    """Bytes grouped for the eye; `??` is any byte."""
    if not expected.startswith("<"):
        return expected == seen
    frame_type, seq, sid, *payload = expected.split()[1:]
    pattern = f"< {frame_type} {seq} {sid} {''.join(payload)}".replace("?", "[0-9a-f]")
    return re.fullmatch(pattern, seen) is not None


@pytest.mark.parametrize("at_once", [False, True], ids=["each_ms", "at_once"])
@pytest.mark.parametrize(
    ("name", "steps"), [pytest.param(*each, id=each[0], marks=SHOWS.get(each[0], ())) for each in conversations()]
)
def test_conversation(name: str, steps: list[tuple[int, str, list[str]]], at_once: bool) -> None:
    bench = Bench(at_once=at_once)
    for number, stimulus, expected in steps:
        bench.play(stimulus)
        seen = bench.take_events()
        story = f"line {number}: {stimulus}\nexpected {expected}\nseen     {seen}"
        assert len(seen) == len(expected), story
        assert all(map(same, expected, seen)), story
