"""A table that is wrong stops the compiler, and says what is wrong. Compiled with the Arduino IDE's own leniency."""

import subprocess
from pathlib import Path

import pytest

from tests.firmware.desktop import HERE, LIBRARY

pytestmark = pytest.mark.needs("g++")

SKETCH = """
#include "Bridge.h"
bool door() {{ return true; }}
float level() {{ return 0; }}
double precise() {{ return 0; }}
void setFan(uint8_t) {{}}
void setPoint(int16_t) {{}}
void beep(uint16_t, uint16_t) {{}}
{table}
"""

RIGHT = """
BRIDGE_SKETCH("greenhouse", "2.0");
BRIDGE_CHANNELS(
  READING("door", "", door),
  READING("level", "%", level, RANGE(0, 100)),
  OUTPUT_("fan", "", setFan, HOLD, SAFE(0), RANGE(0, 200)),
  OUTPUT_("setpoint", "degC", setPoint, SCALE(-1), RANGE(-100, 500)),
);
BRIDGE_ACTIONS(
  ACTION("beep", "Sound the buzzer", beep, ARG("hz", 31, 5000, "Hz"), ARG("ms", 1, 2000)),
);
"""

WRONG = {
    "a name has at most 16 characters": 'BRIDGE_CHANNELS(READING("seventeen_letters", "", door));',
    "a_NAME_has_a_to_z": 'BRIDGE_CHANNELS(READING("Door", "", door));',
    "a unit has at most 8 bytes": 'BRIDGE_CHANNELS(READING("door", "kilometre", door));',
    "a READING needs a function without parameters": 'BRIDGE_CHANNELS(READING("fan", "", setFan));',
    "an OUTPUT_ needs a void function with one parameter": 'BRIDGE_CHANNELS(OUTPUT_("door", "", door));',
    "a value must be bool, an integer of at most 4 bytes, or float": 'BRIDGE_CHANNELS(READING("p", "", precise));',
    "a_RANGE_or_SAFE_value_does_not_fit": 'BRIDGE_CHANNELS(OUTPUT_("fan", "", setFan, RANGE(0, 256)));',
    "a_RANGE_has_its_minimum_above": 'BRIDGE_CHANNELS(OUTPUT_("fan", "", setFan, RANGE(9, 8)));',
    "the_SAFE_value_lies_outside": 'BRIDGE_CHANNELS(OUTPUT_("p", "", setPoint, RANGE(-5, 8), SAFE(-6)));',
    "HOLD_needs_a_SAFE_value": 'BRIDGE_CHANNELS(OUTPUT_("fan", "", setFan, HOLD));',
    "SAFE_and_HOLD_are_for_outputs": 'BRIDGE_CHANNELS(READING("door", "", door, SAFE(false)));',
    "two channels have the same name": 'BRIDGE_CHANNELS(READING("d", "", door), READING("d", "", level));',
    "an ACTION needs one ARG for each parameter": 'BRIDGE_ACTIONS(ACTION("beep", "", beep, ARG("hz", 31, 5000)));',
    "two arguments of an action have the same name": (
        'BRIDGE_ACTIONS(ACTION("beep", "", beep, ARG("hz", 31, 5000), ARG("hz", 1, 2)));'
    ),
    "BRIDGE_CHANNELS stands before BRIDGE_ACTIONS": (
        'BRIDGE_ACTIONS(ACTION("beep", "", beep, ARG("hz", 1, 2), ARG("ms", 1, 2)));'
        'BRIDGE_CHANNELS(READING("door", "", door));'
    ),
    "board, sketch and version have at most 39 bytes": 'BRIDGE_SKETCH("thirty-three characters are too long", "1.0");',
}


def compiler_says(table: str, folder: Path) -> str:
    """What the compiler objects to; empty if nothing."""
    source = folder / "sketch.cpp"
    source.write_text(SKETCH.format(table=table))
    includes = [f"-I{HERE / 'desktop'}", f"-I{LIBRARY}"]
    command = ["g++", "-std=c++11", "-fpermissive", "-w", "-fsyntax-only", *includes, str(source)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_right_table_compiles(tmp_path: Path) -> None:
    assert compiler_says(RIGHT, tmp_path) == ""


@pytest.mark.parametrize(("message", "table"), WRONG.items(), ids=list(WRONG))
def test_wrong_table_does_not(message: str, table: str, tmp_path: Path) -> None:
    assert message in compiler_says(table, tmp_path)
