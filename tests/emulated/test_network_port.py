"""The shipped image on an emulated Uno behind a real ser2net, which moves DTR: opening the port resets the board."""

import pytest

from tests.emulated.board import EmulatedBoard
from tests.emulated.images import Bench
from tests.ports.ser2net import Ser2net
from tests.running import GatewayProcess

pytestmark = [pytest.mark.needs("simavr", "avr-gcc", "ser2net"), pytest.mark.process]

LED = "B5"  # D13


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
def test_an_uno_behind_ser2net_that_is_restarted(scheme: str, uno: EmulatedBoard, bench: Bench) -> None:
    device = str(uno.port.resolve())
    with Ser2net(device, scheme, preload=bench.modem_shim) as ser2net, GatewayProcess("--port", ser2net.url) as gateway:
        gateway.wait_state("online")
        uno.adc(0, 2500)
        gateway.until(lambda: gateway.reading("a0")["value"], lambda volts: abs(volts - 2.5) < 0.02)
        assert gateway.command({"channel": "led", "value": True})["state"] == "done"
        assert uno.pin(LED).level == 1

        since = gateway.mark()
        ser2net.kill()
        gateway.wait_line("offline, port_missing", since=since)
        gateway.wait_state("offline")
        assert "does ser2net" in gateway.get("boards/board").json["detail"]

        ser2net.start()
        gateway.wait_state("online")
        for value in (False, True):
            assert gateway.command({"channel": "led", "value": value})["state"] == "done"
            assert uno.pin(LED).level == int(value)
