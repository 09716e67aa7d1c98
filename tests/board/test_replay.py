"""A recorded session plays again: the same readings in the same order at the same intervals, and the same log.

The real worker talks to the virtual board over a noisy line while a tap listens; what was recorded goes through the
file format and becomes a board, to which another worker talks. Clocks move by themselves.
"""

import itertools
from collections.abc import Sequence

import pytest

from gateway.link.recording import (
    Description,
    Header,
    Recording,
    decode,
    encode_description,
    encode_header,
    encode_trace,
)
from gateway.link.replay_board import LEEWAY_S, ReplayBoard
from gateway.link.replay_script import Answer, Item, script_of
from gateway.link.tap import Trace, TraceKind
from gateway.model import BoardState, CommandState, LogEntry, Mode, Reason
from gateway.protocol.framing import encode
from gateway.protocol.messages import BoardRecord, Log
from tests.board.world import FakeLink, Line, World

SEEDS = (1, 2, 3)


class TracedLink(FakeLink):
    """Tells the world's tap what passes, as a real port does."""

    def __init__(self, world: "TracedWorld", baud: int) -> None:
        super().__init__(world, baud)
        self._told = world.told
        self._clock = world.clock
        self._tell(TraceKind.OPENED, b"fake://")

    def read(self) -> bytes:
        if data := super().read():
            self._tell(TraceKind.RECEIVED, data)
        return data

    def write(self, data: bytes) -> None:
        self._tell(TraceKind.SENT, data)
        super().write(data)

    def close(self) -> None:
        self._tell(TraceKind.CLOSED)
        super().close()

    def _tell(self, kind: TraceKind, data: bytes = b"") -> None:
        self._told.append(Trace(kind, self._clock.monotonic(), self._clock.time(), data))


class TracedWorld(World):
    def __init__(self, line: Line | None = None, *, seed: int = 1, **settings: object) -> None:
        self.told: list[Trace] = []
        super().__init__(line, seed=seed, **settings)  # type: ignore[arg-type]
        self.board.receive(b"")
        self.board._memory.board_id = 0x1A2B3C4D

    def open_link(self, url: str, *, baud: int, wake: object) -> FakeLink:
        super().open_link(url, baud=baud, wake=wake)
        self.links[-1] = TracedLink(self, baud)
        return self.links[-1]

    def recording(self, *, described: bool = False) -> Recording:
        """Through the bytes of a file and back."""
        data = encode_header(Header("uno", "fake://"))
        if described:
            data += encode_description(self.description(), monotonic_s=1000.0, time_s=0.0)
        found = decode(data + b"".join(map(encode_trace, self.told)))
        assert not found.damage
        return found

    def description(self) -> Description:
        table = self.board.table
        return Description(table.board.to_bytes(), len(table.channels), len(table.actions), table.records)


def replayed(recording: Recording, *, speed: float = 1.0, from_s: float = 0.0, **settings: object) -> World:
    """A world whose board is the recording."""
    world = World(Line(fixed_baud=True), port="replay://file", **settings)  # type: ignore[arg-type]
    opening = world.open_link

    def open_link(url: str, *, baud: int, wake: object) -> FakeLink:
        script = script_of(recording, from_s=from_s)
        world.board = ReplayBoard(script, speed=speed, clock=world.clock)  # type: ignore[assignment]
        return opening(url, baud=baud, wake=wake)

    world.worker._open_link = open_link
    return world


def values(world: World) -> list[dict[str, object]]:
    return [{name: sample.value for name, sample in samples.items()} for samples in world.sink.samples]


def texts(world: World) -> list[str]:
    return [entry.message for entry in world.sink.entries if entry.kind == "text"]


def intervals_ms(entries: Sequence[LogEntry]) -> list[int]:
    times = [entry.time_s for entry in entries if entry.kind == "text"]
    return [round((after - before) * 1000) for before, after in itertools.pairwise(times)]


def is_answer(item: Item, kind: int) -> bool:
    return isinstance(item, Answer) and item.type == kind


