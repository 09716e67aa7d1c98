"""Boards found by identity: emulated Unos, in the USB sockets of a machine that is made up, before a real gateway.

Boards of one kind have the same USB ids and no serial number, as those with a CH340 have. Each holds its own voltage
on A0, so that a reading tells which one it really came from.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.emulated.board import BoardOptions, EmulatedBoard
from tests.emulated.images import Bench
from tests.emulated.plugs import UNO, GatewayHere, Sockets

pytestmark = pytest.mark.needs("simavr", "avr-gcc")

NewBoard = Callable[..., EmulatedBoard]
ONE = "boards: {uno: {port: auto}}"
BY_ID = "boards:\n" + "".join(f"  {name}: {{{{port: auto, match: {{{{board_id: '{{{name}}}'}}}}}}}}\n" for name in "ab")
LOW_MV, HIGH_MV = 1000, 4000


@pytest.fixture
def sockets() -> Sockets:
    return Sockets()


@pytest.fixture
def new_board(bench: Bench, shipped_image: Path) -> Iterator[NewBoard]:
    """Boards without a bootloader, which start within milliseconds."""
    with ExitStack() as stack:

        def new(*, millivolts: int = LOW_MV) -> EmulatedBoard:
            board = stack.enter_context(EmulatedBoard(bench.binary, BoardOptions(flash=(shipped_image,))))
            board.adc(0, millivolts)
            return board

        yield new


def resource(gateway: GatewayHere, board: str = "uno") -> Any:
    return gateway.get(f"boards/{board}").json


def wait_reason(gateway: GatewayHere, reason: str, board: str = "uno") -> str:
    """The detail that comes with it."""
    seen = gateway.until(lambda: resource(gateway, board), lambda seen: seen["reason"] == reason)
    assert seen["state"] == "offline"
    return str(seen["detail"])


def wait_volts(gateway: GatewayHere, board: str, millivolts: int) -> None:
    gateway.wait_state("online", board=board)
    gateway.until(
        lambda: gateway.reading("a0", board=board),
        lambda seen: seen["quality"] == "good" and abs(seen["value"] * 1000 - millivolts) < 100,
    )


def touched(board: EmulatedBoard) -> list[str]:
    """What anybody did to its port."""
    return [f"{event.kind} {dict(event.fields)}" for kind in ("open", "close") for event in board.events(kind)] + [
        f"reset {event['reason']}" for event in board.events("reset") if event["reason"] != "power-on"
    ]


def given_ids(sockets: Sockets, folder: Path, boards: dict[str, EmulatedBoard]) -> dict[str, str]:
    """Has each board online once, by its location; gives the ids they got."""
    lines = []
    for number, (name, board) in enumerate(boards.items(), start=1):
        sockets.put(board, f"1-{number}")
        lines.append(f"  {name}: {{port: auto, match: {{location: 1-{number}}}}}")
    with GatewayHere("boards:\n" + "\n".join(lines), folder, sockets=sockets) as gateway:
        return {name: gateway.board_id(name) for name in boards}


# ---- one board ----


def test_with_nothing_plugged_in_it_goes_on_looking(new_board: NewBoard, sockets: Sockets, tmp_path: Path) -> None:
    with GatewayHere(ONE, tmp_path, sockets=sockets) as gateway:
        assert "Ports here: none" in wait_reason(gateway, "port_missing")
        assert (resource(gateway)["port"], resource(gateway)["virtual"]) == ("auto", False)
        sockets.put(new_board(), "1-1")
        wait_volts(gateway, "uno", LOW_MV)


def test_the_only_board_is_found_and_a_blank_one_keeps_the_id_it_gets(
    new_board: NewBoard, sockets: Sockets, tmp_path: Path
) -> None:
    board = new_board()
    sockets.put(board, "1-4", ids=UNO, serial_number="5573")
    with GatewayHere(ONE, tmp_path / "first", sockets=sockets) as gateway:
        board_id = gateway.board_id()
        assert re.fullmatch("[0-9a-f]{8}", board_id)
        assert resource(gateway)["port"] == str(board.port)
        wait_volts(gateway, "uno", LOW_MV)
        log = gateway.log()
        found = f"found {board.port} (Arduino Uno, serial number 5573, location 1-4): the only board"
        assert any(line.startswith(found) for line in log), log
        assert f"it was blank: its id is {board_id} now" in log
        board.power_cycle()
        gateway.until(lambda: resource(gateway), lambda seen: (seen["state"], seen["resets"]) == ("online", 1))
        assert gateway.board_id() == board_id
    board.power_cycle()
    with GatewayHere(ONE, tmp_path / "second", sockets=sockets) as gateway:
        assert gateway.board_id() == board_id, "it is kept by the board"
        assert not any("blank" in line for line in gateway.log())


@pytest.mark.fault(19)
def test_replugged_as_another_tty_in_another_socket(new_board: NewBoard, sockets: Sockets, tmp_path: Path) -> None:
    board = new_board()
    sockets.put(board, "1-1")
    with GatewayHere(ONE, tmp_path, sockets=sockets) as gateway:
        board_id = gateway.board_id()
        sockets.unplug("1-1")
        gateway.until(lambda: resource(gateway)["detail"], lambda detail: "no board is plugged in" in (detail or ""))
        assert resource(gateway)["reason"] == "port_missing"
        assert resource(gateway)["port"] == "auto"
        sockets.plug(board, "3-2", port=tmp_path / "ttyUSB7")
        assert gateway.board_id() == board_id
        assert resource(gateway)["port"] == str(tmp_path / "ttyUSB7")
        wait_volts(gateway, "uno", LOW_MV)


@pytest.mark.fault(19)
def test_of_two_boards_that_nothing_tells_apart_none_is_touched(
    new_board: NewBoard, sockets: Sockets, tmp_path: Path
) -> None:
    boards = [new_board(), new_board(millivolts=HIGH_MV)]
    for number, board in enumerate(boards, start=1):
        sockets.put(board, f"1-{number}")
    with GatewayHere(ONE, tmp_path, sockets=sockets) as gateway:
        detail = wait_reason(gateway, "port_ambiguous")
    assert [touched(board) for board in boards] == [[], []]
    assert all(f"{board.port} (CH340, location 1-{number})" in detail for number, board in enumerate(boards, start=1))
    line = re.search(r'`(match: \{location: "1-2"\})`', detail)
    assert line, detail
    with GatewayHere(f"boards: {{uno: {{port: auto, {line[1]}}}}}", tmp_path, sockets=sockets) as gateway:
        wait_volts(gateway, "uno", HIGH_MV)
    assert touched(boards[0]) == [], "it is nobody's"


# ---- identical boards ----


@pytest.mark.fault(19)
def test_two_identical_boards_that_are_swapped_are_told_by_their_ids(
    new_board: NewBoard, sockets: Sockets, tmp_path: Path
) -> None:
    boards = {"a": new_board(), "b": new_board(millivolts=HIGH_MV)}
    ids = given_ids(sockets, tmp_path / "first", boards)
    assert ids["a"] != ids["b"]
    with GatewayHere(BY_ID.format(**ids), tmp_path / "second", sockets=sockets) as gateway:
        wait_volts(gateway, "a", LOW_MV)
        wait_volts(gateway, "b", HIGH_MV)
        one, other = sockets.unplug("1-1"), sockets.unplug("1-2")
        for name in boards:
            gateway.wait_state("offline", board=name)
        sockets.plug(one, "1-2", port=tmp_path / "ttyUSB1")
        sockets.plug(other, "1-1", port=tmp_path / "ttyUSB0")
        wait_volts(gateway, "a", LOW_MV)
        wait_volts(gateway, "b", HIGH_MV)
        assert {name: gateway.board_id(name) for name in boards} == ids
        assert resource(gateway, "a")["port"] == str(tmp_path / "ttyUSB1")
        told = [line for name in boards for line in gateway.log(name) if "wrong_board" in line]
        assert told == [], "asking around is no news"


@pytest.mark.fault(19)
def test_two_identical_boards_that_are_swapped_are_told_by_their_sockets(
    new_board: NewBoard, sockets: Sockets, tmp_path: Path
) -> None:
    """A location means whatever sits there; that it is the other board now is told, and nothing is done to it."""
    config = "boards: {a: {port: auto, match: {location: 1-1}}, b: {port: auto, match: {location: 1-2}}}"
    for number, millivolts in enumerate((LOW_MV, HIGH_MV), start=1):
        sockets.put(new_board(millivolts=millivolts), f"1-{number}")
    with GatewayHere(config, tmp_path, sockets=sockets) as gateway:
        wait_volts(gateway, "a", LOW_MV)
        wait_volts(gateway, "b", HIGH_MV)
        id_of_b = gateway.board_id("b")
        one, other = sockets.unplug("1-1"), sockets.unplug("1-2")
        for name in "ab":
            gateway.wait_state("offline", board=name)
        sockets.plug(one, "1-2", port=tmp_path / "ttyUSB1")
        sockets.plug(other, "1-1", port=tmp_path / "ttyUSB0")
        detail = wait_reason(gateway, "wrong_board", "a")
        assert f"this is board b (id {id_of_b})" in detail
        wait_reason(gateway, "wrong_board", "b")


# ---- a board that has to be this one ----


def test_another_board_than_the_one_that_is_meant_is_refused_at_a_named_port(
    new_board: NewBoard, sockets: Sockets, tmp_path: Path
) -> None:
    board = new_board()
    (board_id,) = given_ids(sockets, tmp_path / "first", {"uno": board}).values()
    text = f"boards: {{uno: {{port: {board.port}, match: {{board_id: '%s'}}}}}}"
    with GatewayHere(text % "0badf00d", tmp_path / "second", sockets=sockets) as gateway:
        detail = wait_reason(gateway, "wrong_board")
        assert f"has the id {board_id}, the configuration asks for board id 0badf00d" in detail
        assert gateway.get("boards/uno/readings").json["readings"] == {}
    with GatewayHere(text % board_id, tmp_path / "third", sockets=sockets) as gateway:
        assert gateway.board_id() == board_id


def test_a_blank_board_is_not_given_an_id_where_another_one_is_meant(
    new_board: NewBoard, sockets: Sockets, tmp_path: Path
) -> None:
    board = new_board()
    text = f"boards: {{uno: {{port: {board.port}%s}}}}"
    with GatewayHere(text % ", match: {board_id: '0badf00d'}", tmp_path / "first", sockets=sockets) as gateway:
        assert "has no id" in wait_reason(gateway, "wrong_board")
    with GatewayHere(text % "", tmp_path / "second", sockets=sockets) as gateway:
        gateway.board_id()
        assert any("it was blank" in line for line in gateway.log())


def test_boards_whose_ports_were_swapped_while_the_gateway_was_down(
    new_board: NewBoard, sockets: Sockets, tmp_path: Path
) -> None:
    """Each remembers whose commands it ran, as long as it has power."""
    a, b = new_board(), new_board()
    text = "boards: {{a: {{port: {}}}, b: {{port: {}}}}}"
    with GatewayHere(text.format(a.port, b.port), tmp_path, sockets=sockets) as gateway:
        for name in "ab":
            gateway.wait_state("online", board=name)
    with GatewayHere(text.format(b.port, a.port), tmp_path, sockets=sockets) as gateway:
        assert "this is board b" in wait_reason(gateway, "wrong_board", "a")
        assert "this is board a" in wait_reason(gateway, "wrong_board", "b")
