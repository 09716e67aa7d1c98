"""The whole path, real at both ends: the shipped image on an emulated Uno, the real `gateway run` process, HTTP."""

import pytest

from tests.emulated.board import EmulatedBoard
from tests.running import GatewayProcess

pytestmark = pytest.mark.needs("simavr", "avr-gcc")

LED = "B5"  # D13
PWM9 = "B1"  # D9
D4 = "D4"


@pytest.fixture
def gateway(uno: EmulatedBoard):  # type: ignore[no-untyped-def]
    with GatewayProcess("--port", str(uno.port)) as gateway:
        gateway.wait_state("online")
        yield gateway


def test_readings_follow_the_voltage_that_is_driven(uno: EmulatedBoard, gateway: GatewayProcess) -> None:
    for millivolts in (0, 1250, 2500, 4900):
        uno.adc(0, millivolts)
        reading = gateway.until(
            lambda: gateway.reading("a0"), lambda seen, volts=millivolts / 1000: abs(seen["value"] - volts) < 0.02
        )
        assert reading["unit"] == "V"
        assert reading["quality"] == "good"
    uno.drive(D4, 1)
    gateway.until(lambda: gateway.reading("d4")["value"], lambda value: value is True)
    uno.drive(D4, 0)
    gateway.until(lambda: gateway.reading("d4")["value"], lambda value: value is False)


def test_a_command_moves_the_pin_as_the_emulator_sees_it(uno: EmulatedBoard, gateway: GatewayProcess) -> None:
    for value in (True, False, True):
        command = gateway.command({"channel": "led", "value": value})
        assert command["state"] == "done"
        assert uno.pin(LED).level == int(value)
    assert gateway.command({"channel": "pwm9", "value": 77})["state"] == "done"
    assert uno.wait_pin(PWM9, mode="pwm", duty=77)
    assert gateway.command({"action": "digital_write", "arguments": {"pin": 4, "value": True}})["state"] == "done"
    assert uno.pin(D4).level == 1
    read = gateway.command({"action": "digital_read", "arguments": {"pin": 4}})
    assert (read["state"], read["result"]) == ("done", True)
    assert gateway.until(lambda: gateway.reading("pwm9")["value"], lambda value: value == 77)


def test_polling_leaves_pwm_alone(uno: EmulatedBoard, gateway: GatewayProcess) -> None:
    """d3 and d9 are read with every poll; reading a pin must not end its PWM."""
    assert gateway.command({"channel": "pwm9", "value": 77})["state"] == "done"
    assert gateway.command({"action": "analog_write", "arguments": {"pin": 3, "value": 40}})["state"] == "done"
    assert gateway.command({"action": "digital_read", "arguments": {"pin": 3}})["state"] == "done"
    before = gateway.get("boards/board/readings").json["sequence"]
    gateway.until(lambda: gateway.get("boards/board/readings").json["sequence"], lambda now: now > before + 3)
    assert (uno.pin(PWM9).mode, uno.pin(PWM9).duty) == ("pwm", 77)
    assert (uno.pin("D3").mode, uno.pin("D3").duty) == ("pwm", 40)


def test_the_virtual_board_offers_field_by_field_what_the_real_one_does(uno: EmulatedBoard) -> None:
    boards = f"boards:\n  real:\n    port: {uno.port}\n  twin:\n    port: virtual://uno\n"
    with GatewayProcess(config=boards) as gateway:
        gateway.wait_state("online", board="real")
        gateway.wait_state("online", board="twin")
        for what in ("channels", "actions"):
            real = gateway.get(f"boards/real/{what}").json["items"]
            assert real
            assert real == gateway.get(f"boards/twin/{what}").json["items"]
        real, twin = (gateway.get(f"boards/{name}").json for name in ("real", "twin"))
        assert (real["model"], real["sketch"]) == (twin["model"], twin["sketch"])
        assert (real["virtual"], twin["virtual"]) == (False, True)


def test_the_board_says_what_it_is_and_is_not_virtual(gateway: GatewayProcess) -> None:
    board = gateway.get("boards/board").json
    assert board["virtual"] is False
    assert board["model"] == "Arduino Uno"
    assert board["sketch"]["name"] == "gateway"
    assert board["reason"] is None
    readings = gateway.get("boards/board/readings").json
    assert readings["virtual"] is False
    assert set(readings["readings"]) >= {"a0", "d2", "supply_mv", "uptime_ms", "free_ram", "loop_max_us", "led", "pwm9"}
    assert 4500 < readings["readings"]["supply_mv"]["value"] < 5500
    assert readings["readings"]["free_ram"]["value"] > 800


