"""The bench against what is known of real boards: if these fail, no other test on an emulated board means anything.

The firmware is sketches/echo on bare boards, and real avrdude through real bootloaders.
"""

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import serial

from tests.emulated.board import BenchError, BoardOptions, EmulatedBoard, PinState
from tests.emulated.images import Bench

pytestmark = pytest.mark.needs("simavr", "avr-gcc", "make")

BAUD = 115200
ACTUAL_BAUD = 16e6 / 8 / 17
"""What the Arduino core makes of it."""
SLICE_S = 0.001
READ_TIMEOUT_S = 10.0
RETRY_S = 0.1
READY = b"READY\r\n"
OUTPUT, INPUT_PULLUP = 1, 2

UNO_LED = 13
UNO_PWM_PIN = 9


def frame(payload: bytes) -> bytes:
    return bytes([0xA5, len(payload)]) + payload + bytes([sum(payload) & 0xFF])


class Echo:
    """The host's end of sketches/echo."""

    def __init__(self, port: Path, *, baud: int = BAUD) -> None:
        self.serial = serial.Serial(str(port), baud, timeout=READ_TIMEOUT_S, write_timeout=READ_TIMEOUT_S)

    def __enter__(self) -> "Echo":
        return self

    def __exit__(self, *_: object) -> None:
        self.serial.close()

    def connect(self) -> None:
        """Until the sketch answers, after an open without a bootloader: pyserial may drop its early greeting.

        Not with a bootloader, where a byte too early keeps a Mega in it for seconds.
        """
        self.serial.timeout = RETRY_S
        for attempt in range(int(READ_TIMEOUT_S / RETRY_S)):
            answer = frame(b"E" + bytes([attempt]))
            self.serial.write(answer)
            if self.serial.read_until(answer).endswith(answer):
                break
        else:
            raise AssertionError("the sketch does not answer")
        self.serial.timeout = READ_TIMEOUT_S

    def wait_ready(self) -> None:
        """Until the sketch's greeting, after a reset with the port open or through a bootloader."""
        assert self.serial.read_until(READY).endswith(READY)

    def send(self, payload: bytes) -> None:
        self.serial.write(frame(payload))

    def receive(self) -> bytes:
        start, length = self.serial.read(2)
        assert start == 0xA5
        *payload, checksum = self.serial.read(length + 1)
        assert checksum == sum(payload) & 0xFF
        return bytes(payload)

    def ask(self, request: str, *arguments: int) -> bytes:
        self.send(request.encode() + bytes(arguments))
        reply = self.receive()
        assert reply[:1] == request.encode()
        return reply[1:]

    def ask_word(self, request: str, *arguments: int) -> int:
        return int.from_bytes(self.ask(request, *arguments), "big")


Starter = Callable[[BoardOptions], EmulatedBoard]


@pytest.fixture
def start(bench: Bench, sketch: Callable[[str, str], Path]) -> Starter:
    """An emulated board with the echo sketch."""

    def start_board(options: BoardOptions) -> EmulatedBoard:
        return EmulatedBoard(bench.binary, replace(options, flash=(sketch("echo", options.board),)))

    return start_board


@pytest.fixture
def uno(start: Starter) -> Iterator[EmulatedBoard]:
    with start(BoardOptions()) as board:
        yield board


@pytest.fixture
def echo(uno: EmulatedBoard) -> Iterator[Echo]:
    with Echo(uno.port) as echo:
        echo.connect()
        yield echo


# The serial port


def test_bytes_pass_both_ways(echo: Echo) -> None:
    assert echo.ask("E", *b"hello") == b"hello"


def test_opening_the_port_resets_the_board(uno: EmulatedBoard) -> None:
    with Echo(uno.port) as echo:
        uno.wait_event("reset", reason="dtr-open")
        echo.connect()


def test_a_port_closed_without_hupcl_does_not_reset_at_the_next_open(uno: EmulatedBoard, echo: Echo) -> None:
    subprocess.run(["stty", "-F", str(uno.port), "-hupcl"], check=True)
    echo.serial.close()
    closed = uno.wait_event("close", hupcl=False)
    with Echo(uno.port) as again:
        assert again.ask("E", 1) == b"\x01"
    assert uno.events("reset", since=closed.index) == []


