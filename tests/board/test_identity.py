"""Who answered: blank boards, other boards, swapped ones, and the search for one, in a world without time."""

from collections.abc import Mapping

import pytest

from gateway.link.arbiter import Finder, PortArbiter
from gateway.link.discovery import PluggedPort
from gateway.link.virtual_board import VirtualBoard
from gateway.link.wanted import AUTO, Match, Wanted
from gateway.model import BoardState, Reason
from gateway.protocol.messages import ErrorCode, ErrorReply, Message, SetId, SetIdReply
from tests.board.world import NAME, FakeLink, Liar, Line, World

OTHER = "mega"
CH340 = (0x1A86, 0x7523)
ID, OTHER_ID = 0x1A2B3C4D, 0x0BADF00D


def set_id(board: VirtualBoard, number: int) -> VirtualBoard:
    board._memory.board_id = number  # what a SETID of another life left
    return board


def finder(match: Match | None = None, *, port: str = "fake://", others: Mapping[str, Match] | None = None) -> Finder:
    wanted = [Wanted(NAME, port, match or Match())]
    wanted += [Wanted(name, "other://", other) for name, other in (others or {}).items()]
    return PortArbiter(wanted, list_ports=tuple).finder(NAME)


def board_id(world: World) -> str:
    assert world.status.schema is not None
    return world.status.schema.unique_id


def refused(world: World) -> str:
    """The board was refused as another one: why. Nothing of it was shown and no command could reach it."""
    assert (world.status.state, world.status.reason) == (BoardState.OFFLINE, Reason.WRONG_BOARD)
    assert world.status.schema is None
    assert world.sink.samples == []
    return str(world.status.detail)


class Desk(World):
    """A world with several boards, each at its own port: by their ids, 0 for a blank one, None for one that is silent.
    `plugged` is what the machine lists."""

    def __init__(self, *ids: int | None, match: Match | None = None) -> None:
        self.plugged = tuple(
            PluggedPort(f"/dev/ttyUSB{number}", *CH340, location=f"1-{number + 1}") for number in range(len(ids))
        )
        self.opened: list[str] = []
        arbiter = PortArbiter([Wanted(NAME, AUTO, match or Match())], list_ports=lambda: self.plugged)
        super().__init__(finder=arbiter.finder(NAME), port=AUTO)
        self.boards = {plugged.port: self._new_board(each) for plugged, each in zip(self.plugged, ids, strict=True)}

    def open_link(self, url: str, *, baud: int, wake: object) -> FakeLink:
        self.opened.append(url)
        self.board = self.boards[url]
        return super().open_link(url, baud=baud, wake=wake)

    def _new_board(self, number: int | None) -> VirtualBoard:
        board = set_id(VirtualBoard(clock=self.clock, table=self.pins.table()), number or 0)
        if number is None:
            says = board.transmit
            board.transmit = lambda: says()[:0]  # type: ignore[method-assign]
        return board


# ---- blank boards ----


def test_a_blank_board_gets_an_id_once() -> None:
    world = World()
    world.at(2, world.board.reset)
    world.at(3, lambda: setattr(world.line, "failing", Reason.PORT_MISSING))
    world.at(3.5, lambda: setattr(world.line, "failing", None))
    world.run(6)
    assert world.status.state is BoardState.ONLINE
    assert board_id(world) == f"{world.board._memory.board_id:08x}" != "00000000"
    assert sum("it was blank" in message for message in world.sink.messages()) == 1


def test_a_board_that_has_an_id_keeps_it() -> None:
    world = World()
    set_id(world.board, ID)
    assert board_id(world.run(2)) == "1a2b3c4d"
    assert not any("blank" in message for message in world.sink.messages())


def test_two_blank_boards_get_different_ids() -> None:
    assert board_id(World().run(2)) != board_id(World().run(2))


def test_a_lost_answer_to_setid_costs_a_repeat_and_no_second_id() -> None:
    world = World()
    lost: list[int] = []

    def lose_first(message: Message) -> Message | None:
        if isinstance(message, SetIdReply):
            lost.append(message.id)
            return message if len(lost) > 1 else None
        return message

    Liar(world, lose_first)
    world.run(4)
    assert len(lost) == 2
    assert board_id(world) == f"{lost[0]:08x}"


@pytest.mark.parametrize(
    "answer",
    [ErrorReply(SetId.TYPE, ErrorCode.BAD_TYPE, 0), ErrorReply(SetId.TYPE, ErrorCode.UNSUPPORTED, 0), SetIdReply(0)],
    ids=["a sketch that does not know SETID", "refused", "a core without a memory"],
)
def test_a_board_that_can_not_keep_an_id_goes_without(answer: Message) -> None:
    world = World()

    def forget(message: Message) -> Message:
        if isinstance(message, SetIdReply):
            world.board._memory.board_id = 0
            return answer
        return message

    Liar(world, forget)
    world.at(2, world.board.reset)
    world.run(4)
    assert world.status.state is BoardState.ONLINE
    assert board_id(world) == ""
    assert sum("keeps none" in message for message in world.sink.messages()) == 1, "told once"


def test_no_id_is_given_to_what_is_no_real_board() -> None:
    world = World(port="virtual://uno").run(2)
    assert board_id(world) == ""
    assert world.board._memory.board_id == 0


# ---- another board than the one that is meant ----


@pytest.mark.parametrize(("has", "what"), [(OTHER_ID, "has the id 0badf00d"), (0, "has no id")])
def test_a_board_that_is_not_meant_is_refused_and_left_as_it_is(has: int, what: str) -> None:
    world = World(finder=finder(Match(board_id="1a2b3c4d")))
    set_id(world.board, has)
    world.run(5)
    assert f"{what}, the configuration asks for board id 1a2b3c4d" in refused(world)
    assert world.board._memory.board_id == has
    assert len(world.links) < 5, "it rests in between: each opening may reset somebody's board"


