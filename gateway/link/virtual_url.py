"""What the URL of a virtual board says: `virtual://MODEL?drop=0.01&corrupt=0.01&delay=20ms&seed=7`.

Pure; for whoever opens the port, and for whoever checks the configuration before.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from gateway import duration
from gateway.link.faulty_line import LineFaults
from gateway.link.virtual_sketch import MODELS
from gateway.text import printable

MAX_DELAY_S = 10.0  # far beyond any link timeout that makes sense
SEED_DIGITS = 18  # 60 bits


@dataclass(frozen=True, slots=True)
class VirtualUrl:
    """A model of `MODELS`, and the line to it; no `faults` without a parameter."""

    model: str
    faults: LineFaults | None = None


def parse(url: str) -> VirtualUrl:
    """Raises ValueError with a sentence for what is wrong and what would be right."""
    address, has_query, query = url.partition("://")[2].partition("?")
    model = address.lower()
    if model not in MODELS:
        known = ", ".join(f"virtual://{model}" for model in sorted(MODELS))
        raise ValueError(f'there is no virtual board "{printable(address)}"; known: {known}')
    return VirtualUrl(model, _faults(query) if has_query else None)


def _faults(query: str) -> LineFaults:
    found: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in PARAMETERS:
            raise ValueError(f'a virtual board has no parameter "{printable(name)}"; {_nearest(name, PARAMETERS)}')
        field, read = PARAMETERS[name]
        if field in found:
            raise ValueError(f"{name} stands there twice; leave one")
        try:
            found[field] = read(text)
        except ValueError as error:
            raise ValueError(f"{name}={printable(text)}: {error}") from None
    return LineFaults(**found)


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _chance(text: str) -> float:
    try:
        chance = float(text)
    except ValueError:
        chance = -1.0
    if not 0 <= chance <= 1:
        raise ValueError("must be a chance from 0 to 1, such as 0.01 for one byte in a hundred")
    return chance


def _delay_s(text: str) -> float:
    delay_s = duration.parse(text)
    if delay_s > MAX_DELAY_S:
        raise ValueError(f"must be at most {duration.write(MAX_DELAY_S)}")
    return delay_s


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= SEED_DIGITS):
        raise ValueError(f"must be a whole number of at most {SEED_DIGITS} digits, such as 7")
    return int(text)


PARAMETERS: MappingProxyType[str, tuple[str, Callable[[str], Any]]] = MappingProxyType(
    {
        "drop": ("drop", _chance),
        "corrupt": ("corrupt", _chance),
        "delay": ("delay_s", _delay_s),
        "seed": ("seed", _seed),
    }
)
"""The parameters of the URL: the field of LineFaults that each means, and what reads its value."""
