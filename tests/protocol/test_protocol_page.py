"""PROTOCOL.md and the code say the same: every table of the page is held against the constants and classes."""

import enum
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.model import ValueType
from gateway.protocol import framing, messages
from gateway.protocol.framing import Frame, cobs_decode, decode, fcs
from gateway.protocol.messages import EVENTS, RAW_LAYOUT, RECORDS, REPLIES, REPLY, REQUESTS, Message, RecordKind

PROJECT = Path(__file__).parent.parent.parent
PAGE = (PROJECT / "gateway" / "protocol" / "PROTOCOL.md").read_text()
LAYOUT = {"B": "u8", "b": "i8", "H": "u16", "I": "u32", "s": "raw"}
CLASS_NAMES = {
    "COMMAND": ("RunCommand", "CommandReply"),
    "EPOCH": ("SetEpoch", "SetEpochReply"),
    "SETID": ("SetId", "SetIdReply"),
}
"""Requests and replies whose classes are not called as the message is."""
BITS_PER_BYTE = 10  # 8N1

Row = tuple[str, ...]


def tables(*header: str) -> list[list[Row]]:
    """The rows of every table of the page whose header begins with these cells; there is at least one."""
    found = [
        rows[2:]
        for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
        if (rows := [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in block.splitlines()])
        and rows[0][: len(header)] == header
    ]
    assert found, f"the page has no table {header}"
    return found


def table(*header: str) -> list[Row]:
    """The rows of the one table with that header."""
    (rows,) = tables(*header)
    return rows


def fields_of(message_class: type[Message]) -> str:
    """A message's payload as the page writes it."""
    words = [f"{name} {LAYOUT[code]}" for name, code in zip(message_class.FIELDS, _codes(message_class), strict=False)]
    if message_class.TAIL:
        words.append(f"{message_class.FIELDS[-1]} bytes 0-{message_class.TAIL}")
    return ", ".join(words) or "-"


def _codes(packed: type[Message] | type[messages.Record]) -> str:
    return packed.HEAD.format[1:].replace("4s", "s")


def words_of(text: str) -> str:
    """What a meaning begins with, as a member of an enumeration is called."""
    return re.split("[:;]", text)[0].replace(" ", "_").upper()


# ---- messages ----


def test_requests_and_replies() -> None:
    rows = table("TYPE", "request")
    assert [int(row[0], 16) for row in rows] == list(REQUESTS)
    for number, name, request, reply in rows:
        request_class, reply_class = REQUESTS[int(number, 16)], REPLIES[int(number, 16) | REPLY]
        named = CLASS_NAMES.get(name, (name.title(), f"{name.title()}Reply"))
        assert (request_class.__name__, reply_class.__name__) == named
        assert (request, reply) == (fields_of(request_class), fields_of(reply_class)), name


def test_events_and_error() -> None:
    rows = table("TYPE", "from the board")
    sent = {**EVENTS, messages.ErrorReply.TYPE: messages.ErrorReply}
    assert [int(row[0], 16) for row in rows] == list(sent)
    for number, name, payload in rows:
        message_class = sent[int(number, 16)]
        assert message_class.__name__ == name.title().replace(" ", "").removesuffix("Event")
        assert payload == fields_of(message_class), name


def test_records() -> None:
    for kind, name, fields in table("kind", "record"):
        record_class = RECORDS[RecordKind[name.upper()]]
        assert int(kind) == RecordKind[name.upper()]
        layout = [LAYOUT[code] for code in _codes(record_class)] + ["string"] * record_class.STRINGS
        assert fields == ", ".join(f"{name} {each}" for name, each in zip(record_class.FIELDS, layout, strict=True))
    assert len(table("kind", "record")) == len(RECORDS)


# ---- numbers with a meaning ----


