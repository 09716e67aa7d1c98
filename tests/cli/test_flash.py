"""`gateway flash` up to the board: which one is meant, which file, and every way to be wrong about it.

What it does to boards is shown on emulated ones, in tests/emulated/test_flash.py.
"""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from gateway.cli import flashing, main
from gateway.resources import bundled_image
from tests.emulated.images import SHIPPED_IMAGES

TWO_BOARDS = "boards: {a: {port: /dev/ttyA, baud: 115200}, b: {port: /dev/ttyB}, v: {port: 'virtual://uno'}}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in an empty folder, on a machine with no serial port, beside no running gateway."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_HTTP__LISTEN", "127.0.0.1:0")
    monkeypatch.setattr("serial.tools.list_ports.comports", list)
    return tmp_path


class ScriptedGateway:
    """A running gateway with these boards."""

    url = "http://lab:8080"

    def __init__(self, *, on_this_machine: bool = True, **ports: str) -> None:
        self.on_this_machine = on_this_machine
        self._ports = ports

    def boards(self) -> list[Any]:
        return [{"name": name, "port": port} for name, port in self._ports.items()]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["flash", *arguments], prog_name="gateway")


def test_nothing_plugged_in_and_nothing_named_is_no_board() -> None:
    result = run()
    assert result.exit_code == 3
    assert "no board is plugged in: there is no serial port here" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--port", "/dev/ttyNONE"), 3, "there is no /dev/ttyNONE: is it plugged in"),
        (("--port", "virtual://uno", "--yes"), 3, "virtual://uno can't be flashed: it is a virtual board"),
        (("--port", "/dev/x", "--board", "a"), 2, "--board and --port both name the board; give one"),
        ((), 2, "there are several boards: name one with --board (a, b)"),
        (("--board", "c"), 2, "no board is called c; there are: a, b, v"),
        (("--board", "a", "--model", "due"), 2, "'due' is not one of 'uno', 'nano', 'nano-old', 'mega', 'leonardo'"),
        (("--board", "a", "--hex", "none.hex"), 2, "File 'none.hex' does not exist"),
        (("--board", "a", "--hex", "bad.hex"), 1, "bad.hex: line 1 does not begin with a colon"),
        (("--board", "a", "--hex", "bad.elf"), 1, "bad.elf is no Intel HEX file, which is plain text; is it an .elf"),
        (("--gateway", "http://127.0.0.1:1"), 2, "no gateway runs at http://127.0.0.1:1"),
        (("--gateway", "x y"), 2, "Invalid value for '--gateway'"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_touched(
    folder: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (folder / "config.yaml").write_text(TWO_BOARDS)
    (folder / "bad.hex").write_text("hello")
    (folder / "bad.elf").write_bytes(b"\x7fELF\xff")
    result = run(*arguments)
    assert (result.exit_code, result.stdout.count("Traceback")) == (code, 0), result.output
    assert message in " ".join(result.stderr.split())


def test_what_can_not_be_flashed_is_not_asked_who_it_is() -> None:
    result = run("--port", "virtual://uno", "--yes")
    assert (result.exit_code, result.stdout) == (3, "")


def test_a_file_is_looked_at_before_the_board(folder: Path) -> None:
    (folder / "bad.hex").write_text("hello")
    result = run("--port", "/dev/ttyNONE", "--hex", "bad.hex")
    assert "bad.hex" in result.stderr


def test_an_installation_without_images_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gateway.resources.PACKAGE", tmp_path / "gateway")
    result = run("--port", "/dev/ttyNONE")
    assert result.exit_code == 1
    assert "firmware/hex/manifest.json is missing from this installation of the gateway; install it" in result.stderr


def test_an_image_that_is_not_the_one_that_was_shipped_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = tmp_path / "firmware" / "hex"
    copy.mkdir(parents=True)
    for file in SHIPPED_IMAGES.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr("gateway.resources.PACKAGE", tmp_path / "gateway")
    assert bundled_image("mega").file == copy / "gateway-mega.hex"
    with (copy / "gateway-mega.hex").open("a") as file:
        file.write("\n")
    with pytest.raises(FileNotFoundError, match=r"gateway-mega\.hex is not the one that manifest\.json names"):
        bundled_image("mega")
    assert bundled_image("uno").version


# ---- which board ----


def found(monkeypatch: pytest.MonkeyPatch, gateway: ScriptedGateway | None, **named: str | None) -> Any:
    monkeypatch.setattr(flashing, "running_gateway", lambda _file, _url: gateway)
    file = Path("config.yaml") if Path("config.yaml").exists() else None
    return flashing.find_target(file, None, board=named.get("board"), port=named.get("port"))


def test_a_configured_board_has_its_port_and_rate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config.yaml").write_text(TWO_BOARDS)
    target = found(monkeypatch, None, board="a")
    assert (target.port, target.baud, target.gateway) == ("/dev/ttyA", 115_200, None)


def test_the_only_real_board_needs_no_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config.yaml").write_text("boards: {v: {port: 'virtual://uno'}, a: {port: /dev/ttyA}}")
    target = found(monkeypatch, None)
    assert (target.port, target.run_options) == ("/dev/ttyA", "")


def test_the_port_is_the_one_that_the_running_gateway_has(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config.yaml").write_text("boards: {a: {port: 'virtual://uno'}}")
    gateway = ScriptedGateway(a="/dev/ttyACM7")
    for named in ({}, {"board": "a"}, {"port": "/dev/ttyACM7"}):
        target = found(monkeypatch, gateway, **named)
        assert (target.port, target.board, target.gateway) == ("/dev/ttyACM7", "a", gateway)


def test_a_port_that_the_running_gateway_has_not_is_none_of_its_business(monkeypatch: pytest.MonkeyPatch) -> None:
    target = found(monkeypatch, ScriptedGateway(a="/dev/ttyACM7"), port="/dev/ttyACM8")
    assert (target.port, target.board, target.gateway) == ("/dev/ttyACM8", None, None)


def test_a_port_of_another_machine_is_not_taken_for_one_here(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = ScriptedGateway(on_this_machine=False, a="/dev/ttyACM7", b="rfc2217://shed:2217")
    with pytest.raises(
        click.UsageError, match=r"/dev/ttyACM7 is a port of another machine, where http://lab:8080 runs"
    ):
        found(monkeypatch, gateway, board="a")
    assert found(monkeypatch, gateway, board="b").port == "rfc2217://shed:2217"


def test_auto_is_what_is_plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    from serial.tools.list_ports_common import ListPortInfo

    uno = ListPortInfo("/dev/ttyACM3")
    uno.vid, uno.pid = 0x2341, 0x0043
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [uno])
    target = found(monkeypatch, None)
    assert (target.port, target.run_options) == ("/dev/ttyACM3", " --port auto")
    assert found(monkeypatch, None, port="auto").port == "/dev/ttyACM3"


def test_a_board_that_is_found_by_its_usb_side_is_found_without_a_gateway_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serial.tools.list_ports_common import ListPortInfo

    plugged = [ListPortInfo(f"/dev/ttyUSB{number}") for number in range(2)]
    for number, port in enumerate(plugged):
        port.vid, port.pid, port.location = 0x1A86, 0x7523, f"1-{number}"
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: plugged)
    (folder / "config.yaml").write_text(
        "boards: {a: {port: auto, match: {location: 1-1}}, b: {port: auto, match: {board_id: 1a2b3c4d}}}"
    )
    assert found(monkeypatch, None, board="a").port == "/dev/ttyUSB1"
    with pytest.raises(click.UsageError, match="board b is found by the id that it bears, which takes a running"):
        found(monkeypatch, None, board="b")
    gateway = ScriptedGateway(a="auto", b="/dev/ttyUSB0")
    assert found(monkeypatch, gateway, board="b").port == "/dev/ttyUSB0"
    still_looked_for = found(monkeypatch, gateway, board="a")
    assert (still_looked_for.port, still_looked_for.gateway) == ("/dev/ttyUSB1", gateway)


def test_an_unknown_board_of_the_running_gateway_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(click.UsageError, match="no board is called b; there are: a"):
        found(monkeypatch, ScriptedGateway(a="/dev/ttyACM7"), board="b")
