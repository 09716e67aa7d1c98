"""The bundled sketch in software, twin of firmware/gateway/gateway.ino: the same table, on an Uno whose pins act and
whose inputs move. A test holds the two descriptions against each other. Pure: time is the board's.
"""

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from gateway.link.virtual_table import (
    FREE_RAM_BYTES,
    ActionRow,
    BoardTable,
    ChannelRow,
    Core,
    Raw,
    Refused,
    action,
    argument,
    output,
    reading,
)
from gateway.model import ValueType
from gateway.protocol.messages import FIRST_HANDLER_CODE, BoardRecord

FIRST_PIN, LAST_PIN = 2, 19  # 0 and 1 are the serial port; 14 to 19 are A0 to A5
FIRST_ANALOG_PIN, ANALOG_INPUTS = 14, 6
LED_PIN = 13
PWM_CHANNEL_PINS = (9, 10)
OUTPUT_PINS = (LED_PIN, *PWM_CHANNEL_PINS)
READ_PINS = range(2, 13)
TIMER_PINS = (3, 5, 6, 9, 10, 11)  # the others know high and low only
FULL_SCALE = 1023  # of the converter
FULL_DUTY = 255
PWM_PERIOD_US = 2040  # 490 Hz
SUPPLY_MV, SUPPLY_RIPPLE_MV, SUPPLY_PERIOD_S = 5000, 20, 97
BELONGS_TO_AN_OUTPUT = FIRST_HANDLER_CODE  # refusal: write that channel instead


# ---- the world around the pins ----


@dataclass(frozen=True, slots=True)
class Wave:
    """A voltage that moves slowly; `shape` takes a phase of 0 to 1 and gives a height of 0 to 1."""

    shape: Callable[[float], float]
    low_mv: int
    high_mv: int
    period_s: float

    def __call__(self, core: Core) -> int:
        """Millivolts now."""
        phase = core.micros() / 1e6 / self.period_s % 1.0
        return round(self.low_mv + (self.high_mv - self.low_mv) * self.shape(phase))


def sine(phase: float) -> float:
    """Begins in the middle, rising."""
    return (1 + math.sin(2 * math.pi * phase)) / 2


def triangle(phase: float) -> float:
    """Up and down."""
    return 1 - abs(2 * phase - 1)


def sawtooth(phase: float) -> float:
    """Up, then at once down."""
    return phase


def square(phase: float) -> float:
    """Low, then high."""
    return float(phase >= 0.5)


def staircase(phase: float) -> float:
    """Six steps up."""
    return math.floor(phase * 6) / 5


def breath(phase: float) -> float:
    """A quick rise and a slow fall."""
    return math.sin(math.pi * phase**0.5) ** 2


WAVES = (
    Wave(sine, 500, 4500, 60),
    Wave(triangle, 0, 5000, 40),
    Wave(sawtooth, 0, 3300, 30),
    Wave(square, 1000, 4000, 20),
    Wave(staircase, 0, 5000, 30),
    Wave(breath, 200, 2800, 12),
)
"""What A0 to A5 are wired to."""
SUPPLY = Wave(sine, SUPPLY_MV - SUPPLY_RIPPLE_MV, SUPPLY_MV + SUPPLY_RIPPLE_MV, SUPPLY_PERIOD_S)


def switching(every_s: int) -> Callable[[int], bool]:
    """A level that changes so often, low at first; by microseconds since the sketch began."""
    return lambda now_us: now_us // (every_s * 1_000_000) % 2 == 1


SWITCHES = {2: switching(2), 3: switching(5)}
"""What is wired to digital pins, by their number."""


# ---- the chip ----


class Mode(enum.IntEnum):
    """What pin_mode takes."""

    INPUT = 0
    OUTPUT = 1
    PULL_UP = 2


@dataclass(slots=True)
class Pin:
    """One pin: `level` is what it is driven to, `duty` a PWM in 1/255 (None: steady), `tone` hertz and its end in
    microseconds. `outside` is what drives it as an input, by the microsecond, None where nothing is wired."""

    mode: Mode = Mode.INPUT
    level: bool = False
    duty: int | None = None
    tone: tuple[int, int] | None = None
    outside: Callable[[int], bool] | None = None

    def write(self, *, level: bool) -> None:
        """A steady level, as an output."""
        self.mode, self.level, self.duty, self.tone = Mode.OUTPUT, level, None, None

    def release(self) -> None:
        """As after a reset: an input without pull-up."""
        self.mode, self.level, self.duty, self.tone = Mode.INPUT, False, None, None

    def is_high(self, now_us: int) -> bool:
        """The level on the pin at this moment, in the middle of a PWM or a tone too."""
        if self.mode is not Mode.OUTPUT:
            return self.mode is Mode.PULL_UP if self.outside is None else self.outside(now_us)
        if self.tone and now_us < self.tone[1]:
            return now_us * self.tone[0] * 2 // 1_000_000 % 2 == 0
        if self.duty is not None:
            return now_us % PWM_PERIOD_US < PWM_PERIOD_US * self.duty // FULL_DUTY
        return self.level


