"""Durations as people write them, `500ms` or `1.5s`: in the configuration file and in queries.

Standard library only; open to every layer.
"""

import re

PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h|d)$"
"""A duration as a regular expression that JSON Schema understands too."""

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_PARTS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")


def parse(text: str) -> float:
    """Seconds of a duration such as `500ms`. ValueError, with the cure, for anything else: a bare number too."""
    match = _PARTS.fullmatch(text)
    if match is None:
        raise ValueError("a duration is a number and ms, s, m, h or d, such as 500ms or 1.5s")
    number, unit = match.groups()
    return float(number) * UNITS_MS[unit] / 1000


def write(seconds: float) -> str:
    """The duration as `parse` reads it: in ms below one second, in s above."""
    return f"{seconds * 1000:.9g}ms" if seconds < 1 else f"{seconds:.9g}s"