def test_pins_of_the_uart_are_refused_before_anything_reaches_the_wire(gateway: GatewayProcess) -> None:
    answer = gateway.request(
        "POST", "boards/board/commands", {"action": "digital_write", "arguments": {"pin": 1, "value": True}}
    )
    assert answer.status == 422
    assert "2 to 19" in answer.json["errors"][0]["msg"]


def test_a_reset_in_mid_flight_is_noticed_and_survived(uno: EmulatedBoard, gateway: GatewayProcess) -> None:
    assert gateway.command({"channel": "led", "value": True})["state"] == "done"
    uno.reset()
    gateway.until(lambda: gateway.get("boards/board").json["resets"], lambda resets: resets == 1)
    gateway.wait_state("online")
    uno.wait_pin(LED, 0)  # power-on state is the safe value, and nothing moves by itself
    command = gateway.command({"channel": "led", "value": True})
    assert command["state"] == "done"
    assert uno.pin(LED).level == 1


def test_a_power_cycle_is_survived(uno: EmulatedBoard, gateway: GatewayProcess) -> None:
    uno.power_cycle()
    gateway.until(lambda: gateway.get("boards/board").json["resets"], lambda resets: resets == 1)
    gateway.wait_state("online")
    assert gateway.command({"channel": "led", "value": True})["state"] == "done"
    assert uno.pin(LED).level == 1


@pytest.mark.fault(18)
def test_an_unplug_and_replug_is_survived(uno: EmulatedBoard, gateway: GatewayProcess) -> None:
    gateway.command({"channel": "led", "value": True})
    uno.unplug()
    gateway.wait_state("offline")
    board = gateway.get("boards/board").json
    assert board["reason"] == "port_missing"
    assert gateway.get("/readyz").status == 503
    refused = gateway.request("POST", "boards/board/commands", {"channel": "led", "value": True})
    assert refused.status == 503
    assert "Retry-After" in refused.headers
    stale = gateway.until(lambda: gateway.reading("a0"), lambda seen: seen["quality"] == "stale")
    assert stale["value"] is not None
    uno.plug()
    gateway.wait_state("online")
    assert gateway.get("/readyz").status == 200
    assert gateway.reading("a0")["quality"] == "good"
    assert gateway.command({"channel": "led", "value": True})["state"] == "done"
    assert uno.pin(LED).level == 1


@pytest.mark.fault(21)
def test_a_frozen_board_never_looks_fresh(uno: EmulatedBoard, gateway: GatewayProcess) -> None:
    uno.freeze()
    gateway.until(lambda: gateway.reading("uptime_ms"), lambda seen: seen["quality"] == "stale")
    first = gateway.reading("uptime_ms")
    second = gateway.until(lambda: gateway.reading("uptime_ms"), lambda seen: seen["age_ms"] > first["age_ms"] + 500)
    assert second["sampled_at"] == first["sampled_at"]
    assert gateway.get("boards/board/readings/uptime_ms?max_age=1s").status == 503
    assert gateway.get("boards/board/readings/uptime_ms", {"Accept": "text/plain"}).status == 503
    uno.thaw()
    gateway.wait_state("online")
    gateway.until(lambda: gateway.reading("uptime_ms")["quality"], lambda quality: quality == "good")


def test_a_gateway_restart_neither_resets_nor_loses_the_board(uno: EmulatedBoard) -> None:
    with GatewayProcess("--port", str(uno.port)) as first:
        first.wait_state("online")
        assert first.command({"channel": "led", "value": True})["state"] == "done"
        since = uno.mark()
        uptime_ms = first.reading("uptime_ms")["value"]
    uno.watch(LED)
    uno.wait_event("pin", since=since, pin=LED, level=0)  # nobody holds it: the board itself lets go
    with GatewayProcess("--port", str(uno.port)) as second:
        second.wait_state("online")
        assert second.reading("uptime_ms")["value"] > uptime_ms
        assert uno.events("reset", since=since) == []
        assert second.get("boards/board").json["failsafe"] == {"latched": False, "cause": None}
        assert second.command({"channel": "led", "value": True})["state"] == "done"
        assert uno.pin(LED).level == 1