def talk(world: World) -> None:
    """The board prints, by itself and by LOG, and its temperature goes up and down."""
    for tenth in range(1, 100):
        world.at(tenth / 10, lambda tenth=tenth: setattr(world.pins, "temperature", 20.0 + tenth % 17))  # type: ignore[misc]
    for second in range(1, 10):
        world.at(second + 0.05, lambda second=second: world.say(b"line %d\r\n" % second))  # type: ignore[misc]
        said = Log(b"logged %d" % second).to_bytes()
        world.at(second + 0.35, lambda said=said: world.say(encode(Log.TYPE, 200, sid(world), payload=said)))  # type: ignore[misc]


def sid(world: World) -> int:
    return world.worker._session_id & 0xFF


@pytest.mark.parametrize("seed", SEEDS)
def test_a_noisy_session_replays_to_the_same_readings_and_log(seed: int) -> None:
    line = Line(delay_s=0.003, drop=0.002, flip=0.002)
    first = TracedWorld(line, seed=seed)
    talk(first)
    first.run(10)
    assert len(values(first)) > 50
    assert first.status.counters["frames_rejected"] > 3, "that was not noisy"
    second = replayed(first.recording()).run(9.9)
    told = values(second)
    assert len(told) >= len(values(first)) - 3
    assert [each["temperature"] for each in told] == [each["temperature"] for each in values(first)][: len(told)]
    assert told == values(first)[: len(told)]
    assert len(texts(first)) > 15
    assert texts(second) == texts(first)[: len(texts(second))]
    assert len(texts(second)) >= len(texts(first)) - 2


def test_a_board_that_took_long_to_describe_itself_is_read_at_once() -> None:
    first = TracedWorld(Line(delay_s=0.25))
    first.at(3, lambda: setattr(first.line, "delay_s", 0.002))
    first.run(8)
    hello, poll = (
        next(item for item in script_of(first.recording()).items if is_answer(item, kind)) for kind in (1, 3)
    )
    assert poll.at_s - hello.at_s > LEEWAY_S
    second = replayed(first.recording()).run(4)
    assert second.status.state is BoardState.ONLINE
    assert values(second)[:5] == values(first)[:5]


def test_a_sound_session_replays_at_its_own_pace() -> None:
    first = TracedWorld(Line(delay_s=0.002))
    talk(first)
    first.run(10)
    second = replayed(first.recording()).run(9.9)
    assert intervals_ms(second.sink.entries) == pytest.approx(intervals_ms(first.sink.entries), abs=10)
    assert values(second) == values(first)[: len(values(second))]
    moments = [[samples["temperature"].monotonic_s for samples in world.sink.samples] for world in (first, second)]
    gaps = [[after - before for before, after in itertools.pairwise(each)] for each in moments]
    assert gaps[1] == pytest.approx(gaps[0][: len(gaps[1])], abs=0.02)
    assert second.status.state is BoardState.ONLINE
    assert second.status.schema == first.status.schema


def test_a_stream_replays_too_and_to_a_host_that_polls() -> None:
    first = TracedWorld(mode=Mode.STREAM, poll_interval_s=0.02)
    talk(first)
    first.run(5)
    recording = first.recording()
    streamed = replayed(recording, mode=Mode.STREAM, poll_interval_s=0.02).run(4.9)
    told = [each["temperature"] for each in values(first)]
    seen = [each["temperature"] for each in values(streamed)]
    assert len(seen) > 200
    assert seen == told[: len(seen)]
    polled = replayed(recording).run(4.5)
    assert [each["temperature"] for each in values(polled)][-1] == pytest.approx(20 + 44 % 17, abs=2)
    assert polled.status.state is BoardState.ONLINE


def test_a_reset_of_the_board_is_played() -> None:
    first = TracedWorld()
    first.at(3, first.board.reset)
    first.run(6)
    second = replayed(first.recording()).run(5.5)
    assert first.status.resets == 1 == second.status.resets
    assert second.sink.messages() == first.sink.messages()


def test_a_silence_is_played_as_a_silence() -> None:
    first = TracedWorld()
    first.at(3, lambda: setattr(first.line, "dead", True))
    first.run(7)
    second = replayed(first.recording()).run(6)
    assert BoardState.DEGRADED in second.sink.states()
    assert second.status.reason is Reason.NO_ANSWER or BoardState.OFFLINE in second.sink.states()
    assert [entry.message for entry in first.sink.entries][:2] == second.sink.messages()[:2]


