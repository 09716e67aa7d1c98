"""What passes between the shipped image on an emulated Uno and the gateway: recorded, shown, and had again."""

from pathlib import Path

import pytest

from gateway.link.recording import Recording
from gateway.tools.decoder import Decoder, Topic, schema_of
from tests.emulated.board import EmulatedBoard
from tests.running import GatewayProcess

pytestmark = pytest.mark.needs("simavr", "avr-gcc")

VOLTS_MV = 3300


def test_a_real_sketchs_session_is_recorded_decoded_and_replayed(uno: EmulatedBoard, tmp_path: Path) -> None:
    uno.adc(1, VOLTS_MV)
    config = f"boards: {{uno: {{port: '{uno.port}', record: 4MB}}}}\nstate_dir: {tmp_path}\n"
    with GatewayProcess(config=config) as gateway:
        gateway.wait_state("online", board="uno")
        gateway.until(lambda: gateway.reading("a1", board="uno"), lambda seen: abs(seen["value"] - 3.3) < 0.02)
        assert gateway.command({"channel": "led", "value": True}, board="uno")["state"] == "done"
    (file,) = (tmp_path / "recordings" / "uno").iterdir()
    recording = Recording.read(file)
    decoder = Decoder()
    decoder.schema = schema_of(recording.description)
    lines = list(decoder.decode(recording.traces))
    assert any(line.text.startswith("led = true") for line in lines if line.topic is Topic.COMMANDS)
    polled = [line.values["a1"] for line in lines if line.what == "POLL" and line.values]
    assert any(isinstance(volts, float) and abs(volts - 3.3) < 0.02 for volts in polled)
    with GatewayProcess("--port", f"replay://{file}") as gateway:
        gateway.wait_state("online")
        gateway.until(lambda: gateway.reading("a1"), lambda seen: abs((seen["value"] or 0) - 3.3) < 0.02)
        assert gateway.get("boards/board").json["sketch"]["name"] == "gateway"
