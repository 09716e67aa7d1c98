"""What is said of names that there are not: channels, actions and arguments, and whatever else the web serves. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches

from gateway.board.values import shown


def unknown(kind: str, name: str, *, known: Iterable[str]) -> str:
    """A sentence with the nearest name there is, and all there are."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    hint = f", did you mean {near[0]}?" if near else "."
    there_are = f"{kind.capitalize()}s are: {', '.join(names)}" if names else f"There are no {kind}s"
    return f"no {kind} {shown(name)}{hint} {there_are}"
