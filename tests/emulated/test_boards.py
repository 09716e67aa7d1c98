"""The other boards, as their owners have them: the shipped image behind the stock bootloader or on native USB, the real
`gateway run` process, HTTP. What all boards share is tested on the Uno, in test_gateway.py.

Times are the board's own, so that no busy machine spoils them.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import serial

from tests.emulated.board import BoardOptions, EmulatedBoard
from tests.emulated.images import SHIPPED_IMAGES, Bench
from tests.running import GatewayProcess

pytestmark = pytest.mark.needs("simavr", "avr-gcc", "make")

BACK_ONLINE_S = 4.0
HELD_IN_BOOTLOADER_S = 9.0
"""How long a Mega's bootloader waits once it has heard a byte."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A board: what the gateway calls it and its outputs, and where they are on the chip."""

    board: str
    model: str
    led: str
    pwm: tuple[tuple[str, str], tuple[str, str]]
    """Channel and pin."""
    analogue: tuple[int, ...]
    """The chip's ADC channels behind a0 to a5."""
    bootloader: str | None


NANO = Kind("nano", "Arduino Nano", "B5", (("pwm9", "B1"), ("pwm10", "B2")), (0, 1, 2, 3, 4, 5), "atmegaboot_nano")
MEGA = Kind("mega", "Arduino Mega", "B7", (("pwm11", "B5"), ("pwm12", "B6")), (0, 1, 2, 3, 4, 5), "stk500v2_mega")
LEONARDO = Kind("leonardo", "Arduino Leonardo", "C7", (("pwm9", "B5"), ("pwm10", "B6")), (7, 6, 5, 4, 1, 0), None)


def start(bench: Bench, kind: Kind) -> EmulatedBoard:
    bootloader = getattr(bench, kind.bootloader) if kind.bootloader else None
    image = SHIPPED_IMAGES / f"gateway-{kind.board}.hex"
    return EmulatedBoard(bench.binary, BoardOptions(board=kind.board, flash=(image,), bootloader=bootloader))


@pytest.fixture
def mega(bench: Bench) -> Iterator[EmulatedBoard]:
    with start(bench, MEGA) as board:
        yield board


@pytest.fixture
def leonardo(bench: Bench) -> Iterator[EmulatedBoard]:
    with start(bench, LEONARDO) as board:
        board.wait_event("usb", state="ready")
        yield board


def seconds_since(board: EmulatedBoard, kind: str, *, since: int) -> float:
    """From the first such event to now, by the board's clock."""
    event = board.wait_event(kind, since=since)
    return float(board.stats()["board_s"]) - event.time_us / 1e6


def wait_back(gateway: GatewayProcess) -> None:
    """Until the gateway has noticed the first reset and the board is online again."""
    gateway.until(
        lambda: gateway.get("boards/board").json, lambda seen: (seen["resets"], seen["state"]) == (1, "online")
    )


@pytest.mark.parametrize("kind", [NANO, MEGA, LEONARDO], ids=lambda kind: kind.board)
def test_readings_and_commands_reach_the_pins(bench: Bench, kind: Kind) -> None:
    with start(bench, kind) as board:
        board.wait_event("port")
        with GatewayProcess("--port", str(board.port)) as gateway:
            gateway.wait_state("online")
            assert gateway.get("boards/board").json["model"] == kind.model
            for number, channel in enumerate(kind.analogue):
                board.adc(channel, 500 + 700 * number)
            for number in range(6):
                volts = 0.5 + 0.7 * number
                gateway.until(
                    lambda name=f"a{number}": gateway.reading(name)["value"],
                    lambda seen, volts=volts: abs(seen - volts) < 0.03,
                )
            assert gateway.reading("supply_mv")["value"] == pytest.approx(5000, abs=50)
            for value in (True, False, True):
                assert gateway.command({"channel": "led", "value": value})["state"] == "done"
                assert board.pin(kind.led).level == int(value)
            for duty, (channel, pin) in enumerate(kind.pwm, start=77):
                assert gateway.command({"channel": channel, "value": duty})["state"] == "done"
                assert (board.pin(pin).mode, board.pin(pin).duty) == ("pwm", duty)
            assert gateway.request("POST", "boards/board/safe").status == 200
            assert [board.pin(pin).level for pin in (kind.led, *(pin for _, pin in kind.pwm))] == [0, 0, 0]


# ---- Nano: the old bootloader ----


@pytest.mark.fault(7, 12)
def test_a_command_whose_answer_a_reset_swallowed_is_told_from_the_record_and_not_run_again(bench: Bench) -> None:
    """ATmegaBOOT wipes the lower part of SRAM; the record lies above."""
    with start(bench, NANO) as board, GatewayProcess("--port", str(board.port)) as gateway:
        gateway.wait_state("online")
        board.noise(transmit_drop=1.0)
        answer = gateway.request("POST", "boards/board/commands", {"channel": "led", "value": True})
        assert answer.status == 202
        board.wait_pin(NANO.led, 1)
        assert gateway.get(f"commands/{answer.json['id']}").json["state"] == "sent"
        board.reset()
        board.wait_pin(NANO.led, 0)
        since = board.mark()
        board.noise()
        command = gateway.until(
            lambda: gateway.get(f"commands/{answer.json['id']}").json,
            lambda seen: seen["state"] not in ("queued", "sent"),
        )
        assert command["state"] == "done"
        wait_back(gateway)
        assert gateway.command({"channel": "pwm9", "value": 1})["state"] == "done"
        assert [event["level"] for event in board.events("pin", since=since)] == []
        assert gateway.reading("led")["value"] is False


