"""A YAML file as plain values, with the place of each.

Owns the only use of PyYAML: its composer gives the nodes and their marks, the scalars are resolved here, because PyYAML
follows YAML 1.1, where `12:30` is 750, `on` is true and `010` is 8. Aliases and merge keys unfold into at most
`MAX_VALUES` values. Called in the main thread, before anything else runs.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from yaml.composer import Composer
from yaml.error import MarkedYAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

MAX_BYTES = 256 * 1024  # of a file; a board takes about 200
MAX_VALUES = 10_000  # of a file, with every alias and merge key unfolded

KeyPath = tuple[str, ...]
"""Where a value stands: the keys that lead to it, as written; items of a list by their number."""

_TAG = "tag:yaml.org,2002:"
_MERGE = "<<"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a file, counted from 1."""

    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the file; `path` is empty where no key is meant."""

    place: Place
    path: KeyPath
    message: str


@dataclass(slots=True)
class Source:
    """The values of a file, where they stand, and what is wrong with the YAML itself."""

    values: dict[str, object] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    key_places: dict[KeyPath, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    readable: bool = True
    """False where the YAML broke off: nothing can be said then of what is or is not in the file."""


def read(text: str) -> Source:
    """The values of a YAML text. Never raises: what is wrong stands in `faults`."""
    source = Source()
    try:
        root = _Loader(text).get_single_node()
        if root is not None:
            _Unfolding(source).root(root)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place()
        return _unreadable(place, f"not YAML: {error.problem or error.context}")
    except ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        return _unreadable(place, f"not YAML: the character U+{error.character:04X} is not allowed")
    except RecursionError:
        return _unreadable(Place(), "nested too deeply, or an alias that holds itself")
    except _UnreadableError as error:
        return _unreadable(error.place, str(error))
    return source


def scalar(text: str) -> object:
    """A text from outside a file (an environment variable) as the YAML scalar that it would be in one. ValueError
    for a number of thousands of digits and for what is no Unicode."""
    tag: str = _CoreSchema().resolve(ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return _SCALARS[tag](text)


class _UnreadableError(Exception):
    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


def _unreadable(place: Place, message: str) -> Source:
    return Source(faults=[Fault(place, (), message)], readable=False)


class _CoreSchema(BaseResolver):
    """Resolves scalars by the core schema of YAML 1.2 (specification, section 10.3.2)."""


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _CoreSchema.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)


class _Loader(Reader, Scanner, Parser, Composer, _CoreSchema):
    """PyYAML up to its nodes; nothing of its constructors, which would build Python objects."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _CoreSchema.__init__(self)


def _integer(text: str) -> int:
    bases = {"0o": 8, "0x": 16}
    return int(text[2:], bases[text[:2]]) if text[:2] in bases else int(text)


def _text(text: str) -> str:
    text.encode()  # half a surrogate pair, which YAML can write, is no text
    return text


_SCALARS: dict[str, Callable[[str], object]] = {
    f"{_TAG}null": lambda _: None,
    f"{_TAG}bool": lambda text: text.lower() == "true",
    f"{_TAG}int": _integer,
    f"{_TAG}float": lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
    f"{_TAG}str": _text,
}
_TAGS = {*_SCALARS, f"{_TAG}map", f"{_TAG}seq"}


class _Unfolding:
    """One pass over the nodes: plain values out, places and faults into the source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._budget = MAX_VALUES

    def root(self, node: Node) -> None:
        if not isinstance(node, MappingNode):
            raise _UnreadableError(_place(node), "the file must hold keys and values, such as `http:`")
        self._source.values = self._mapping(node, ())

    def _value(self, node: Node, path: KeyPath) -> object:
        self._spend(node)
        self._source.places[path] = _place(node)
        if node.tag not in _TAGS:
            self._fault(node, path, f"the tag {node.tag} has no meaning here")
            return None
        match node:
            case MappingNode():
                return self._mapping(node, path)
            case SequenceNode():
                return [self._value(item, (*path, str(number))) for number, item in enumerate(node.value)]
            case _:
                return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, object]:
        values: dict[str, object] = {}
        for name, (key, value) in self._entries(node, path).items():
            inner = (*path, name)
            self._source.key_places[inner] = _place(key)
            values[name] = self._value(value, inner)
        return values

    def _entries(self, node: MappingNode, path: KeyPath) -> dict[str, tuple[Node, Node]]:
        """Key and value nodes by the key's text: what is merged in yields to what is written out."""
        own: dict[str, tuple[Node, Node]] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            self._spend(key)
            if not isinstance(key, ScalarNode) or not key.value.isprintable():
                self._fault(key, path, "a key must be a plain word")
            elif key.value == _MERGE:
                merged = self._merged(value, path) | merged
            elif key.value in own:
                first = _place(own[key.value][0])
                self._fault(key, (*path, key.value), f"stands twice; first in line {first.line}")
            else:
                own[key.value] = (key, value)
        return merged | own

    def _merged(self, node: Node, path: KeyPath) -> dict[str, tuple[Node, Node]]:
        entries: dict[str, tuple[Node, Node]] = {}
        for part in node.value if isinstance(node, SequenceNode) else [node]:
            if isinstance(part, MappingNode):
                entries = self._entries(part, path) | entries
            else:
                self._fault(part, path, "only keys and values can be merged in with `<<`")
        return entries

    def _scalar(self, node: Node, path: KeyPath) -> object:
        try:
            return _SCALARS[node.tag](node.value)
        except (KeyError, ValueError):
            self._fault(node, path, f"not a value of its tag {node.tag.removeprefix(_TAG)}")
        return None

    def _spend(self, node: Node) -> None:
        self._budget -= 1
        if self._budget < 0:
            raise _UnreadableError(_place(node), f"more than {MAX_VALUES} values: aliases unfold too far")

    def _fault(self, node: Node, path: KeyPath, message: str) -> None:
        self._source.faults.append(Fault(_place(node), path, message))


def _place(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)
