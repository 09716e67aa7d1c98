"""The board's side of the protocol, in the firmware's own code, against the shared conversations and beyond them."""

from collections.abc import Iterator

import pytest

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


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda conversation: conversation.name)
def test_conversation(board: BenchBoard, conversation: Conversation) -> None:
    for step in conversation.steps:
        happened = [show(item) for item in board.observe(stimulus(step.stimulus))]
        same = len(happened) == len(step.expected) and all(map(matches, step.expected, happened))
        assert same, f"line {step.line}: {step.stimulus}\nexpected {step.expected}\nhappened {happened}"