def test_what_was_not_read_is_forgotten_when_the_port_is_closed(uno: EmulatedBoard, echo: Echo) -> None:
    subprocess.run(["stty", "-F", str(uno.port), "-hupcl"], check=True)
    echo.send(b"Estale")
    echo.send(bytes([ord("M"), UNO_LED, INPUT_PULLUP]))
    uno.wait_pin("B5", mode="input_pullup")  # by now most of the first answer has been sent
    uno.freeze()
    echo.serial.close()
    uno.wait_event("close")
    descriptor = os.open(uno.port, os.O_RDWR | os.O_NOCTTY)  # pyserial would discard what is left there
    readable, _, _ = select.select([descriptor], [], [], 0)  # the bench is frozen: nothing new comes
    os.close(descriptor)
    assert readable == []


def test_another_baud_rate_gives_garbage(uno: EmulatedBoard) -> None:
    with Echo(uno.port, baud=57600) as echo:
        uno.wait_event("open", baud=57600)
        uno.reset()  # greets again, should pyserial have dropped the greeting at the open
        assert echo.serial.read(len(READY)) != READY
    assert uno.stats()["wrong_baud"] > 0


def test_a_replugged_board_appears_under_the_name_asked_for(uno: EmulatedBoard, echo: Echo) -> None:
    first = uno.port
    uno.unplug()
    assert not first.exists()
    with pytest.raises(serial.SerialException):
        echo.serial.read(1)
    second = first.with_name("other")
    uno.plug(second)
    assert not first.exists()
    with Echo(second) as again:
        again.connect()
        assert again.ask("E", 1) == b"\x01"


def test_a_frozen_board_says_nothing_until_it_is_reset(uno: EmulatedBoard, echo: Echo) -> None:
    uno.freeze()
    echo.send(b"Elost")
    echo.serial.timeout = 0.1
    assert echo.serial.read(1) == b""
    echo.serial.timeout = READ_TIMEOUT_S
    uno.reset()
    echo.wait_ready()


def test_a_thawed_board_goes_on_where_it_stood(uno: EmulatedBoard, echo: Echo) -> None:
    uno.freeze()
    before = uno.mark()
    uno.thaw()
    assert echo.ask("E", 1) == b"\x01"
    assert uno.events("reset", since=before) == []


def test_a_byte_takes_ten_bits(echo: Echo) -> None:
    count = 50
    echo.send(bytes([ord("T"), count]))
    assert echo.serial.read(count) == b"U" * count
    duration_us = int.from_bytes(echo.receive()[1:], "big")  # by the board's own clock
    ten_bits_us = 10 * count * 1e6 / ACTUAL_BAUD
    assert duration_us == pytest.approx(ten_bits_us, abs=15)


def test_a_receiver_nobody_reads_overruns_after_three_bytes(uno: EmulatedBoard, echo: Echo) -> None:
    echo.serial.write(frame(b"I") + b"U" * 10)
    assert echo.receive() == b"I"
    assert uno.stats()["overruns"] == 10 - 3


def test_the_board_is_never_ahead_of_the_clock(uno: EmulatedBoard, echo: Echo) -> None:
    stats = uno.stats()
    assert stats["board_s"] <= stats["wall_s"] + SLICE_S


def test_noise_spoils_bytes(uno: EmulatedBoard, echo: Echo) -> None:
    uno.noise(transmit_drop=1.0)
    echo.send(b"E1")
    echo.serial.timeout = 0.1
    assert echo.serial.read(1) == b""
    uno.noise(transmit_flip=1.0)
    echo.serial.timeout = READ_TIMEOUT_S
    echo.send(b"E1")
    assert echo.serial.read(1) != b"\xa5"


TOGGLE_DTR = """
import serial, sys
port = serial.Serial(sys.argv[1])
input()
port.dtr = False
port.dtr = True
input()
"""


def test_modem_lines_reset_the_board(uno: EmulatedBoard, bench: Bench) -> None:
    command = [sys.executable, "-c", TOGGLE_DTR, str(uno.port)]
    shim = {**os.environ, "LD_PRELOAD": str(bench.modem_shim)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=shim) as host:
        assert host.stdin is not None
        opened = uno.wait_event("reset", reason="dtr-open")
        print(file=host.stdin, flush=True)
        uno.wait_event("reset", since=opened.index, reason="dtr")
        print(file=host.stdin, flush=True)


# Pins, analogue inputs, memories


@pytest.mark.parametrize(
    ("board", "channel", "millivolts", "expected"),
    [("uno", 0, 2500, 511), ("mega", 0, 2500, 511), ("mega", 12, 1250, 255)],
)
def test_analogue_inputs(start: Starter, board: str, channel: int, millivolts: int, expected: int) -> None:
    with start(BoardOptions(board=board)) as emulated, Echo(emulated.port) as echo:
        echo.connect()
        emulated.adc(channel, millivolts)
        assert echo.ask_word("A", channel) == expected