def test_safe_is_seen_at_the_pins_and_left_by_clear_only(uno: EmulatedBoard, gateway: GatewayProcess) -> None:
    gateway.command({"channel": "led", "value": True})
    gateway.command({"channel": "pwm9", "value": 200})
    gateway.command({"action": "digital_write", "arguments": {"pin": 4, "value": True}})
    assert gateway.request("POST", "boards/board/safe").status == 200
    assert uno.pin(LED).level == 0
    assert uno.pin(PWM9).level == 0
    assert uno.pin(D4).mode == "input"
    refused = gateway.request("POST", "boards/board/commands", {"channel": "led", "value": True})
    assert refused.status == 409
    uno.reset()
    gateway.until(lambda: gateway.get("boards/board").json["resets"], lambda resets: resets == 1)
    gateway.wait_state("online")
    assert gateway.get("boards/board").json["failsafe"] == {"latched": True, "cause": "safe"}
    assert gateway.request("POST", "boards/board/clear").status == 200
    assert gateway.command({"channel": "led", "value": True})["state"] == "done"
    assert uno.pin(LED).level == 1


@pytest.mark.fault(22)
def test_a_held_output_falls_back_while_the_gateway_goes_on_polling(
    uno: EmulatedBoard, gateway: GatewayProcess
) -> None:
    uno.watch(LED)
    since = uno.mark()
    assert gateway.command({"channel": "led", "value": True, "hold_ms": 300})["state"] == "done"
    rise = uno.wait_event("pin", since=since, pin=LED, level=1)
    fall = uno.wait_event("pin", since=rise.index, pin=LED, level=0)
    held_s = (fall.time_us - rise.time_us) / 1e6
    assert 0.298 <= held_s < 0.32, "by the board's own clock, which counts in steps of 1.024 ms"
    gateway.until(lambda: gateway.reading("led")["value"], lambda value: value is False)


@pytest.mark.fault(22)
def test_a_killed_gateway_means_safe_values_within_the_limit(uno: EmulatedBoard) -> None:
    with GatewayProcess("--port", str(uno.port)) as gateway:
        gateway.wait_state("online")
        gateway.command({"channel": "led", "value": True})
        uno.watch(LED)
        since = uno.mark()
        gateway.kill()
        fall = uno.wait_event("pin", since=since, pin=LED, level=0)
    assert fall["level"] == 0


@pytest.mark.parametrize("baud", ["auto", "115200"])
def test_the_rate_is_found_or_named(uno: EmulatedBoard, baud: str) -> None:
    config = f"boards:\n  board:\n    port: {uno.port}\n    baud: {baud}\n"
    with GatewayProcess(config=config) as gateway:
        if baud == "auto":
            gateway.wait_state("online")
            assert gateway.command({"channel": "led", "value": True})["state"] == "done"
        else:
            gateway.wait_state("offline")
            board = gateway.get("boards/board").json
            assert board["reason"] == "wrong_baud"
            assert "250000" in board["detail"]


@pytest.mark.fault(20)
def test_a_port_that_is_taken_is_busy(uno: EmulatedBoard, gateway: GatewayProcess) -> None:
    with GatewayProcess("--port", str(uno.port)) as second:
        second.wait_state("offline")
        assert second.get("boards/board").json["reason"] == "port_busy"
    assert gateway.state() == "online"


@pytest.mark.parametrize("uno", ["bare"], indirect=True)
@pytest.mark.fault(3)
def test_a_noisy_line_costs_frames_not_truth(uno: EmulatedBoard, gateway: GatewayProcess) -> None:
    uno.noise(receive_drop=0.002, receive_flip=0.002, transmit_drop=0.002, transmit_flip=0.002)
    uno.adc(0, 2500)
    levels = []
    for number in range(30):
        command = gateway.command({"channel": "led", "value": number % 2 == 0})
        assert command["state"] == "done"
        levels.append(uno.pin(LED).level)
        value = gateway.reading("a0")["value"]
        assert value is None or value < 0.02 or abs(value - 2.5) < 0.02, "old or new, never wrong"
    assert levels == [1, 0] * 15
    counters = gateway.get("boards/board").json["counters"]
    assert counters["frames_rejected"] + counters["polls_missed"] + counters["retransmissions"] > 0
