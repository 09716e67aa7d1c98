"""Reads tests/vectors/conversations.txt; the format is defined in tests/vectors/README.md."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.firmware.wire import Frame


@dataclass(slots=True)
class Step:
    """One stimulus with everything that must follow from it. `line` is its place in the file."""

    line: int
    stimulus: str
    expected: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Conversation:
    name: str
    steps: list[Step] = field(default_factory=list)


def read_conversations(path: Path) -> list[Conversation]:
    conversations: list[Conversation] = []
    for number, raw in enumerate(path.read_text().splitlines(), start=1):
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        if not line:
            continue
        if line.startswith("["):
            conversations.append(Conversation(line.strip("[]")))
        elif line[0] in "<=":
            conversations[-1].steps[-1].expected.append(normal(line))
        else:
            conversations[-1].steps.append(Step(number, line))
    return conversations


def normal(line: str) -> str:
    """An expectation with its payload in one piece."""
    mark, *fields = line.split()
    if mark == "=":
        return " ".join(["=", *fields])
    return " ".join(["<", *fields[:3], "".join(fields[3:])])


def parse_request(fields: str) -> Frame:
    """`TYPE SEQ SID PAYLOAD`."""
    kind, sequence, session, *payload = fields.split()
    return Frame(int(kind, 16), int(sequence, 16), int(session, 16), bytes.fromhex("".join(payload).replace("-", "")))


def show(item: Frame | str) -> str:
    """What happened, as an expectation is written."""
    if isinstance(item, str):
        return f"= {item}"
    return f"< {item.type:02x} {item.sequence:02x} {item.session:02x} {item.payload.hex() or '-'}"


def matches(expected: str, happened: str) -> bool:
    """`??` stands for any byte."""
    return len(expected) == len(happened) and bool(re.fullmatch(re.escape(expected).replace(r"\?", "."), happened))