class Uno:
    """The sketch's functions and the pins they work on. Tests may wire `analog_mv` and `pins[n].outside`."""

    def __init__(self) -> None:
        self.pins = {number: Pin(outside=SWITCHES.get(number)) for number in range(FIRST_PIN, LAST_PIN + 1)}
        self.analog_mv: list[Callable[[Core], int]] = list(WAVES)
        self._driven: set[int] = set()  # by actions, until the failsafe

    def table(self) -> BoardTable:
        """What the gateway sees."""
        return BoardTable(
            board=BoardRecord("Arduino Uno", "gateway", "1.0.0", ""),
            channels=_channels(self),
            actions=_actions(self),
            on_begin=self.begin,
            on_safe=self.release_pins,
        )

    # ---- readings and outputs ----

    def begin(self) -> None:
        """A reset."""
        self._driven.clear()
        for pin in self.pins.values():
            pin.release()

    def analog_raw(self, core: Core, channel: int) -> int:
        """What the converter gives, 0 to 1023."""
        pin, supply_mv = self.pins[FIRST_ANALOG_PIN + channel], SUPPLY(core)
        if pin.mode is Mode.INPUT:
            millivolts = self.analog_mv[channel](core)
        else:
            millivolts = supply_mv if pin.is_high(core.micros()) else 0
        return min(FULL_SCALE, millivolts * FULL_SCALE // supply_mv)

    def analog_millivolts(self, channel: int, core: Core) -> int:
        """By the measured supply, as the firmware computes it."""
        return self.analog_raw(core, channel) * SUPPLY(core) // FULL_SCALE

    def digital(self, number: int, core: Core) -> bool:
        """A pin's level."""
        return self.pins[number].is_high(core.micros())

    def set_level(self, number: int, _core: Core, value: Raw) -> None:
        """digitalWrite on an output pin."""
        self.pins[number].write(level=bool(value))

    def set_duty(self, number: int, _core: Core, duty: Raw) -> None:
        """analogWrite."""
        pin = self.pins[number]
        pin.write(level=duty > FULL_DUTY // 2)
        if number in TIMER_PINS and 0 < duty < FULL_DUTY:
            pin.duty = int(duty)

    # ---- actions on single pins ----

    def release_pins(self) -> None:
        """The failsafe: pins that actions have driven become inputs."""
        for number in self._driven:
            self.pins[number].release()
        self._driven.clear()

    def pin_mode(self, _core: Core, number: int, mode: int) -> None:
        """Raises Refused for the pin of an output, as all actions that drive do."""
        pin = self._take(number)
        pin.mode, pin.duty, pin.tone = Mode(mode), None, None

    def digital_write(self, core: Core, number: int, value: int) -> None:
        """The pin becomes an output."""
        self._take(number)
        self.set_level(number, core, value)

    def analog_write(self, core: Core, number: int, duty: int) -> None:
        """The pin becomes an output; without a timer it is high from half on."""
        self._take(number)
        self.set_duty(number, core, duty)

    def tone(self, core: Core, number: int, hertz: int, milliseconds: int) -> None:
        """The pin becomes an output, and is low when the tone is over."""
        pin = self._take(number)
        pin.write(level=False)
        pin.tone = (hertz, core.micros() + milliseconds * 1000)

    def digital_read(self, core: Core, number: int) -> int:
        """Any pin's level."""
        return int(self.digital(number, core))

    def _take(self, number: int) -> Pin:
        if number in OUTPUT_PINS:
            raise Refused(BELONGS_TO_AN_OUTPUT)
        self._driven.add(number)
        return self.pins[number]


# ---- what the gateway sees ----


def _channels(uno: Uno) -> list[ChannelRow]:
    t = ValueType
    return [
        *(
            reading(f"a{index}", "V", t.U16, partial(uno.analog_millivolts, index), scale=-3)
            for index in range(ANALOG_INPUTS)
        ),
        *(reading(f"d{number}", "", t.BOOL, partial(uno.digital, number)) for number in READ_PINS),
        reading("supply_mv", "mV", t.U16, SUPPLY),
        reading("uptime_ms", "ms", t.U32, lambda core: core.micros() // 1000 & 0xFFFF_FFFF),
        reading("free_ram", "B", t.U16, lambda _core: FREE_RAM_BYTES),
        reading("loop_max_us", "us", t.U32, lambda core: core.loop_max_us & 0xFFFF_FFFF),
        output("led", "", t.BOOL, partial(uno.set_level, LED_PIN), safe=0),
        *(output(f"pwm{number}", "", t.U8, partial(uno.set_duty, number), safe=0) for number in PWM_CHANNEL_PINS),
    ]


def _actions(uno: Uno) -> list[ActionRow]:
    t = ValueType
    pin = argument("pin", t.U8, limits=(FIRST_PIN, LAST_PIN))
    analog_pin = argument("pin", t.U8, limits=(0, ANALOG_INPUTS - 1))
    mode = argument("mode", t.U8, limits=(0, 2))
    level = argument("value", t.BOOL)
    duty = argument("value", t.U8)
    hertz = argument("hz", t.U16, limits=(31, 20_000), unit="Hz")
    duration = argument("ms", t.U16, limits=(1, 60_000), unit="ms")
    return [
        action("pin_mode", "0 input, 1 output, 2 pull-up", uno.pin_mode, arguments=[pin, mode]),
        action("digital_write", "Drive a pin", uno.digital_write, arguments=[pin, level]),
        action("analog_write", "Drive a pin with PWM", uno.analog_write, arguments=[pin, duty]),
        action("digital_read", "Read any pin", uno.digital_read, arguments=[pin], returns=t.BOOL),
        action("analog_read", "0 to 1023", uno.analog_raw, arguments=[analog_pin], returns=t.U16),
        action("tone", "Sound a buzzer", uno.tone, arguments=[pin, hertz, duration]),
    ]


MODELS: MappingProxyType[str, Callable[[], BoardTable]] = MappingProxyType({"uno": lambda: Uno().table()})
"""Names for virtual://NAME, each with what makes its sketch, on pins of its own."""