def test_a_wave_moves_between_its_limits(uno: EmulatedBoard, echo: Echo) -> None:
    uno.command("wave 0 ramp 1000 4000 0.1")
    samples = {echo.ask_word("A", 0) for _ in range(20)}
    assert len(samples) > 1
    assert min(samples) >= 204
    assert max(samples) <= 818


def test_an_output_is_seen_with_the_time_of_its_edge(uno: EmulatedBoard, echo: Echo) -> None:
    uno.watch("B5")
    assert uno.pin("B5") == PinState("input", 0, None)
    echo.ask("M", UNO_LED, OUTPUT)
    echo.ask("W", UNO_LED, 1)
    assert uno.wait_pin("B5", 1) == PinState("output", 1, None)
    echo.ask("W", UNO_LED, 0)
    rise = uno.wait_event("pin", pin="B5", level=1)
    fall = uno.wait_event("pin", since=rise.index, pin="B5", level=0)
    assert fall.time_us > rise.time_us


def test_a_low_interrupt_pin_does_not_slow_the_emulation_down(uno: EmulatedBoard, echo: Echo) -> None:
    def processor_seconds_per_board_second() -> float:
        before = uno.stats()
        for _ in range(30):
            echo.ask("I")  # 10 ms of the board's time each
        after = uno.stats()
        return float((after["cpu_s"] - before["cpu_s"]) / (after["board_s"] - before["board_s"]))

    uno.set_speed(0)
    usual = processor_seconds_per_board_second()
    uno.drive("D2", 1)
    uno.drive("D2", 0)
    assert processor_seconds_per_board_second() < 3 * usual


def test_pwm_is_seen_with_its_duty(uno: EmulatedBoard, echo: Echo) -> None:
    echo.ask("P", UNO_PWM_PIN, 77)
    assert uno.wait_pin("B1", duty=77) == PinState("pwm", None, 77)
    echo.ask("P", UNO_PWM_PIN, 255)
    assert uno.wait_pin("B1", 1, mode="output") == PinState("output", 1, None)


def test_a_wire_wins_over_a_pull_up_and_outlives_a_reset(uno: EmulatedBoard, echo: Echo) -> None:
    echo.ask("M", 8, INPUT_PULLUP)
    assert uno.pin("B0") == PinState("input_pullup", 1, None)
    assert echo.ask_word("R", 8) == 1
    uno.drive("B0", 0)
    echo.ask("M", UNO_LED, OUTPUT)
    echo.ask("W", UNO_LED, 1)  # the same port: simavr alone would raise the pull-up again
    assert echo.ask_word("R", 8) == 0
    uno.release("B0")
    assert echo.ask_word("R", 8) == 1
    uno.drive("B0", 1)
    uno.reset()
    echo.wait_ready()
    assert echo.ask_word("R", 8) == 1


def test_a_pull_up_works_again_after_a_reset(uno: EmulatedBoard, echo: Echo) -> None:
    echo.ask("M", 8, INPUT_PULLUP)
    uno.reset()
    echo.wait_ready()
    echo.ask("M", 8, INPUT_PULLUP)
    assert echo.ask_word("R", 8) == 1


def test_eeprom_outlives_a_power_cycle_and_the_bench(start: Starter, tmp_path: Path) -> None:
    image = tmp_path / "eeprom.bin"
    with start(BoardOptions(eeprom_image=image)) as board, Echo(board.port) as echo:
        echo.connect()
        echo.ask("S", 5, 0x77)
        board.power_cycle()
        echo.wait_ready()
        assert echo.ask_word("L", 5) == 0x77
    with start(BoardOptions(eeprom_image=image)) as board, Echo(board.port) as echo:
        echo.connect()
        assert echo.ask_word("L", 5) == 0x77


def test_peek_reads_the_data_space(uno: EmulatedBoard, echo: Echo) -> None:
    echo.ask("M", UNO_LED, OUTPUT)
    ddrb = 0x24
    assert uno.peek(ddrb, 1)[0] & 1 << 5


# Resets

POWER_ON, EXTERNAL, WATCHDOG = 0x01, 0x02, 0x08
"""MCUSR."""


