"""The board's side of the protocol, in the firmware's own code, against the shared conversations and beyond them."""

from collections.abc import Iterator

import pytest

from tests.faults.conversations import SHOWS
from tests.firmware.conversations import Conversation, matches, parse_request, read_conversations, show
from tests.firmware.desktop import VECTORS, BenchBoard
from tests.firmware.wire import Frame, decode

pytestmark = pytest.mark.needs("g++")

CONVERSATIONS = read_conversations(VECTORS / "conversations.txt")
SESSION = 0x44
EPOCH = 0xABCD0001
HELLO = Frame(1, 0, SESSION, bytes.fromhex("0101d007443322110100cdab00000000"))
ADOPT = Frame(5, 1, SESSION, EPOCH.to_bytes(4, "little"))


@pytest.fixture
def board() -> Iterator[BenchBoard]:
    with BenchBoard() as bench:
        yield bench


def stimulus(line: str) -> str:
    """A stimulus of the conversations, as board.cpp takes it."""
    mark, _, rest = line.partition(" ")
    match mark:
        case ">":
            return f"rx {parse_request(rest).to_wire().hex()}"
        case ">>":
            return f"rx {bytes.fromhex(rest).hex()}"
        case "@":
            milliseconds, _, blocked = rest.removeprefix("+").partition(" ")
            return f"block {milliseconds}" if blocked else f"pass {milliseconds}"
        case "%":
            name, value = rest.split()
            return f"set {name} {int(value, 16) if len(value) == 8 else int(value)}"
        case _:
            return {"full": "room 61", "room": "room 62"}.get(rest, rest)


@pytest.mark.parametrize(
    "conversation", [pytest.param(each, id=each.name, marks=SHOWS.get(each.name, ())) for each in CONVERSATIONS]
)
def test_conversation(board: BenchBoard, conversation: Conversation) -> None:
    for step in conversation.steps:
        happened = [show(item) for item in board.observe(stimulus(step.stimulus))]
        same = len(happened) == len(step.expected) and all(map(matches, step.expected, happened))
        assert same, f"line {step.line}: {step.stimulus}\nexpected {step.expected}\nhappened {happened}"


def open_session(board: BenchBoard) -> None:
    """HELLO and EPOCH, so that commands are taken."""
    board.ask(HELLO)
    assert board.ask(ADOPT) == Frame(0x85, 1, SESSION, ADOPT.payload)


def command(identifier: int, target: int, value: bytes, *, sequence: int = 9, hold_ms: int = 0) -> Frame:
    head = identifier.to_bytes(4, "little") + bytes([target]) + hold_ms.to_bytes(2, "little")
    return Frame(4, sequence, SESSION, head + value)


def calls(happened: list[Frame | str]) -> list[str]:
    return [item for item in happened if isinstance(item, str)]


def test_every_conversation_file_line_is_run() -> None:
    assert len(CONVERSATIONS) > 40
    assert all(conversation.steps for conversation in CONVERSATIONS)
    names = [conversation.name for conversation in CONVERSATIONS]
    assert len(names) == len(set(names))


@pytest.mark.fault(6)
def test_println_between_frames_is_text_and_no_frame_is_lost(board: BenchBoard) -> None:
    open_session(board)
    ping = f"rx {Frame(8, 2, SESSION, bytes(4)).to_wire().hex()}"
    sent = "".join(
        line.removeprefix("tx ")
        for stimulus_line in ("print temperature 21.5", ping, "print hello", ping)
        for line in board.tell(stimulus_line)
    )
    frames, text = decode(bytes.fromhex(sent))
    assert [frame.type for frame in frames] == [0x88, 0x88]
    assert text == b"temperature 21.5hello"


def test_delay_in_the_sketch_keeps_frames_and_timers_running(board: BenchBoard) -> None:
    open_session(board)
    assert calls(board.observe("delay 1999")) == []
    assert calls(board.observe("delay 3000"))[-1] == "safe"


def test_yield_in_a_handler_does_not_run_the_next_command(board: BenchBoard) -> None:
    open_session(board)
    both = command(1, 0x84, b"\x64\0", sequence=9).to_wire() + command(2, 3, b"\1", sequence=10).to_wire()
    happened = [show(item) for item in board.observe(f"rx {both.hex()}")]
    assert [line.split()[:2] for line in happened] == [["=", "slow"], ["<", "84"], ["=", "led"], ["<", "84"]]


def test_record_written_over_stops_commands_and_keeps_the_latch(board: BenchBoard) -> None:
    open_session(board)
    board.observe(f"rx {Frame(6, 2, 0).to_wire().hex()}")
    board.tell("corrupt")
    assert board.ask(command(1, 3, b"\1")).payload == bytes([4, 10, 0])
    assert board.ask(HELLO).payload[1] == 32 | 4 | 2 | 64
    board.observe("reset")
    hello = board.ask(HELLO).payload
    assert hello[1] == 32 | 2 | 64
    assert hello[9:21] == bytes(12)


