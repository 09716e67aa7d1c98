"""`gateway flash` as users run it, against boards with their stock bootloaders: Optiboot, ATmegaBOOT, stk500boot.

What was written is read from the emulated chip itself, and compared with the image and with what avrdude writes. Native
USB boards are not here: simavr can't run their bootloader, see tests/tools/test_avrdude.py.
"""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.resources import bundled_sketch
from gateway.tools.intel_hex import parse
from tests.emulated.board import BoardOptions, EmulatedBoard
from tests.emulated.images import SHIPPED_IMAGES, Bench
from tests.emulated.test_bench import UPLOADS, Upload, run_avrdude
from tests.ports.ser2net import Ser2net
from tests.running import PATIENCE_S, GatewayProcess

pytestmark = [pytest.mark.needs("simavr", "avr-gcc", "make"), pytest.mark.timeout(180)]

FLASH_S = 60.0  # a busy machine; a blank board takes 15 s, most of it for asking who it is
LOOK_AGAIN_S = 0.02
PROGRAM = """
import signal
from gateway.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever runs these tests may have it ignored
main(prog_name="gateway")
"""


@dataclass(frozen=True, slots=True)
class Done:
    """How the command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def start_flash(
    *arguments: str, environ: Mapping[str, str] | None = None, terminal: int | None = None
) -> subprocess.Popen[str]:
    """The command as a process; all its streams are the `terminal`, if there is one, which is closed here."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "flash", *arguments],
        cwd="/",  # no config.yaml there
        env={**os.environ, "GATEWAY_HTTP__LISTEN": "127.0.0.1:0", **(environ or {})},  # of no other gateway here
        stdin=subprocess.DEVNULL if terminal is None else terminal,
        stdout=subprocess.PIPE if terminal is None else terminal,
        stderr=subprocess.PIPE if terminal is None else terminal,
        text=True,
    )
    if terminal is not None:
        os.close(terminal)
    return process


