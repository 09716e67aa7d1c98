"""Which port is whose: by what is listed, by what was answered, and never by chance."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.errors import LinkError
from gateway.link.arbiter import SILENT_S, UNOPENED_S, Finder, PortArbiter, StillLooking
from gateway.link.discovery import PluggedPort
from gateway.link.wanted import AUTO, Match, Wanted
from gateway.model import Reason
from tests.link.fakes import FakeClock

UNO = PluggedPort("/dev/ttyACM0", 0x2341, 0x0043, "5573", "1-1.4")
MEGA = PluggedPort("/dev/ttyACM1", 0x2341, 0x0042, "7563", "1-1.1")
CLONE_A = PluggedPort("/dev/ttyUSB0", 0x1A86, 0x7523, None, "1-1.2")
CLONE_B = PluggedPort("/dev/ttyUSB1", 0x1A86, 0x7523, None, "1-1.3")
MODEM = PluggedPort("/dev/ttyUSB2", 0x1234, 0x5678, None, "1-1.5")
BOOTLOADER = PluggedPort("/dev/ttyACM2", 0x2341, 0x0036)
UART = PluggedPort("/dev/ttyS0")
ID_A, ID_B = "aaaaaaaa", "bbbbbbbb"
BY_A, BY_B = Match(board_id=ID_A), Match(board_id=ID_B)
SILENCE = LinkError(Reason.NO_ANSWER, "not a byte came")
PRINTER = LinkError(Reason.WRONG_SKETCH, "the board prints text")
HELD = LinkError(Reason.PORT_BUSY, "in use")


class Desk:
    """What is plugged in, and the finder of each board that is configured."""

    def __init__(self, *plugged: PluggedPort, **boards: tuple[str, Match]) -> None:
        self.plugged = plugged
        self.clock = FakeClock()
        wanted = [Wanted(board, port, match) for board, (port, match) in boards.items()]
        self._arbiter = PortArbiter(wanted, list_ports=lambda: self.plugged, clock=self.clock)

    def __getitem__(self, board: str) -> Finder:
        return self._arbiter.finder(board)

    def finds(self, board: str) -> str:
        return self[board].find().port

    def refusal(self, board: str) -> LinkError:
        with pytest.raises(LinkError) as caught:
            self[board].find()
        return caught.value

    def learn(self, board: str, ids: dict[str, str]) -> str:
        """What the board's thread does: asks one port after the other until one fits."""
        while True:
            port = self.finds(board)
            self[board].answered(ids[port])
            if ids[port] == self[board].match.board_id:
                self[board].accept(ids[port])
                return port
            assert self[board].in_vain(LinkError(Reason.WRONG_BOARD, "another"))


def auto(match: Match | None = None) -> tuple[str, Match]:
    return AUTO, match or Match()


# ---- nothing to match ----


@pytest.mark.parametrize("board", [UNO, MEGA, CLONE_A])
def test_the_only_board_is_found_whatever_else_is_plugged_in(board: PluggedPort) -> None:
    desk = Desk(UART, MODEM, BOOTLOADER, board, uno=auto())
    found = desk["uno"].find()
    assert found.port == board.port
    assert str(board) in found.told
    assert "the only board" in found.told


def test_what_is_not_known_is_not_opened_and_named() -> None:
    error = Desk(UART, MODEM, BOOTLOADER, uno=auto()).refusal("uno")
    assert error.reason is Reason.PORT_MISSING
    assert "/dev/ttyUSB2 (1234:5678, location 1-1.5)" in str(error)
    assert "Ports here: none" in str(Desk(uno=auto()).refusal("uno"))


def test_of_two_none_is_taken_and_both_are_named_with_the_lines_to_write() -> None:
    error = Desk(UNO, CLONE_A, uno=auto()).refusal("uno")
    assert error.reason is Reason.PORT_AMBIGUOUS
    assert "/dev/ttyACM0 (Arduino Uno, serial number 5573, location 1-1.4)" in str(error)
    assert '`match: {usb_serial: "5573"}` or `match: {location: "1-1.2"}`' in str(error)
    assert "none was opened" in str(error)


def test_a_line_to_write_means_one_board() -> None:
    twin = PluggedPort("/dev/ttyACM7", 0x2341, 0x0043, UNO.serial_number, None)
    assert '`match: {location: "1-1.4"}` or `port: /dev/ttyACM7`' in str(Desk(UNO, twin, uno=auto()).refusal("uno"))


