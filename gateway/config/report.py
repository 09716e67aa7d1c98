"""Everything wrong with a configuration, one line each: place, key, what is wrong, the nearest right key.

Turns the faults of the YAML and of pydantic into `file:line:column: key: sentence`; a value that came from the
environment or from an option has that for its place.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from gateway.config.model import ITEMS, KEYS, NAME, SECTIONS
from gateway.config.source import KeyPath, Place, Source
from gateway.config.values import shown
from gateway.text import printable

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MESSAGES = {
    "missing": "is missing",
    "bool_type": "must be true or false, not {value}",
    "int_type": "must be a whole number, not {value}",
    "string_type": "must be text, not {value}",
    "tuple_type": "must be a list, not {value}",
    "greater_than_equal": "must be at least {ge}, not {value}",
    "less_than_equal": "must be at most {le}, not {value}",
    "model_type": "must hold keys and values, not {value}",
    "dict_type": "must hold boards by name, not {value}",
    "too_short": "names no board; add one, such as `uno: {{port: virtual://uno}}`",
    "string_pattern_mismatch": "a board's name is a small letter, then up to 15 small letters, digits or _",
    "literal_error": "must be {expected}, not {value}",
    "value_error": "{error}",
}
"""The kinds of fault that pydantic finds here, in our words."""

EMPTY = "is empty, but needs a value"


class Report:
    """Collects problems; `origins` holds the paths whose value did not come from the file."""

    def __init__(self, file: str, source: Source) -> None:
        self.origins: dict[KeyPath, str] = {}
        self._file = file
        self._source = source
        self._problems: list[tuple[Place, str]] = []
        for fault in source.faults:
            self._line(fault.place, f"{file}:{fault.place}", fault.path, fault.message)

    def problems(self) -> list[str]:
        """Every problem, in the order of the file; what has no place in it comes first."""
        return [line for _, line in sorted(self._problems)]

    def add(self, origin: str, message: str) -> None:
        """A problem with an option or a variable itself."""
        self._line(Place(), origin, (), message)

    def add_at(self, path: KeyPath, message: str, *, of_key: bool = False) -> None:
        """A problem with the value at `path`, or with its key."""
        for length in range(len(path), 0, -1):  # an item has the origin of its list
            if path[:length] in self.origins:
                self._line(Place(), self.origins[path[:length]], path, message)
                return
        place = self._place(path, of_key=of_key)
        self._line(place, f"{self._file}:{place}" if self._file else "", path, message)

    def add_fault(self, fault: "ErrorDetails") -> None:
        """A fault that pydantic found, unless the YAML of that value was faulty already."""
        path = tuple(part for part in map(str, fault["loc"]) if part != "[key]")
        if any(path == known.path for known in self._source.faults):
            return
        if fault["type"] == "extra_forbidden":
            self.add_at(path, f"unknown key; {_nearest_key(path)}", of_key=True)
            return
        message = fault["msg"]
        if fault["input"] is None:
            message = EMPTY
        elif template := MESSAGES.get(fault["type"]):
            message = template.format(value=shown(fault["input"]), **fault.get("ctx", {}))
        self.add_at(path, message, of_key="[key]" in fault["loc"])

    def _place(self, path: KeyPath, *, of_key: bool) -> Place:
        """Where the value (or key) stands; for one that is not in the file, the section that lacks it."""
        if not of_key and path in self._source.places:
            return self._source.places[path]
        parents = (path[:length] for length in range(len(path), 0, -1))
        return next((self._source.key_places[part] for part in parents if part in self._source.key_places), Place())

    def _line(self, place: Place, origin: str, path: KeyPath, message: str) -> None:
        line = ": ".join(part for part in (origin, ".".join(path), message) if part)
        self._problems.append((place, printable(line)))


def nearest(word: str, known: Iterable[str]) -> str:
    """The cure for an unknown word: the nearest known one, or all of them."""
    names = list(known)
    near = get_close_matches(word, names, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"


def _nearest_key(path: KeyPath) -> str:
    """The nearest key of the same section; else the one of that name in another section."""
    *parents, word = path
    items = [ITEMS[name] for name in parents if name in ITEMS]
    place = ("boards", NAME, *parents[2:]) if parents[:1] == ["boards"] else tuple(parents)
    section = items[0] if items else SECTIONS[place]
    known = [info.alias or name for name, info in section.model_fields.items()]
    if items:
        return nearest(word, known)
    elsewhere = [".".join(key) for key in KEYS if key[-1] == word]
    return f"did you mean {elsewhere[0]}?" if elsewhere and not get_close_matches(word, known) else nearest(word, known)
