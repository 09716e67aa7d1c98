"""A look at boards without a gateway, and with its leave: which port is asked, and what is made of the answer."""

from pathlib import Path
from typing import Any, cast

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from gateway.errors import LinkError
from gateway.link.wanted import Match, Wanted
from gateway.model import Reason, Schema, Sketch
from gateway.tools import examine
from gateway.tools.client import GatewayClient
from gateway.tools.hello import Introduction
from tests.link.fakes import FakeClock

ACM0, ACM1, GONE = "/dev/ttyACM0", "/dev/ttyACM1", "/dev/ttyGONE"
UNO_ID, MEGA_ID = "0badcafe", "5eed5eed"
MARLIN = Introduction(reason=Reason.WRONG_SKETCH, detail="it looks like Marlin")


def board_with(board_id: str) -> Introduction:
    return Introduction(schema=Schema("Arduino Uno", board_id, Sketch("gateway", "1.0.0", 0), (), ()), baud=250_000)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ports that were opened, in order."""
    return []


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> dict[str, Introduction | LinkError]:
    """What is plugged in and what each answers; to be filled."""
    table: dict[str, Introduction | LinkError] = {}

    def introduce(port: str, **_options: object) -> Introduction:
        asked.append(port)
        answer = table[port]
        if isinstance(answer, LinkError):
            raise answer
        return answer

    def comports() -> list[ListPortInfo]:
        listed = []
        for port in table:
            info = ListPortInfo(port)
            info.vid, info.pid, info.location = 0x2341, 0x0043, f"1-{port[-1]}"
            listed.append(info)
        return listed

    monkeypatch.setattr(examine, "introduce", introduce)
    monkeypatch.setattr(list_ports, "comports", comports)
    return table


def look(*wanted: Wanted, board: str = "uno", flash: str | None = None) -> Any:
    return examine.examine(wanted, board, baud=None, state_dir=Path("/nowhere"), clock=FakeClock(), flash=flash)


def reasons(document: Any) -> list[str]:
    return [finding["code"] for finding in document["findings"] if finding["severity"] == "problem"]


Answers = dict[str, Introduction | LinkError]


def test_the_only_board_is_found_by_itself(answers: Answers, asked: list[str]) -> None:
    answers[ACM0] = board_with(UNO_ID)
    document = look(Wanted("uno", "auto"))
    assert reasons(document) == []
    assert f"board uno is online, on {ACM0}" in document["summary"]
    assert asked == [ACM0]


def test_of_two_boards_none_is_opened(answers: Answers, asked: list[str]) -> None:
    answers |= {ACM0: board_with(UNO_ID), ACM1: board_with(MEGA_ID)}
    document = look(Wanted("uno", "auto"))
    assert reasons(document) == ["port_ambiguous"]
    assert asked == []
    document = look(Wanted("uno", "auto"), Wanted("mega", ACM1))
    assert reasons(document) == [], "the other one is configured"


def test_a_board_is_looked_for_by_its_id(answers: Answers, asked: list[str]) -> None:
    answers |= {ACM0: LinkError(Reason.PORT_BUSY, "in use"), ACM1: board_with(UNO_ID)}
    assert reasons(look(Wanted("uno", "auto", Match(UNO_ID)))) == []
    assert asked == [ACM0, ACM1]
    document = look(Wanted("uno", "auto", Match("11111111")))
    assert reasons(document) == ["wrong_board"]
    assert "11111111" in document["findings"][0]["seen"]
    assert f"location 1-1) has id {UNO_ID}" in document["findings"][0]["seen"]


def test_a_board_that_is_another_is_told(answers: Answers) -> None:
    answers[ACM0] = board_with(MEGA_ID)
    document = look(Wanted("uno", ACM0, Match(UNO_ID)))
    assert reasons(document) == ["wrong_board"]
    assert f"has the id {MEGA_ID}, the configuration asks for {UNO_ID}" in document["findings"][0]["seen"]
    answers[ACM0] = board_with("")
    assert "has no id" in look(Wanted("uno", ACM0, Match(UNO_ID)))["findings"][0]["seen"]


def test_the_cure_is_for_a_board_that_need_not_be_configured(answers: Answers) -> None:
    answers[ACM0] = MARLIN
    (finding,) = (each for each in look(Wanted("uno", ACM0))["findings"] if each["code"] == "wrong_sketch")
    assert finding["cure"].startswith("gateway flash --board uno")
    document = look(Wanted("uno", ACM0), flash=f"gateway flash --port {ACM0}")
    assert document["findings"][0]["cure"].startswith(f"gateway flash --port {ACM0}")


# ---- with the leave of a gateway ----


class ScriptedGateway:
    """Notes what is asked of it. Its board `uno` has that reason, none once it was let alone for a moment."""

    def __init__(self, reason: str | None, *, port: str = ACM0, virtual: bool = False) -> None:
        self.asked: list[str] = []
        self._resource = {"name": "uno", "port": port, "reason": reason, "virtual": virtual}

    def get(self, path: str) -> Any:
        self.asked.append(path)
        told = {"code": self._resource["reason"], "seen": "nothing", "meaning": "", "cure": "", "severity": "problem"}
        note = {"code": "modem_manager", "seen": "", "meaning": "", "cure": "", "severity": "note"}
        return {"board": "uno", "findings": [told, note] if told["code"] else [note], "healthy": not told["code"]}

    def post(self, path: str, *, query: Any = None) -> None:
        self.asked.append(path)
        if path.endswith("resume"):
            self._resource["reason"] = None

    def board(self, name: str) -> Any:
        return dict(self._resource)

    def boards(self) -> list[Any]:
        return [self._resource, {"name": "mega", "port": ACM1}]

    @property
    def client(self) -> GatewayClient:
        return cast(GatewayClient, self)


DIAGNOSIS, RELEASE, RESUME = "boards/uno/diagnosis", "boards/uno/release", "boards/uno/resume"


def ask(gateway: ScriptedGateway, *, closely: bool = True) -> Any:
    return examine.ask_gateway(gateway.client, "uno", closely=closely, clock=FakeClock())


def test_the_gateway_is_not_disturbed_unless_that_is_wanted(answers: Answers, asked: list[str]) -> None:
    gateway = ScriptedGateway("no_answer")
    assert ask(gateway, closely=False)["findings"][0]["code"] == "no_answer"
    assert gateway.asked == [DIAGNOSIS]
    assert asked == []


@pytest.mark.parametrize(
    "gateway", [ScriptedGateway(None), ScriptedGateway("port_busy"), ScriptedGateway("no_answer", virtual=True)]
)
def test_a_board_that_has_nothing_to_tell_is_left_alone(gateway: ScriptedGateway, asked: list[str]) -> None:
    ask(gateway)
    assert gateway.asked == [DIAGNOSIS]
    assert asked == []


@pytest.mark.parametrize("port", [ACM0, "auto"])
def test_what_the_board_is_takes_the_place_of_what_the_gateway_knew(
    answers: Answers, asked: list[str], port: str
) -> None:
    """Reason, meaning and cure; a note of the gateway stays."""
    answers |= {ACM0: MARLIN, ACM1: board_with(MEGA_ID)}
    gateway = ScriptedGateway("no_answer", port=port)
    finding, note = ask(gateway)["findings"]
    assert gateway.asked == [DIAGNOSIS, RELEASE, RESUME]
    assert asked == [ACM0], "of the two the one that is not another's"
    assert (finding["code"], finding["seen"]) == ("wrong_sketch", "it looks like Marlin")
    assert finding["meaning"] == "Another sketch is on the board."
    assert "gateway flash --board uno" in finding["cure"]
    assert note["code"] == "modem_manager"


def test_a_board_that_answers_now_is_told_as_it_is_then(answers: Answers) -> None:
    answers[ACM0] = board_with(UNO_ID)
    gateway = ScriptedGateway("no_answer")
    assert ask(gateway)["healthy"]
    assert gateway.asked == [DIAGNOSIS, RELEASE, RESUME, DIAGNOSIS]


def test_a_port_that_could_not_be_opened_teaches_nothing(answers: Answers) -> None:
    answers[ACM0] = LinkError(Reason.PORT_BUSY, "taken by another just now")
    assert ask(ScriptedGateway("no_answer"))["findings"][0]["code"] == "no_answer"