@pytest.mark.parametrize("plugged", [(UNO, MEGA), (UNO,)])
def test_two_boards_that_nothing_tells_apart_get_no_port_at_all(plugged: tuple[PluggedPort, ...]) -> None:
    desk = Desk(*plugged, a=auto(), b=auto())
    assert desk.refusal("a").reason is Reason.PORT_AMBIGUOUS
    assert "boards a, b" in str(desk.refusal("b"))


def test_what_is_another_s_does_not_count(tmp_path: Path) -> None:
    device, link = tmp_path / "ttyACM9", tmp_path / "by-id"
    device.touch()
    link.symlink_to(device)
    fixed = PluggedPort(str(device), 0x2341, 0x0043)
    desk = Desk(
        *(UNO, MEGA, CLONE_A, fixed),
        uno=auto(),
        linked=(str(link), Match()),
        named=(MEGA.port, Match()),
        placed=auto(Match(location=CLONE_A.location)),
    )
    assert desk.finds("uno") == UNO.port


def test_a_port_that_a_board_has_is_no_other_board_s() -> None:
    desk = Desk(UNO, uno=auto(), other=auto(Match(usb_serial="7563")))
    assert desk.finds("uno") == UNO.port
    assert desk.refusal("other").reason is Reason.PORT_MISSING
    desk.plugged = (UNO, MEGA)
    assert desk.finds("other") == MEGA.port
    assert desk.finds("uno") == UNO.port


def test_a_board_that_never_left_keeps_its_port_when_another_is_plugged_in() -> None:
    desk = Desk(UNO, uno=auto())
    desk.finds("uno")
    desk["uno"].answered(ID_A)
    desk["uno"].accept(ID_A)
    desk.plugged = (UNO, MEGA)
    assert desk.finds("uno") == UNO.port
    desk.plugged = (MEGA,)
    assert desk.finds("uno") == MEGA.port, "the only one now"
    desk.plugged = (UNO, MEGA)
    assert desk.refusal("uno").reason is Reason.PORT_AMBIGUOUS, "it was away"


# ---- by what shows ----


@pytest.mark.parametrize("match", [Match(usb_serial="7563"), Match(location="1-1.1"), Match(None, "7563", "1-1.1")])
def test_a_board_is_found_by_serial_number_and_by_location(match: Match) -> None:
    found = Desk(UNO, MEGA, CLONE_A, mega=auto(match)).finds("mega")
    assert found == MEGA.port


def test_all_that_is_given_has_to_fit() -> None:
    error = Desk(UNO, MEGA, mega=auto(Match(None, "7563", "1-1.4"))).refusal("mega")
    assert error.reason is Reason.PORT_MISSING
    assert "USB serial number 7563, location 1-1.4" in str(error)


def test_two_that_show_the_same_are_ambiguous() -> None:
    twin = PluggedPort("/dev/ttyACM7", 0x2341, 0x0043, UNO.serial_number, "1-9")
    assert Desk(UNO, twin, uno=auto(Match(usb_serial="5573"))).refusal("uno").reason is Reason.PORT_AMBIGUOUS


def test_a_named_port_has_to_be_the_board_that_is_meant() -> None:
    desk = Desk(UNO, MEGA, uno=(UNO.port, Match(usb_serial="5573")), wrong=(MEGA.port, Match(usb_serial="5573")))
    assert desk.finds("uno") == UNO.port
    error = desk.refusal("wrong")
    assert error.reason is Reason.WRONG_BOARD
    assert f"which is at {UNO.port} now" in str(error)
    desk.plugged = (MEGA,)
    assert "which is not plugged in" in str(desk.refusal("wrong"))


def test_a_named_port_that_is_not_there_is_left_to_the_opening(tmp_path: Path) -> None:
    missing, no_usb = str(tmp_path / "ttyUSB9"), tmp_path / "pipe"
    no_usb.touch()
    desk = Desk(missing=(missing, Match(location="1-1")), no_usb=(str(no_usb), Match(location="1-1")))
    assert desk.finds("missing") == missing
    assert desk.refusal("no_usb").reason is Reason.WRONG_BOARD


def test_a_named_port_without_identity_looks_at_nothing() -> None:
    def refuse() -> tuple[PluggedPort, ...]:
        raise AssertionError("listed")

    arbiter = PortArbiter([Wanted("net", "socket://host:2000", Match(board_id=ID_A))], list_ports=refuse)
    assert arbiter.finder("net").find().port == "socket://host:2000"
    assert not arbiter.finder("net").in_vain(SILENCE)


