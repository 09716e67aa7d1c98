"""What `gateway sketch new` lays down, untouched: built for an Uno, booted on the emulated one, read over HTTP."""

from pathlib import Path

import pytest

from gateway.tools.sketch import new_sketch
from tests.emulated.board import BoardOptions, EmulatedBoard
from tests.emulated.images import Bench
from tests.firmware import images
from tests.running import GatewayProcess

pytestmark = pytest.mark.needs("simavr", "avr-gcc", "make")


def test_a_new_sketch_shows_up_with_every_line_of_its_tables(bench: Bench, tmp_path: Path) -> None:
    sketch = new_sketch("greenhouse", directory=tmp_path)
    image = images.build(tmp_path / "built", sketch=sketch.folder)
    with (
        EmulatedBoard(bench.binary, BoardOptions(flash=(image,))) as uno,
        GatewayProcess("--port", str(uno.port)) as gateway,
    ):
        uno.adc(0, 750)  # what a TMP36 gives at 25 degrees
        gateway.wait_state("online")
        assert gateway.get("boards/board").json["sketch"]["name"] == "greenhouse"
        warm = gateway.until(lambda: gateway.reading("temperature"), lambda seen: abs((seen["value"] or 0) - 25) < 1)
        assert (warm["unit"], warm["quality"]) == ("degC", "good")
        assert gateway.reading("door")["value"] is True  # an open switch
        assert gateway.command({"channel": "led", "value": True})["state"] == "done"
        assert gateway.command({"channel": "fan", "value": 120, "hold_ms": 5000})["state"] == "done"
        assert gateway.command({"action": "beep", "arguments": {"hz": 440, "ms": 50}})["state"] == "done"
        assert uno.pin("B5").level == 1  # the LED, D13
        assert uno.wait_pin("B1", mode="pwm", duty=120)  # the fan, D9
