"""The bundled sketch in software: the firmware's own description, inputs that move, pins that act."""

import json
from pathlib import Path

import pytest

from gateway.link.virtual_sketch import PWM_PERIOD_US, SUPPLY_MV, SUPPLY_RIPPLE_MV, Uno
from gateway.link.virtual_table import Raw, Refused

MANIFEST = Path(__file__).parents[2] / "firmware" / "hex" / "manifest.json"
MINUTES_US = 60_000_000


class Core:
    """A board whose time a test sets."""

    loop_max_us = 120

    def __init__(self) -> None:
        self.now_us = 0

    def micros(self) -> int:
        return self.now_us


class Sketch:
    """The table, used as a session would use it."""

    def __init__(self) -> None:
        self.core = Core()
        self.uno = Uno()
        table = self.uno.table()
        self.table = table
        self.channels = {row.record.name: row for row in table.channels}
        self.actions = {row.record.name: row for row in table.actions}

    def read(self, name: str) -> Raw:
        read = self.channels[name].read
        assert read
        return read(self.core)

    def write(self, name: str, value: Raw) -> None:
        write = self.channels[name].write
        assert write
        write(self.core, value)

    def run(self, name: str, *arguments: Raw) -> Raw | None:
        return self.actions[name].run(self.core, *arguments)


@pytest.fixture
def sketch() -> Sketch:
    return Sketch()


def test_it_describes_itself_as_the_firmware_does(sketch: Sketch) -> None:
    """The hash runs over every name, unit, range, flag and text, in order."""
    images = json.loads(MANIFEST.read_text())["images"]
    [uno] = [image for image in images if image["board"] == "uno"]
    assert int(uno["schema_hash"], 16) == sketch.table.schema_hash
    assert (uno["sketch"], uno["version"]) == (sketch.table.board.sketch, sketch.table.board.version)


def test_all_readings_fit_one_group(sketch: Sketch) -> None:
    assert sketch.table.groups == (tuple(range(len(sketch.table.channels))),)


class TestInputs:
    def test_analogue_inputs_move_each_in_its_own_way_within_the_supply(self, sketch: Sketch) -> None:
        courses = []
        for index in range(6):
            course = []
            for second in range(120):
                sketch.core.now_us = second * 1_000_000
                course.append(sketch.read(f"a{index}"))
            assert len(set(course)) > 1
            assert all(0 <= millivolts <= SUPPLY_MV + SUPPLY_RIPPLE_MV for millivolts in course)
            courses.append(tuple(course))
        assert len(set(courses)) == 6

    def test_the_supply_is_plausible(self, sketch: Sketch) -> None:
        for sketch.core.now_us in range(0, 5 * MINUTES_US, 1_000_000):
            assert abs(sketch.read("supply_mv") - SUPPLY_MV) <= SUPPLY_RIPPLE_MV

    def test_volts_are_the_converters_by_the_supply(self, sketch: Sketch) -> None:
        sketch.uno.analog_mv[3] = lambda _core: 1234
        raw = sketch.run("analog_read", 3)
        assert raw is not None
        assert sketch.read("a3") == int(raw) * int(sketch.read("supply_mv")) // 1023
        assert abs(sketch.read("a3") - 1234) <= 5
        sketch.uno.analog_mv[3] = lambda _core: 9000
        assert sketch.run("analog_read", 3) == 1023

    def test_the_board_tells_of_itself(self, sketch: Sketch) -> None:
        sketch.core.now_us = 12_345_678
        assert sketch.read("uptime_ms") == 12_345
        assert sketch.read("loop_max_us") == 120
        assert 0 < sketch.read("free_ram") < 2048

    def test_what_is_wired_to_a_pin_is_read(self, sketch: Sketch) -> None:
        assert not sketch.read("d7")
        sketch.uno.pins[7].outside = lambda _now_us: True
        assert sketch.read("d7")
        assert sketch.run("digital_read", 7) == 1

    @pytest.mark.parametrize(("channel", "every_s"), [("d2", 2), ("d3", 5)])
    def test_some_digital_inputs_switch_slowly_and_plainly(self, sketch: Sketch, channel: str, every_s: int) -> None:
        levels = []
        for second in range(4 * every_s):
            sketch.core.now_us = second * 1_000_000 + 500_000
            levels.append(bool(sketch.read(channel)))
        assert levels == ([False] * every_s + [True] * every_s) * 2

    def test_a_switched_pin_that_a_command_drives_is_left_alone_until_the_failsafe(self, sketch: Sketch) -> None:
        sketch.run("digital_write", 2, 0)
        sketch.core.now_us = 3_000_000
        assert not sketch.read("d2")
        sketch.table.on_safe()
        assert sketch.read("d2")