# ---- by the board's own id ----


@pytest.mark.fault(19)
def test_identical_boards_are_asked_in_turn_and_remembered() -> None:
    desk = Desk(CLONE_A, CLONE_B, a=auto(BY_A), b=auto(BY_B))
    ids = {CLONE_A.port: ID_B, CLONE_B.port: ID_A}
    assert desk.learn("a", ids) == CLONE_B.port
    found = desk["b"].find()
    assert found.port == CLONE_A.port
    assert "by its board id" in found.told, "it need not be asked again"
    assert desk["b"].whereabouts(ID_A) == CLONE_B.port


@pytest.mark.fault(19)
def test_identical_boards_that_were_swapped_are_asked_anew() -> None:
    desk = Desk(CLONE_A, CLONE_B, a=auto(BY_A), b=auto(BY_B))
    ids = {CLONE_A.port: ID_A, CLONE_B.port: ID_B}
    assert (desk.learn("a", ids), desk.learn("b", ids)) == (CLONE_A.port, CLONE_B.port)
    desk.plugged = ()
    assert {desk.refusal(board).reason for board in "ab"} == {Reason.PORT_MISSING}
    desk.plugged = (CLONE_A, CLONE_B)
    ids = {CLONE_A.port: ID_B, CLONE_B.port: ID_A}
    assert (desk.learn("a", ids), desk.learn("b", ids)) == (CLONE_B.port, CLONE_A.port)


@pytest.mark.fault(19)
def test_a_swap_between_two_looks_is_found_out_by_asking() -> None:
    desk = Desk(CLONE_A, CLONE_B, a=auto(BY_A), b=auto(BY_B))
    ids = {CLONE_A.port: ID_A, CLONE_B.port: ID_B}
    assert (desk.learn("a", ids), desk.learn("b", ids)) == (CLONE_A.port, CLONE_B.port)
    ids = {CLONE_A.port: ID_B, CLONE_B.port: ID_A}
    desk["b"].in_vain(LinkError(Reason.PORT_MISSING, "lost"))
    assert (desk.learn("a", ids), desk.learn("b", ids)) == (CLONE_B.port, CLONE_A.port)


def test_while_a_port_is_asked_on_behalf_of_another_board_nothing_is_said() -> None:
    desk = Desk(CLONE_A, a=auto(BY_A), b=auto(BY_B), any_board=auto())
    assert desk.finds("a") == CLONE_A.port
    for board in ("b", "any_board"):
        with pytest.raises(StillLooking):
            desk[board].find()
    desk["a"].answered(ID_B)
    with pytest.raises(StillLooking):
        desk["b"].find()  # it will be given back at once
    assert desk["a"].in_vain(LinkError(Reason.WRONG_BOARD, "another"))
    assert desk.refusal("any_board").reason is Reason.PORT_MISSING, "it is known as b"
    assert desk.finds("b") == CLONE_A.port


def test_none_fits_tells_what_was_found_at_each() -> None:
    desk = Desk(CLONE_A, CLONE_B, UNO, a=auto(BY_A))
    assert desk.finds("a") == CLONE_A.port
    desk["a"].answered(ID_B)
    assert desk["a"].in_vain(LinkError(Reason.WRONG_BOARD, "another"))
    assert desk.finds("a") == CLONE_B.port
    desk["a"].answered("")
    assert desk["a"].in_vain(LinkError(Reason.WRONG_BOARD, "none"))
    assert desk.finds("a") == UNO.port
    assert desk["a"].in_vain(SILENCE)
    error = desk.refusal("a")
    assert error.reason is Reason.WRONG_BOARD
    assert f"{CLONE_A} has id {ID_B}; {CLONE_B} has no id; {UNO}: no_answer, not a byte came" in str(error)


@pytest.mark.parametrize(
    ("failure", "left_alone_s"),
    [(SILENCE, SILENT_S), (HELD, UNOPENED_S), (PRINTER, None)],
    ids=lambda value: getattr(value, "reason", None),
)
def test_a_port_that_gave_no_id_is_left_alone(failure: LinkError, left_alone_s: float | None) -> None:
    """Looking for a board must not reset a printer every few seconds."""
    desk = Desk(CLONE_A, a=auto(BY_A))
    assert desk.finds("a") == CLONE_A.port
    assert desk["a"].in_vain(failure)
    error = desk.refusal("a")
    assert error.reason is failure.reason, "there was but one"
    assert str(failure) in str(error)
    desk.clock.ms += round((left_alone_s or 365 * 86_400) * 1000) - 1
    desk.refusal("a")
    desk.clock.ms += 1
    if left_alone_s is None:
        desk.refusal("a")
        desk.plugged = ()
        desk.refusal("a")
        desk.plugged = (CLONE_A,)
    assert desk.finds("a") == CLONE_A.port