def ended(process: subprocess.Popen[str]) -> Done:
    try:
        out, err = process.communicate(timeout=FLASH_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still running:\n{out}{err}") from None
    return Done(process.returncode, out, err)


def flash(*arguments: str, environ: Mapping[str, str] | None = None) -> Done:
    return ended(start_flash(*arguments, environ=environ))


def options(bench: Bench, upload: Upload, flash_image: Path, *, image: Path | None = None) -> BoardOptions:
    return BoardOptions(
        board=upload.board,
        bootloader=getattr(bench, upload.bootloader),
        flash_image=flash_image,
        flash=(image,) if image else (),
    )


def shipped(board: str) -> Path:
    return SHIPPED_IMAGES / f"gateway-{board}.hex"


def holds(flash_image: Path, file: Path) -> bool:
    """Whether the chip holds exactly what the file says, and blank flash to the end of its last page."""
    image = parse(file.read_text())
    page_bytes = 256 if len(flash_image.read_bytes()) > 0x10000 else 128
    expected = image.flat(page_bytes=page_bytes)
    return flash_image.read_bytes()[: len(expected)] == expected


# ---- a new board ----


@pytest.mark.needs("avrdude")
@pytest.mark.parametrize(
    ("upload", "model", "image"),
    [(UPLOADS[0], "uno", "uno"), (UPLOADS[1], "nano-old", "nano"), (UPLOADS[2], "mega", "mega")],
    ids=lambda value: value.bootloader if isinstance(value, Upload) else "",
)
def test_a_blank_board_is_told_by_its_bootloader_written_verified_and_answers(
    bench: Bench, tmp_path: Path, upload: Upload, model: str, image: str
) -> None:
    written, by_avrdude = tmp_path / "written.bin", tmp_path / "avrdude.bin"
    with EmulatedBoard(bench.binary, options(bench, upload, written)) as board:
        done = flash("--port", str(board.port), "--yes", "--json")
    assert done.code == 0, done.err
    report = done.json
    assert (report["model"], report["bootloader"]["baud"]) == (model, upload.baud)
    assert report["before"]["sketch"] is None
    assert report["after"]["sketch"]["name"] == "gateway"
    assert "led" in report["after"]["outputs"]
    assert "tone" in report["after"]["actions"]
    assert holds(written, shipped(image))
    with EmulatedBoard(bench.binary, options(bench, upload, by_avrdude)) as board:
        run_avrdude(upload, board.port, shipped(image), preload="")
    assert written.read_bytes() == by_avrdude.read_bytes(), "to the last byte of the chip, the bootloader too"


def test_people_are_told_what_runs_what_was_done_and_what_there_is_now(bench: Bench, tmp_path: Path) -> None:
    """A board with the bundled sketch is written anew without a question: nothing is lost."""
    with EmulatedBoard(bench.binary, options(bench, UPLOADS[0], tmp_path / "flash.bin", image=shipped("uno"))) as board:
        done = flash("--port", str(board.port))
    assert done.code == 0, done.err
    assert f"{board.port}: Arduino Uno, runs {bundled_sketch()}" in done.out
    size = parse(shipped("uno").read_text()).size
    assert f"Arduino Uno: {bundled_sketch()} written and verified, {size} bytes, by Optiboot\n" in done.out
    assert "  outputs   led, pwm9, pwm10\n" in done.out
    assert done.out.endswith(f"Next: gateway run --port {board.port}\n")
    assert "\x1b" not in done.out
    assert max(map(len, done.out.replace(str(board.port), "/dev/ttyACM0").splitlines())) < 80


def test_the_reset_line_is_pulsed_where_there_is_one(bench: Bench, tmp_path: Path) -> None:
    with EmulatedBoard(bench.binary, options(bench, UPLOADS[0], tmp_path / "flash.bin", image=shipped("uno"))) as board:
        done = flash("--port", str(board.port), environ={"LD_PRELOAD": str(bench.modem_shim)})
        assert done.code == 0, done.err
        board.wait_event("reset", reason="dtr")


# ---- what is not done ----


def test_another_sketch_is_named_and_left_alone_until_someone_says_yes(
    bench: Bench, tmp_path: Path, sketch: Callable[[str, str], Path]
) -> None:
    ledger, chip = sketch("ledger", "uno"), tmp_path / "flash.bin"
    with EmulatedBoard(bench.binary, options(bench, UPLOADS[0], chip, image=ledger)) as board:
        done = flash("--port", str(board.port))
    assert done.code == 2
    assert "Arduino Uno, runs ledger" in done.out
    assert f"add --yes to replace it by {bundled_sketch()}" in done.err
    assert holds(chip, ledger)


def test_nothing_is_written_where_no_bootloader_answers(bench: Bench, tmp_path: Path) -> None:
    chip = tmp_path / "flash.bin"
    with EmulatedBoard(bench.binary, options(bench, UPLOADS[0], chip, image=shipped("uno"))) as board:
        done = flash("--port", str(board.port), "--model", "mega")
    assert done.code == 3
    assert "no bootloader answers (tried stk500boot at 115200 baud), and nothing was written" in done.err
    assert holds(chip, shipped("uno"))


@pytest.mark.needs("posix")
def test_on_a_terminal_it_asks_and_shows_how_far_it_is(
    bench: Bench, tmp_path: Path, sketch: Callable[[str, str], Path]
) -> None:
    import pty

    ledger, chip = sketch("ledger", "uno"), tmp_path / "flash.bin"
    with EmulatedBoard(bench.binary, options(bench, UPLOADS[0], chip, image=ledger)) as board:
        for answer, code in ((b"n", 1), (b"y", 0)):
            screen, terminal = pty.openpty()
            process = start_flash("--port", str(board.port), terminal=terminal)
            shown = b""
            while f"Replace it by {bundled_sketch()}? [y/N]".encode() not in shown:
                shown += os.read(screen, 4096)
            os.write(screen, answer + b"\n")
            shown += read_to_the_end(screen)
            assert process.wait(FLASH_S) == code, shown
            if answer == b"n":
                assert b"nothing was written" in shown
                assert b"Writing" not in shown
        for step in (b"Writing   ", b"Verifying "):
            assert re.search(re.escape(step) + rb" *\[#+\] +100%", shown)
    assert holds(chip, shipped("uno"))


def read_to_the_end(screen: int) -> bytes:
    """What else is shown, until the program has closed the terminal."""
    shown = b""
    with contextlib.suppress(OSError):  # how Linux tells it
        while data := os.read(screen, 4096):
            shown += data
    os.close(screen)
    return shown


# ---- interrupted ----


def wait_received(board: EmulatedBoard, count: int, process: subprocess.Popen[str]) -> None:
    """Until the board has taken so many bytes: the middle of the writing, whatever the machine does."""
    deadline_s, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while board.stats()["received"] < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        pause.wait(LOOK_AGAIN_S)


@pytest.mark.parametrize(
    ("upload", "way"),
    [(UPLOADS[0], "kill"), (UPLOADS[0], "unplug"), (UPLOADS[2], "interrupt"), (UPLOADS[2], "unplug")],
    ids=["uno-kill", "uno-unplug", "mega-interrupt", "mega-unplug"],
)
def test_interrupted_at_any_point_and_repeated_it_ends_well(
    bench: Bench, tmp_path: Path, upload: Upload, way: str
) -> None:
    chip, point = tmp_path / "flash.bin", random.randrange(1_000, 10_000)
    with EmulatedBoard(bench.binary, options(bench, upload, chip, image=shipped(upload.board))) as board:
        process = start_flash("--port", str(board.port))
        before = board.stats()["received"]
        wait_received(board, before + point, process)
        match way:
            case "kill":
                process.kill()
            case "interrupt":
                process.send_signal(signal.SIGINT)
            case "unplug":
                board.unplug()
        done = ended(process)
        assert done.code == {"kill": -signal.SIGKILL, "interrupt": 1, "unplug": 3}[way], (point, done)
        if way != "kill":
            assert "run the same command again" in done.err, point
        if way == "unplug":
            board.plug()
        again = flash("--port", str(board.port), "--yes", "--json")
        assert again.code == 0, (point, again.err)
        assert again.json["after"]["sketch"]["name"] == "gateway"
    assert holds(chip, shipped(upload.board)), point


# ---- while a gateway runs ----


def test_a_running_gateway_lends_the_port_and_is_back_with_the_new_sketch(
    bench: Bench, tmp_path: Path, sketch: Callable[[str, str], Path]
) -> None:
    ledger, chip = sketch("ledger", "uno"), tmp_path / "flash.bin"
    with (
        EmulatedBoard(bench.binary, options(bench, UPLOADS[0], chip, image=shipped("uno"))) as board,
        GatewayProcess("--port", str(board.port)) as gateway,
    ):
        gateway.wait_state("online")
        process = start_flash("--gateway", gateway.url, "--hex", str(ledger), "--json")
        gateway.wait_state("flashing")
        refused = gateway.request("POST", "boards/board/commands", {"channel": "led", "value": True})
        assert refused.status == 409
        done = ended(process)
        assert done.code == 0, done.err
        assert done.json["board"] == "board"
        assert done.json["before"]["sketch"]["name"] == "gateway"
        assert done.json["after"]["sketch"]["name"] == "ledger"
        assert gateway.state() == "online"
        offered = {channel["name"] for channel in gateway.get("boards/board/channels").json["items"]}
        assert offered == {*done.json["after"]["readings"], *done.json["after"]["outputs"]}
        assert "a0" not in offered
        assert gateway.get("boards/board/readings/a0").status == 404
    assert holds(chip, ledger)


@pytest.mark.parametrize("way", ["failed", "killed"])
def test_the_port_comes_back_from_a_flashing_that_failed(bench: Bench, tmp_path: Path, way: str) -> None:
    with (
        EmulatedBoard(bench.binary, options(bench, UPLOADS[0], tmp_path / "flash.bin", image=shipped("uno"))) as board,
        GatewayProcess("--port", str(board.port)) as gateway,
    ):
        gateway.wait_state("online")
        process = start_flash("--gateway", gateway.url, "--board", "board", "--model", "mega")
        gateway.wait_state("flashing")
        if way == "failed":
            assert ended(process).code == 3
        else:
            process.kill()
            ended(process)
            assert gateway.state() == "flashing", "until the loan ends"
            assert gateway.request("POST", "boards/board/resume").status == 200
        gateway.wait_state("online")


def test_a_port_that_the_gateway_has_is_known_by_any_of_its_names(bench: Bench, tmp_path: Path) -> None:
    link = tmp_path / "ttyUNO"
    with (
        EmulatedBoard(bench.binary, options(bench, UPLOADS[0], tmp_path / "flash.bin", image=shipped("uno"))) as board,
        GatewayProcess("--port", str(board.port)) as gateway,
    ):
        link.symlink_to(board.port.resolve())
        gateway.wait_state("online")
        done = flash("--gateway", gateway.url, "--port", str(link), "--json")
        assert done.code == 0, done.err
        assert done.json["board"] == "board"


@pytest.mark.needs("ser2net")
def test_a_board_on_another_machine_is_flashed_through_ser2net(bench: Bench, tmp_path: Path) -> None:
    chip = tmp_path / "flash.bin"
    with EmulatedBoard(bench.binary, options(bench, UPLOADS[0], chip, image=shipped("uno"))) as board:
        device = str(board.port.resolve())
        with (
            Ser2net(device, "rfc2217", preload=bench.modem_shim) as ser2net,
            GatewayProcess("--port", ser2net.url) as gateway,
        ):
            gateway.wait_state("online")
            done = flash("--gateway", gateway.url, "--json")
            assert done.code == 0, done.err
            assert done.json["port"] == ser2net.url
            assert gateway.state() == "online"
    assert holds(chip, shipped("uno"))