class TestPins:
    def test_a_written_pin_is_read_back(self, sketch: Sketch) -> None:
        sketch.run("digital_write", 4, 1)
        assert sketch.read("d4")
        sketch.run("digital_write", 4, 0)
        assert not sketch.read("d4")

    def test_modes(self, sketch: Sketch) -> None:
        sketch.run("pin_mode", 5, 2)
        assert sketch.read("d5")  # pulled up
        sketch.run("pin_mode", 5, 0)
        assert not sketch.read("d5")
        sketch.run("digital_write", 5, 1)
        sketch.run("pin_mode", 5, 1)
        assert sketch.read("d5")

    def test_an_analogue_pin_that_is_driven_shows_it(self, sketch: Sketch) -> None:
        sketch.run("digital_write", 14, 1)
        assert abs(sketch.read("a0") - sketch.read("supply_mv")) <= 5
        sketch.run("digital_write", 14, 0)
        assert sketch.read("a0") == 0

    @pytest.mark.parametrize("action", ["pwm9", "analog_write"])
    def test_pwm_is_high_for_its_share_of_the_time(self, sketch: Sketch, action: str) -> None:
        def share(duty: int) -> float:
            if action == "pwm9":
                sketch.write("pwm9", duty)
            else:
                sketch.run("analog_write", 6, duty)
            high = 0
            for sketch.core.now_us in range(PWM_PERIOD_US):
                high += bool(sketch.read("d9" if action == "pwm9" else "d6"))
            return high / PWM_PERIOD_US

        assert [share(duty) for duty in (0, 51, 255)] == [0.0, 0.2, 1.0]

    def test_a_pin_without_a_timer_is_high_from_half_on(self, sketch: Sketch) -> None:
        sketch.run("analog_write", 4, 127)
        assert not sketch.read("d4")
        sketch.run("analog_write", 4, 128)
        assert sketch.read("d4")

    def test_a_tone_swings_until_it_is_over(self, sketch: Sketch) -> None:
        sketch.run("tone", 8, 500, 10)
        levels = []
        for sketch.core.now_us in range(0, 20_000, 1000):
            levels.append(bool(sketch.read("d8")))
        assert levels == [True, False] * 5 + [False] * 10

    @pytest.mark.parametrize("pin", [9, 10, 13])
    @pytest.mark.parametrize("action", ["pin_mode", "digital_write", "analog_write", "tone"])
    def test_the_pins_of_outputs_belong_to_them(self, sketch: Sketch, action: str, pin: int) -> None:
        more = (440, 100) if action == "tone" else (1,)
        with pytest.raises(Refused) as caught:
            sketch.run(action, pin, *more)
        assert caught.value.code == 64

    def test_the_failsafe_releases_what_actions_drive_and_nothing_else(self, sketch: Sketch) -> None:
        sketch.run("digital_write", 4, 1)
        sketch.run("tone", 5, 31, 60_000)
        sketch.write("pwm10", 255)
        sketch.table.on_safe()
        assert not sketch.read("d4")
        assert not sketch.read("d5")
        assert sketch.read("d10")
        sketch.uno.pins[4].outside = lambda _now_us: True
        assert sketch.read("d4")  # an input again

    def test_a_reset_releases_all(self, sketch: Sketch) -> None:
        sketch.run("digital_write", 4, 1)
        sketch.write("pwm10", 255)
        sketch.table.on_begin()
        assert not sketch.read("d4")
        assert not sketch.read("d10")

    def test_the_led_is_an_output_of_its_own(self, sketch: Sketch) -> None:
        sketch.write("led", 1)
        assert sketch.uno.pins[13].is_high(0)
