"""Boards that describe themselves as no sketch should, behind real ports, before the real `gateway run`.

Each is refused with the reason, shows nothing, and disturbs no other. PROTOCOL.md, "Fault cases"; every single fault of
a description is tried in tests/board/test_schema.py.
"""

import contextlib
import math
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.link.virtual_table import BoardTable, ChannelRow, reading
from gateway.model import ValueType
from gateway.protocol.messages import BoardRecord
from gateway.text import printable
from tests.board.world import Pins
from tests.ports.pty_board import PtyBoard
from tests.running import GatewayProcess

pytestmark = [pytest.mark.process, pytest.mark.needs("posix")]

LEVEL = reading("level", "V", ValueType.F32, lambda _core: 1.5, limits=(0, 5))


def as_told(**changes: object) -> ChannelRow:
    """The sound reading with another description."""
    return replace(LEVEL, record=replace(LEVEL.record, **changes))  # type: ignore[arg-type]


HOSTILE: dict[str, tuple[list[ChannelRow], str]] = {
    "empty": ([], "neither channels nor actions"),
    "crowded": ([LEVEL] * 255, "255 channels, at most 128"),
    "twins": ([LEVEL, LEVEL], "channels 0 and 1 have the same name, level"),
    "escape": ([as_told(name="\x1b[31mred")], "the name"),
    "inverted": ([as_told(minimum=struct.pack("<f", 6.0))], "the minimum 6.0 is above the maximum 5.0"),
    "no_number": ([as_told(maximum=struct.pack("<f", math.nan))], "the maximum is no F32"),
}


@pytest.fixture(scope="module")
def pins() -> Pins:
    return Pins()


@pytest.fixture(scope="module")
def gateway(pins: Pins) -> Iterator[GatewayProcess]:
    with contextlib.ExitStack() as boards:
        ports = {"sound": boards.enter_context(PtyBoard(pins.table())).path}
        for name, (channels, _) in HOSTILE.items():
            table = BoardTable(BoardRecord("Bench", name, "1.0.0", ""), channels, [])
            ports[name] = boards.enter_context(PtyBoard(table)).path
        config = "boards:\n" + "".join(f"  {name}: {{port: {path}}}\n" for name, path in ports.items())
        with GatewayProcess(config=config) as gateway:
            gateway.wait_state("online", board="sound")
            yield gateway


@pytest.mark.fault(25)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_description_is_refused_by_name_and_nothing_of_it_is_shown(
    gateway: GatewayProcess, name: str
) -> None:
    board = gateway.until(lambda: gateway.get(f"boards/{name}").json, lambda seen: seen["state"] == "offline")
    assert board["reason"] == "schema_refused"
    assert HOSTILE[name][1] in board["detail"]
    assert printable(board["detail"]) == board["detail"]
    assert gateway.get(f"boards/{name}/readings").json["readings"] == {}
    assert gateway.get(f"boards/{name}/channels").status == 503
    assert gateway.request("POST", f"boards/{name}/commands", {"channel": "level", "value": 1}).status == 503


@pytest.mark.fault(25)
def test_the_board_beside_them_is_served(gateway: GatewayProcess, pins: Pins) -> None:
    command = gateway.command({"action": "beep", "arguments": {"times": 5}}, board="sound")
    assert command["state"] == "done"
    assert pins.beeps == [5]
    assert gateway.reading("temperature", board="sound")["value"] == 21.5
