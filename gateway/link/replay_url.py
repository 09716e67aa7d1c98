"""What the URL of a replay says: `replay://FILE?speed=2&from=90s`. Pure; the twin of `virtual_url`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from gateway import duration
from gateway.text import printable

MIN_SPEED, MAX_SPEED = 0.01, 100.0
PARAMETERS = ("speed", "from")


@dataclass(frozen=True, slots=True)
class ReplayUrl:
    """A file, relative to the current directory unless it begins with a slash; how many times as fast as it was
    recorded; and how far into it to begin, 0 for the first session in it."""

    file: Path
    speed: float = 1.0
    from_s: float = 0.0


def parse(url: str) -> ReplayUrl:
    """Raises ValueError with a sentence for what is wrong and what would be right."""
    file, _, query = url.partition("://")[2].partition("?")
    if not file or "\0" in file:
        raise ValueError("replay:// needs a file, such as replay://board.recording or replay:///tmp/board.recording")
    found: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in PARAMETERS:
            raise ValueError(f'a replay has no parameter "{printable(name)}"; known: {", ".join(PARAMETERS)}')
        if name in found:
            raise ValueError(f"{name} stands there twice; leave one")
        try:
            found[name] = _speed(text) if name == "speed" else duration.parse(text)
        except ValueError as error:
            raise ValueError(f"{name}={printable(text)}: {error}") from None
    return ReplayUrl(Path(file).expanduser(), found.get("speed", 1.0), found.get("from", 0.0))


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise ValueError(f"must be from {MIN_SPEED:g} to {MAX_SPEED:g}, such as 2 for twice as fast")
    return speed
