"""What is said of names that there are not: boards, readings, fields, query parameters, problems. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches

from gateway.board.values import shown


def unknown(kind: str, name: str, *, known: Iterable[str]) -> str:
    """A sentence with the nearest name there is, and all there are. Its words are those in which a board's schema
    refuses an unknown channel or action, so that reading and writing answer alike."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    hint = f", did you mean {near[0]}?" if near else "."
    there_are = f"{kind.capitalize()}s are: {', '.join(names)}" if names else f"There are no {kind}s"
    return f"no {kind} {shown(name)}{hint} {there_are}"