def test_at_its_end_it_falls_silent_and_plays_again_when_it_is_opened_again() -> None:
    first = TracedWorld()
    first.run(3)
    second = replayed(first.recording()).run(7.5)
    assert len(second.opened_at) == 2
    assert BoardState.OFFLINE in second.sink.states()
    assert second.sink.states()[-1] is BoardState.ONLINE


def test_commands_are_refused_and_say_why() -> None:
    first = TracedWorld().run(5)
    second = replayed(TracedWorld.recording(first))  # type: ignore[arg-type]
    commands = []
    second.at(2, lambda: commands.append(second.submit(channel="led", value=True)))
    second.run(4)
    ended = second.now_is(commands[0])
    assert ended.state is CommandState.FAILED
    assert ended.error is not None
    assert ended.error.code == "unsupported"


def test_a_recording_that_begins_in_the_middle_needs_its_description() -> None:
    first = TracedWorld()
    talk(first)
    first.run(6)
    whole = first.recording(described=True)
    middle = [trace for trace in whole.traces if trace.monotonic_s > 1003]
    cut = Recording(whole.header, tuple(middle), whole.description)
    second = replayed(cut).run(2)
    assert second.status.state is BoardState.ONLINE
    assert second.status.schema is not None
    assert second.status.schema.sketch.name == BoardRecord.from_bytes(first.description().board).sketch
    later = [each["temperature"] for each in values(first)]
    seen = [each["temperature"] for each in values(second)]
    assert any(seen[:10] == later[at : at + 10] for at in range(len(later)))
    without = replayed(Recording(whole.header, tuple(middle))).run(2)
    assert without.status.schema is None


@pytest.mark.parametrize(("poll_interval_s", "least"), [(0.02, 100), (0.5, 5)])
def test_another_pace_of_polling_sees_the_same_times(poll_interval_s: float, least: int) -> None:
    first = TracedWorld()
    talk(first)
    first.run(8)
    second = replayed(first.recording(), poll_interval_s=poll_interval_s, link_timeout_s=2.0).run(4)
    seen = [each["temperature"] for each in values(second)]
    assert len(seen) >= least
    assert second.status.counters.get("poll_timeouts", 0) == 0
    assert second.status.state is BoardState.ONLINE
    order = [each["temperature"] for each in values(first)]
    position = 0
    for temperature in seen:
        position = order.index(temperature, position)
    assert abs(position / 10 - 4) < 1.5, "it is where the recording was after 4 s"


def test_at_twice_the_speed_it_takes_half_the_time() -> None:
    first = TracedWorld()
    talk(first)
    first.run(9)
    second = replayed(first.recording(), speed=2, poll_interval_s=0.05).run(4)
    assert [round(each / 100) for each in intervals_ms(second.sink.entries)][:6] == [
        round(each / 200) for each in intervals_ms(first.sink.entries)
    ][:6]


def test_it_can_begin_later() -> None:
    first = TracedWorld()
    talk(first)
    first.run(8)
    second = replayed(first.recording(), from_s=4).run(2)
    assert texts(second)[0] == "line 4"
    assert second.status.state is BoardState.ONLINE


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"\x01" * 300, b"\0\x05abcd\0"])
def test_a_recording_of_something_else_is_no_harm(data: bytes) -> None:
    traces = [Trace(TraceKind.OPENED, 1.0, 1.0), Trace(TraceKind.RECEIVED, 1.5, 1.5, data)]
    second = replayed(Recording(Header(), tuple(traces))).run(20)
    assert second.status.state in (BoardState.OFFLINE, BoardState.CONNECTING)


def test_replies_that_nobody_waited_for_stay_unexpected() -> None:
    """A recording with every reply twice."""
    first = TracedWorld(Line(delay_s=0.002))
    first.run(3)
    doubled = []
    for trace in first.told:
        doubled.append(trace)
        if trace.kind is TraceKind.RECEIVED:
            doubled.append(trace)
    recording = Recording(Header(), tuple(doubled))
    second = replayed(recording).run(2.8)
    assert second.status.counters["frames_unexpected"] > 10
    assert second.status.state is BoardState.ONLINE