def test_a_board_that_bears_another_one_s_id_is_refused() -> None:
    world = World(finder=finder(others={OTHER: Match(board_id="0badf00d")}))
    set_id(world.board, OTHER_ID)
    assert "this is board mega (id 0badf00d)" in refused(world.run(2))


def test_a_board_that_remembers_another_one_s_commands_is_refused() -> None:
    world = World(finder=finder(others={OTHER: Match()}))
    world.board._memory.record.adopt(world.journal.epoch(OTHER))
    assert "this is board mega: were two boards swapped?" in refused(world.run(2))


def test_a_board_that_is_named_by_its_id_may_have_been_another_one_before() -> None:
    world = World(finder=finder(Match(board_id="1a2b3c4d"), others={OTHER: Match()}))
    set_id(world.board, ID)._memory.record.adopt(world.journal.epoch(OTHER))
    assert world.run(2).status.state is BoardState.ONLINE


@pytest.mark.fault(19)
def test_boards_that_were_swapped_while_the_gateway_ran_are_refused() -> None:
    arbiter = PortArbiter([Wanted(NAME, "fake://"), Wanted(OTHER, "other://")], list_ports=tuple)
    arbiter.finder(OTHER).accept("0badf00d")
    world = World(finder=arbiter.finder(NAME))
    set_id(world.board, OTHER_ID)
    assert "this is board mega (id 0badf00d)" in refused(world.run(2))


# ---- the search for one ----


def test_the_port_that_is_open_is_shown_and_how_it_was_found_is_told() -> None:
    world = Desk(ID)
    seen: list[tuple[str, Reason | None]] = []

    def look() -> None:
        seen.append((world.status.port, world.status.reason))

    world.at(2, look)
    world.at(3, lambda: setattr(world.line, "dead", True))
    world.at(8, look)
    world.at(9, lambda: setattr(world, "plugged", ()))
    world.at(9, lambda: setattr(world.line, "failing", Reason.PORT_MISSING))
    world.at(12, look)
    world.run(13)
    assert seen == [("/dev/ttyUSB0", None), ("/dev/ttyUSB0", Reason.NO_ANSWER), (AUTO, Reason.PORT_MISSING)]
    found = [message for message in world.sink.messages() if message.startswith("found /dev/ttyUSB0 (CH340, location")]
    assert len(found) == 1


@pytest.mark.fault(19)
def test_boards_are_asked_in_turn_and_nothing_is_told_of_those_that_do_not_fit() -> None:
    world = Desk(OTHER_ID, None, 0, ID, match=Match(board_id="1a2b3c4d"))
    world.run(60)
    assert world.status.state is BoardState.ONLINE
    assert world.status.port == "/dev/ttyUSB3"
    assert world.opened == [f"/dev/ttyUSB{number}" for number in range(4)]
    assert world.sink.states() == [BoardState.CONNECTING, BoardState.ONLINE]
    assert world.boards["/dev/ttyUSB2"]._memory.board_id == 0, "a stranger's blank board stays blank"


def test_where_none_fits_that_is_told_and_no_board_is_asked_twice() -> None:
    world = Desk(OTHER_ID, 0, match=Match(board_id="1a2b3c4d"))
    world.run(120)
    detail = refused(world)
    assert "/dev/ttyUSB0 (CH340, location 1-1) has id 0badf00d" in detail
    assert "/dev/ttyUSB1 (CH340, location 1-2) has no id" in detail
    assert world.opened == ["/dev/ttyUSB0", "/dev/ttyUSB1"]


def test_a_board_that_is_plugged_in_later_is_asked_then() -> None:
    world = Desk(OTHER_ID, ID, match=Match(board_id="1a2b3c4d"))
    both, world.plugged = world.plugged, world.plugged[:1]
    world.at(20, lambda: setattr(world, "plugged", both))
    world.run(25)
    assert world.status.state is BoardState.ONLINE
    assert world.opened == ["/dev/ttyUSB0", "/dev/ttyUSB1"]


def test_none_of_two_is_opened_where_nothing_says_which() -> None:
    world = Desk(ID, OTHER_ID)
    world.run(60)
    assert (world.status.state, world.status.reason) == (BoardState.OFFLINE, Reason.PORT_AMBIGUOUS)
    assert world.opened == []
    assert sum("port_ambiguous" in message for message in world.sink.messages()) == 1


def test_a_board_whose_port_is_released_is_found_again_where_it_was() -> None:
    world = Desk(ID)
    stranger = PluggedPort("/dev/ttyUSB9", *CH340, location="1-9")
    away: list[tuple[BoardState, str]] = []
    world.at(2, lambda: world.absence.begin(BoardState.RELEASED))
    world.at(3, lambda: setattr(world, "plugged", (*world.plugged, stranger)))
    world.at(4, lambda: away.append((world.status.state, world.status.port)))
    world.at(5, world.absence.end)
    world.run(8)
    assert away == [(BoardState.RELEASED, "/dev/ttyUSB0")], "the uploader needs to know"
    assert (world.status.state, world.status.port) == (BoardState.ONLINE, "/dev/ttyUSB0")


def test_a_line_that_is_noisy_finds_its_board_all_the_same() -> None:
    world = Desk(OTHER_ID, ID, match=Match(board_id="1a2b3c4d"))
    world.line = Line(drop=0.002, flip=0.002)
    world.run(30)
    assert world.status.port == "/dev/ttyUSB1"