# ---- Mega: a bootloader that any byte holds ----


@pytest.mark.fault(17)
def test_a_mega_that_is_reset_while_it_is_polled_is_back_in_time(mega: EmulatedBoard) -> None:
    """The next poll falls into its bootloader, which then waits for more."""
    with GatewayProcess("--port", str(mega.port)) as gateway:
        gateway.wait_state("online")
        assert seconds_since(mega, "open", since=0) < BACK_ONLINE_S
        assert gateway.command({"channel": "led", "value": True})["state"] == "done"
        since = mega.mark()
        mega.reset()
        wait_back(gateway)
        assert seconds_since(mega, "reset", since=since) < BACK_ONLINE_S
        assert mega.pin(MEGA.led).level == 0
        assert gateway.command({"channel": "led", "value": True})["state"] == "done"
        assert mega.pin(MEGA.led).level == 1


@pytest.mark.fault(17)
def test_a_gateway_that_finds_a_mega_held_in_its_bootloader_makes_it_leave(mega: EmulatedBoard) -> None:
    with serial.Serial(str(mega.port), 115_200) as other:
        subprocess.run(["stty", "-F", str(mega.port), "-hupcl"], check=True)
        since = mega.mark()
        mega.reset()
        other.write(b"\x1b")  # the beginning of a message: it now waits for the rest
        mega.wait_event("reset", since=since)
        other.flush()
    opening = mega.mark()
    with GatewayProcess("--port", str(mega.port)) as gateway:
        gateway.wait_state("online")
        assert seconds_since(mega, "open", since=opening) < BACK_ONLINE_S
        assert seconds_since(mega, "reset", since=since) < HELD_IN_BOOTLOADER_S
        assert [event["reason"] for event in mega.events("reset", since=since)] == ["command"]
        assert gateway.command({"channel": "led", "value": True})["state"] == "done"
        assert mega.pin(MEGA.led).level == 1


# ---- Leonardo: a port that goes and comes with the sketch ----


def test_a_leonardo_is_not_reset_by_opening_and_is_back_after_a_reset_that_takes_its_port_away(
    leonardo: EmulatedBoard,
) -> None:
    """A pseudo-terminal has no USB ids: the gateway takes it for a UART that opening has reset, and is silent until
    BOOT, or for 2.5 s where the sketch has long begun. With the ids HELLO comes at once, see the next test."""
    with GatewayProcess("--port", str(leonardo.port)) as gateway:
        gateway.wait_state("online")
        assert [event["reason"] for event in leonardo.events("reset")] == ["power-on"]
        assert gateway.command({"channel": "led", "value": True})["state"] == "done"
        since, log = leonardo.mark(), gateway.mark()
        leonardo.reset()
        gone = leonardo.wait_event("port_gone", since=since)
        assert "port_missing" in gateway.wait_line("offline", since=log)
        leonardo.wait_event("port", since=gone.index)
        wait_back(gateway)
        assert seconds_since(leonardo, "reset", since=since) < BACK_ONLINE_S
        assert leonardo.pin(LEONARDO.led).level == 0
        assert gateway.command({"channel": "led", "value": True})["state"] == "done"
        assert leonardo.pin(LEONARDO.led).level == 1


AS_LISTED_BY_THE_SYSTEM = """
import os
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

def comports():
    found = ListPortInfo(os.path.realpath(os.environ["EMULATED_PORT"]))
    found.vid, found.pid = 0x2341, 0x8036
    return [found]

list_ports.comports = comports
"""


def test_a_leonardo_with_its_usb_ids_gets_hello_at_once(leonardo: EmulatedBoard, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(AS_LISTED_BY_THE_SYSTEM)
    environ = {"PYTHONPATH": str(tmp_path), "EMULATED_PORT": str(leonardo.port)}
    with GatewayProcess("--port", str(leonardo.port), environ=environ) as gateway:
        gateway.wait_state("online")
        assert leonardo.events("baud") == [], "nothing was searched, no bootloader was told to leave"


def test_a_leonardo_has_one_name_for_each_pin_and_one_tone_at_a_time(leonardo: EmulatedBoard) -> None:
    with GatewayProcess("--port", str(leonardo.port)) as gateway:
        gateway.wait_state("online")
        alias = {"action": "digital_write", "arguments": {"pin": 27, "value": True}}  # of 9, which is pwm9's
        assert gateway.request("POST", "boards/board/commands", alias).status == 422
        for pin, name in ((8, "B4"), (4, "D4")):
            leonardo.watch(name)
            since = leonardo.mark()
            tone = {"action": "tone", "arguments": {"pin": pin, "hz": 100, "ms": 60_000}}
            assert gateway.command(tone)["state"] == "done"
            rise = leonardo.wait_event("pin", since=since, pin=name, level=1)
            fall = leonardo.wait_event("pin", since=rise.index, pin=name, level=0)
            assert (fall.time_us - rise.time_us) / 1000 == pytest.approx(5, abs=0.5)