def test_each_reset_leaves_its_mark_and_only_a_power_cycle_clears_sram(uno: EmulatedBoard, echo: Echo) -> None:
    assert echo.ask_word("F") & EXTERNAL  # from opening the port
    survived = echo.ask_word("N")
    echo.send(b"D")
    uno.wait_event("reset", reason="watchdog")
    echo.wait_ready()
    assert echo.ask_word("F") & WATCHDOG
    assert echo.ask_word("N") == survived + 1
    uno.power_cycle()
    echo.wait_ready()
    assert echo.ask_word("F") & POWER_ON
    assert echo.ask_word("N") == 0


def test_sram_survives_a_reset_through_optiboot(start: Starter, bench: Bench) -> None:
    with start(BoardOptions(bootloader=bench.optiboot_uno)) as board, Echo(board.port) as echo:
        echo.wait_ready()
        survived = echo.ask_word("N")
        board.reset()
        echo.wait_ready()
        assert echo.ask_word("N") == survived + 1


# Native USB


def test_native_usb(start: Starter) -> None:
    with start(BoardOptions(board="leonardo")) as board:
        board.wait_event("usb", state="ready", vid="2341", pid="8036")
        with Echo(board.port) as echo:
            assert echo.ask("E", *b"hello") == b"hello"
            gone = board.mark()
            board.reset()
            board.wait_event("port_gone", since=gone)
            board.wait_event("port", since=gone)


# Bootloaders


@dataclass(frozen=True, slots=True)
class Upload:
    """A bootloader, and what avrdude has to be told of it."""

    board: str
    bootloader: str
    part: str
    programmer: str
    baud: int


UPLOADS = [
    Upload("uno", "optiboot_uno", "m328p", "arduino", 115200),
    Upload("nano", "atmegaboot_nano", "m328p", "arduino", 57600),
    Upload("mega", "stk500v2_mega", "m2560", "wiring", 115200),
]


def run_avrdude(upload: Upload, port: Path, image: Path, *, preload: str) -> None:
    command = ["avrdude", "-q", "-q", "-p", upload.part, "-c", upload.programmer, "-b", str(upload.baud)]
    command += ["-P", str(port), "-D", "-U", f"flash:w:{image}:i"]
    environment = {**os.environ, "LD_PRELOAD": preload}
    # avrdude spins when its port hangs up, so never without a timeout.
    timeout_s = 4 * READ_TIMEOUT_S
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=timeout_s)
    assert result.returncode == 0, result.stderr


@pytest.mark.needs("avrdude")
@pytest.mark.parametrize("upload", UPLOADS, ids=lambda upload: upload.bootloader)
def test_avrdude_flashes_through_the_bootloader(
    bench: Bench, sketch: Callable[[str, str], Path], upload: Upload
) -> None:
    image = sketch("echo", "mega" if upload.board == "mega" else "uno")
    options = BoardOptions(board=upload.board, bootloader=getattr(bench, upload.bootloader))
    with EmulatedBoard(bench.binary, options) as board:
        run_avrdude(upload, board.port, image, preload="")
        with Echo(board.port) as echo:
            echo.wait_ready()
            assert echo.ask("E", *b"hello") == b"hello"


@pytest.mark.needs("avrdude")
def test_avrdude_resets_the_board_by_its_modem_lines(
    bench: Bench, sketch: Callable[[str, str], Path], tmp_path: Path
) -> None:
    options = BoardOptions(bootloader=bench.optiboot_uno, flash_image=tmp_path / "flash.bin")
    image = sketch("echo", "uno")
    with EmulatedBoard(bench.binary, options) as board:
        run_avrdude(UPLOADS[0], board.port, image, preload=str(bench.modem_shim))
        board.wait_event("reset", reason="dtr")
    with EmulatedBoard(bench.binary, options) as board, Echo(board.port) as echo:  # the flash is kept
        echo.wait_ready()


# The driver


def test_a_refused_command_is_named(uno: EmulatedBoard) -> None:
    with pytest.raises(BenchError, match="usage: adc CHANNEL MILLIVOLTS"):
        uno.adc(99, 0)
    with pytest.raises(BenchError, match="no such command"):
        uno.command("explode")


def test_a_bench_that_cannot_start_says_why(bench: Bench, tmp_path: Path) -> None:
    missing = tmp_path / "missing.hex"
    with pytest.raises(BenchError, match=r"missing\.hex"), EmulatedBoard(bench.binary, BoardOptions(flash=(missing,))):
        pass


def test_an_event_that_does_not_come_is_an_error(uno: EmulatedBoard) -> None:
    with pytest.raises(BenchError, match=r"within 0\.05 s"):
        uno.wait_event("crashed", timeout_s=0.05)
