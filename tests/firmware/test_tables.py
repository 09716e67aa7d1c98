"""A table that is wrong stops the compiler, and its first word on the matter says what is wrong and in which line.

Compiled as the Arduino IDE does, with its own leniency (`-fpermissive -w`), by the board's compiler and by this
machine's.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.firmware.desktop import HERE, LIBRARY
from tests.firmware.images import ROOT

CORE = Path("/usr/share/arduino/hardware/arduino/avr")
LENIENT = ("-std=gnu++11", "-fpermissive", "-w", "-fno-exceptions", "-Wno-error=narrowing")
FIRST_ONLY = "-Wfatal-errors"  # the compiler stops at its first error, which is the one that is read
COMPILERS = {
    "g++": ("g++", "-fsyntax-only", f"-I{HERE / 'desktop'}"),
    "avr-gcc": (
        *("avr-g++", "-c", "-Os", "-flto", "-fno-threadsafe-statics", "-mmcu=atmega328p", "-DF_CPU=16000000L"),
        *("-DARDUINO=10819", "-DARDUINO_AVR_UNO", "-include", "Arduino.h"),
        *(f"-I{CORE / 'cores' / 'arduino'}", f"-I{CORE / 'variants' / 'standard'}"),
    ),
}
"""Each with the flags that compile a sketch. `-flto`: what is wrong must be told before the linker runs."""

SKETCH = """\
#include "Bridge.h"
bool door() {{ return true; }}
float level() {{ return 0; }}
double precise() {{ return 0; }}
int16_t count() {{ return 0; }}
const char *text() {{ return ""; }}
void setFan(uint8_t) {{}}
void setPoint(int16_t) {{}}
int16_t setTrim(int16_t trim) {{ return trim; }}
void beep(uint16_t, uint16_t) {{}}
void five(bool, bool, bool, bool, bool) {{}}
void go() {{}}
int variable;
{table}
"""

RIGHT = """
BRIDGE_SKETCH("greenhouse", "2.0");
BRIDGE_CHANNELS(
  READING("door", "", door),
  READING("level", "%", level, RANGE(0, 100)),
  OUTPUT_("fan", "", setFan, HOLD_REQUIRED, SAFE(0), RANGE(0, 200)),
  OUTPUT_("setpoint", "degC", setPoint, SCALE(-1), RANGE(-100, 500)),
);
BRIDGE_ACTIONS(
  ACTION("beep", "Sound the buzzer", beep, ARG("hz", 31, 5000, "Hz"), ARG("ms", 1, 2000)),
  ACTION("go", "", go),
);
"""


def channels(*lines: str) -> str:
    return f"BRIDGE_CHANNELS({', '.join(lines)});"


def actions(*lines: str) -> str:
    return f"BRIDGE_ACTIONS({', '.join(lines)});"


def numbered(kind: str, function: str, *, count: int) -> list[str]:
    return [f'{kind}("n{index}", "", {function})' for index in range(count)]


BAD_NAME = "a_NAME_has_a_to_z_0_to_9_and_underscore_and_starts_with_a_letter"
NO_FIT = "a_RANGE_or_SAFE_value_does_not_fit_the_type_of_the_function"
REVERSED = "a_RANGE_has_its_minimum_above_its_maximum"
SAFE_OUTSIDE = "the_SAFE_value_lies_outside_the_RANGE"
NOT_FOR_READINGS = "SAFE_and_HOLD_REQUIRED_are_for_outputs"
NOT_A_LINE = "a_line_needs_NAME_then_UNIT_or_DESCRIPTION_then_FUNCTION"
NO_VALUE = "BRIDGE: a value must be bool, an integer of at most 4 bytes, or float"
NO_READING = "BRIDGE: a READING needs a function without parameters that returns its value"
NO_OUTPUT = "BRIDGE: an OUTPUT_ needs a void function with one parameter, its value"
ARG_EACH = "BRIDGE: an ACTION needs one ARG for each parameter of its function"
ARGS = 'ARG("hz", 31, 5000), ARG("ms", 1, 2000)'

WRONG = {
    # names and texts
    "name_too_long": ("BRIDGE: a name has at most 16 characters", channels('READING("seventeen_letters", "", door)')),
    "name_with_a_capital": (BAD_NAME, channels('READING("Door", "", door)')),
    "name_with_a_dash": (BAD_NAME, channels('READING("front-door", "", door)')),
    "name_with_a_digit_first": (BAD_NAME, channels('READING("2nd_door", "", door)')),
    "name_empty": (BAD_NAME, channels('READING("", "", door)')),
    "name_of_an_argument": (BAD_NAME, actions('ACTION("beep", "", beep, ARG("Hz", 31, 50), ARG("ms", 1, 2))')),
    "unit_too_long": ("BRIDGE: a unit has at most 8 bytes", channels('READING("door", "kilometre", door)')),
    "unit_missing": (NOT_A_LINE, channels('READING("door", door)')),
    "description_missing": (NOT_A_LINE, actions('ACTION("go", go)')),
    "description_too_long": (
        "BRIDGE: the description of an action has at most 30 bytes",
        actions('ACTION("go", "Goes on and on and on and on and on", go)'),
    ),
    "board_strings_too_long": (
        "BRIDGE: board, sketch and version have at most 39 bytes together",
        'BRIDGE_SKETCH("forty characters are too long for a name", "1.0");',
    ),
    # the same name twice
    "channels_of_one_name": (
        "BRIDGE: two channels have the same name",
        channels('READING("d", "", door)', 'READING("l", "", level)', 'OUTPUT_("d", "", setFan)'),
    ),
    "actions_of_one_name": (
        "BRIDGE: two actions have the same name",
        actions('ACTION("go", "", go)', 'ACTION("go", "", go)'),
    ),
    "arguments_of_one_name": (
        "BRIDGE: two arguments of an action have the same name",
        actions('ACTION("beep", "", beep, ARG("hz", 31, 5000), ARG("hz", 1, 2))'),
    ),
    # functions
    "reading_with_a_parameter": (NO_READING, channels('READING("fan", "", setFan)')),
    "reading_of_a_variable": (NO_READING, channels('READING("variable", "", variable)')),
    "reading_of_nothing": (
        "BRIDGE: a READING needs a function that returns its value, not a void one",
        channels('READING("go", "", go)'),
    ),
    "output_without_a_parameter": (NO_OUTPUT, channels('OUTPUT_("door", "", door)')),
    "output_with_two_parameters": (NO_OUTPUT, channels('OUTPUT_("beep", "", beep)')),
    "output_that_returns": (NO_OUTPUT, channels('OUTPUT_("trim", "", setTrim)')),
    "action_of_a_variable": ("BRIDGE: an ACTION needs a plain function", actions('ACTION("v", "", variable)')),
    "double": (NO_VALUE, channels('READING("precise", "", precise)')),
    "text": (NO_VALUE, channels('READING("text", "", text)')),
    # arguments
    "parameters_too_many": ("BRIDGE: an ACTION has at most 4 parameters", actions('ACTION("five", "", five)')),
    "argument_missing": (ARG_EACH, actions('ACTION("beep", "", beep, ARG("hz", 31, 5000))')),
    "argument_too_many": (ARG_EACH, actions(f'ACTION("beep", "", beep, {ARGS}, ARG("volume", 1, 2))')),
    "argument_without_range": (
        "BRIDGE: an ARG needs its name, its minimum and its maximum",
        actions('ACTION("beep", "", beep, ARG("hz"), ARG("ms", 1, 2))'),
    ),
    # ranges and other options
    "range_outside_the_type": (NO_FIT, channels('OUTPUT_("fan", "", setFan, RANGE(0, 256))')),
    "range_with_a_fraction": (NO_FIT, channels('OUTPUT_("fan", "", setFan, RANGE(0.5, 3))')),
    "range_of_an_argument": (NO_FIT, actions('ACTION("beep", "", beep, ARG("hz", -1, 5), ARG("ms", 1, 2))')),
    "range_reversed": (REVERSED, channels('OUTPUT_("fan", "", setFan, RANGE(9, 8))')),
    "range_of_an_argument_reversed": (REVERSED, actions('ACTION("beep", "", beep, ARG("hz", 5, 1), ARG("ms", 1, 2))')),
    "safe_outside_the_type": (NO_FIT, channels('OUTPUT_("fan", "", setFan, SAFE(-1))')),
    "safe_outside_the_range": (SAFE_OUTSIDE, channels('OUTPUT_("p", "", setPoint, RANGE(-5, 8), SAFE(-6))')),
    "safe_for_a_reading": (NOT_FOR_READINGS, channels('READING("door", "", door, SAFE(false))')),
    "hold_for_a_reading": (NOT_FOR_READINGS, channels('READING("door", "", door, HOLD_REQUIRED)')),
    "hold_without_safe": ("HOLD_REQUIRED_needs_a_SAFE_value", channels('OUTPUT_("fan", "", setFan, HOLD_REQUIRED)')),
    "scale_of_a_bool": ("SCALE_is_for_integers", channels('READING("door", "", door, SCALE(-1))')),
    "scale_of_a_float": ("SCALE_is_for_integers", channels('READING("level", "", level, SCALE(1))')),
    "scale_too_large": ("a_SCALE_goes_from_minus_9_to_9", channels('READING("count", "", count, SCALE(10))')),
    "no_option": (
        "BRIDGE: the options of a line are RANGE(...), SAFE(...), SCALE(...) and HOLD_REQUIRED",
        channels('READING("level", "", level, 100)'),
    ),
    # tables
    "channels_too_many": (
        "BRIDGE: a sketch has at most 128 channels",
        channels(*numbered("READING", "door", count=129)),
    ),
    "actions_too_many": ("BRIDGE: a sketch has at most 128 actions", actions(*numbered("ACTION", "go", count=129))),
    "actions_before_channels": (
        "BRIDGE: BRIDGE_CHANNELS stands before BRIDGE_ACTIONS",
        actions('ACTION("go", "", go)') + channels('READING("door", "", door)'),
    ),
}
"""What is wrong: what the first error must say, and the table."""

each_compiler = pytest.mark.parametrize(
    "compiler", [pytest.param(name, marks=pytest.mark.needs(name), id=name) for name in COMPILERS]
)


def compiler_says(compiler: str, table: str, folder: Path) -> str:
    """What the compiler objects to; empty if nothing."""
    source = folder / "sketch.cpp"
    source.write_text(SKETCH.format(table=table))
    command = [*COMPILERS[compiler], *LENIENT, FIRST_ONLY, f"-I{LIBRARY}", str(source), "-o", str(folder / "sketch.o")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bool(result.returncode) == bool(result.stderr), result.stderr
    return result.stderr


@each_compiler
def test_right_table_compiles(compiler: str, tmp_path: Path) -> None:
    assert compiler_says(compiler, RIGHT, tmp_path) == ""


@each_compiler
@pytest.mark.parametrize("fault", WRONG)
def test_wrong_table_does_not(compiler: str, fault: str, tmp_path: Path) -> None:
    message, table = WRONG[fault]
    said = compiler_says(compiler, table, tmp_path)
    first_error = next(line for line in said.splitlines() if "error: " in line)
    assert message in first_error
    assert re.search(rf"sketch\.cpp:{SKETCH.splitlines().index('{table}') + 1}\b", said), (
        "the sketch's line is not named"
    )


def test_the_readme_lists_every_message() -> None:
    """What the compiler says is explained, word for word."""
    readme = (ROOT / "README.md").read_text()
    unexplained = {message for message, _ in WRONG.values() if message.removeprefix("BRIDGE: ") not in readme}
    assert unexplained == set()