def test_the_board_that_is_meant_is_never_left_alone() -> None:
    desk = Desk(CLONE_A, CLONE_B, a=auto(BY_A))
    desk.learn("a", {CLONE_A.port: ID_B, CLONE_B.port: ID_A})
    assert not desk["a"].in_vain(SILENCE), "that is news"
    assert desk.finds("a") == CLONE_B.port


def test_a_board_that_is_unplugged_while_it_is_asked_is_nothing_to_remember() -> None:
    desk = Desk(CLONE_A, a=auto(BY_A))
    desk.finds("a")
    desk.plugged = ()
    assert desk["a"].in_vain(LinkError(Reason.PORT_MISSING, "lost"))
    desk["a"].answered(ID_A)
    assert desk.refusal("a").reason is Reason.PORT_MISSING
    assert desk["a"].whereabouts(ID_A) is None


# ---- whose id it is ----


def test_an_id_belongs_to_the_board_that_the_configuration_or_the_past_says() -> None:
    desk = Desk(UNO, MEGA, a=auto(BY_A), b=(MEGA.port, Match()))
    assert (desk["b"].owner(ID_A), desk["a"].owner(ID_A)) == ("a", None)
    desk.finds("b")
    desk["b"].accept(ID_B)
    assert (desk["a"].owner(ID_B), desk["b"].owner(ID_B)) == ("b", None)
    desk["b"].accept("cccccccc")
    assert desk["a"].owner(ID_B) is None
    assert list(desk["a"].others) == ["b"]


def test_a_port_where_another_board_was_found_out_is_free_for_that_one() -> None:
    desk = Desk(CLONE_A, a=auto(BY_A), any_board=auto())
    assert desk.finds("any_board") == CLONE_A.port
    desk["any_board"].answered(ID_A)
    assert not desk["any_board"].in_vain(LinkError(Reason.WRONG_BOARD, "it is board a"))
    assert desk.refusal("any_board").reason is Reason.PORT_MISSING
    assert desk.finds("a") == CLONE_A.port


def test_a_board_that_turns_out_to_be_another_is_not_looked_for_where_it_was() -> None:
    """Another one was plugged in at the same place between two looks."""
    desk = Desk(CLONE_A, a=auto(BY_A), any_board=auto())
    desk.finds("any_board")
    desk["any_board"].answered(ID_B)
    desk["any_board"].accept(ID_B)
    assert desk.finds("any_board") == CLONE_A.port
    desk["any_board"].answered(ID_A)
    desk["any_board"].in_vain(LinkError(Reason.WRONG_BOARD, "it is board a"))
    assert desk.refusal("any_board").reason is Reason.PORT_MISSING
    assert desk.finds("a") == CLONE_A.port


# ---- many threads ----


@pytest.mark.fault(19)
def test_many_boards_looked_for_at_once_never_share_a_port() -> None:
    names = [f"{number:08x}" for number in range(1, 9)]
    clones = [PluggedPort(f"/dev/ttyUSB{number}", 0x1A86, 0x7523, None, f"1-{number}") for number in range(8)]
    ids = dict(zip((plugged.port for plugged in clones), reversed(names), strict=True))
    desk = Desk(*clones, **{name: auto(Match(board_id=name)) for name in names})
    held: dict[str, str] = {}
    shared: list[str] = []

    def search(name: str) -> str:
        while True:
            try:
                port = desk.finds(name)
            except StillLooking:
                continue
            if held.setdefault(port, name) != name:
                shared.append(port)
            desk[name].answered(ids[port])
            if ids[port] == name:
                desk[name].accept(name)
                return port
            del held[port]
            desk[name].in_vain(LinkError(Reason.WRONG_BOARD, "another"))

    with ThreadPoolExecutor(len(names)) as threads:
        found = dict(zip(names, threads.map(search, names), strict=True))
    assert shared == []
    assert {port: name for name, port in found.items()} == ids