@pytest.mark.parametrize("request_type", [6, 7], ids=["safe", "clear"])
def test_no_request_makes_a_record_sound_that_was_written_over(board: BenchBoard, request_type: int) -> None:
    open_session(board)
    board.ask(command(1, 3, b"\1"))
    board.tell("corrupt")
    board.ask(Frame(request_type, 2, SESSION))
    assert board.ask(command(1, 3, b"\1")).payload == bytes([4, 10, 0])


@pytest.mark.fault(14)
def test_reset_while_an_output_is_written_is_interrupted(board: BenchBoard) -> None:
    open_session(board)
    board.tell("fragile")
    assert calls(board.observe(f"rx {command(1, 5, bytes(4)).to_wire().hex()}"))[0] == "setpoint 00000000"
    board.ask(HELLO)
    assert board.ask(command(1, 5, bytes(4))).payload[:6] == bytes([1, 0, 0, 0, 2, 0])


def test_output_that_refuses_keeps_its_value_and_its_hold(board: BenchBoard) -> None:
    open_session(board)
    board.ask(command(1, 3, b"\1", hold_ms=300))
    board.tell("stubborn")
    assert board.ask(command(2, 3, b"\0")).payload[:6] == bytes([2, 0, 0, 0, 0, 70])
    led_in_force = board.ask(Frame(3, 2, SESSION, b"\0")).payload[11 + 2 + 4 + 4]
    assert led_in_force == 1
    assert board.observe("pass 299") == []
    assert board.observe("pass 1") == ["led 0"]


def test_record_corrupt_at_a_reset_is_cold(board: BenchBoard) -> None:
    open_session(board)
    board.ask(command(1, 3, b"\1"))
    board.tell("corrupt")
    boot = board.observe("reset")[-1]
    assert isinstance(boot, Frame)
    assert boot.payload[1] == 32 | 4


@pytest.mark.parametrize(("text", "told"), [("pump primed", b"pump primed"), ("x" * 80, b"x" * 54)])
def test_log(board: BenchBoard, text: str, told: bytes) -> None:
    assert board.observe(f"log {text}") == [Frame(0x41, 1, 0, told), "log 1"]
    open_session(board)
    assert board.observe("log again") == [Frame(0x41, 2, SESSION, b"again"), "log 1"]


def test_log_without_room_shows_as_a_gap(board: BenchBoard) -> None:
    board.tell("room 61")
    assert board.observe("log lost") == ["log 0"]
    board.tell("room 62")
    assert board.observe("log seen") == [Frame(0x41, 2, 0, b"seen"), "log 1"]


def test_log_from_a_reading_leaves_the_reply_alone(board: BenchBoard) -> None:
    open_session(board)
    board.tell("chatty")
    reply = board.ask(Frame(3, 2, SESSION, b"\0"))
    assert (reply.type, len(reply.payload)) == (0x83, 54)
    assert board.observe("log afterwards")[0] == Frame(0x41, 2, SESSION, b"afterwards")


def test_port_that_cannot_tell_its_room_is_not_streamed_to(board: BenchBoard) -> None:
    board.tell("room 0")
    board.tell("power")
    hello = board.ask(HELLO)
    assert hello.payload[1] == 4
    assert board.ask(Frame(9, 1, SESSION, b"\0\x14\0\x05")).payload == bytes([9, 13, 0])
    assert board.observe("log still heard") == [Frame(0x41, 1, SESSION, b"still heard"), "log 1"]


def test_noise_never_moves_anything(board: BenchBoard) -> None:
    """Bounded fuzz: any bytes give answers or counts, and no function of the sketch runs."""
    open_session(board)
    seed = 12345
    for _ in range(300):
        noise = bytearray()
        for _ in range(200):
            seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
            noise.append(seed >> 16 & 0xFF)
        assert calls(board.observe(f"rx {noise.hex()}")) == []
    assert board.ask(Frame(8, 1, SESSION, bytes(4))).type == 0x88


@pytest.mark.parametrize("size", range(55))
def test_any_payload_of_any_request_is_answered_once(board: BenchBoard, size: int) -> None:
    open_session(board)
    for request in range(1, 16):
        sequence = (size + request) & 0xFF
        session = SESSION
        answer = board.ask(Frame(request, sequence, session, bytes([SESSION] * size)))
        assert (answer.sequence, answer.session) == (sequence, session)
        assert answer.type in (request | 0x80, 0xFF)
        board.observe("room 63")
        board.ask(HELLO)