@pytest.mark.parametrize(
    ("rows", "members"),
    [
        (table("flag", "channel"), messages.ChannelFlag),
        (tables("flag", "meaning")[0], messages.HelloFlag),
        (tables("flag", "meaning")[1], messages.PollStatus),
        (table("value", "meaning"), messages.Outcome),
        (table("code", "name"), messages.ErrorCode),
        (table("kind", "record"), messages.RecordKind),
        (table("value", "type"), ValueType),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else "",
)
def test_numbers(rows: list[Row], members: type[enum.Enum]) -> None:
    assert {words_of(row[1]): int(row[0]) for row in rows} == {member.name: member.value for member in members}


def test_sizes_of_types() -> None:
    sizes = {ValueType[row[1].upper()]: row[2] for row in table("value", "type")}
    assert {each: sizes[each] for each in RAW_LAYOUT} == {each: str(raw.size) for each, raw in RAW_LAYOUT.items()}


def test_limits() -> None:
    rows = [row for rows in tables("limit", "value", "constant") for row in rows]
    assert len(rows) > 10
    for what, value, constant in rows:
        module = framing if hasattr(framing, constant.strip("`")) else messages
        assert int(value.split()[0]) == getattr(module, constant.strip("`")), what


def test_other_numbers_of_the_frame() -> None:
    assert f"is `{fcs(b'123456789'):04X}`" in PAGE
    assert f"is always `{framing.FCS_RESIDUE:04X}`" in PAGE
    assert f"`{framing.EVENT_TYPES.start:02X}`-`{framing.EVENT_TYPES.stop - 1:02X}` event" in PAGE
    assert f"start\n`{messages.schema_hash([]):08X}`" in PAGE
    assert f"{messages.FIRST_HANDLER_CODE} to\n255 are the sketch's own" in PAGE
    assert f"# The link protocol, version {messages.VERSION}\n" in PAGE


# ---- vectors and budgets ----


@pytest.mark.parametrize("row", table("what", "frame before FCS"), ids=lambda row: row[0])
def test_vectors(row: Row) -> None:
    before, check, wire = (bytes.fromhex(cell.strip("`")) for cell in row[1:])
    assert fcs(before).to_bytes(2, "big") == check
    assert cobs_decode(wire[1:-1]) == before + check
    frame = Frame(before[0], before[1], before[2], before[3:])
    assert decode(wire[1:-1]) == frame
    assert frame.to_wire() == wire


EXCHANGES: Mapping[str, tuple[Message, Message]] = {
    "PING": (messages.Ping(1), messages.PingReply(1, 2, 3)),
    "POLL, 28 bytes of values": (messages.Poll(0), messages.PollReply(0, 0, 0, 0, 0, bytes(28))),
    "POLL, 43 bytes of values": (messages.Poll(0), messages.PollReply(0, 0, 0, 0, 0, bytes(43))),
    "COMMAND, a u8": (messages.RunCommand(1, 6, 0, b"\1"), messages.CommandReply(1, 0, 0, 0, b"")),
}


def test_budgets() -> None:
    header, *_ = re.findall(r"^\| exchange .*$", PAGE, re.MULTILINE)
    rates = [int(cell.replace(" ", "")) for cell in header.strip("| ").split(" | ")[3:]]
    rows = table("exchange", "request")
    assert [row[0] for row in rows] == list(EXCHANGES)
    for what, request, reply, *times in rows:
        sizes = [len(Frame(each.TYPE, 1, 2, each.to_bytes()).to_wire()) for each in EXCHANGES[what]]
        assert [int(request), int(reply)] == sizes
        assert times == [f"{sum(sizes) * BITS_PER_BYTE / rate * 1000:.2f} ms" for rate in rates], what


# ---- the page itself ----


def anchors() -> list[str]:
    """The page's headings as links name them."""
    return [re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in re.findall(r"^#+ (.*)$", PAGE, re.M)]


def test_contents_name_every_section() -> None:
    links = re.findall(r"\]\(#([a-z-]+)\)", PAGE)
    assert set(links) <= set(anchors())
    missing = set(anchors()) - set(links)
    assert missing == {"the-link-protocol-version-1", "vectors"}


def test_sections_that_code_refers_to_exist() -> None:
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    sources = [path.read_text() for path in (PROJECT / "gateway").rglob("*.py")]
    named = [
        name
        for source in sources
        for reference in re.findall(r'PROTOCOL\.md((?:, | and )"[^"]+"(?: and "[^"]+")?)', source)
        for name in re.findall('"([^"]+)"', reference)
    ]
    assert {"Frame", "Receiver", "Messages"} <= set(named)
    assert set(named) <= set(headings)
