"""Raw values of the wire and published ones: one rule for each type, in both directions.

Published values carry the scale: raw 2150 with scale -2 is 21.5. Scaling loses no step to binary fractions: what
`publish` makes of a raw value, `to_raw` makes the same raw value again. Pure.
"""

import json
import math
from decimal import Decimal

from gateway.model import Argument, Channel, Value, ValueType
from gateway.protocol.messages import RAW_LAYOUT

_F32 = RAW_LAYOUT[ValueType.F32]
_F32_DIGITS = 6  # a decimal of so many digits survives f32 and back (C: FLT_DIG) ...
_F32_ALL_DIGITS = 9  # ... and an f32 survives a decimal of so many (FLT_DECIMAL_DIG)
_F32_SMALLEST_NORMAL = 2.0**-126  # FLT_MIN; below it an f32 has ever fewer digits
_LONGEST_SHOWN = 40  # characters of a refused value that an error repeats


class Unfit(ValueError):
    """A value that does not fit a channel or argument; the text is a sentence without its subject."""


def raw_size(declared: Channel | Argument) -> int:
    """How many bytes a value takes on the wire."""
    if declared.type is ValueType.TEXT:
        return int(declared.maximum)
    return RAW_LAYOUT[declared.type].size


def publish(value_type: ValueType, scale: int, *, raw: bytes) -> Value | None:
    """The published form of one raw value of exactly its type's length. None where it stands for no value: NaN, an
    infinity, a bool that is neither 0 nor 1, bytes that are no UTF-8."""
    return _published_text(raw) if value_type is ValueType.TEXT else publish_number(value_type, scale, raw=raw)


def publish_number(value_type: ValueType, scale: int, *, raw: bytes) -> float | None:
    """As `publish`, of any type but text."""
    (number,) = RAW_LAYOUT[value_type].unpack(raw)
    match value_type:
        case ValueType.BOOL:
            return bool(number) if number in (0, 1) else None
        case ValueType.F32:
            return shortest_f32(number) if math.isfinite(number) else None
        case _:
            return _scaled(number, scale)


def publish_within(declared: Channel | Argument, raw: bytes) -> Value | None:
    """As `publish`, and None outside the declared range as well: a value that can't be is not shown."""
    if declared.type is ValueType.TEXT:
        return _published_text(raw)
    number = publish_number(declared.type, declared.scale, raw=raw)
    return number if number is not None and _in_range(declared, number) else None


def shortest_f32(number: float) -> float:
    """The float with the fewest decimal digits that is the same f32 as `number`: 21.3 for 21.299999237060547.

    Three powers of two (-96, 87 and 90) get one digit more than the fewest: there the next decimal *off* the number
    would do as well.
    """
    raw = _F32.pack(number)
    fewest = _F32_DIGITS if abs(number) >= _F32_SMALLEST_NORMAL else 1
    for digits in range(fewest, _F32_ALL_DIGITS):
        candidate = float(f"{number:.{digits}g}")
        if _F32.pack(candidate) == raw:
            return candidate
    return float(f"{number:.{_F32_ALL_DIGITS}g}")


def to_raw(declared: Channel | Argument, value: object) -> bytes:
    """The bytes for a value as JSON gave it. Raises Unfit for a wrong type, for anything out of range, and for a
    number that the type can't represent; a bool is no number, and 1 is no bool."""
    match declared.type:
        case ValueType.BOOL:
            return _bool_to_raw(declared, value)
        case ValueType.TEXT:
            return _text_to_raw(declared, value)
        case ValueType.F32:
            return _F32.pack(_number(declared, value))
        case _:
            return _integer_to_raw(declared, value)


def expected(declared: Channel | Argument) -> str:
    """What would fit, for an error or a help text: `a number from 0 to 95.5 degC`."""
    match declared.type:
        case ValueType.BOOL:
            return "true or false"
        case ValueType.TEXT:
            return f"a string of at most {declared.maximum} bytes"
        case _:
            return f"a number from {_range(declared)}"


def shown(value: object) -> str:
    """A refused value for an error message, bounded, without control characters."""
    match value:
        case bool() | float() | None:
            return json.dumps(value)
        case int():
            # Printing an integer of thousands of digits is refused by Python itself.
            return str(value) if abs(value) < 10**_LONGEST_SHOWN else f"a number of over {_LONGEST_SHOWN} digits"
        case str():
            cut = value if len(value) <= _LONGEST_SHOWN else value[: _LONGEST_SHOWN - 3] + "..."
            return json.dumps(cut)
        case list():
            return "a list"
        case _:
            return "an object"


def _published_text(raw: bytes) -> str | None:
    try:
        return raw.split(b"\0", 1)[0].decode()
    except UnicodeDecodeError:
        return None


def _scaled(number: int, scale: int) -> float:
    """Exact, or the float nearest to the exact decimal: Python rounds a quotient of integers correctly."""
    power = int(10 ** abs(scale))
    return number * power if scale >= 0 else number / power


def _in_range(declared: Channel | Argument, value: float) -> bool:
    """Compares published values: scaling keeps the order, so this is the same as comparing raw ones."""
    return declared.minimum <= value <= declared.maximum


def _range(declared: Channel | Argument) -> str:
    return f"{declared.minimum} to {declared.maximum} {declared.unit}".rstrip()


def _number(declared: Channel | Argument, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"{shown(value)} is no number; {expected(declared)} is expected")
    if not _in_range(declared, value):
        raise Unfit(f"{shown(value)} is out of range, {_range(declared)}")
    return value


def _integer_to_raw(declared: Channel | Argument, value: object) -> bytes:
    number = _number(declared, value)
    steps = Decimal(str(number)).scaleb(-declared.scale)
    if steps != int(steps):
        raise Unfit(f"{shown(value)} {_between_steps(declared)}")
    return RAW_LAYOUT[declared.type].pack(int(steps))


def _between_steps(declared: Channel | Argument) -> str:
    if declared.scale == 0:
        return "is not a whole number"
    if declared.scale > 0:
        return f"is no multiple of {10**declared.scale}"
    kind = "channel" if isinstance(declared, Channel) else "argument"
    return f"has more decimals than the {kind}'s {Decimal(1).scaleb(declared.scale):f} steps"


def _bool_to_raw(declared: Channel | Argument, value: object) -> bytes:
    if not isinstance(value, bool):
        raise Unfit(f"{shown(value)} is no bool; {expected(declared)} is expected")
    return bytes((value,))


def _text_to_raw(declared: Channel | Argument, value: object) -> bytes:
    if not isinstance(value, str):
        raise Unfit(f"{shown(value)} is no text; {expected(declared)} is expected")
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise Unfit(f"{shown(value)} holds half a character (an unpaired surrogate)") from None
    if 0 in data:
        raise Unfit(f"{shown(value)} holds a NUL character, which ends a text on the board")
    capacity = raw_size(declared)
    if len(data) > capacity:
        raise Unfit(f"{shown(value)} is {len(data)} bytes long, at most {capacity} fit")
    return data.ljust(capacity, b"\0")
